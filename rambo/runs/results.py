"""What came of a run: the record that a trial fills, the run directory keeps, and pages and exports read. No torch."""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_EARLIER = {
    "noise_ceiling": "trainings_agree",
    "ceiling_pairs": "agreement_pairs",
}  # in version 0.1


RARE_LABELS = "labels of rare classes"  # a figure of a choice from an imbalanced pool
BATCHES_TAKEN = (
    "batches taken"  # by RAMBO+, from candidates that other strategies would take: whose, in words
)
# Of what RAMBO+ took above the mean candidate, in units of their spread, where half of S_val chooses.
LEAD_CHOOSING, LEAD_JUDGING = "lead on the half that chose", "lead on the half that judged"


@dataclasses.dataclass(frozen=True)
class Ranking:
    """How well u_hat ranks sets; None where there was nothing to rank.

    Attributes:
        trainings_agree: share of pairs on which two independent trainings agree.
        agreement_pairs: over how many pairs.
        inner: share of short pairs in true order.
        outer: share of long pairs in true order.
        held_out: share of held-out pairs, which no fit has seen.
        kendall_tau: over the held-out sets.
        held_out_pairs: how many pairs those are.
    """

    trainings_agree: float | None = None
    agreement_pairs: int | None = None
    inner: float | None = None
    outer: float | None = None
    held_out: float | None = None
    kendall_tau: float | None = None
    held_out_pairs: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What one strategy chose in one trial, and how good that was.

    Attributes:
        trial: from 0.
        strategy: its name.
        seed: of the trial.
        selected: dataset indices in the order of choice.
        steps: the greedy step of each, from 0.
        validation_accuracy: of a fresh f on S_1, in [0, 1]; None until the labels are revealed. Of several trainings
            their mean.
        test_accuracy: the same on the test images.
        validation_trainings: the accuracy of each training of f on S_1.
        test_trainings: the same on the test images.
        validation_classes: accuracy on the images of each class, by class id, mean over the trainings; None for a
            class without images. Empty where an older version trained.
        test_classes: the same on the test images.
        seconds: by stage, over all attempts.
        trainings: classifiers that this run trained, in whatever attempt, each once.
        cached_trainings: classifiers that it found, trained before by another run or for another strategy.
        ranking: of u_hat; None for a strategy without one.
        figures: what else the strategy reports, by a name a person can read.
    """

    trial: int
    strategy: str
    seed: int
    selected: list[int] = dataclasses.field(default_factory=list)
    steps: list[int] = dataclasses.field(default_factory=list)
    validation_accuracy: float | None = None
    test_accuracy: float | None = None
    validation_trainings: list[float] = dataclasses.field(default_factory=list)
    test_trainings: list[float] = dataclasses.field(default_factory=list)
    validation_classes: list[float | None] = dataclasses.field(default_factory=list)
    test_classes: list[float | None] = dataclasses.field(default_factory=list)
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    trainings: int = 0
    cached_trainings: int = 0
    ranking: Ranking | None = None
    figures: Mapping[str, float | int | str] = dataclasses.field(default_factory=dict)

    @property
    def balanced_test_accuracy(self) -> float | None:
        """Test accuracy with every class counting the same; None where an older version trained."""
        return _mean(self.test_classes)

    @property
    def balanced_validation_accuracy(self) -> float | None:
        """The same on the validation images."""
        return _mean(self.validation_classes)

    @property
    def state(self) -> str:
        """`evaluated`, or `selected` until the labels are revealed."""
        return "selected" if self.test_accuracy is None else "evaluated"

    # JSON's edge: `restore` is the way back.
    def record(self) -> dict[str, Any]:
        """Return the fields as the run directory keeps them; the trial is a column of its own."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del fields["trial"]
        return fields | {"ranking": dataclasses.asdict(self.ranking) if self.ranking else {}}

    # JSON's edge: `show --json`.
    def public(self) -> dict[str, Any]:
        """Return the fields as `show --json` prints them."""
        fields = self.record()
        del fields["ranking"]
        return fields


def restore(trial: int, strategy: str, fields: Mapping[str, Any], first_seed: int = 0) -> Result:
    """Return the result that was kept with `fields`; what this version lacks is dropped.

    Args:
        trial: from 0.
        strategy: its name.
        fields: as `Result.record` gives them, or as an older version did.
        first_seed: of trial 0, for records that do not tell their own.
    """
    names = {field.name for field in dataclasses.fields(Result)}
    own = {name: value for name, value in fields.items() if name in names}
    head = {"seed": first_seed + trial} | own | {"trial": trial, "strategy": strategy}
    return Result(**head | {"ranking": ranking_of(fields.get("ranking") or {})})


def ranking_of(figures: Mapping[str, Any]) -> Ranking | None:
    """Return figures by name as a ranking, None where there are none; names that it lacks are dropped."""
    names = {field.name for field in dataclasses.fields(Ranking)}
    now = {_EARLIER.get(name, name): figure for name, figure in figures.items()}
    own = {name: figure for name, figure in now.items() if name in names}
    return Ranking(**own) if own else None


def perfect_shares(agreement: float) -> tuple[float, float]:
    """Return between which shares of pairs a perfect model agrees with one training, in [0, 1].

    Where q in [-1, 1] is the expected sign of a pair, two trainings agree in (1 + E q^2) / 2 and a model that knows
    every q's sign agrees with one of them in (1 + E |q|) / 2; |q| lies between q^2 and, in the mean, the root of its
    mean square. So two trainings that agree are no ceiling: at 72 % a perfect model reaches 72 to 83 %.

    Args:
        agreement: share of pairs on which two trainings agree.
    """
    return agreement, (1 + math.sqrt(max(0.0, 2 * agreement - 1))) / 2


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run has to say: `show --json` prints it.

    Attributes:
        run: its id.
        dataset: name.
        config: nested JSON types.
        status: of the run.
        results: by trial, and then in the config's order of strategies.
        ranking: means over `rambo`'s trials; counts of pairs are sums.
    """

    run: str
    dataset: str
    config: Mapping[str, Any]
    status: str
    results: list[Result]
    ranking: Ranking

    @property
    def waits(self) -> bool:
        """Whether the run is over and its batches wait for labels, because nobody knows them."""
        judged = any(result.test_accuracy is not None for result in self.results)
        return self.status == "done" and bool(self.results) and not judged

    # JSON's edge: `show --json`.
    def public(self) -> dict[str, Any]:
        """Return the object that `show --json` prints."""
        ranking = {name: getattr(self.ranking, name) for name in _PUBLIC}
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return fields | {
            "results": [result.public() for result in self.results],
            "ranking": ranking,
        }


_MEANS = ("inner", "outer", "kendall_tau", "trainings_agree", "held_out")
_PUBLIC = (*_MEANS, "held_out_pairs", "agreement_pairs")  # in the order in which they are printed


def mean_ranking(results: Iterable[Result]) -> Ranking:
    """Return the ranking figures of several trials: means, and sums of the pairs."""
    rankings = [result.ranking for result in results if result.ranking is not None]
    means: Any = {name: _mean([getattr(ranking, name) for ranking in rankings]) for name in _MEANS}
    return Ranking(
        **means,
        held_out_pairs=sum(ranking.held_out_pairs or 0 for ranking in rankings),
        agreement_pairs=sum(ranking.agreement_pairs or 0 for ranking in rankings),
    )


def by_strategy(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Return the results of each strategy, in the order of their first ones."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.strategy, []).append(result)
    return groups


def _mean(figures: Sequence[float | None]) -> float | None:
    """Return the mean of the figures there are."""
    numbers = [figure for figure in figures if figure is not None]
    return statistics.fmean(numbers) if numbers else None
