"""What the pages read is read once, and again when a file of it changes or goes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from tiny import write_tiny

from rambo.datasets.prepared import ARRAYS, Prepared
from rambo.errors import DataError
from rambo.ui import readers


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Prepared]:
    """A dataset in a workspace of its own."""
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path / "runs"))
    st.cache_resource.clear()
    yield write_tiny(tmp_path / "runs")
    st.cache_resource.clear()


def test_a_dataset_is_opened_once(data: Prepared) -> None:
    first = readers.open_dataset(data.fingerprint)
    assert readers.open_dataset(data.fingerprint) is first
    assert first.name == data.name


@pytest.mark.parametrize("name", ["meta.json", *(f"{name}.npy" for name in ARRAYS)])
def test_a_dataset_without_one_of_its_files_is_gone(data: Prepared, name: str) -> None:
    readers.open_dataset(data.fingerprint)
    path = data.folder / name
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(DataError):
        readers.open_dataset(data.fingerprint)
    path.write_bytes(content)
    assert readers.open_dataset(data.fingerprint).name == data.name


def test_a_stamp_changes_with_its_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert readers.stamp(one, two) == (0, 0, 0, 0)
    two.write_bytes(b"x")
    there = readers.stamp(one, two)
    assert there[:2] == (0, 0)
    assert there[3] == 1
    two.rename(one)
    assert readers.stamp(one, two) not in (there, (0, 0, 0, 0))
