"""Tags and a note that a person gives single images of a run: on disk at once, whole or not at all. Imports no torch.

`notes.json` in the run's folder holds them by dataset index, with a digest that shows a bit that flipped. Two tabs
share the file: whoever saves says what stood there before, so that one takes nothing away from the other.
"""

import dataclasses
import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping

import pydantic

from rambo.errors import ConfigError, StoreError, shorten
from rambo.runs import paths
from rambo.runs.run import Run
from rambo.storage import files

MOST_TAGS, TAG_LENGTH, NOTE_LENGTH = 20, 40, 2000  # of an image; characters
_BYTES = 20_000_000  # of the file
_SEPARATORS = ",;"  # a table holds all tags of an image in one cell
_DAMAGED = "the file is damaged", "restore it from a copy, or delete notes.json in the run's folder"


@dataclasses.dataclass(frozen=True)
class ImageNote:
    """What a person said of an image.

    Attributes:
        tags: words, each once, in the order in which they were given.
        note: a text of some lines.
    """

    tags: tuple[str, ...] = ()
    note: str = ""

    def merge(self, before: "ImageNote", stored: "ImageNote") -> "ImageNote":
        """Return what is to be stored, where the disk has changed since this was written.

        Args:
            before: what stood there when the person began to write.
            stored: what stands there now.

        Raises:
            StoreError: the note was changed on both sides.
        """
        tags = [tag for tag in stored.tags if tag in self.tags or tag not in before.tags]
        tags += [tag for tag in self.tags if tag not in before.tags and tag not in tags]
        if self.note == before.note:
            return ImageNote(check_tags(tags), stored.note)
        if stored.note not in (before.note, self.note):
            raise StoreError(
                "was changed in another window meanwhile",
                field="note",
                value=self.note,
                hint="take over what you need of it and save again",
            )
        return ImageNote(check_tags(tags), self.note)


class _StoredNote(pydantic.BaseModel):
    """An image in the file."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    tags: tuple[str, ...] = ()
    note: str = ""


class _NotesFile(pydantic.BaseModel):
    """The file."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    images: Mapping[pydantic.NonNegativeInt, _StoredNote]
    sha256: str


def check_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags as they are kept: spaces put in order, each once.

    Raises:
        ConfigError: one is too long, has a sign that it may not have, or there are too many.
    """
    result = tuple(dict.fromkeys(filter(None, map(_checked_tag, tags))))
    if len(result) > MOST_TAGS:
        raise ConfigError(
            "has too many",
            field="tags",
            value=len(result),
            limit=MOST_TAGS,
            hint=f"give an image at most {MOST_TAGS}",
        )
    return result


def check_note(text: str) -> str:
    """Return a note as it is kept: without spaces at the ends of lines, with plain line breaks.

    Raises:
        ConfigError: it is too long, or has a sign that cannot be printed.
    """
    lines = unicodedata.normalize("NFC", text).replace("\t", " ").splitlines()
    note = "\n".join(line.rstrip() for line in lines).strip()
    if len(note) > NOTE_LENGTH:
        raise ConfigError(
            f"has {len(note):,} characters",
            field="note",
            value=shorten(note, 20),
            limit=NOTE_LENGTH,
            hint=f"write at most {NOTE_LENGTH:,}",
        )
    _refuse_signs("note", note.replace("\n", ""))
    return note


def _checked_tag(text: str) -> str:
    """Return one tag as it is kept."""
    tag = " ".join(unicodedata.normalize("NFC", text).split())
    if len(tag) > TAG_LENGTH:
        raise ConfigError(
            f"has {len(tag):,} characters",
            field="tag",
            value=shorten(tag, 20),
            limit=TAG_LENGTH,
            hint=f"use at most {TAG_LENGTH}, and the note for more",
        )
    _refuse_signs("tag", tag)
    if any(sign in tag for sign in _SEPARATORS):
        raise ConfigError(
            "has a comma or a semicolon",
            field="tag",
            value=tag,
            hint="give two tags, for tables hold all tags of an image in one cell",
        )
    return tag


def _refuse_signs(field: str, text: str) -> None:
    """Refuse what is no visible sign: control characters, marks that turn the direction, halves of a sign."""
    for sign in text:
        if not sign.isprintable():
            raise ConfigError(
                f"has a sign that cannot be printed, U+{ord(sign):04X}",
                field=field,
                value=text,
                hint="leave it out",
            )


def pack(images: Mapping[int, ImageNote]) -> bytes:
    """Return what people said of images as the file holds it."""
    rows = {index: dataclasses.asdict(images[index]) for index in sorted(images)}
    return json.dumps({"images": rows, "sha256": _digest(images)}).encode()


def parse(data: bytes) -> dict[int, ImageNote]:
    """Return what the bytes of a file say of images.

    Raises:
        RefusedError: it is no such file, is damaged, or holds what could not have been typed.
    """
    if len(data) > _BYTES:
        raise files.RefusedError("the file is too large", _DAMAGED[1])
    try:
        content = _NotesFile.model_validate_json(data)
    except pydantic.ValidationError as error:
        raise files.RefusedError(*_DAMAGED) from error
    images = {index: ImageNote(e.tags, e.note) for index, e in content.images.items()}
    if content.sha256 != _digest(images):
        raise files.RefusedError(*_DAMAGED)
    for entry in images.values():
        try:
            same = (check_tags(entry.tags), check_note(entry.note)) == (entry.tags, entry.note)
        except ConfigError as error:
            raise files.RefusedError(error.words(), _DAMAGED[1]) from error
        if not same:
            raise files.RefusedError(*_DAMAGED)
    return images


def _digest(images: Mapping[int, ImageNote]) -> str:
    """Return the SHA-256 of all that is said of images."""
    rows = [[index, list(images[index].tags), images[index].note] for index in sorted(images)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def load(run: Run) -> dict[int, ImageNote]:
    """Return what people said of the images of a run; nothing where nobody said anything.

    Raises:
        StoreError: the file is damaged.
    """
    with run.naming("tags and notes", "open the page again"):
        try:
            data = paths.notes(run.folder).read_bytes()
        except FileNotFoundError:
            return {}
        return parse(data)


def save(run: Run, index: int, before: ImageNote, now: ImageNote) -> ImageNote:
    """Put what a person says of an image on disk, and return what stands there then.

    Args:
        run: the run.
        index: the image.
        before: what the person saw when they began; what others added since stays.
        now: what they made of it.

    Raises:
        ConfigError: a tag or the note may not be.
        StoreError: the note was changed elsewhere meanwhile, or the disk refuses.
    """
    checked = ImageNote(check_tags(now.tags), check_note(now.note))
    with (
        run.naming("tags and notes", "save it again"),
        files.gate(paths.notes_lock(run.folder), exclusive=True),
    ):
        images = load(run)
        merged = checked.merge(before, images.get(index, ImageNote()))
        rest = {other: entry for other, entry in images.items() if other != index}
        if merged != ImageNote():
            rest[index] = merged
        data = pack(rest)
        if len(data) > _BYTES:
            raise files.RefusedError("there is no more room for notes", "shorten some")
        if rest != images:
            files.write_bytes(paths.notes(run.folder), data, run.folder)
        return merged
