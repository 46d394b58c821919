"""HTML for notebooks: everything that was not written here is escaped."""

import base64
import html
from collections.abc import Iterable, Sequence

import numpy as np

from rambo.errors import shorten
from rambo.figures.sprites import make_sprites

_COLUMNS, _TILE = 20, 34  # thumbnails a row, and pixels of one


class Markup:
    """HTML that a notebook shows as it is; `str` gives it as text."""

    def __init__(self, text: str) -> None:
        """Hold HTML."""
        self.text = text

    def _repr_html_(self) -> str:
        """Return the HTML."""
        return self.text

    def __str__(self) -> str:
        """Return the HTML."""
        return self.text

    def __repr__(self) -> str:
        """Return what stands where no HTML is shown."""
        return f"<{len(self.text):,} characters of HTML, for a notebook>"


def safe(text: object, limit: int = 300) -> str:
    """Return text that HTML shows as it is."""
    return html.escape(shorten(text, limit))


def card(title: str, parts: Iterable[str]) -> str:
    """Return a titled block.

    Args:
        title: plain text.
        parts: HTML, one under the other; empty ones are left out.
    """
    inside = "".join(f"<div style='margin:6px 0'>{part}</div>" for part in parts if part)
    return f"<div><b>{safe(title)}</b>{inside}</div>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of plain texts."""
    top = "".join(f"<th style='text-align:left'>{safe(name)}</th>" for name in head)
    lines = (
        "<tr>" + "".join(f"<td style='text-align:left'>{safe(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def thumbnails(images: np.ndarray, alt: str) -> str:
    """Return images as one picture, 20 a row.

    Args:
        images: `n x C x H x W` uint8.
        alt: what they are, for those who do not see them.
    """
    if not len(images):
        return ""
    if images.shape[1] not in (1, 3):
        images = images[:, :1]
    sheet = make_sprites(np.asarray(images), range(len(images)), min(_COLUMNS, len(images)))
    data = base64.b64encode(sheet.data).decode("ascii")
    width = sheet.columns * _TILE
    return (
        f"<img alt='{safe(alt)}' width='{width}' style='image-rendering:pixelated;max-width:100%' "
        f"src='data:{sheet.mime};base64,{data}'>"
    )
