"""What is read before anybody asks is what the first visitor is shown."""

from pathlib import Path

import page_helpers
import pytest
import streamlit as st

from rambo.figures import maps
from rambo.runs import atlas
from rambo.ui import warm
from rambo.ui.batch import batch_data, map_view


def test_the_newest_choice_and_its_map_are_there_before_a_visitor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path / "runs"))
    st.cache_resource.clear()
    warm.read_newest_choice()  # of an empty workspace
    run = page_helpers.make_done(tmp_path / "runs")
    warm.read_newest_choice()

    def late(*_: object, **__: object) -> None:
        raise AssertionError("read when a visitor asks")

    monkeypatch.setattr(maps, "embedding_map", late)
    monkeypatch.setattr(atlas, "of_arrays", late)
    batch = batch_data.load(run, 0, batch_data.first_strategy(run))
    assert batch is not None
    assert len(map_view.map_of(batch).ids) == len(batch.in_atlas)
    st.cache_resource.clear()
