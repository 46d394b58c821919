"""Classifiers trained side by side: each as if alone, in every slot, whatever happens to its neighbours."""

import copy
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from tiny import write_tiny
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from rambo.config import ClassifierConfig
from rambo.datasets.prepared import Prepared
from rambo.errors import DivergedError
from rambo.events import Event, Noticed
from rambo.method.networks import MnistNet, ResNet18
from rambo.method.pools import digest
from rambo.seeding import pinned
from rambo.training import classifier
from rambo.training.classifier import Fit, fit_classifier
from rambo.training.gpu import batched
from rambo.training.gpu.batched import Batching, Images, Member, fit_members
from rambo.training.gpu.stacked import BatchNorm, Convolution, Dropout, stack

CONFIG = ClassifierConfig(name="mnistnet", minibatch_size=8, max_epochs=4, train_accuracy=0.9)
SIZES = (13, 24, 5, 16)  # two with a short last minibatch, one shorter than a minibatch


def resident(data: Prepared) -> Images:
    return Images(torch.from_numpy(data.images.copy()), data.mean, data.std)


@pytest.fixture(scope="module")
def images(tiny: Prepared) -> Images:
    return resident(tiny)


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Images:
    return resident(write_tiny(tmp_path_factory.mktemp("coloured"), channels=3, size=16))


def choose(sizes: Sequence[int], *, noise: bool = False) -> list[Member]:
    """Return members on random rows 1-99 of the tiny pool, with its labels or with random ones."""
    generator = torch.Generator().manual_seed(2)
    members = []
    for seed, size in enumerate(sizes):
        rows = 1 + torch.randperm(99, generator=generator)[:size]
        labels = torch.randint(4, (size,), generator=generator) if noise else rows % 4
        members.append(Member(rows, labels, seed))
    return members


def fit(
    members: Sequence[Member], images: Images, config: ClassifierConfig = CONFIG, slots: int = 2
) -> dict[int, Any]:
    return dict(fit_members(members, images, config, num_classes=4, batching=Batching(slots)))


def alone(member: Member, images: Images, config: ClassifierConfig = CONFIG) -> Fit:
    """Return what the plain loop gives for a member."""
    chosen = images.normalised(member.rows)
    return fit_classifier(chosen, member.labels, config, num_classes=4, seed=member.seed)


def bytes_of(fitted: Fit) -> str:
    return digest(*fitted.model.state_dict().values())


def assert_same_fit(ours: Fit, plain: Fit, images: Images) -> None:
    """Same epochs and accuracy; every weight and logit within 1e-3."""
    assert (ours.epochs, ours.train_accuracy) == (plain.epochs, plain.train_accuracy)
    assert not ours.model.training
    torch.testing.assert_close(ours.model.state_dict(), plain.model.state_dict(), atol=1e-3, rtol=0)
    unseen = images.normalised(torch.arange(100, 140))
    with torch.no_grad():
        torch.testing.assert_close(ours.model(unseen), plain.model(unseen), atol=1e-3, rtol=1e-3)


@pytest.fixture(scope="module")
def plain(images: Images) -> list[Fit]:
    return [alone(member, images) for member in choose(SIZES)]


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_every_member_is_what_the_plain_loop_makes_of_it(
    images: Images, plain: list[Fit], slots: int
) -> None:
    """Weights, minibatches and dropout masks are those of the plain loop, in a first slot and in a refilled one."""
    fitted = fit(choose(SIZES), images, slots=slots)
    assert sorted(fitted) == [0, 1, 2, 3]
    for place, one in enumerate(plain):
        assert_same_fit(fitted[place], one, images)
    assert len({one.epochs for one in plain}) > 1, "all stop together: refilling is not tested"


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both ways train in float64, where no rounding flips a ReLU or the choice of a pooling."""
    create = classifier.create_classifier
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    for module in (classifier, batched):
        monkeypatch.setattr(
            module, "create_classifier", lambda *arguments: create(*arguments).double()
        )


def assert_same_digits(ours: Fit, plain: Fit) -> None:
    assert (ours.epochs, ours.train_accuracy) == (plain.epochs, plain.train_accuracy)
    state, expected = ours.model.state_dict(), plain.model.state_dict()
    assert next(iter(state.values())).dtype == torch.float64
    torch.testing.assert_close(state, expected, atol=1e-7, rtol=1e-7)


@pytest.mark.usefixtures("in_float64")
def test_thirty_steps_stay_with_the_plain_loop(images: Images) -> None:
    config = CONFIG.model_copy(update={"max_epochs": 5, "minibatch_size": 2, "train_accuracy": 1.0})
    members = choose([12, 11], noise=True)  # labels that five epochs do not learn: 30 steps each
    fitted = fit(members, images, config)
    for place, member in enumerate(members):
        assert fitted[place].epochs == 5
        assert_same_digits(fitted[place], alone(member, images, config))


@pytest.fixture
def widths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The slots of each group that trains, one after the other."""
    slots: list[int] = []
    groups: list[batched._Group] = []
    step = batched._Group._step

    def watched(group: batched._Group) -> None:
        if not groups or group is not groups[-1]:
            groups.append(group)
            slots.append(len(group.slot))
        step(group)

    monkeypatch.setattr(batched._Group, "_step", watched)
    return slots


@pytest.mark.usefixtures("in_float64")
def test_resnets_with_short_last_minibatches_are_the_plain_loops_too(
    coloured: Images, widths: list[int]
) -> None:
    """The third takes the slot, and the statistics, that the first has left; the second ends in a group of its own."""
    config = ClassifierConfig(name="resnet18", minibatch_size=2, max_epochs=1)
    members = choose([3, 8, 1])
    fitted = fit(members, coloured, config)
    assert widths == [2, 1]
    for place, member in enumerate(members):
        assert_same_digits(fitted[place], alone(member, coloured, config))


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("accuracy_mode", ["train", "eval"])
def test_members_that_move_to_a_narrower_group_go_on_where_they_are(
    images: Images, widths: list[int], accuracy_mode: str
) -> None:
    """Twice, from slots between others, and amid an epoch that began before."""
    update = {"max_epochs": 3, "minibatch_size": 2, "train_accuracy": 1.0}
    config = CONFIG.model_copy(update=update | {"accuracy_mode": accuracy_mode})
    members = choose([3, 26, 2, 21, 5, 9, 4], noise=True)  # 1 to 13 steps an epoch
    fitted = fit(members, images, config, slots=6)
    assert widths == [6, 3, 1]
    for place, member in enumerate(members):
        assert_same_digits(fitted[place], alone(member, images, config))


@pytest.mark.parametrize("slots", [2, 3, 4])
def test_many_members_of_many_sizes_find_a_slot_each(images: Images, slots: int) -> None:
    """Some end together, some alone, and the next ones are made ready ahead of time."""
    config = CONFIG.model_copy(update={"max_epochs": 2, "train_accuracy": 0.6})
    members = choose([24, 24, 5, 17, 8, 9, 16, 3, 3, 12, 24])
    fitted = fit(members, images, config, slots=slots)
    assert sorted(fitted) == list(range(11))
    for place, member in enumerate(members):
        assert_same_fit(fitted[place], alone(member, images, config), images)


def test_members_come_in_the_order_of_finishing(images: Images, plain: list[Fit]) -> None:
    """With room for all: by steps taken, then by slot."""
    steps = [one.epochs * math.ceil(n / 8) for one, n in zip(plain, SIZES, strict=True)]
    order = list(fit(choose(SIZES), images, slots=4))
    assert order == sorted(range(4), key=lambda place: (steps[place], place))


@pytest.mark.parametrize("threshold", [0.6, 0.9, 1.0])
def test_the_running_accuracy_stops_as_in_the_plain_loop(images: Images, threshold: float) -> None:
    config = CONFIG.model_copy(update={"accuracy_mode": "train", "train_accuracy": threshold})
    members = choose([13, 16])
    fitted = fit(members, images, config)
    for place, member in enumerate(members):
        assert_same_fit(fitted[place], alone(member, images, config), images)


def test_same_members_and_slots_same_bytes_and_no_trace_in_the_global_state(images: Images) -> None:
    config = CONFIG.model_copy(update={"max_epochs": 2})
    members = choose((13, 5, 16))
    before = torch.get_rng_state()
    first = fit(members, images, config)
    assert torch.equal(torch.get_rng_state(), before)
    with pinned(99):
        second = fit(members, images, config)
    assert list(first) == list(second)
    assert [bytes_of(first[i]) for i in range(3)] == [bytes_of(second[i]) for i in range(3)]
    other = [dataclasses.replace(member, seed=member.seed + 9) for member in members]
    third = fit(other, images, config)
    assert all(bytes_of(first[i]) != bytes_of(third[i]) for i in range(3))


def test_what_fills_a_short_minibatch_does_not_matter(images: Images) -> None:
    """Places without an image show image 0, which is nobody's."""
    pixels = images.pixels.clone()
    pixels[0] = 255 - pixels[0]
    first = fit(choose([13, 24]), images)
    second = fit(choose([13, 24]), dataclasses.replace(images, pixels=pixels))
    assert [bytes_of(first[i]) for i in range(2)] == [bytes_of(second[i]) for i in range(2)]


@pytest.mark.parametrize("convolution", ["grouped", "products"])
@pytest.mark.parametrize("network", [MnistNet, ResNet18])
def test_a_stacked_network_is_its_members_to_the_last_digit(
    network: type[nn.Module], convolution: Convolution
) -> None:
    """Logits, gradients and running statistics in float64; of the second member three images of five count."""
    shape = (1, 28, 28) if network is MnistNet else (3, 8, 8)
    with pinned(0):
        members = [network(shape[0], 4).double().train() for _ in range(2)]
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(5, 2, *shape, dtype=torch.float64, generator=generator)
    labels = torch.randint(4, (5, 2), generator=generator)
    counts = torch.ones(5, 2, dtype=torch.float64)
    counts[3:, 1] = 0
    stacked = stack(members[0], 2, convolution)
    with torch.no_grad():
        for name, value in stacked.state_dict().items():
            value.copy_(torch.stack([member.state_dict()[name] for member in members]))
    for layer in stacked.modules():
        if isinstance(layer, BatchNorm):
            layer.counts = counts
        if isinstance(layer, Dropout):
            layer.rate, layer.keep = 0.0, torch.ones(1, 1, dtype=torch.bool)
    logits = stacked(images.flatten(1, 2)).unflatten(1, (2, -1))
    losses = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
    ((losses * counts).sum(0) / counts.sum(0)).sum().backward()
    for i, (member, n) in enumerate(zip(members, (5, 3), strict=True)):
        for layer in member.modules():
            if isinstance(layer, nn.Dropout | nn.Dropout2d):
                layer.p = 0.0
        expected = member(images[:n, i])
        F.cross_entropy(expected, labels[:n, i]).backward()
        torch.testing.assert_close(logits[:n, i], expected, atol=1e-11, rtol=0)
        state = {name: value[i] for name, value in stacked.state_dict().items()}
        torch.testing.assert_close(state, dict(member.state_dict()), atol=1e-11, rtol=0)
        for name, parameter in member.named_parameters():
            gradient = stacked.get_parameter(name).grad
            assert gradient is not None
            torch.testing.assert_close(gradient[i], parameter.grad, atol=1e-9, rtol=0)
    second = {name: value[1:] for name, value in stacked.state_dict().items()}
    alone = functional_call(stacked.eval(), second, images[:, 1])  # at rest, one slot of the two
    torch.testing.assert_close(alone, members[1].eval()(images[:, 1]), atol=1e-11, rtol=0)


def test_a_layer_without_a_stacked_form_is_not_passed_over() -> None:
    with pytest.raises(AssertionError, match=r"no stacked form of the layer of 0\.weight"):
        stack(nn.Sequential(nn.LayerNorm(3)), 2)


def test_each_slot_has_an_adam_of_its_own() -> None:
    """Slot 1 starts again after three of five steps; all are torch's plain Adam with just their own steps."""
    generator = torch.Generator().manual_seed(3)
    parameter = nn.Parameter(torch.randn(3, 4, 2, generator=generator))
    start, again = parameter.detach().clone(), torch.randn(4, 2, generator=generator)
    gradients = torch.randn(5, 3, 4, 2, generator=generator)
    slices = batched._slices(parameter)
    ours = torch.optim.Adam(slices, lr=0.1, fused=True)
    for step, gradient in enumerate(gradients):
        if step == 3:
            parameter.data[1] = again
            batched._forget(ours, [slices[1]])
        assert parameter.grad is not None
        parameter.grad.copy_(gradient)
        ours.step()
    for slot, (first, value) in enumerate([(0, start[0]), (3, again), (0, start[2])]):
        single = nn.Parameter(value.clone())
        plain = torch.optim.Adam([single], lr=0.1, fused=False, foreach=False)
        for gradient in gradients[first:, slot]:
            single.grad = gradient.clone()
            plain.step()
        torch.testing.assert_close(parameter[slot], single, atol=1e-6, rtol=1e-6)


def poison(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Let the member with this seed start from a weight that is no number."""
    create = batched.create_classifier

    def poisoned(pixels: Tensor, config: Any, num_classes: int, streams: Any) -> Any:
        model = create(pixels, config, num_classes, streams)
        if streams.seed == seed:
            next(model.parameters()).data[0] = torch.nan
        return model

    monkeypatch.setattr(batched, "create_classifier", poisoned)


def test_a_member_that_diverges_ends_alone(
    images: Images, plain: list[Fit], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The neighbour does not notice, nor does the member that takes the slot afterwards."""
    sound = fit(choose(SIZES), images, slots=4)
    poison(monkeypatch, seed=1)
    sick = fit(choose(SIZES), images, slots=4)
    assert isinstance(sick[1], DivergedError)
    assert "not finite in epoch 1" in str(sick[1])
    assert (sick[1].field, sick[1].value) == ("classifier.learning_rate", CONFIG.learning_rate)
    assert [bytes_of(sick[i]) for i in (0, 2, 3)] == [bytes_of(sound[i]) for i in (0, 2, 3)]
    refilled = fit(choose(SIZES)[1:3], images, slots=1)
    assert isinstance(refilled[0], DivergedError)
    assert_same_fit(refilled[1], plain[2], images)


def test_a_loss_that_was_not_finite_is_known_in_a_narrower_group(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only in the second member's first step of three, before the others' end."""
    step = batched._Group._step

    def exploding(group: batched._Group) -> None:
        step(group)
        if len(group.slot) == 4:
            group.worst[1] = torch.inf

    monkeypatch.setattr(batched._Group, "_step", exploding)
    config = CONFIG.model_copy(update={"max_epochs": 1})
    fitted = fit(choose([8, 24, 5, 3]), images, config, slots=4)
    assert isinstance(fitted[1], DivergedError)
    assert all(isinstance(fitted[place], Fit) for place in (0, 2, 3))


def test_one_resnet_that_diverges_leaves_the_others_statistics_alone(
    coloured: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ClassifierConfig(name="resnet18", minibatch_size=2, max_epochs=1)
    sound = fit(choose([2, 1]), coloured, config)
    poison(monkeypatch, seed=0)
    sick = fit(choose([2, 1]), coloured, config)
    assert isinstance(sick[0], DivergedError)
    assert bytes_of(sick[1]) == bytes_of(sound[1])


def test_without_memory_the_slots_are_halved_and_no_member_is_lost_or_done_twice(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    members, step, taken = choose([13, 24, 5, 16, 8]), batched._Group._step, 0
    expected = fit(members, images, slots=2)

    def crowded(group: batched._Group) -> None:
        nonlocal taken
        taken += 1
        if len(group.slot) > 2 and taken > 4:  # some are done by then
            raise torch.cuda.OutOfMemoryError
        step(group)

    monkeypatch.setattr(batched._Group, "_step", crowded)
    results: list[tuple[int, Any]] = []
    events: list[tuple[Event, int]] = []

    def hear(event: Event) -> None:
        events.append((event, len(results)))

    for result in fit_members(
        members, images, CONFIG, num_classes=4, batching=Batching(5), emit=hear
    ):
        results.append(result)
    assert sorted(place for place, _ in results) == [0, 1, 2, 3, 4]
    ((event, before),) = events
    message = "5 classifiers at once need too much memory; going on with 2"
    assert event == Noticed(message)
    assert 0 < before < 3, "no result came before memory ended, or too many to halve the slots"
    for place, result in results:
        assert isinstance(result, Fit)
        assert_same_fit(result, expected[place], images)


def test_without_memory_to_narrow_the_members_in_progress_start_again(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrowed, tried = batched._Group.narrowed, 0

    def crowded(group: batched._Group, runs: Any) -> batched._Group:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")
        return narrowed(group, runs)

    config = CONFIG.model_copy(update={"max_epochs": 1})
    members = choose([13, 24, 5, 3])  # the last two end before the others
    expected = fit(members, images, config, slots=1)
    monkeypatch.setattr(batched._Group, "narrowed", crowded)
    batching = Batching(4)
    results = list(fit_members(members, images, config, num_classes=4, batching=batching))
    assert tried == 2
    assert [place for place, _ in results] == [2, 3, 0, 1]
    for place, result in results:
        assert isinstance(result, Fit)
        assert_same_fit(result, expected[place], images)


def test_one_member_that_does_not_fit_ends_it(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(group: batched._Group) -> None:
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(batched._Group, "_step", full)
    events: list[Event] = []
    fits = fit_members(
        choose(SIZES), images, CONFIG, num_classes=4, batching=Batching(4), emit=events.append
    )
    with pytest.raises(torch.cuda.OutOfMemoryError):
        next(fits)
    assert len(events) == 2  # 4, 2, 1


def test_nobody_to_train_gives_nothing(images: Images) -> None:
    assert fit([], images) == {}


def test_inputs_are_left_as_they_were(images: Images) -> None:
    members = choose([5, 8])
    before = copy.deepcopy(members)
    pixels = digest(images.pixels)
    fit(members, images)
    assert digest(images.pixels) == pixels
    for one, other in zip(members, before, strict=True):
        assert torch.equal(one.rows, other.rows)
        assert torch.equal(one.labels, other.labels)


def test_what_a_graph_needs_of_a_group_holds_in_a_narrower_one_too(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps taken to capture it leave no trace, and every number stays where the graph found it."""
    make, step = batched._Group.__init__, batched._Group._step
    slots: dict[batched._Group, list[int]] = {}

    def places(group: batched._Group) -> list[int]:
        adam = [value for state in group.optimizer.state.values() for value in state.values()]
        return [value.data_ptr() for value in [*group._tables(), *adam]]

    def captured(group: batched._Group, *arguments: Any) -> None:
        make(group, *arguments)
        for _ in range(3):
            step(group)
        slots[group] = places(group)

    def replayed(group: batched._Group) -> None:
        assert places(group) == slots[group]
        step(group)

    expected = fit(choose(SIZES), images)
    monkeypatch.setattr(batched._Group, "__init__", captured)
    monkeypatch.setattr(batched._Group, "_step", replayed)
    fitted = fit(choose(SIZES), images)
    assert [len(group.slot) for group in slots] == [2, 1]
    assert [bytes_of(fitted[i]) for i in range(4)] == [bytes_of(expected[i]) for i in range(4)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_graph_on_a_gpu_trains_the_members_of_the_cpu(images: Images, plain: list[Fit]) -> None:
    on_gpu = dataclasses.replace(images, pixels=images.pixels.cuda())
    fitted = fit(choose(SIZES), on_gpu)
    for place, one in enumerate(plain):
        fitted[place].model.cpu()
        assert_same_fit(fitted[place], one, images)


def test_every_round_of_epochs_is_a_beat_of_the_furthest(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[tuple[int, int, int]] = []

    def note(step: int, total: int, *, together: int) -> None:
        beats.append((step, total, together))

    monkeypatch.setattr(batched.pulse, "beat", note)
    results = fit(choose(SIZES, noise=True), images, slots=2)
    longest = max(result.epochs for result in results.values())
    assert max(step for step, _, _ in beats) == longest == CONFIG.max_epochs
    assert {(total, together) for _, total, together in beats} == {(4, 2), (4, 1)}
