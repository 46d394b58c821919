"""u_hat in numpy: what would the utility be if another batch were added?

The worker keeps u_hat's weights and psi(x) of every labeled and unlabeled image; here both are read back and the
rest of u_hat, pooling, rho and the utility head, is evaluated as `utility_model.predict_unions` does. Numpy only: the
web process imports no torch.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rambo.errors import DataError, StoreError
from rambo.runs import paths
from rambo.runs.atlas import rows_of
from rambo.runs.run import Run

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
State = Mapping[str, NDArray[Any]]

_HEADS = 4  # of `networks.AttentionPooling`
_SMALLEST = 1e-6  # of `SetNetwork.refer`: keeps the unit of difference above 0


@dataclasses.dataclass(frozen=True, eq=False)
class UHat:
    """The trained u_hat of one trial, with the pools it was asked about.

    Attributes:
        indices: `m` dataset indices of S_0 and U_0, sorted.
        elements: `m x d` float64, psi(x) of each.
        labeled: `k` dataset indices, S_0: the reference in every step, as in the acquisition.
        chosen: `B` dataset indices in the order of choice.
        steps: `B` greedy step of each, from 0.
        state: the network's tensors by name.
    """

    indices: Indices
    elements: Array
    labeled: Indices
    chosen: Indices
    steps: Indices
    state: State

    def predict(self, sets: Sequence[Any]) -> Array:
        """Return the predicted utility of each set, `s`; any scale, only differences count.

        Args:
            sets: `s` sequences of distinct dataset indices of S_0 and U_0, none empty; a labeled pool counts only
                where it is part of the set.

        Raises:
            DataError: a set is empty, names an image twice, or one outside the two pools.
        """
        if not len(sets):
            return np.zeros(0)
        center, scale = self._reference
        pooled = np.stack([self._pool(self.elements[self._rows(members)]) for members in sets])
        return self._head("utility_head", self._head("rho", (pooled - center) / scale))[:, 0]

    def before(self, step: int) -> Indices:
        """Return S_j: S_0 and what the steps before `step` chose, in that order.

        Args:
            step: j, from 0; the number of steps asks for the pool after the last one.
        """
        return np.concatenate([self.labeled, self.chosen[self.steps < step]])

    def step_utility(self, step: int, batch: Any) -> float:
        """Return the predicted utility of S_j united with a batch (Algorithm 2, line 5).

        Args:
            step: j, from 0.
            batch: dataset indices outside S_j.

        Raises:
            DataError: an image is in S_j already, twice in the batch, or outside the pools.
        """
        return float(self.predict([np.concatenate([self.before(step), _as_indices(batch)])])[0])

    def _rows(self, members: Any) -> NDArray[np.intp]:
        """Return the rows of one set, checked."""
        subset = _as_indices(members)
        if len(subset) == 0 or len(np.unique(subset)) < len(subset):
            raise DataError(
                "is empty or names an image twice", field="set", hint="give distinct images"
            )
        return rows_of(self.indices, subset)

    @functools.cached_property
    def _pool(self) -> Callable[[Array], Array]:
        """The pooling, `a x d` -> `d`: average, or the Set Transformer where its weights were kept."""
        if "pooling.seed" in self.state:
            return functools.partial(_pool_by_attention, self._weights)
        return lambda members: members.mean(0)

    @functools.cached_property
    def _weights(self) -> dict[str, Array]:
        """The tensors after psi, float64."""
        return {
            name: np.asarray(value, np.float64)
            for name, value in self.state.items()
            if not name.startswith("elements.")
        }

    @functools.cached_property
    def _reference(self) -> tuple[Array, float]:
        """The labeled pool S_0 as u_hat sees it: pooled embedding `d`, and the unit of difference."""
        members = self.elements[self._rows(self.labeled)]
        spread = math.sqrt(np.square(members - members.mean(0)).mean())
        return self._pool(members), spread / math.sqrt(len(members)) + _SMALLEST

    def _head(self, name: str, inputs: Array) -> Array:
        """Return linear, ReLU, linear: `s x d` -> `s x h`."""
        hidden = _linear(self._weights, f"{name}.0", inputs)
        return _linear(self._weights, f"{name}.2", hidden.clip(min=0))


def load(run: Run, trial: int) -> UHat:
    """Return the u_hat of one trial of a run that has `rambo` among its strategies.

    Raises:
        StoreError: RAMBO has not chosen yet in this trial, or an artifact is damaged.
    """
    own = [
        result for result in run.results() if (result.trial, result.strategy) == (trial, "rambo")
    ]
    if not own:
        raise StoreError(
            f"rambo has chosen nothing in trial {trial}",
            field="run",
            value=run.id,
            hint="wait for it or resume the run",
        )
    pools = run.load_arrays(paths.of_choice(trial, "rambo", paths.POOLS))
    indices, order = pools["indices"], pools["indices"].argsort()  # S_0, then U_0
    return UHat(
        indices=indices[order],
        elements=pools["elements"][order].astype(np.float64),
        labeled=indices[: run.config["k"]],
        chosen=_as_indices(own[0].selected),
        steps=_as_indices(own[0].steps),
        state=run.load_arrays(paths.of_choice(trial, "rambo", paths.U_HAT)),
    )


def _as_indices(values: Any) -> Indices:
    """Return dataset indices as a flat array."""
    return np.asarray(values, np.int64).reshape(-1)


def _linear(weights: Mapping[str, Array], name: str, inputs: Array) -> Array:
    """Return an affine layer, `... x d` -> `... x h`."""
    outputs: Array = inputs @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return outputs


def _pool_by_attention(weights: Mapping[str, Array], members: Array) -> Array:
    """Return one pooled set as `AttentionPooling` does, `a x d` -> `d`."""
    induced = _attend(weights, "pooling.gather", weights["pooling.inducing"][0], members)
    mixed = _attend(weights, "pooling.spread", members, induced)
    pooled: Array = _attend(weights, "pooling.pool", weights["pooling.seed"][0], mixed)[0]
    return pooled


def _attend(weights: Mapping[str, Array], name: str, queries: Array, keys: Array) -> Array:
    """Return `networks.Attention` of queries `q x d` over keys `a x d`, `q x d`."""
    query = _linear(weights, f"{name}.query", queries)

    def split(values: Array) -> Array:
        return values.reshape(len(values), _HEADS, -1).transpose(1, 0, 2)  # heads x a x d/heads

    key, value = (_linear(weights, f"{name}.{part}", keys) for part in ("key", "value"))
    logits = split(query) @ split(key).transpose(0, 2, 1) / math.sqrt(query.shape[1])
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    mixed = (shares / shares.sum(-1, keepdims=True)) @ split(value)
    hidden = query + mixed.transpose(1, 0, 2).reshape(query.shape)
    outputs: Array = hidden + _linear(weights, f"{name}.output", hidden).clip(min=0)
    return outputs
