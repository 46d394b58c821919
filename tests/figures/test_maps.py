"""Figures of the Batch page against numpy."""

import base64
import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from rambo.figures import maps, theme
from rambo.runs.atlas import Atlas

CLASSES = ["<b>shirt</b>", "two", "![x](http://evil.example)"]


def atlas_of(count: int) -> Atlas:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), count).astype(np.float32)
    return Atlas(
        indices=np.arange(count, dtype=np.int64) * 2,
        pool=(np.arange(count) % 10 < 8).astype(np.uint8) + (np.arange(count) % 10 == 9) * 2,
        probabilities=probabilities,
        embeddings=rng.normal(size=(count, 4)).astype(np.float32),
        map=rng.normal(size=(count, 2)).astype(np.float32),
        explained=np.array([0.5, 0.25], np.float32),
    )


def tree(figure: Any) -> dict[str, Any]:
    return json.loads(figure.text)


def array(spec: Any) -> np.ndarray:
    if isinstance(spec, dict):
        return np.frombuffer(base64.b64decode(spec["bdata"]), np.dtype(spec["dtype"]))
    return np.array(spec)


def test_every_point_stands_where_the_atlas_has_it() -> None:
    atlas = atlas_of(500)
    chosen = atlas.members(1)[::20]
    built = maps.embedding_map(atlas, maps.pools(atlas, [maps.chosen_group(chosen)]), CLASSES)
    traces = tree(built.figure)["data"]
    assert [trace["name"] for trace in traces] == ["unlabeled", "validation", "labeled", "chosen"]
    ids = [array(trace["customdata"]) for trace in traces]
    assert sorted(np.concatenate(ids).tolist()) == atlas.indices.tolist()
    assert ids[3].tolist() == chosen.tolist()
    for trace, members in zip(traces, ids, strict=True):
        rows = atlas.rows(members)
        np.testing.assert_array_equal(array(trace["x"]), atlas.map[rows, 0])
        np.testing.assert_array_equal(array(trace["y"]), atlas.map[rows, 1])
        assert trace["type"] == "scattergl"
    assert len({trace["marker"]["symbol"] for trace in traces}) == 4
    assert "500 images" in built.caption
    layout = tree(built.figure)["layout"]
    assert "50%" in layout["xaxis"]["title"]["text"]
    assert "25%" in layout["yaxis"]["title"]["text"]


def test_a_map_by_neighbours_stands_in_unless_components_are_asked_for() -> None:
    atlas = atlas_of(200)
    near = dataclasses.replace(atlas, neighbours=atlas.map[::-1].copy())
    for principal, points in ((False, near.neighbours), (True, near.map)):
        embedded = maps.embedding_map(near, maps.pools(near, []), CLASSES, principal=principal)
        trace = tree(embedded.figure)["data"][0]
        rows = near.rows(array(trace["customdata"]))
        assert points is not None
        np.testing.assert_array_equal(array(trace["x"]), points[rows, 0])
        assert ("t-SNE" in embedded.caption) != principal
        assert ("title" in tree(embedded.figure)["layout"]["xaxis"]) == principal


def test_a_large_pool_is_sampled_but_what_is_chosen_is_whole() -> None:
    atlas = atlas_of(5000)
    chosen = atlas.members(1)[:300]
    groups = maps.pools(atlas, [maps.chosen_group(chosen)])
    built = maps.embedding_map(atlas, groups, CLASSES, limit=1500)
    traces = {trace["name"]: array(trace["customdata"]) for trace in tree(built.figure)["data"]}
    assert abs(sum(map(len, traces.values())) - 1500) <= 2
    assert traces["chosen"].tolist() == chosen.tolist()
    assert len(traces["labeled"]) == len(atlas.members(0))
    assert len(set(traces["unlabeled"].tolist())) == len(traces["unlabeled"])
    assert "all 300 chosen" in built.caption
    assert f"{len(traces['unlabeled']):,} of {4000 - 300:,} unlabeled" in built.caption
    again = maps.embedding_map(atlas, groups, CLASSES, limit=1500)
    assert again.figure.digest == built.figure.digest
    assert built.ids.tolist() == sorted(np.concatenate(list(traces.values())).tolist())


def test_groups_of_several_owners_have_their_own_colours() -> None:
    atlas = atlas_of(200)
    pool = atlas.members(1)
    owners = [
        maps.Group("a <i>", pool[:10], theme.BLUE),
        maps.Group("b", pool[10:30], theme.ORANGE),
    ]
    built = maps.embedding_map(atlas, maps.pools(atlas, owners), CLASSES)
    traces = tree(built.figure)["data"][-2:]
    assert traces[0]["name"] == "a &lt;i&gt;"
    assert [trace["marker"]["color"] for trace in traces] == [theme.BLUE, theme.ORANGE]
    assert [len(array(trace["customdata"])) for trace in traces] == [10, 20]


def test_class_names_are_text() -> None:
    atlas = atlas_of(100)
    built = maps.embedding_map(atlas, maps.pools(atlas, []), CLASSES)
    bars = maps.class_balance({"chosen": (np.array([0.5, 0.5, 0]), theme.BLUE)}, CLASSES)
    one = maps.probability_bars(np.array([0.2, 0.5, 0.3]), CLASSES)
    for figure in (built.figure, bars, one):
        assert "<b>shirt" not in figure.text
        assert "&lt;b&gt;shirt" in figure.text


def test_every_class_has_its_name_below_the_bars_unless_they_are_many() -> None:
    for number, named in ((10, 10), (25, 25), (100, 25)):
        shares = {"chosen": (np.full(number, 1 / number), theme.BLUE)}
        axis = tree(maps.class_balance(shares, [f"class {i}" for i in range(number)]))["layout"]
        assert len(axis["xaxis"]["ticktext"]) == len(axis["xaxis"]["tickvals"]) == named
        assert axis["xaxis"]["ticklabeloverflow"] == "allow"


def test_shares_of_margins_sum_to_one_and_unknown_ones_are_left_out() -> None:
    values = np.array([0.01, 0.02, 0.51, 1.0, np.nan])
    figure = tree(maps.margin_histogram({"chosen": (values, theme.BLUE)}))
    shares = array(figure["data"][0]["y"])
    assert shares.sum() == pytest.approx(1)
    assert shares[0] == pytest.approx(0.5)
    assert shares[-1] == pytest.approx(0.25)


def test_the_strip_has_every_candidate_once() -> None:
    figure = tree(maps.candidate_strip([1.0, 3.0, 2.0, 3.0], 3.0, yours=2.5))
    others, chosen, yours = (trace["x"] for trace in figure["data"])
    assert sorted(others) == [1.0, 2.0, 3.0]
    assert (chosen, yours) == ([3.0], [2.5])


def test_the_likeliest_class_stands_on_top() -> None:
    figure = tree(maps.probability_bars(np.array([0.2, 0.5, 0.3]), ["a", "b", "c"]))
    assert figure["layout"]["yaxis"]["ticktext"] == ["a", "c", "b"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_thinning_keeps_distinct_images(share: float) -> None:
    ids = np.arange(1000)
    places = maps.thin(ids, share)
    assert len(places) == len(set(places.tolist())) == round(1000 * share)
