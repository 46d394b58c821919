"""The transport of the page Learn against POT and the core."""

import numpy as np
import pytest
import torch

from rambo.errors import DataError
from rambo.method.transport import GroundCost, exact_transport
from rambo.ui.learn import tables, transport


@pytest.mark.parametrize("columns", [1, 3, 10])
def test_the_distance_is_the_one_of_pot(columns: int) -> None:
    rng = np.random.default_rng(columns)
    for rows in range(1, transport.LARGEST + 1):
        cost = rng.random((rows, columns)) * 100
        value, plan = transport.solve(cost)
        assert value == pytest.approx(exact_transport(cost), rel=1e-9)
        np.testing.assert_allclose(plan.sum(1), 1 / rows)
        np.testing.assert_allclose(plan.sum(0), 1 / columns)
        assert (plan * cost).sum() == pytest.approx(value)


def test_equal_costs_end_too() -> None:
    value, plan = transport.solve(np.ones((7, 10)))
    assert value == pytest.approx(1.0)
    np.testing.assert_allclose(plan.sum(1), 1 / 7)


def test_no_set_is_refused_with_the_way_out() -> None:
    with pytest.raises(DataError, match="choose at least one image"):
        transport.solve(np.zeros((0, 10)))


def test_the_shipped_costs_are_those_of_the_core() -> None:
    """Pixels of the shipped images, and of a set the rows that the core would take."""
    table = tables.read(tables.Transport)
    pixels = tables.pixels().astype(np.float64)
    rows, columns = table.labeled, table.validation
    apart = ((pixels[rows][:, None] - pixels[columns][None]) ** 2).sum(2)
    np.testing.assert_allclose(transport.ground_cost(0.0), apart, atol=2e-4)
    pool = np.array(rows)
    assert (np.diff(pool) > 0).all()
    ground = GroundCost(pool, transport.ground_cost(1.0))
    chosen = torch.tensor([rows[i] for i in transport.START]).sort().values
    value, _ = transport.solve(transport.ground_cost(1.0)[sorted(transport.START)])
    assert value == pytest.approx(exact_transport(ground.rows(chosen)))


def test_labels_cost_nothing_within_nearly_equal_classes_and_much_across() -> None:
    table, labels = tables.read(tables.Transport), tables.dataset()[1]
    cost = np.array(table.label_cost)
    same = labels[table.labeled][:, None] == labels[table.validation][None]
    assert cost[same].max() < cost[~same].min()
