"""Accuracy against labels: what labels are worth, computed by hand on small tables."""

import json
import math
from pathlib import Path

import pytest

from rambo.errors import DataError
from rambo.figures import label_figure
from rambo.runs import label_curve, travel
from rambo.runs.label_curve import LabelCurve
from rambo.storage import places

LUCK = {0: (0.70, 0.72), 100: (0.75, 0.77), 200: (0.78, 0.80), 400: (0.80, 0.82)}


def curve_of(ours: tuple[float, ...], luck: dict[int, tuple[float, ...]] = LUCK) -> LabelCurve:
    return LabelCurve("r", 200, 200, (1, 1), {"margin": {200: ours}, "random": luck})


@pytest.mark.parametrize(
    ("accuracy", "labels"),
    [(0.71, 0), (0.735, 50), (0.79, 200), (0.80, 300), (0.81, 400), (0.82, math.inf), (0.5, 0)],
)
def test_random_labels_are_read_off_between_what_was_measured(
    accuracy: float, labels: float
) -> None:
    assert label_curve.needed(curve_of((0.79, 0.81)), accuracy) == pytest.approx(labels)


def test_a_random_curve_that_falls_is_taken_as_flat() -> None:
    fallen = {0: (0.70, 0.70), 100: (0.80, 0.80), 200: (0.79, 0.79), 300: (0.82, 0.82)}
    assert label_curve.needed(curve_of((0.8, 0.8), fallen), 0.81) == pytest.approx(250)


def test_the_gap_is_paired_trial_by_trial() -> None:
    value = label_curve.worth(curve_of((0.79, 0.81)), "margin")
    assert value is not None
    assert value.gap.mean == pytest.approx(1.0)
    assert value.gap.error == pytest.approx(0.0)
    assert value.labels == pytest.approx(300)


def test_without_random_choice_nothing_is_said() -> None:
    curve = LabelCurve("r", 200, 200, (1, 1), {"margin": {200: (0.8, 0.8)}})
    assert label_curve.worth(curve, "margin") is None
    assert "Random choice was not measured" in label_figure.headline(curve)
    assert label_figure.findings(curve) == []


def test_chance_is_called_chance() -> None:
    """Far apart from trial to trial: the interval holds 0, and no labels are said to be saved."""
    luck = {200: (0.78, 0.80, 0.79, 0.78, 0.80), 400: (0.82, 0.83, 0.82, 0.83, 0.82)}
    words = label_figure.headline(curve_of((0.83, 0.76, 0.84, 0.77, 0.80), luck))
    assert words.startswith("5 trials cannot tell the best choice from a random one")
    clear = curve_of((0.80, 0.82, 0.81, 0.80, 0.82), luck)
    assert label_figure.headline(clear) == (
        "200 labels of Margin save 118 against random choice, 95 % interval 118 to 118 (5 trials)."
    )
    below = curve_of((0.75, 0.77, 0.76, 0.75, 0.77), luck)
    assert label_figure.headline(below).startswith("5 trials show the best choice below a random")
    assert label_figure.findings(below)[0].startswith(
        "Margin: worth no more than 200 random labels"
    )
    assert label_figure.findings(clear) == [
        "Margin: worth 318 random labels (+2.0 points, 95 % interval +2.0 to +2.0)"
    ]


def test_a_line_begins_where_random_choice_does_and_says_what_it_stands_on() -> None:
    """With no label bought all are the same; what was measured once is a point alone."""
    table = {
        "random": LUCK,
        "margin": {100: (0.78, 0.80), 200: (0.80, 0.82)},
        "badge": {200: (0.8, 0.9)},
    }
    curve = LabelCurve("r", 200, 200, (1, 1), table)
    data = json.loads(label_figure.label_figure(curve, ["margin", "badge", "random"]).text)["data"]
    lines = {line["name"]: line for line in data if line["name"]}
    assert lines["Random"]["x"] == [0, 100, 200, 400]
    assert lines["Margin"]["x"] == [0, 96.5, 196.5]  # beside BADGE, not on it
    assert lines["Margin"]["y"] == pytest.approx([71, 79, 81])
    assert lines["Margin"]["error_y"]["array"] == pytest.approx([0, 1, 1])
    assert lines["Margin"]["text"][1] == "100 bought labels: 79.0 ± 1.0 % over 2 trials"
    assert lines["BADGE"]["x"] == [203.5]


def test_the_control_of_lowest_u_hat_is_named_but_offered_to_nobody() -> None:
    luck = {200: (0.78, 0.80, 0.79, 0.78, 0.80), 400: (0.82, 0.83, 0.82, 0.83, 0.82)}
    lowest, margin = (0.81, 0.83, 0.82, 0.81, 0.83), (0.80, 0.82, 0.81, 0.80, 0.82)
    table = {"random": luck, "lowest": {200: lowest}, "margin": {200: margin}}
    curve = LabelCurve("r", 200, 200, (1, 1), table)
    assert label_figure.best(curve, curve.strategies) == "margin"
    assert label_figure.headline(curve).startswith("200 labels of Margin save")
    assert label_figure.findings(curve)[-1].endswith("82.0 %, more than any of them")


def test_the_shipped_table_belongs_to_the_shipped_run(tmp_path: Path) -> None:
    """The same run, the same accuracies at its budget, and random choice measured below and beyond it."""
    path = places.finished_run()
    assert path is not None
    curve = label_curve.read(path.with_name("label_curve.json"))
    assert curve.run == path.stem
    assert any("wider as the best of 5" in line for line in label_figure.findings(curve))
    from rambo.runs.workspace import Workspace

    workspace = Workspace(tmp_path)
    run = workspace.find(travel.unpack(path, workspace, ours=True).run)
    for result in run.results():
        measured = curve.accuracies[result.strategy][curve.budget][result.trial]
        assert measured == pytest.approx(result.test_accuracy)
    assert min(curve.accuracies["random"]) < curve.budget < max(curve.accuracies["random"])


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "label_curve.json"
    path.write_text(json.dumps({"run": "r"}))
    with pytest.raises(DataError, match=r"label_curve\.json"):
        label_curve.read(path)
