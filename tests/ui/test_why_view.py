"""Whom a batch helps: the arithmetic behind the tab Why."""

import numpy as np
import pytest

from rambo.ui.batch import why_view


def test_mass_is_summed_over_the_chosen_images_and_the_most_helped_come_first() -> None:
    validation = np.array([[7, 3, -1], [3, -1, -1], [9, 7, 3]])
    mass = np.array([[0.6, 0.4, 0.0], [1.0, 0.0, 0.0], [0.5, 0.3, 0.2]], np.float32)
    helped = why_view.by_transport(validation, mass)
    assert helped.images.tolist() == [3, 7, 9]
    assert helped.amount == pytest.approx([1.6, 0.9, 0.5])
    assert helped.helpers.tolist() == [3, 2, 1]


def test_only_images_whose_margin_rises_are_helped() -> None:
    before, after = np.array([0.1, -0.5, 0.3]), np.array([0.2, 0.4, 0.1])
    helped = why_view.by_margin(np.array([11, 12, 13]), before, after)
    assert helped.images.tolist() == [12, 11]
    assert helped.amount == pytest.approx([0.9, 0.1])


def test_shares_of_the_classes_are_of_s_val_and_of_the_help() -> None:
    labels = np.array([0, 0, 0, 1, 1, -1])
    helped = why_view.Helped(np.array([3, 0]), np.array([3.0, 1.0]), np.zeros(0, np.int64))
    table = why_view.class_shares(helped, labels, np.array([0, 1, 2, 3]), ["cat", "dog"])
    assert table["class"].tolist() == ["cat", "dog"]
    assert table["of S_val, %"].tolist() == [75.0, 25.0]
    assert table["of the help, %"].tolist() == [25.0, 75.0]
