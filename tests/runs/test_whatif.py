"""u_hat in numpy: it says what torch says, for every pooling and extractor, and what a real run recorded."""

import itertools
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import merged, tiny_config, write_tiny

from rambo.config import UtilityModelConfig, describe
from rambo.errors import DataError, StoreError
from rambo.events import ignore
from rambo.method.networks import ConvElements, FeatureElements, SetNetwork
from rambo.method.utility_model import Elements, UtilityModel, predict_unions
from rambo.runs import whatif
from rambo.runs.environment import DatasetOrigin, Environment
from rambo.runs.workspace import Run, Workspace
from rambo.storage.memo import Memo
from rambo.worker import trial as trials
from rambo.worker.run_worker import _RunKeeper

POOLINGS = ["mean", "attention"]


def network_for(pooling: Any, extractor: str = "features") -> SetNetwork:
    """Return a set network with weights of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        elements = FeatureElements(20) if extractor == "features" else ConvElements(0.1)
        return SetNetwork(elements, pooling).eval()


def both(
    pooling: Any, *, count: int = 300, k: int = 40, extractor: str = "features", scale: float = 1.0
) -> tuple[UtilityModel, Elements, whatif.UHat]:
    """Return u_hat in torch with its elements, and the same in numpy; images have odd dataset indices."""
    network = network_for(pooling, extractor)
    generator = torch.Generator().manual_seed(1)
    indices = 2 * torch.randperm(count, generator=generator) + 1
    values = torch.full((2 * count + 1, 64), math.nan).double()
    points = torch.rand(count, 64, generator=generator) * scale + 3 * scale
    values[indices] = points.double()
    with torch.no_grad():
        reference = network.refer(values[indices[:k]].float())
    model = UtilityModel(network, (), UtilityModelConfig(pooling=pooling))
    chosen = indices[k : k + 30]
    order = indices.argsort()
    hat = whatif.UHat(
        indices=indices[order].numpy(),
        elements=values[indices[order]].numpy(),
        labeled=indices[:k].numpy(),
        chosen=chosen.numpy(),
        steps=np.arange(30) // 10,
        state={name: tensor.numpy() for name, tensor in network.state_dict().items()},
    )
    return model, Elements(values, values.isfinite().all(1), reference), hat


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("extractor", ["conv", "features"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_predictions_are_those_of_torch(pooling: Any, extractor: str, scale: float) -> None:
    model, elements, hat = both(pooling, extractor=extractor, scale=scale)
    labeled = torch.from_numpy(hat.before(1))
    rest = torch.from_numpy(hat.indices[~np.isin(hat.indices, labeled)])
    for size in (1, 7, 100):
        batches = rest[: 2 * size].view(2, size)
        expected = predict_unions(model, elements, labeled, batches).numpy()
        unions = [np.concatenate([labeled, batch]) for batch in batches]
        np.testing.assert_allclose(hat.predict(unions), expected, rtol=1e-4, atol=1e-4)
        for batch, utility in zip(batches, expected, strict=True):
            assert hat.step_utility(1, batch.tolist()) == pytest.approx(utility, rel=1e-4, abs=1e-4)
    assert len(np.unique(hat.predict([labeled, rest, rest[:5]]))) == 3


@pytest.mark.parametrize("pooling", POOLINGS)
def test_sets_of_any_size_are_predicted_one_by_one(pooling: Any) -> None:
    """No padding, no neighbour in the list and no order of the members changes a prediction."""
    _, _, hat = both(pooling)
    sets = [hat.indices[:1], hat.indices[5:90].tolist(), tuple(hat.labeled.tolist())]
    together = hat.predict(sets)
    for members, utility in zip(sets, together, strict=True):
        assert hat.predict([members])[0] == pytest.approx(utility, abs=1e-12)
        assert hat.predict([members[::-1]])[0] == pytest.approx(utility, abs=1e-9)
    assert hat.predict([]).shape == (0,)


def test_s_0_is_the_reference_of_every_step() -> None:
    """The acquisition measures all unions from S_0, not from the growing S_j."""
    _, _, hat = both("mean")
    weights = {name: value.astype(float) for name, value in hat.state.items()}

    def layer(name: str, inputs: Any) -> Any:
        return weights[f"{name}.weight"] @ inputs + weights[f"{name}.bias"]

    hidden = np.maximum(layer("rho.0", np.zeros(64)), 0)  # S_0 does not differ from itself
    hidden = np.maximum(layer("utility_head.0", layer("rho.2", hidden)), 0)
    expected = layer("utility_head.2", hidden)
    np.testing.assert_allclose(hat.predict([hat.labeled]), expected, atol=1e-9)


def test_the_labeled_pool_grows_by_what_earlier_steps_chose() -> None:
    _, _, hat = both("mean")
    assert hat.before(0).tolist() == hat.labeled.tolist()
    assert hat.before(1).tolist() == [*hat.labeled.tolist(), *hat.chosen[:10].tolist()]
    assert hat.before(3).tolist() == [*hat.labeled.tolist(), *hat.chosen.tolist()]
    assert hat.before(9).tolist() == hat.before(3).tolist()


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([], "empty"),
        ([1, 1], "twice"),
        ([1, 2], "image 2 is not"),  # the indices are odd
        ([-1], "image -1 is not"),
        ([10**9 + 1], "image 1000000001 is not"),
    ],
)
def test_sets_that_are_none_are_refused(members: list[int], words: str) -> None:
    _, _, hat = both("mean")
    with pytest.raises(DataError, match=words):
        hat.predict([hat.labeled, members])


def test_a_batch_that_is_labeled_already_is_refused() -> None:
    _, _, hat = both("mean")
    with pytest.raises(DataError, match="twice"):
        hat.step_utility(1, hat.chosen[9:11])
    assert math.isfinite(hat.step_utility(0, hat.chosen[9:11]))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_one_union_of_400_over_8000_images_is_immediate(pooling: Any) -> None:
    _, _, hat = both(pooling, count=8000, k=200)
    batch = hat.indices[~np.isin(hat.indices, hat.labeled)][:200]
    hat.step_utility(0, batch)
    times = []
    for _ in range(20):
        started = time.perf_counter()
        hat.step_utility(0, batch)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.005


# A real run.


def run_rambo(root: Path, *, features: torch.Tensor | None = None, **changes: Any) -> Run:
    """Return a run of two trials of RAMBO on the tiny dataset, its greedy steps recorded."""
    settings: dict[str, Any] = {
        "strategies": ["random", "rambo"],
        "budget": 10,  # three steps, the last one smaller
        "classifier": {"max_epochs": 1},
        "rambo": {
            "initial_size": 16,
            "pairs_per_iteration": 3,
            "offline": {"pairs": 3, "repeated_pairs": 0},
        },
    }
    config, data = tiny_config(**merged(settings, changes)), write_tiny(root)
    environment = Environment(
        dataset=DatasetOrigin(fingerprint=data.fingerprint), classes=tuple(data.classes)
    )
    run = Workspace(root).create(describe(config), environment)
    with run.lock():
        run.begin_attempt()
        for number in range(2):
            trials.run_trial(
                trials.split(config, data, number, features),
                number,
                config,
                keeper=_RunKeeper(run, ignore, recording=True),
                memo=Memo(root),
                device="cpu",
                jobs=1,
            )
    return run


@pytest.mark.parametrize(
    ("pooling", "extractor"), list(itertools.product(POOLINGS, ["conv", "features"]))
)
def test_every_candidate_of_a_run_has_the_utility_that_was_recorded(
    tmp_path: Path, pooling: str, extractor: str
) -> None:
    features = torch.rand(200, 9, generator=torch.Generator().manual_seed(2))
    run = run_rambo(
        tmp_path,
        features=features if extractor == "features" else None,
        rambo={"utility_model": {"pooling": pooling, "epochs": 3}},
    )
    steps = [event for event in run.events() if event.event.kind == "BatchChosen"]
    assert [(event.trial, event.event.step) for event in steps] == [
        (trial, step) for trial in (0, 1) for step in range(3)
    ]
    hats = [whatif.load(run, trial) for trial in (0, 1)]
    for event in steps:
        hat = hats[event.trial]
        assert len(event.event.candidates) == len(
            event.event.utilities
        )  # all, because they are few
        by_place = dict(
            zip(map(tuple, event.event.candidates), event.event.candidate_utilities, strict=True)
        )
        for candidate, utility in by_place.items():
            ours = hat.step_utility(event.event.step, candidate)
            assert ours == pytest.approx(utility, rel=1e-4, abs=1e-4)
        assert hat.chosen[hat.steps == event.event.step].tolist() == event.event.chosen
    for trial, hat in enumerate(hats):
        pools = run.load_arrays(f"trial-{trial}/atlas")
        assert sorted(hat.labeled) == pools["indices"][pools["pool"] == 0].tolist()
        assert hat.indices.tolist() == pools["indices"][pools["pool"] < 2].tolist()


def test_a_run_that_has_not_chosen_yet_says_so(tmp_path: Path) -> None:
    run = Workspace(tmp_path).create(describe(tiny_config()), Environment())
    with pytest.raises(StoreError, match="rambo has chosen nothing in trial 0") as caught:
        whatif.load(run, 0)
    assert str(caught.value).isprintable()


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, rambo.runs.whatif, rambo.runs.atlas; "
        "print(*sorted({'torch', 'streamlit', 'plotly', 'pandas', 'scipy', 'sklearn', 'ot'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == ""
