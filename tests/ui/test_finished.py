"""What the figure of the shipped run rests on is said beside it."""

import dataclasses

from rambo.runs.label_curve import LUCK
from rambo.ui import finished


def test_it_is_said_with_how_many_labels_each_strategy_was_measured() -> None:
    curve = finished.curve()
    assert curve is not None
    assert finished._budgets(curve, LUCK) == "0, 100, 200, 300 and 400"
    assert finished._points(curve).startswith("the others with 100 and 200. What they")
    more = {200: [0.7], 300: [0.8]}
    wider = dataclasses.replace(
        curve, accuracies={LUCK: more, "margin": more, "badge": {200: [0.7]}}
    )
    words = finished._points(wider)
    assert "Margin with 200 and 300" in words
    assert "BADGE with 200" in words
    assert words.endswith("other numbers is not known.")
