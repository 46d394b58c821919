import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rambo.datasets.prepared import VALIDATION
from rambo.datasets.splits import stratified_roles


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=60))
def test_split_of_any_histogram(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(0).shuffle(labels)
    size = len(labels) // 10
    roles = stratified_roles(labels, size)
    shares = [np.bincount(labels[roles == r], minlength=len(counts)) for r in (0, 1, 2)]
    pool, validation, test = shares
    large = np.array(counts) >= 3
    assert (validation[large] >= 1).all()
    exact = size * np.array(counts) / len(labels)
    assert test.sum() == size
    assert size <= validation.sum() <= size + large.sum()
    assert (validation <= np.maximum(np.floor(exact) + 1, large)).all()
    assert (test <= np.floor(exact) + 1).all()
    assert (pool[large] >= 1).all()
    assert np.array_equal(roles, stratified_roles(labels, size))


def test_split_is_the_same_on_every_machine():
    roles = stratified_roles(np.arange(200) % 4, 20)
    assert np.flatnonzero(roles == VALIDATION)[:6].tolist() == [17, 47, 49, 55, 56, 61]
