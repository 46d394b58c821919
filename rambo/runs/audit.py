"""Who did what and when: one line of JSON an act in `audit.jsonl` of the workspace, which is only ever added to.

Each line holds a digest of itself and of the line before it, so that a line that was changed or taken out shows; beside
the log, `audit.head` holds the number of its bytes and the digest of its last line, so that a shorter log shows too.
Whoever may write both files can write both anew: this shows mishaps and clumsy hands, and keeps nobody out.
"""

import contextlib
import dataclasses
import fcntl
import getpass
import hashlib
import io
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from rambo.errors import StoreError, shorten
from rambo.storage import files

NAME = "audit.jsonl"
HEAD = "audit.head"
_TAIL = 8192  # bytes that hold the last line: what goes in is shortened
_FIELD = 300  # characters of a field
_FIRST = "0" * 64
_DIGITS = 18  # of a number of bytes


@dataclasses.dataclass(frozen=True)
class Act:
    """One thing that somebody did.

    Attributes:
        when: UTC, ISO 8601.
        who: role and name.
        what: in a word, such as `start`.
        subject: the run, collection or study.
        more: anything else.
    """

    when: str
    who: str
    what: str
    subject: str
    more: str

    def words(self) -> str:
        """Return the act as one line."""
        return "  ".join(
            part for part in (self.when, self.who, self.what, self.subject, self.more) if part
        )


def note(root: Path, what: str, subject: str, *, who: str | None = None, more: str = "") -> None:
    """Add an act to the log.

    Args:
        root: the workspace.
        what: in a word.
        subject: the run, collection or study.
        who: role and name; None for whoever types commands on this machine.
        more: anything else.

    Raises:
        StoreError: the disk refuses; the act itself was done.
    """
    fields = {"who": who or f"{user()} on the command line", "what": what}
    fields |= {"subject": subject, "more": more}
    line = {"when": datetime.now(UTC).isoformat(timespec="milliseconds")}
    line |= {name: shorten(text, _FIELD) for name, text in fields.items()}
    target = root / NAME
    try:
        files.make_folder(root)
        descriptor = os.open(target, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            end = log.seek(0, os.SEEK_END)
            log.seek(max(0, end - _TAIL))
            tail = log.read()
            before = _digest_of(tail.splitlines()[-1]) if tail else _FIRST
            chained = line | {"chain": _chain(before, line)}
            torn = b"" if tail.endswith(b"\n") or not tail else b"\n"
            data = torn + json.dumps(chained, ensure_ascii=False).encode() + b"\n"
            whole = _fits(_head(root), log)  # a cut is not covered up by what follows it
            _add(log, data, end)
            if whole:
                _write_head(root, end + len(data), _digest_of(data.strip()))
    except OSError as error:
        reason = files.reason(error, "look whether it was done")
        problem = f"what was done cannot be noted in the audit log: {reason.problem}"
        raise StoreError(problem, field=NAME, hint=reason.hint) from error


def _add(log: io.FileIO, data: bytes, end: int) -> None:
    """Write to the end of a log, durably; where the disk refuses nothing of it stays, or it would be noted twice."""
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[log.write(rest) :]
        os.fsync(log.fileno())
    except OSError:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            log.truncate(end)
        raise


def _head(root: Path) -> bytes:
    """Return what the head file holds; nothing where there is none, as in workspaces of earlier versions."""
    with contextlib.suppress(FileNotFoundError):
        return (root / HEAD).read_bytes()
    return b""


def _write_head(root: Path, length: int, digest: str) -> None:
    """Write how long the log is and how it ends; where that fails, the head before it is true of a longer log too."""
    with contextlib.suppress(OSError), files.whole(root / HEAD) as file:
        os.fchmod(file.fileno(), files.PRIVATE)
        file.write(f"{length} {digest}\n".encode())


def _fits(head: bytes, log: BinaryIO | io.FileIO) -> bool:
    """Return whether a log is as long as its head says, or longer, and has the line that was the last one then."""
    if not head:
        return True
    length, _, digest = head.decode("ascii", "replace").strip().partition(" ")
    if not length.isdecimal() or len(length) > _DIGITS:
        return False
    log.seek(max(0, int(length) - _TAIL))
    lines = log.read(min(int(length), _TAIL)).splitlines(keepends=True)
    return bool(lines) and log.tell() == int(length) and _digest_of(lines[-1].strip()) == digest


def note_export(root: Path, subject: str, more: str, *, who: str | None = None) -> str:
    """Add an export, which leaves the workspace as it is; return why that was not possible, or an empty text.

    Choice: a workspace that is read-only, or on a full disk, still hands over what lies in it.
    """
    try:
        note(root, "export", subject, who=who, more=more)
    except StoreError as error:
        return str(error)
    return ""


def read(root: Path) -> tuple[list[Act], list[int]]:
    """Return all acts, the oldest first, and the numbers of lines that are damaged, follow a gap, or were cut off.

    Raises:
        StoreError: the disk refuses.
    """
    content = b""
    try:
        head = _head(root)  # before the log, which may grow in this moment
        with contextlib.suppress(FileNotFoundError):
            content = (root / NAME).read_bytes()
    except OSError as error:
        reason = files.reason(error, "ask again")
        raise StoreError(
            f"the audit log cannot be read: {reason.problem}", field=NAME, hint=reason.hint
        ) from error
    lines = content.splitlines()
    acts, wrong, before = [], [], _FIRST
    for number, raw in enumerate(lines, 1):
        fields = _parse(raw)
        if fields is None or fields.pop("chain") != _chain(before, fields):
            wrong.append(number)
        if fields is not None:
            acts.append(
                Act(**{field.name: fields[field.name] for field in dataclasses.fields(Act)})
            )
        before = _digest_of(raw)
    if not wrong and not _fits(head, io.BytesIO(content)):
        wrong.append(len(lines) + 1)
    return acts, wrong


def user() -> str:
    """Return who runs this process."""
    with contextlib.suppress(KeyError, OSError, ImportError):
        return getpass.getuser()
    return f"user {os.getuid()}"  # it has no name here, as in a container


def _parse(raw: bytes) -> dict[str, str] | None:
    """Return the fields of a line, or None where it is none of ours."""
    with contextlib.suppress(ValueError, RecursionError):
        fields = json.loads(raw)
        names = {*(field.name for field in dataclasses.fields(Act)), "chain"}
        if isinstance(fields, dict) and names == fields.keys():
            return fields if all(isinstance(text, str) for text in fields.values()) else None
    return None


def _chain(before: str, line: dict[str, str]) -> str:
    """Return the digest of a line and the one before it."""
    return hashlib.sha256(f"{before}\n{json.dumps(line)}".encode()).hexdigest()


def _digest_of(raw: bytes) -> str:
    """Return what the next line is chained to: all that stands in a line."""
    return hashlib.sha256(raw).hexdigest()
