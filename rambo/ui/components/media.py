"""Files the browser fetches once instead of with every message: sprite sheets, figures, scripts.

Streamlit sends a component's whole payload again at each rerun. What is large and seldom changes
goes to its media store instead, under a name made from its content; the payload carries the URL.
"""

import gzip
from functools import lru_cache
from pathlib import Path

import streamlit as st
from streamlit import runtime

from rambo.figures.prepared import digest_of as digest_of


def publish(data: bytes, mime: str, digest: str) -> str:
    """Return the same-origin URL under which this session's browser can fetch `data`.

    Call it in every run that shows the file: Streamlit forgets files that a run did not name.

    Args:
        data: the bytes; equal bytes get the same URL.
        mime: `application/gzip` keeps the server from compressing a second time.
        digest: `digest_of(data)`, computed once by the caller.
    """
    base = str(st.get_option("server.baseUrlPath")).strip("/")
    if not runtime.exists():  # plain `python page.py`: nobody is there to fetch it
        return ""
    url = runtime.get_instance().media_file_mgr.add(data, mime, f"rambo-{digest}")
    return f"/{base}{url}" if base else url


@lru_cache(maxsize=8)
def packed(path: Path) -> tuple[bytes, str]:
    """Return the file at `path` compressed, and its digest; read once per process."""
    # Level 1: a third of the time of the usual level, paid by whoever opens the first page.
    data = gzip.compress(path.read_bytes(), compresslevel=1, mtime=0)
    return data, digest_of(data)


def publish_file(path: Path) -> str:
    """Return the URL of the compressed file at `path`."""
    data, digest = packed(path)
    return publish(data, "application/gzip", digest)
