"""What the tab Gate says, and in which order it shows what was left out."""

import numpy as np

from rambo.ui.batch import gate_view


def test_the_least_alike_come_first_and_only_what_was_left_out() -> None:
    likeness = np.array([0.02, 0.9, 0.01, 0.5, 0.02])
    excluded = np.array([True, False, True, False, True])
    assert gate_view.order_out(likeness, excluded).tolist() == [2, 0, 4]


def test_the_sentence_counts() -> None:
    assert "left **1,200** of 6,000 unlabeled images out" in gate_view.sentence(6000, 1200, 0)
    stayed = "it would have left out, stayed: 3 as the settings ask."
    assert stayed in gate_view.sentence(6000, 1200, 3)
    both = "stayed: 3 as the settings ask and 4 since the budget could not be spent without them."
    assert both in gate_view.sentence(6000, 1200, 7, 4)
    assert "left **0** of 6,000" in gate_view.sentence(6000, 0, 4, 4)
    assert "kept all **6,000 unlabeled images**" in gate_view.sentence(6000, 0, 0)


def test_the_reason_is_a_share_of_known_images() -> None:
    assert gate_view.reason(0.013).startswith("only 1.3\u00a0% of S_0 and S_val")
