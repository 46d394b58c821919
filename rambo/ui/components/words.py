"""What a symbol means, wherever it stands on a page: in a label, a metric, a caption, an axis.

The browser finds the symbols in what Streamlit has drawn and shows their words on hover or tap; see `words.js`.
"""

import functools
import gzip
import json
from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from rambo.ui.components import media

_HERE = Path(__file__).parent
KEY = "rambo-words"


def explain(terms: Mapping[str, Mapping[str, str]]) -> None:
    """Explain symbols on this page.

    Args:
        terms: symbol -> `name`, `meaning`, `paper` and `formula`, as LaTeX; the same object in every run.
    """
    data, digest = _packed(tuple((symbol, tuple(term.items())) for symbol, term in terms.items()))
    payload = {
        "module": media.publish_file(_HERE / "words.js"),
        "terms": media.publish(data, "application/gzip", digest),
    }
    _component(key=KEY, data=payload)


@functools.lru_cache(maxsize=4)
def _packed(terms: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]) -> tuple[bytes, str]:
    """Return the terms as compressed JSON, and its digest."""
    text = json.dumps({symbol: dict(term) for symbol, term in terms})
    data = gzip.compress(text.encode(), mtime=0)
    return data, media.digest_of(data)


_component = st.components.v2.component(
    "rambo_words",
    js=(_HERE / "loader.js").read_text("utf-8"),
    isolate_styles=False,  # the tip belongs to the document
)
