"""Tags and notes that a person gives images: written in the drawer of an image, seen and filtered in the gallery."""

from collections.abc import Mapping, Sequence

import streamlit as st

from rambo.errors import RamboError, StoreError, shorten
from rambo.runs import notes
from rambo.runs.notes import NOTE_LENGTH, ImageNote
from rambo.text import literal
from rambo.ui import frame, readers, visitor
from rambo.ui.batch.batch_data import Batch

_MARK = "✎"  # on the thumbnail of an image of which something is said
_BEFORE, _REFUSED = (
    "noted",
    "note-refused",
)  # what stood there when it was drawn; what could not be saved
WITH_NOTE = "with a note, tagged or not"  # offered beside the tags, of which none can have a comma
_TAG, _LINE = 40, 100  # characters of a tag and of a note in a tooltip


def load(batch: Batch) -> Mapping[int, ImageNote]:
    """Return what people said of images of the batch's run; nothing where the file is damaged, which `settle` says."""
    try:
        return readers.notes(batch.run)
    except StoreError:
        return {}


def filter_key(batch: Batch) -> str:
    """Return the key of the filter by tag."""
    return f"tags-{batch.key}"


def tags_of(batch: Batch) -> list[str]:
    """Return the tags of all images of the run, in the order of the alphabet."""
    unique = {tag for entry in load(batch).values() for tag in entry.tags}
    return sorted(unique, key=lambda tag: (tag.casefold(), tag))


def settle(batch: Batch) -> None:
    """Forget a filter by tags or notes that no image of the batch has any more, and say where the file is damaged."""
    try:
        readers.notes(batch.run)
    except StoreError as error:
        frame.warn(error.words({"run": None}), icon=":material/info:")
    key = filter_key(batch)
    if tags := st.session_state.get(key):
        there = set(_offered(batch))
        st.session_state[key] = [tag for tag in tags if tag in there]


def pick_filter(batch: Batch) -> frozenset[int] | None:
    """Return the images with one of the tags, or with a note, that a person wants to see, or None for all."""
    offered = _offered(batch)
    if not offered:
        return None
    picked = set(
        st.multiselect(
            "Tags and notes",
            offered,
            key=filter_key(batch),
            placeholder="All images",
            help="Images that have one of these tags, or a note. An image gets them where it is opened.",
        )
    )
    if not picked:
        return None
    return frozenset(index for index, entry in load(batch).items() if picked & _marks(entry))


def _marks(entry: ImageNote) -> set[str]:
    """Return by what the filter finds an image: its tags, and whether it has a note."""
    return {*entry.tags, *([WITH_NOTE] if entry.note else [])}


def _offered(batch: Batch) -> list[str]:
    """Return the tags of the images that were chosen, in the order of the alphabet, then that there are notes."""
    images = load(batch)
    there = {mark for i in batch.indices.tolist() if i in images for mark in _marks(images[i])}
    return [mark for mark in (*tags_of(batch), WITH_NOTE) if mark in there]


def badges(batch: Batch, ids: Sequence[int], others: Mapping[int, str]) -> dict[int, str] | None:
    """Return the texts in the corners of thumbnails, with a mark where something is said of the image."""
    images = load(batch)
    signs = {i: [others.get(i, ""), _MARK if i in images else ""] for i in ids}
    return {i: " ".join(filter(None, parts)) for i, parts in signs.items() if any(parts)} or None


def captions(batch: Batch, lines: Mapping[int, str]) -> dict[int, str]:
    """Return the tooltips of thumbnails with what is said of the image."""
    images = load(batch)
    return {i: line + (_words(images[i]) if i in images else "") for i, line in lines.items()}


def _words(entry: ImageNote) -> str:
    """Return further lines of a tooltip."""
    tags = ", ".join(shorten(tag, _TAG) for tag in entry.tags)
    note = shorten(" ".join(entry.note.split()), _LINE)
    return (f"\ntags: {tags}" if tags else "") + (f"\nnote: {note}" if note else "")


def show(batch: Batch, index: int) -> None:
    """Draw what is said of an image, for those who may change it as fields that save at once."""
    stored = load(batch).get(index, ImageNote())
    if not visitor.may_edit():
        _show_plain(stored)
        return
    keys = [f"{name}-{batch.key}-{index}" for name in ("tag-field", "note-field", _REFUSED)]
    tag_key, note_key, refused = keys
    st.session_state[f"{_BEFORE}-{batch.key}-{index}"] = stored
    st.session_state[tag_key] = list(stored.tags)
    if refused not in st.session_state:
        st.session_state[note_key] = stored.note
    st.multiselect(
        "Tags",
        list(dict.fromkeys([*stored.tags, *tags_of(batch)])),
        key=tag_key,
        accept_new_options=True,
        max_selections=notes.MOST_TAGS,
        placeholder="Type a word, press Enter",
        on_change=_save_tags,
        args=(batch, index, tag_key),
        help="Words of your own. The gallery filters by them, and tables that you export have them.",
    )
    st.text_area(
        "Note",
        key=note_key,
        height=68,
        max_chars=NOTE_LENGTH,
        placeholder="What should somebody know of this image?",
        on_change=_save_note,
        args=(batch, index, note_key),
    )
    if refused in st.session_state and stored.note != st.session_state[note_key]:
        _show_conflict(batch, index, stored)


def _show_plain(stored: ImageNote) -> None:
    """Say what is said of an image to those who may only look."""
    if stored.tags:
        st.markdown("Tags: " + ", ".join(f"**{literal(tag, _TAG)}**" for tag in stored.tags))
    for line in stored.note.splitlines():
        st.markdown(literal(line, NOTE_LENGTH))
    st.caption("You may look, but not give tags and notes.")


def _show_conflict(batch: Batch, index: int, stored: ImageNote) -> None:
    """Offer both notes, where one could not be saved."""
    lines = " / ".join(stored.note.splitlines())
    st.warning(
        f"Not saved. On disk stands: {literal(lines, 300) or 'no note'}", icon=":material/error:"
    )
    note_key = f"note-field-{batch.key}-{index}"
    with st.container(horizontal=True):
        st.button(
            "Save mine",
            key="note-mine",
            on_click=_save_note,
            args=(batch, index, note_key),
        )
        st.button(
            "Take what is on disk",
            key="note-theirs",
            on_click=lambda: st.session_state.pop(f"{_REFUSED}-{batch.key}-{index}", None),
        )


def _save_tags(batch: Batch, index: int, key: str) -> None:
    """Put the tags of an image on disk."""
    before: ImageNote = st.session_state[f"{_BEFORE}-{batch.key}-{index}"]
    parts = [part for tag in st.session_state[key] for part in tag.replace(";", ",").split(",")]
    with frame.calmly():
        save(batch, index, before, ImageNote(tuple(parts), before.note))


def _save_note(batch: Batch, index: int, key: str) -> None:
    """Put the note of an image on disk; what cannot be saved stays in its field."""
    before: ImageNote = st.session_state[f"{_BEFORE}-{batch.key}-{index}"]
    refused = f"{_REFUSED}-{batch.key}-{index}"
    with frame.calmly():
        try:
            save(batch, index, before, ImageNote(before.tags, st.session_state[key]))
        except RamboError:
            st.session_state[refused] = True
            raise
        st.session_state.pop(refused, None)


def save(batch: Batch, index: int, before: ImageNote, now: ImageNote) -> None:
    """Put what a person says of an image on disk, and note that somebody did."""
    with visitor.acting("note", batch.run.id, f"tags and note of image {index}"):
        notes.save(batch.run, index, before, now)
