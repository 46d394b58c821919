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


Words = Mapping[str, Mapping[str, str]]


def explain(terms: Words, labels: Words) -> None:
    """Explain symbols on this page.

    Args:
        terms: symbol -> `name`, `meaning`, `paper` and `formula`, as LaTeX; the same object in every run.
        labels: label of a field that ends in its letter in brackets -> what this letter means there, the same way.
    """
    data, digest = _packed(_frozen(terms), _frozen(labels))
    payload = {
        "module": media.publish_file(_HERE / "words.js"),
        "terms": media.publish(data, "application/gzip", digest),
    }
    _component(key=KEY, data=payload)


_Frozen = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


def _frozen(words: Words) -> _Frozen:
    """Return words as a key."""
    return tuple((symbol, tuple(term.items())) for symbol, term in words.items())


@functools.lru_cache(maxsize=4)
def _packed(terms: _Frozen, labels: _Frozen) -> tuple[bytes, str]:
    """Return the words as compressed JSON, and its digest."""
    both = {"symbols": terms, "labels": labels}
    text = json.dumps(
        {kind: {key: dict(term) for key, term in words} for kind, words in both.items()}
    )
    data = gzip.compress(text.encode(), mtime=0)
    return data, media.digest_of(data)


_component = st.components.v2.component(
    "rambo_words",
    js=(_HERE / "loader.js").read_text("utf-8"),
    isolate_styles=False,  # the tip belongs to the document
)
