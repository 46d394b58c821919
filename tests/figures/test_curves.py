"""The charts of the Train page, on the real events of tiny runs and on every prefix of them."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from page_helpers import make_done

from rambo.events import (
    BatchChosen,
    ClassifierTrained,
    Event,
    HyperStep,
    LabeledPoolGrew,
    RankingAudited,
    TrainingsCompared,
    TransportPredicted,
    UtilityModelEpoch,
    UtilitySamplesAdded,
)
from rambo.figures import curves
from rambo.figures.charts import CHARTS
from rambo.figures.curves import Kinds
from rambo.figures.strokes import POINTS, thin
from rambo.runs.results import perfect_shares
from rambo.ui.components.plot import prepare_figure

Record = dict[str, Any]


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """The events of `rambo` in a finished run."""
    run = make_done(tmp_path_factory.mktemp("curves") / "runs", strategies=["rambo"])
    return [entry.event for entry in run.events() if entry.strategy == "rambo"]


@pytest.fixture(scope="module")
def kinds(events: list[Event]) -> Kinds:
    return Kinds(events)


def named(figure: Record | None) -> dict[str, Record]:
    assert figure is not None
    return {trace.get("name", ""): trace for trace in figure["data"]}


def test_every_prefix_gives_charts_or_nothing(events: list[Event]) -> None:
    there: set[str] = set()
    for length in range(len(events) + 1):
        kinds = Kinds(events[:length])
        for chart in CHARTS:
            figure = chart.draw(kinds)
            assert figure is not None or chart.name not in there, "a chart that was there stays"
            if figure is None:
                continue
            there.add(chart.name)
            prepared = prepare_figure(figure)
            assert json.loads(prepared.text)["data"]
            for trace in figure["data"]:
                assert len(trace["x"]) <= POINTS
                assert len(trace["x"]) == (
                    trace["z"].shape[1] if trace["type"] == "heatmap" else len(trace["y"])
                )
    assert there == {chart.name for chart in CHARTS}
    assert curves.losses(Kinds()) is None


def test_a_chart_changes_only_with_the_events_it_reads(events: list[Event]) -> None:
    """The feed makes a chart anew only when one of these came, so it must not read others."""
    for chart in CHARTS:
        whole = chart.draw(Kinds(events))
        needed = chart.draw(Kinds(e for e in events if type(e) in chart.reads))
        assert prepare_figure(whole or {}).digest == prepare_figure(needed or {}).digest


def test_words_stand_around_every_chart() -> None:
    for chart in CHARTS:
        assert chart.caption.endswith(".")
        assert chart.alt.endswith(".")
        assert chart.waits.endswith(".")
        assert chart.title
    assert len({chart.name for chart in CHARTS}) == len(CHARTS)


def test_ranking_shows_both_lengths_chance_two_trainings_and_audits(
    kinds: Kinds, events: list[Event]
) -> None:
    figure = curves.ranking(kinds)
    traces = named(figure)
    epochs = kinds.of(UtilityModelEpoch)
    for name, field in (
        ("short sets (inner)", "inner_ranking_accuracy"),
        ("long sets (outer)", "outer_ranking_accuracy"),
    ):
        expected = [None if getattr(e, field) is None else 100 * getattr(e, field) for e in epochs]
        assert traces[name]["y"] == expected
        assert traces[name]["x"] == list(range(1, len(epochs) + 1))
    assert (
        traces["short sets (inner)"]["line"]["dash"] != traces["long sets (outer)"]["line"]["dash"]
    )
    audits = [e for e in kinds.of(RankingAudited) if e.accuracy is not None]
    stars = traces["held-out pairs"]
    assert list(stars["y"]) == [100 * e.accuracy for e in audits]
    # Each star stands where its phase ended.
    phases = [e.phase for e in epochs]
    assert [phases[x - 1] for x in stars["x"]] == [e.phase for e in audits]
    assert figure is not None
    labels = [word["text"].replace("<br>", " ") for word in figure["layout"]["annotations"]]
    agreement = 100 * kinds.of(TrainingsCompared)[-1].agreement
    assert "50 %: a coin" in labels
    assert f"two trainings {agreement:.0f}\u00a0%" in labels
    assert {"offline", "round 1", "round 2", "round 3"} <= set(labels)
    heights = {shape["y0"] for shape in figure["layout"]["shapes"] if shape.get("xref") == "paper"}
    assert heights == {50.0, agreement}
    (band,) = [s for s in figure["layout"]["shapes"] if s.get("name") == "a perfect model"]
    assert (band["y0"], band["y1"]) == (agreement, 100 * perfect_shares(agreement / 100)[1])
    assert band["y1"] > band["y0"]
    names = [word for word in figure["layout"]["annotations"] if word["xref"] == "paper"]
    assert all((word["x"], word["xanchor"]) == (1, "left") for word in names), "beside the data"
    assert [traces["short sets (inner)"]["text"][at] for at in (0, -1)] == ["offline", "round 3"]


def test_names_of_lines_that_are_close_go_apart_and_many_rounds_are_named_where_one_points(
    kinds: Kinds,
) -> None:
    rounds = [
        dataclasses.replace(epoch, phase=f"pretraining-{number}")
        for number in range(1, 9)
        for epoch in kinds.of(UtilityModelEpoch)[:3]
    ]
    figure = curves.ranking(Kinds([*rounds, TrainingsCompared(pairs=5, agreement=0.6)]))
    assert figure is not None
    assert [word["yanchor"] for word in figure["layout"]["annotations"]] == ["top", "bottom"]
    assert named(figure)["long sets (outer)"]["text"][-1] == "round 8"


def test_pairs_that_are_all_tied_leave_a_gap() -> None:
    epoch = UtilityModelEpoch(
        phase="offline",
        epoch=1,
        epochs=1,
        rank_loss=0.5,
        transport_loss=0.0,
        outer_rank_loss=0.6,
        outer_transport_loss=0.0,
        inner_ranking_accuracy=None,
        outer_ranking_accuracy=0.25,
    )
    audit = RankingAudited(phase="offline", pairs=2, accuracy=None, kendall_tau=None)
    kinds = Kinds([epoch, audit, TrainingsCompared(pairs=0, agreement=None)])
    traces = named(curves.ranking(kinds))
    assert traces["short sets (inner)"]["y"] == [None]
    assert traces["long sets (outer)"]["y"] == [25]
    assert "held-out pairs" not in traces
    without = named(curves.losses(kinds))
    assert set(without) == {"rank loss, short", "rank loss, long"}, "no OT: no OT line"


def test_losses_use_a_logarithmic_axis_where_they_span_widely(kinds: Kinds) -> None:
    base = kinds.of(UtilityModelEpoch)[0]

    def of(*values: float) -> Kinds:
        return Kinds(dataclasses.replace(base, **dict.fromkeys(_LOSSES, v)) for v in values)

    narrow, wide = of(0.5), of(2.0, 0.001, 0.0)
    assert not curves.spans_widely(narrow)
    assert curves.spans_widely(wide)
    assert _axis(curves.losses(narrow))["type"] == "linear"
    assert _axis(curves.losses(wide))["type"] == "log"
    assert _axis(curves.losses(wide, logarithmic=False))["type"] == "linear"
    for trace in named(curves.losses(wide)).values():
        assert trace["y"] == [2.0, 0.001, None], "zero has no place on a logarithmic axis"


_LOSSES = ("rank_loss", "transport_loss", "outer_rank_loss", "outer_transport_loss")


def _axis(figure: Record | None) -> Record:
    assert figure is not None
    return figure["layout"]["yaxis"]


def test_transport_shows_the_newest_phase_and_the_diagonal(kinds: Kinds) -> None:
    traces = named(curves.transport(kinds))
    newest = kinds.of(TransportPredicted)[-1]
    np.testing.assert_allclose(traces["round 3"]["x"], newest.true, rtol=1e-6)
    np.testing.assert_allclose(traces["round 3"]["y"], newest.predicted, rtol=1e-6)
    assert traces["perfect prediction"]["x"] == traces["perfect prediction"]["y"]
    nothing = dataclasses.replace(newest, true=[], predicted=[])
    assert curves.transport(Kinds([nothing])) is None


def test_samples_tell_trained_from_interpolated(kinds: Kinds) -> None:
    traces = named(curves.samples(kinds))
    fits = [fit for fit in kinds.of(ClassifierTrained) if fit.role == "offline"]
    assert list(traces["trained"]["x"]) == [fit.size for fit in fits]
    np.testing.assert_allclose(traces["trained"]["y"], [100 * fit.accuracy for fit in fits])
    newest = kinds.of(UtilitySamplesAdded)[-1]
    assert list(traces["interpolated"]["x"]) == newest.sizes
    assert len(traces["trained again"]["x"]) == 4
    assert len({trace["marker"]["symbol"] for trace in traces.values()}) == 3


def test_labeled_pools_grow_to_k(kinds: Kinds) -> None:
    (trace,) = named(curves.labeled(kinds)).values()
    assert trace["x"] == [12, 16, 20, 24]
    assert trace["y"] == [100 * pool.accuracy for pool in kinds.of(LabeledPoolGrew)]


def test_penalties_hold_every_tensor_and_step(kinds: Kinds) -> None:
    figure = curves.penalties(kinds)
    assert figure is not None
    (trace,) = figure["data"]
    steps = kinds.of(HyperStep)
    assert trace["z"].shape == (len(steps[0].log_l2), len(steps))
    assert len(set(trace["y"])) == len(trace["y"]), "two tensors of one short name would be one row"
    name = next(iter(steps[-1].log_l2))
    assert trace["z"][0, -1] == pytest.approx(steps[-1].log_l2[name])
    assert trace["zmin"] < trace["zmax"]


def test_batches_mark_the_chosen_and_the_runner_up(kinds: Kinds) -> None:
    traces = named(curves.batches(kinds))
    steps = kinds.of(BatchChosen)
    assert list(traces["chosen"]["x"]) == [1, 2, 3]
    assert list(traces["chosen"]["y"]) == [step.utility for step in steps]
    assert list(traces["runner-up"]["y"]) == [step.runner_up for step in steps]
    assert len(traces["candidates"]["x"]) == sum(len(step.utilities) for step in steps)
    lonely = Kinds([dataclasses.replace(steps[0], runner_up=None, utilities=[1.0])])
    assert len(named(curves.batches(lonely))["runner-up"]["x"]) == 0


def test_names_of_tensors_are_short_and_harmless() -> None:
    assert curves.short_name("elements.conv1.weight") == "conv1 w"
    assert curves.short_name("rho.0.bias") == "rho.0 b"
    assert curves.short_name("scale") == "scale"
    assert curves.phase_words("pretraining-2") == "round 2"
    assert curves.phase_words("pretraining-2-refit") == "round 2, refit"
    assert curves.phase_words("<img src=x>") == "&lt;img src=x&gt;"


def test_long_series_are_thinned_to_what_a_screen_shows(kinds: Kinds) -> None:
    assert list(thin(3)) == [0, 1, 2]
    assert len(thin(0)) == 0
    for count in (501, 999, 12_345):
        places = thin(count)
        assert len(places) <= POINTS
        assert (places[0], places[-1]) == (0, count - 1)
        assert (np.diff(places) > 0).all()
    many = Kinds(
        event
        for kind in {kind for chart in CHARTS for kind in chart.reads}
        for event in kinds.of(kind) * (3000 // len(kinds.of(kind)) + 1)
    )
    for chart in CHARTS:
        figure = chart.draw(many)
        assert figure is not None
        for trace in figure["data"]:
            assert len(trace["x"]) <= POINTS


def test_figures_carry_no_colour_that_only_one_theme_has(kinds: Kinds) -> None:
    for chart in CHARTS:
        text = prepare_figure(chart.draw(kinds) or {}).text
        assert '"template"' not in text
        assert "#fff" not in text
        own = text.replace("var(--st-background-color)", "")
        assert "var(--" not in own, "the HTML download has white in place of this one alone"
