"""Zip files from strangers: looked at from outside before they are opened, never extracted."""

import functools
import re
import stat
import struct
import zipfile
from pathlib import Path

from rambo.collection.looks import Limits
from rambo.storage.files import RefusedError

_END, _END64, _ENTRY = b"PK\x05\x06", b"PK\x06\x06", b"PK\x01\x02"
_NAME_BYTES = 1024  # a member's name and extra fields, at most, on average
_DRIVE = re.compile(r"^[A-Za-z]:")


def open_zip(path: Path, limits: Limits) -> zipfile.ZipFile:
    """Return an opened zip whose directory keeps to the limits.

    Raises:
        RefusedError: too many members, too much unpacked, or a ratio that only a bomb has.
    """
    members, size, start = _directory(path)
    if members > limits.members or size > members * (46 + _NAME_BYTES):
        count = members if members > limits.members else size // 46  # the larger lie
        raise RefusedError(
            f"{count:,} files inside", f"use at most {limits.members:,}", limits.members
        )
    if _holds_more(path, start, size, members):
        raise RefusedError(
            f"more files inside than the {members:,} that its end speaks of", "save it again"
        )
    archive = zipfile.ZipFile(path)
    total = sum(member.file_size for member in archive.infolist())
    if total > limits.total_bytes:
        archive.close()
        raise RefusedError(
            f"{total / 1e9:.1f} GB unpacked",
            f"the limit is {limits.total_bytes / 1e9:.0f} GB, use fewer images or raise it by RAMBO_MAX_GB",
            limits.total_bytes,
        )
    return archive


def check_member(member: zipfile.ZipInfo, limits: Limits) -> RefusedError | None:
    """Return why a member is not read, or None."""
    name = member.filename
    parts = name.replace("\\", "/").split("/")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if ".." in parts or name.startswith(("/", "\\")) or _DRIVE.match(name) or "\0" in name:
        return RefusedError("its name leads out of the archive", "pack it again without paths")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return RefusedError("it is a link or a device, not a file", "pack the file itself")
    if member.flag_bits & 0x1:
        return RefusedError("it is encrypted", "save the archive without a password")
    if member.file_size > limits.ratio_from and member.file_size > limits.ratio * max(
        1, member.compress_size
    ):
        return RefusedError(
            f"it unpacks to {member.file_size // max(1, member.compress_size):,} times its size",
            f"only a bomb has over {limits.ratio}; RAMBO_MAX_GB=2 lets through what you trust",
            limits.ratio,
        )
    return None


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    """Return the bytes of a member, never more than `most` of them."""
    if member.file_size > most:
        raise RefusedError(
            f"{member.file_size / 1e6:.0f} MB", f"a file may have {most / 1e6:.0f} MB", most
        )
    with archive.open(member) as stream:
        return stream.read(most + 1)


@functools.lru_cache(maxsize=2)
def shared_zip(path: str) -> zipfile.ZipFile:
    """Return a zip that this process opened before: workers read many members of one file."""
    return zipfile.ZipFile(path)


def _directory(path: Path) -> tuple[int, int, int]:
    """Return the number of members, and bytes and start of the directory, as the end of the file says."""
    with path.open("rb") as file:
        file.seek(0, 2)
        length = file.tell()
        start = max(0, length - 65_557)
        file.seek(start)
        tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + 22:
        raise RefusedError("it is no zip file, or its end is missing", "copy it again")
    members, size = struct.unpack("<HI", tail[at + 10 : at + 16])
    if members == 0xFFFF or size == 0xFFFFFFFF:
        at64 = tail.rfind(_END64, 0, at)
        if at64 >= 0 and len(tail) >= at64 + 56:
            members, size = struct.unpack("<QQ", tail[at64 + 32 : at64 + 48])
            at = at64
    return members, size, start + at - size


def _holds_more(path: Path, start: int, size: int, members: int) -> bool:
    """Return whether the directory has more entries than its end says: `zipfile` would read them all."""
    if start < 0:
        return False  # `zipfile` refuses it
    with path.open("rb") as file:
        file.seek(start)
        directory = file.read(size)
    at = count = 0
    while directory.startswith(_ENTRY, at) and len(directory) >= at + 46 and count <= members:
        at += 46 + sum(struct.unpack("<HHH", directory[at + 28 : at + 34]))
        count += 1
    return count > members
