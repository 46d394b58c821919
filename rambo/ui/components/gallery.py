"""Up to 2,000 thumbnails as one component: a sprite sheet and a grid of buttons.

The sheet is fetched once by its content's name; a rerun, a sort or a filter sends ids only.
Everything that comes from data reaches the page as text, never as HTML.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from rambo.errors import DataError
from rambo.figures.sprites import Sprites
from rambo.ui.components import media, state

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class GalleryResult:
    """What the person did in a gallery.

    Attributes:
        selected: chosen ids in the order they were chosen; ids hidden by a filter stay in it.
        opened: the id opened in this run (double click, Enter or the "i" corner), else None.
    """

    selected: list[int]
    opened: int | None


@dataclass(frozen=True)
class ImageRow:
    """A row of thumbnails.

    Attributes:
        ids: dataset indices.
        label: text before them.
        mark: a marked row gets a tick, this text and a frame.
    """

    ids: Sequence[int]
    label: str = ""
    mark: str | None = None


def gallery(
    sprites: Sprites,
    items: Sequence[int],
    *,
    key: str,
    selected: Sequence[int] = (),
    multi: bool = True,
    size: int = 64,
    badges: Mapping[int, str] | None = None,
    captions: Mapping[int, str] | None = None,
    groups: Mapping[int, str] | None = None,
    disabled: bool = False,
    readonly: bool = False,
    empty: str = "No images to show.",
    label: str = "Images",
    max_height: int | None = None,
    on_change: Callable[[], object] | None = None,
    on_open: Callable[[], object] | None = None,
) -> GalleryResult:
    """Show thumbnails in the order of `items`, and return what is selected and what was opened.

    Click or Space toggles, double click, Enter or the "i" corner opens, arrow keys move. The
    state is `st.session_state[key] = {"selected": [ids]}`; a page (in a callback, before this
    call) and AppTest may assign it. In AppTest `{"selected": [...], "opened": id}` plays an open.

    Args:
        sprites: from `make_sprites`; the same object for every sort and filter.
        items: dataset indices to show, in this order; each must be in `sprites`.
        key: unique on the page.
        selected: ids selected before the person's first click.
        multi: False keeps at most one id selected.
        size: longer side of a thumbnail, pixels.
        badges: id -> short text in the corner, for example the step number.
        captions: id -> tooltip and spoken name; the index alone by default.
        groups: id -> group name: a coloured, dashed or dotted border, a legend, and the tooltip.
        disabled: shows the selection but takes no clicks.
        readonly: plain pictures, no buttons.
        empty: the text when `items` is empty.
        label: spoken name of the whole grid.
        max_height: pixels after which the grid scrolls.
        on_change: called before the rerun that a changed selection starts.
        on_open: called before the rerun that an opened thumbnail starts; read
            `st.session_state[key]["opened"]` there.

    Raises:
        DataError: an item has no tile in `sprites`.
    """
    chosen = state.current(key, [int(item) for item in selected]) or []
    names = sorted(set((groups or {}).values()))
    data = _sheet(sprites, size) | {
        "kind": "grid",
        "cells": _cells(sprites, items, names, badges or {}, captions or {}, groups or {}),
        "groupNames": names,
        "selected": chosen,
        "revision": state.revision(key, chosen),
        "multi": multi,
        "disabled": disabled,
        "readonly": readonly,
        "empty": empty,
        "label": label,
        "maxHeight": max_height,
    }
    result = _component(
        key=key,
        data=data,
        default={"selected": chosen},
        on_selected_change=state.received(key, on_change),
        on_obeyed_change=state.ignored,
        on_opened_change=_listener(on_open),
    )
    opened = result.get("opened")
    return GalleryResult(
        selected=state.as_ids(result.get("selected")) or [],
        opened=opened if isinstance(opened, int) else None,
    )


def strip(
    sprites: Sprites,
    ids: Sequence[int],
    *,
    key: str,
    size: int = 32,
    label: str = "",
    captions: Mapping[int, str] | None = None,
) -> None:
    """Show `ids` as one read-only row of thumbnails."""
    rows(sprites, [ImageRow(ids, label)], key=key, size=size, captions=captions)


def rows(
    sprites: Sprites,
    rows: Sequence[ImageRow],
    *,
    key: str,
    size: int = 32,
    captions: Mapping[int, str] | None = None,
    empty: str = "No images to show.",
) -> None:
    """Show several labeled read-only rows of thumbnails, for example candidate batches.

    Args:
        sprites: from `make_sprites`.
        rows: one below the other.
        key: unique on the page.
        size: longer side of a thumbnail, pixels.
        captions: id -> tooltip.
        empty: the text when there are no rows.

    Raises:
        DataError: an id has no tile in `sprites`.
    """
    lines = []
    for row in rows:
        ids = [int(item) for item in row.ids]
        line = {"ids": ids, "slots": _slots(sprites, ids), "label": row.label, "mark": row.mark}
        names = {"captions": [captions.get(item) for item in ids]} if captions else {}
        lines.append(line | names)
    data = _sheet(sprites, size) | {"kind": "rows", "rows": lines, "empty": empty}
    _component(key=key, data=data)


def _cells(
    sprites: Sprites,
    items: Sequence[int],
    names: Sequence[str],
    badges: Mapping[int, str],
    captions: Mapping[int, str],
    groups: Mapping[int, str],
) -> dict[str, Sequence[int | str | None]]:
    """Return the columns of the grid, one entry an item; those without any content are left out."""
    cells: dict[str, Sequence[int | str | None]]
    cells = {"ids": [int(item) for item in items], "slots": _slots(sprites, items)}
    if badges:
        cells["badges"] = [badges.get(item) for item in items]
    if captions:
        cells["captions"] = [captions.get(item) for item in items]
    if groups:
        place = {name: number for number, name in enumerate(names)}
        cells["groups"] = [place.get(groups.get(item, "")) for item in items]
    return cells


def _sheet(sprites: Sprites, size: int) -> dict[str, str | int | list[int]]:
    """Return where the sheet is and how it is cut."""
    return {
        "module": media.publish_file(_HERE / "gallery.js"),
        "url": media.publish(sprites.data, sprites.mime, sprites.digest),
        "digest": sprites.digest,
        "tile": [sprites.width, sprites.height],
        "columns": sprites.columns,
        "sheetRows": sprites.rows,
        "size": size,
    }


def _slots(sprites: Sprites, items: Sequence[int]) -> list[int]:
    """Return the tile of each item."""
    try:
        return [sprites.slots[int(item)] for item in items]
    except KeyError as error:
        raise DataError(
            f"is not on the sprite sheet of {len(sprites.ids)}",
            field="image",
            value=error.args[0],
            hint="pass it to make_sprites",
        ) from None


def _listener(then: Callable[[], object] | None) -> Callable[[], None]:
    """Return a callback in any case: Streamlit reports an event only if somebody listens."""

    def callback() -> None:
        """Listen."""
        if then is not None:
            then()

    return callback


_component = st.components.v2.component(
    "rambo_gallery",
    js=(_HERE / "loader.js").read_text("utf-8"),
    css=(_HERE / "gallery.css").read_text("utf-8"),
)
