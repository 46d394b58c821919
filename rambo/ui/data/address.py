"""The filters of the page Data in its address."""

import re

import streamlit as st

SEEDS = 10_000  # of random samples


def number(name: str, limit: int) -> int | None:
    """Return a whole number below `limit` from the address, or None."""
    value = st.query_params.get(name, "")
    return int(value) if re.fullmatch(r"[0-9]{1,6}", value) and int(value) < limit else None


def seed() -> int:
    """Return the seed of the samples on the page."""
    return number("other", SEEDS) or 0


def draw_others() -> None:
    """Draw other images: the next seed."""
    st.query_params["other"] = str((seed() + 1) % SEEDS)


def forget(*names: str) -> None:
    """Take filters out of the address."""
    for name in names:
        if name in st.query_params:
            del st.query_params[name]
