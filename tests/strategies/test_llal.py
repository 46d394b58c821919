"""LLAL: the ranking loss by hand, the joint training, and a unit that is never trained twice."""

import dataclasses
import importlib
from typing import Any

import numpy as np
import pytest
import torch
from tiny import MemoryMemo, tiny_config
from torch import Tensor
from torch.nn import functional as F
from trained import choose

from rambo.config import Config, LlalConfig
from rambo.errors import BudgetError, ConfigError, DivergedError
from rambo.events import ClassifierTrained, Event
from rambo.method.networks import LossModule, MnistNet
from rambo.method.pools import Problem, digest
from rambo.seeding import Streams, derive_seed
from rambo.strategies import STRATEGIES
from rambo.strategies.llal import LossUnit, joint_loss, ranking_loss
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble
from rambo.training.outcomes import Outcome, TrainingRecord, stored

# The package's attribute of this name is the function.
module_of_llal = importlib.import_module("rambo.strategies.llal")
SETTINGS = LlalConfig()
QUICK = tiny_config(classifier={"max_epochs": 1})


def unit_of(problem: Problem, config: Config | None = None, *, seed: int = 0) -> LossUnit:
    config = config or QUICK
    ensemble = Ensemble(problem, config.classifier, seed=seed, memo=MemoryMemo())
    return LossUnit.of(ensemble, config.rivals.llal)


def loss_of(predicted: list[float], true: list[float], margin: float = 1.0) -> float:
    return float(ranking_loss(torch.tensor(predicted), torch.tensor(true), margin))


def test_the_ranking_loss_of_four_numbers_by_hand() -> None:
    """Pairs (0, 3) and (1, 2): max(0, 1 - (0.5 - 0.3)) = 0.8 and max(0, 1 + (2 - 0.4)) = 2.6."""
    predicted, true = [0.5, 2.0, 0.4, 0.3], [0.9, 0.1, 0.7, 0.2]
    assert loss_of(predicted, true) == pytest.approx((0.8 + 2.6) / 2)
    assert loss_of(predicted, true, margin=3.0) == pytest.approx((2.8 + 4.6) / 2)
    assert loss_of([5.0, -5.0, 5.0, -5.0], true) == 0.0  # right by more than the margin


def test_equal_losses_count_as_the_first_being_smaller() -> None:
    assert loss_of([0.0, 0.25], [0.5, 0.5]) == pytest.approx(0.75)
    assert loss_of([0.25, 0.0], [0.5, 0.5]) == pytest.approx(1.25)


@pytest.mark.parametrize("count", [2, 3, 6, 7, 20])
def test_each_image_has_its_mirror_for_a_partner_and_an_odd_last_one_none(count: int) -> None:
    draw = torch.Generator().manual_seed(count)
    predicted, true = (torch.randn(count, generator=draw) for _ in range(2))
    even = count - count % 2
    naive = [
        max(0.0, 1 - (1 if true[i] > true[j] else -1) * float(predicted[i] - predicted[j]))
        for i, j in ((i, even - 1 - i) for i in range(even // 2))
    ]
    assert float(ranking_loss(predicted, true, 1.0)) == pytest.approx(sum(naive) / len(naive))
    predicted.requires_grad_()
    ranking_loss(predicted, true, 100.0).backward()
    assert predicted.grad is not None
    assert (predicted.grad[:even] != 0).all()
    assert (predicted.grad[even:] == 0).all()


def test_a_minibatch_of_one_has_no_ranking_term() -> None:
    model, module, images, labels = parts(1)
    total, logits = joint(model, module, images, labels, LlalConfig(weight=1000.0))
    assert float(ranking_loss(torch.ones(1), torch.ones(1), 1.0)) == 0.0
    torch.testing.assert_close(total, F.cross_entropy(logits, labels), rtol=0.0, atol=0.0)
    total.backward()
    assert all(weight.grad is None for weight in module.parameters())


def parts(count: int) -> tuple[MnistNet, LossModule, Tensor, Tensor]:
    """Return a classifier without dropout, its loss module, and some images."""
    torch.manual_seed(0)
    model = MnistNet(1, 4).eval()
    module = LossModule(model.tapped, 8)
    return model, module, torch.randn(count, 1, 28, 28), torch.arange(count) % 4


def joint(
    model: MnistNet,
    module: LossModule,
    images: Tensor,
    labels: Tensor,
    config: LlalConfig = SETTINGS,
    epoch: int = 1,
) -> tuple[Tensor, Tensor]:
    return joint_loss(model, images, labels, epoch, module=module, config=config, max_epochs=10)


def gradients(total: Tensor, module: torch.nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(total, list(module.parameters()), retain_graph=True))


def same(one: list[Tensor], right: list[Tensor]) -> bool:
    return all(torch.allclose(a, b, rtol=1e-5, atol=1e-8) for a, b in zip(one, right, strict=True))


def test_the_joint_loss_is_cross_entropy_plus_the_weighted_ranking() -> None:
    model, module, images, labels = parts(6)
    taps, logits = model.tap(images)
    each = F.cross_entropy(logits, labels, reduction="none")
    ranking = ranking_loss(module(taps), each.detach(), 2.0)
    assert float(ranking.detach()) > 0
    for weight in (0.0, 0.5, 3.0):
        total, answer = joint(model, module, images, labels, LlalConfig(weight=weight, margin=2.0))
        torch.testing.assert_close(total, each.mean() + weight * ranking)
        assert torch.equal(answer, logits)


def test_detached_taps_give_the_classifier_no_gradient_but_the_module_all_of_it() -> None:
    model, module, images, labels = parts(6)
    plain = gradients(F.cross_entropy(model(images), labels), model)
    attached, _ = joint(model, module, images, labels, epoch=6)
    detached, _ = joint(model, module, images, labels, epoch=7)  # 0.6 of 10 epochs are over
    assert float(attached.detach()) == float(detached.detach())
    assert not same(gradients(attached, model), plain)
    assert same(gradients(detached, model), plain)
    assert same(gradients(detached, module), gradients(attached, module))
    assert any((gradient != 0).any() for gradient in gradients(detached, module))


def test_the_true_losses_are_targets_and_carry_no_gradient() -> None:
    """Were they not detached, nothing would change: a hinge of signs. The taps alone reach the body."""
    model, module, images, labels = parts(6)
    taps, logits = model.tap(images)
    each = F.cross_entropy(logits, labels, reduction="none")
    ranking = ranking_loss(module([tap.detach() for tap in taps]), each, 1.0)
    gradients = torch.autograd.grad(ranking, list(model.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in gradients)


@pytest.mark.parametrize(("share", "first"), [(0.0, 1), (0.6, 7), (0.65, 7), (1.0, None)])
def test_the_share_of_the_epochs_after_which_the_taps_are_detached(
    share: float, first: int | None
) -> None:
    model, module, images, labels = parts(4)
    plain = gradients(F.cross_entropy(model(images), labels), model)
    config = LlalConfig(detached_from=share)
    cut = []
    for epoch in range(1, 11):
        total, _ = joint(model, module, images, labels, config, epoch)
        cut.append(same(gradients(total, model), plain))
    assert cut == [first is not None and epoch >= first for epoch in range(1, 11)]


def test_the_largest_predicted_losses_are_chosen_from_the_whole_pool(
    problem: Problem, memo: MemoryMemo, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(budget=4, classifier={"max_epochs": 1})
    choose("llal", problem, memo, config)
    key = unit_of(problem).key
    record, arrays = memo.results[key]
    assert set(arrays) == {"scores"}
    assert arrays["scores"].shape == (76,)
    ordered = problem.unlabeled.sort().values
    scores = np.zeros(76, np.float32)
    scores[[3, 70, 41, 9, 10]] = [2.0, 5.0, 3.0, 2.0, 2.0]
    memo.results[key] = record, {"scores": scores}
    selection = choose("llal", problem, memo, config)
    assert selection.indices.tolist() == ordered[[70, 41, 3, 9]].tolist()  # ties by dataset index
    assert selection.figures == {
        "mean predicted loss of the chosen": pytest.approx(3.0),
        "mean predicted loss of the pool": pytest.approx(14 / 76),
    }
    assert selection.steps.tolist() == [0, 0, 0, 0]


def test_the_unit_is_found_again_and_gives_the_same_to_the_bit(
    problem: Problem, memo: MemoryMemo
) -> None:
    first = choose("llal", problem, memo, QUICK)
    assert len(memo.results) == 2  # f on S_0 for the margins, and this
    key = unit_of(problem).key
    events: list[Event] = []
    again = choose("llal", problem, memo, QUICK, emit=events.append)
    fits = [event for event in events if isinstance(event, ClassifierTrained)]
    assert [(event.role, event.cached) for event in fits] == [("labeled", True), ("llal", True)]
    assert again.indices.tolist() == first.indices.tolist()
    assert again.figures == first.figures
    torch.manual_seed(9)
    _, arrays = unit_of(problem).run()
    assert digest(torch.tensor(arrays["scores"])) == digest(
        torch.tensor(memo.results[key][1]["scores"])
    )


def test_another_seed_trains_another_and_chooses_otherwise(
    problem: Problem, shared_memo: MemoryMemo
) -> None:
    one, two = (choose("llal", problem, shared_memo, QUICK, seed=seed) for seed in (0, 1))
    assert one.indices.tolist() != two.indices.tolist()
    assert unit_of(problem, seed=0).fit.seed == derive_seed(0, "llal")


def test_the_key_depends_on_everything_the_result_depends_on(problem: Problem) -> None:
    unit = unit_of(problem)
    changed = [
        *(
            dataclasses.replace(unit, settings=SETTINGS.model_copy(update={name: value}))
            for name, value in (
                ("weight", 2.0),
                ("margin", 2.0),
                ("width", 64),
                ("detached_from", 0.5),
            )
        ),
        *(
            dataclasses.replace(unit, fit=dataclasses.replace(unit.fit, **change))
            for change in (
                {"fingerprint": "other"},
                {"labels": (unit.fit.labels + 1) % 4},
                {"subset": unit.fit.subset[:-1], "labels": unit.fit.labels[:-1]},
                {"predicted": unit.fit.predicted[:-1]},
                {"seed": 1},
                {"num_classes": 5},
                {"device": "cuda"},
                {"config": unit.fit.config.model_copy(update={"learning_rate": 2e-3})},
            )
        ),
    ]
    keys = {unit.key, unit.fit.key, *(other.key for other in changed)}
    assert len(keys) == 2 + len(changed) == 14
    assert dataclasses.replace(unit).key == unit.key
    assert len(unit.key) == 64


def test_it_is_no_sample_of_how_long_an_ordinary_training_takes(problem: Problem) -> None:
    unit = unit_of(problem)
    record, _ = unit.run()
    assert record.epochs == 1
    assert not set(unit.fit.facts) & set(stored(record))


def test_predictions_do_not_depend_on_how_the_pool_is_cut(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = unit_of(problem)
    whole = unit.run()[1]["scores"]
    monkeypatch.setattr(module_of_llal, "_CHUNK", 7)
    np.testing.assert_allclose(unit.run()[1]["scores"], whole, rtol=1e-4, atol=1e-6)


def diverging(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Let the first trainings diverge; return the list that fills with their seeds."""
    train, seeds = LossUnit._train, []

    def wild(self: LossUnit, images: Tensor, labels: Tensor, seed: int) -> Any:
        seeds.append(seed)
        if len(seeds) <= times:
            raise DivergedError("the loss is not finite")
        return train(self, images, labels, seed)

    monkeypatch.setattr(LossUnit, "_train", wild)
    return seeds


def test_a_diverged_training_is_tried_once_more_with_a_derived_seed(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = unit_of(problem)
    seeds = diverging(monkeypatch, 1)
    _, arrays = unit.run()
    assert seeds == [unit.fit.seed, derive_seed(unit.fit.seed, "retry")]
    assert np.isfinite(arrays["scores"]).all()


def test_a_second_divergence_ends_the_run(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = diverging(monkeypatch, 2)
    with pytest.raises(DivergedError):
        unit_of(problem).run()
    assert len(seeds) == 2


def test_a_loss_that_is_not_finite_is_a_diverged_training(problem: Problem) -> None:
    unit = unit_of(problem)
    images = torch.full((6, 1, 28, 28), torch.nan)
    with pytest.raises(
        DivergedError, match=r"^classifier\.learning_rate 0\.001: .* in epoch 1; lower it$"
    ):
        unit._train(images, torch.arange(6) % 4, 0)


def test_the_module_learns_which_images_are_hard() -> None:
    """Half the images are noise with random labels: their loss stays high, and the module sees it."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (80,), generator=draw)
    images = torch.full((80, 1, 28, 28), -1.0)
    for image, label in zip(images[:40], labels[:40].tolist(), strict=True):
        image[:, 7 * label : 7 * label + 7] = 1.0
    images[40:] = 0.2 * torch.randn(40, 1, 28, 28, generator=draw)
    config = tiny_config(classifier={"max_epochs": 8}).classifier
    config = config.model_copy(update={"name": "mnistnet"})
    unit = LossUnit(_Training(config), SETTINGS)  # type: ignore[arg-type]
    fitted, module = unit._train(images, labels, 3)
    with torch.no_grad():
        predicted = module(fitted.model.tap(images)[0])
    assert float(predicted[40:].min()) > float(predicted[:40].max())


def test_the_module_learns_on_when_f_has_stopped(problem: Problem) -> None:
    """f stops after its first epoch; the module goes on to rank the losses of S_0 better, and f stays as it is."""
    changes = {"classifier": {"max_epochs": 40, "train_accuracy": 0.01}}
    shares, weights = [], []
    for on in (False, True):
        unit = unit_of(problem, tiny_config(rivals={"llal": {"learns_on": on}}, **changes))
        images, labels = unit.fit.load(unit.fit.subset), torch.from_numpy(unit.fit.labels)
        fitted, module = unit._train(images, labels, 0)
        assert fitted.epochs == 1
        fitted.model.eval()
        with torch.no_grad():
            taps, logits = fitted.model.tap(images)
            losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
            predicted = module(taps)
        pairs = torch.combinations(torch.arange(len(labels)))
        right = (predicted[pairs[:, 0]] > predicted[pairs[:, 1]]) == (
            losses[pairs[:, 0]] > losses[pairs[:, 1]]
        )
        shares.append(float(right.double().mean()))
        weights.append(torch.cat([w.flatten() for w in fitted.model.parameters()]))
    assert torch.equal(*weights)
    assert shares[1] > shares[0] + 0.1


@dataclasses.dataclass
class _Training:
    """What a joint training reads of its fit."""

    config: Any
    num_classes: int = 4


def test_the_classifier_beside_the_module_starts_as_any_other(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With weight 0 the joint training is the ordinary one, to the last bit."""
    config = tiny_config(rivals={"llal": {"weight": 0.0}}, classifier={"max_epochs": 2})
    unit = unit_of(problem, config)
    joint_record, _ = unit.run()
    plain_record, _ = unit.fit.run()
    shared = ("accuracies", "epochs", "train_accuracy")
    assert all(getattr(joint_record, n) == getattr(plain_record, n) for n in shared)


def test_a_logistic_head_is_refused_before_any_work(
    problem: Problem, memo: MemoryMemo, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config()
    ensemble = Ensemble(problem, config.classifier, seed=0, memo=memo)
    ensemble.config = ensemble.config.model_copy(update={"name": "logistic"})
    call = Call(problem, 4, config, streams=Streams(0), ensemble=ensemble)
    with pytest.raises(ConfigError, match="strategies llal: a logistic head has no layers to tap"):
        STRATEGIES["llal"](call)
    with pytest.raises(BudgetError):
        dataclasses.replace(call, budget=0)
    assert memo.lookups == []


def test_the_training_is_announced_as_what_it_is(problem: Problem) -> None:
    unit, events = unit_of(problem), []
    record = TrainingRecord(accuracies={"validation": 0.5}, epochs=3, seconds=1.5)
    unit.announce(Outcome(record, {}, cached=False), events.append)
    assert events == [
        ClassifierTrained(
            role="llal", index=0, size=24, accuracy=0.5, epochs=3, seconds=1.5, cached=False
        )
    ]
