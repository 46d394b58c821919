"""The acquisition stage over a large pool against re-embedding every union: `python -m benchmarks.acquisition`.

Ours embeds every image that can be chosen once, then a greedy step is sums of what is there and one pass through rho.
The plain way puts every union S_j u batch through the whole set network. Both give the batch; the library's stage then
embeds the other images too, because its pages ask about any batch.
"""

import dataclasses
import statistics

import torch
from torch import Tensor

from benchmarks import data
from benchmarks.measure import Goal, Measure, ratio
from benchmarks.report import show
from benchmarks.timing import CPU, interleaved, scaled
from rambo.algorithm import Pretrained, acquire, greedy_margin, spend
from rambo.config import UtilityModelConfig
from rambo.method.acquisition import margins, random_chunks
from rambo.method.networks import Reference
from rambo.method.pools import UNLABELED, Problem, union
from rambo.method.utility_model import (
    UtilityModel,
    create_utility_model,
    embed_elements,
    predict_unions,
)
from rambo.method.utility_samples import UtilitySamples
from rambo.seeding import Streams
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble, Predictions
from rambo.training.offline import Offline, TransportScale

POOL, K, BUDGET, BATCH = 60_000, 200, 500, 50
TIMED = 2  # candidates of a step that the plain way embeds where they are too many
REPEATED = 20  # cached steps a round: one takes a thousandth of a second
PLAIN, OURS = "re-embedding every union", "ours, until the batch is chosen"
WHOLE = "ours, with all other images for the pages"


def problem(pool: int) -> Problem:
    """Return made-up images, of which K are labeled; what they show changes no time."""
    total, generator = K + pool + 1, torch.Generator().manual_seed(0)
    order, labels = torch.arange(total), torch.full((total,), UNLABELED)
    labels[:K] = 0
    return Problem(
        images=torch.randint(0, 256, (total, 1, 28, 28), dtype=torch.uint8, generator=generator),
        labels=labels,
        labeled=order[:K],
        unlabeled=order[K:-1],
        validation=order[-1:],
        num_classes=10,
        source="",
        fingerprint="",
        mean=(0.3,),
        std=(0.3,),
    )


def predictions(problem: Problem) -> Predictions:
    """Return what f might say of all images."""
    generator = torch.Generator().manual_seed(1)
    count = len(problem.labels)
    logits = torch.randn(count, problem.num_classes, generator=generator)
    return Predictions(logits.softmax(1), torch.randn(count, 128, generator=generator), 0.8)


@torch.no_grad()
def reference(model: UtilityModel, problem: Problem) -> Reference:
    """Return S_0 as u_hat sees it, which every union is compared with."""
    return model.network.refer(model.network.elements(problem.network_inputs(problem.labeled)))


@torch.no_grad()
def re_embedded(
    model: UtilityModel, problem: Problem, seen: Reference, labeled: Tensor, batches: Tensor
) -> Tensor:
    """Return the predicted utility of `labeled` united with each batch, every union embedded anew."""
    network = model.network
    utilities = []
    for batch in batches:
        elements = network.elements(problem.network_inputs(union(labeled, batch)))
        average = elements.new_full((1, len(elements)), 1 / len(elements))
        utilities.append(network.predict_pooled(network.pooling(elements, average), seen).utility)
    return torch.cat(utilities)


def disagreement(model: UtilityModel, problem: Problem, batches: Tensor) -> float:
    """Return the largest difference between both ways to predict a utility."""
    seen, labeled = reference(model, problem), problem.labeled
    cached = predict_unions(
        model, embed_elements(model, problem, problem.unlabeled), labeled, batches
    )
    return float((re_embedded(model, problem, seen, labeled, batches) - cached).abs().max())


def measure() -> list[Measure]:
    """Return the whole stage and one step, for the default M = 10 b and for every image of the pool."""
    made = problem(POOL)
    model = create_utility_model(made, UtilityModelConfig(), Streams(0))
    found = []
    for told, filtered in (("M = 10 b", 10 * BATCH), ("M = pool", POOL)):
        shuffled = torch.Generator().manual_seed(2)
        batches = random_chunks(made.unlabeled[:filtered], BATCH, shuffled)
        candidates = batches[: TIMED if len(batches) > 10 * TIMED else None]
        search = _Search(made, model, told, filtered, candidates, len(batches))
        found += [search.stage(), search.step()]
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class _Search:
    """The images and u_hat, and what each greedy step looks at.

    Attributes:
        problem: a large pool.
        model: u_hat.
        told: what M is, in words.
        filtered: M.
        candidates: `s x b`, those of a step that the plain way is timed on.
        count: all candidates of a step.
    """

    problem: Problem
    model: UtilityModel
    told: str
    filtered: int
    candidates: Tensor
    count: int

    def stage(self) -> Measure:
        """Measure the acquisition stage: until the batch is chosen, and as a run has it."""
        problem, model = self.problem, self.model
        acquisition = {"batch_size": BATCH, "filter_size": self.filtered}
        config = data.settings(k=K, budget=BUDGET, acquisition=acquisition)
        empty = UtilitySamples.empty()
        offline = Offline(model, None, TransportScale(1.0), empty, empty, empty, {})
        pretrained = Pretrained(model, predictions(problem), empty, offline)
        ensemble = Ensemble(problem, config.classifier, seed=0, memo=data.Forgetful())

        def call() -> Call:
            return Call(problem, BUDGET, config, streams=Streams(0), ensemble=ensemble)

        seen = reference(model, problem)

        def ours() -> None:
            scores = margins(pretrained.predictions.probabilities)
            spend(call(), model, scores)

        def whole() -> None:
            acquire(call(), pretrained)

        def plain() -> None:
            for step in range(BUDGET // BATCH):  # S_j grows by b a step
                labeled = union(problem.labeled, problem.unlabeled.flip(0)[: step * BATCH])
                re_embedded(model, problem, seen, labeled, self.candidates)

        seconds = self._whole(interleaved({PLAIN: plain, OURS: ours, WHOLE: whole}))
        apart = disagreement(model, problem, self.candidates)
        reachable = self.filtered + BUDGET - BATCH
        note = (
            f"Only {reachable} images can ever be chosen, and the plain way embeds no others; the library's stage "
            "embeds the whole pool, because a run keeps the embedding of every image for its pages."
        )
        return self._measure(
            f"Acquisition stage, {self.told}",
            f"The whole stage for B = {BUDGET}",
            seconds,
            [
                Goal("ours / re-embedding", ratio(seconds[PLAIN], seconds[WHOLE]), 30, 100),
                Goal("choosing alone / re-embedding", ratio(seconds[PLAIN], seconds[OURS]), 30),
                Goal("largest difference of a utility", apart, 1e-4, at_most=True),
            ],
            note if reachable < POOL else "",
        )

    def step(self) -> Measure:
        """Measure the first greedy step, with embeddings at hand."""
        problem, model = self.problem, self.model
        seen = reference(model, problem)
        elements = embed_elements(model, problem, problem.unlabeled)

        def ours() -> None:
            for _ in range(REPEATED):
                generator = torch.Generator().manual_seed(2)
                pools = problem.labeled, problem.unlabeled
                greedy_margin(model, elements, *pools, self.filtered, BATCH, generator)

        def plain() -> None:
            re_embedded(model, problem, seen, problem.labeled, self.candidates)

        seconds = interleaved({PLAIN: plain, OURS: ours})
        seconds = self._whole(scaled(seconds, {OURS: 1 / REPEATED}))
        milliseconds = 1000 * statistics.median(seconds[OURS])
        default = self.filtered == 10 * BATCH
        return self._measure(
            f"Greedy step, {self.told}",
            "The first step, embeddings at hand,",
            seconds,
            [Goal("milliseconds", milliseconds, 1, at_most=True)] if default else [],
        )

    def _whole(self, seconds: dict[str, list[float]]) -> dict[str, list[float]]:
        """Scale the plain way from the candidates it was timed on to all of them."""
        return scaled(seconds, {PLAIN: self.count / len(self.candidates)})

    def _measure(
        self,
        name: str,
        work: str,
        seconds: dict[str, list[float]],
        goals: list[Goal],
        note: str = "",
    ) -> Measure:
        """Return a measure of this search."""
        timed = len(self.candidates)
        part = f"The plain way is timed on {timed} candidates a step and scaled to all of them."
        return Measure(
            name=name,
            what=(
                f"{work} over a pool of {POOL:,}, k = {K}, b = {BATCH}; a step looks at {self.count:,} candidate "
                "batches."
            ),
            clock=CPU,
            seconds=seconds,
            goals=goals,
            note=note or (part if timed < self.count else ""),
        )


if __name__ == "__main__":
    show(measure())
