"""Named random streams: one name once, no draw shifts another, the global state comes back."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rambo.seeding import Streams, derive_seed, pinned

ROOT = Path(__file__).resolve().parents[1]
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)


def test_a_seed_derived_from_given_parts_never_changes() -> None:
    """Kept results are found by these seeds: another recipe would quietly lose them all."""
    assert derive_seed(0) == 3_456_079_177_858_693_020
    assert derive_seed(7, "rambo", "offline", 3) == 5_121_374_423_740_808_516


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(NAMES, min_size=1, max_size=4), st.lists(NAMES, min_size=1, max_size=4))
def test_a_derived_seed_depends_on_every_part_and_on_their_order(
    first: list[str], second: list[str]
) -> None:
    seed = derive_seed(*first)
    assert 0 <= seed < 2**63
    assert (seed == derive_seed(*second)) == (first == second)
    assert (seed == derive_seed(*reversed(first))) == (first == first[::-1])
    assert seed not in (derive_seed(*first, ""), derive_seed("", *first))


@pytest.mark.parametrize("first", ["take", "torch", "child", "ambient"])
@pytest.mark.parametrize("second", ["take", "torch", "child", "ambient"])
def test_a_name_is_taken_once_whatever_asks_for_it(first: str, second: str) -> None:
    streams = Streams(1).child("trial")
    getattr(streams, first)("draw")
    with pytest.raises(ValueError, match=r"'trial/draw' is taken twice"):
        getattr(streams, second)("draw")
    getattr(streams, second)("another draw")


def test_the_same_name_below_two_parents_gives_two_streams() -> None:
    streams = Streams(1)
    here, there = streams.child("a").take("draw"), streams.child("b").take("draw")
    assert len({here, there, streams.take("draw"), Streams(2).child("a").take("draw")}) == 4
    assert Streams(1).child("a").take("draw") == here


def test_a_new_draw_never_shifts_the_others() -> None:
    alone = torch.rand(5, generator=Streams(3).child("fit").torch("order"))
    crowded = Streams(3)
    torch.rand(99, generator=crowded.torch("a new draw"))
    crowded.child("another child").torch("order")
    fit = crowded.child("fit")
    torch.rand(7, generator=fit.torch("dropout"))
    with fit.ambient("weights"):
        torch.rand(3)
    torch.testing.assert_close(
        torch.rand(5, generator=fit.torch("order")), alone, rtol=0.0, atol=0.0
    )


def test_streams_of_different_names_are_not_alike() -> None:
    streams = Streams(0)
    draws = torch.stack([torch.rand(2000, generator=streams.torch(f"s-{i}")) for i in range(20)])
    correlation = torch.corrcoef(draws) - torch.eye(20)
    assert correlation.abs().max() < 0.12  # five standard errors of 2000 independent draws


def test_an_ambient_block_follows_its_stream_and_leaves_the_global_state_as_it_was() -> None:
    torch.manual_seed(5)
    before, numpy_before, python_before = (
        torch.get_rng_state(),
        np.random.get_state()[1].copy(),
        random.getstate(),
    )
    streams = Streams(9, ("trial",))
    with streams.ambient("weights"):
        inside = torch.rand(4)
        layer = torch.nn.Linear(3, 3).weight
    streams.child("turn").torch("draw")
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()
    assert random.getstate() == python_before
    with pinned(derive_seed(9, "trial", "weights")):
        assert torch.equal(torch.rand(4), inside)
        assert torch.equal(torch.nn.Linear(3, 3).weight, layer)
    with Streams(9, ("trial",)).ambient("other weights"):
        assert not torch.equal(torch.rand(4), inside)


def test_pinned_repeats_its_draws_and_comes_back_after_an_error() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with pinned(11):
            draws.append(torch.nn.functional.dropout(torch.ones(50)))
            with pinned(12):
                torch.rand(8)  # an inner block does not shift the outer one
            draws[-1] = torch.cat([draws[-1], torch.rand(3)])
    assert torch.equal(*draws)
    with pytest.raises(KeyError), pinned(11):
        raise KeyError
    assert torch.equal(torch.get_rng_state(), before)


_DRAWS = """
import torch
from rambo.seeding import Streams, derive_seed
streams = Streams(4, ("trial",))
with streams.ambient("weights"):
    ambient = torch.rand(3).tolist()
draws = torch.randperm(9, generator=streams.child("turn").torch("order")).tolist()
print(derive_seed(4, "a", 1), ambient, draws)
"""


def test_a_fresh_interpreter_draws_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Another hash seed, another process: worker processes and resumed runs see the same numbers."""
    there = subprocess.run(
        [sys.executable, "-c", _DRAWS],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    exec(_DRAWS, {})
    assert there.stdout == capsys.readouterr().out
    assert there.stdout.count("[") == 2
