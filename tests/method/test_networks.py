"""The networks: shapes and sizes, sets without order or padding, gradients of gradients."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

from rambo.method.networks import (
    CLASSIFIERS,
    AttentionPooling,
    ConvElements,
    FeatureElements,
    LossModule,
    MeanPooling,
    SetNetwork,
)
from rambo.method.pools import membership_matrix

POOLINGS = ("mean", "attention")
SEEDS = st.integers(0, 2**31)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def make_network(pooling: Any, seed: int = 0, features: int = 5) -> SetNetwork:
    """Return a float64 set network over features."""
    torch.manual_seed(seed)
    return SetNetwork(FeatureElements(features), pooling).double().eval()


def make_sets(seed: int, count: int, sizes: list[int]) -> list[Tensor]:
    """Return random sets of given sizes from `count` images."""
    stream = torch.Generator().manual_seed(seed)
    return [torch.randperm(count, generator=stream)[:size] for size in sizes]


def members(sets: list[Tensor], count: int) -> Tensor:
    return membership_matrix(sets, torch.arange(count)).double()


def noise(seed: int, *shape: int) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=stream)


@pytest.mark.parametrize(
    ("name", "shape", "width", "size"),
    [
        # 320 + 18,496 + 1,179,776 + 1,290: the layers of DISTIL's MnistNet
        ("mnistnet", (1, 28, 28), 128, 1_199_882),
        # the CIFAR form of ResNet-18: 3 x 3 stem, no max-pool, 10 classes
        ("resnet18", (3, 32, 32), 512, 11_173_962),
    ],
)
def test_classifiers_have_their_published_shapes_and_sizes(
    name: str, shape: tuple[int, ...], width: int, size: int
) -> None:
    torch.manual_seed(0)
    model = CLASSIFIERS[name](shape[0], 10).eval()
    assert parameters(model) == size
    images = torch.rand(2, *shape)
    with torch.no_grad():
        embedding = model.embed(images)
        logits = model(images)
    assert embedding.shape == (2, width)
    assert model.width == width
    assert logits.shape == (2, 10)
    torch.testing.assert_close(logits, model.head(embedding), rtol=0.0, atol=0.0)
    assert not torch.equal(logits[0], logits[1])


def test_resnet_keeps_the_resolution_through_its_stem() -> None:
    """Stride 1 and no max-pool: the first block sees 32 x 32, the last 4 x 4."""
    torch.manual_seed(0)
    model = CLASSIFIERS["resnet18"](3, 10).eval()
    sides: list[int] = []
    for layer in (model.body.layer1, model.body.layer4):
        layer.register_forward_hook(lambda _module, _inputs, output: sides.append(output.shape[-1]))
    with torch.no_grad():
        model(torch.rand(1, 3, 32, 32))
    assert sides == [32, 4]


def test_mnistnet_pools_after_the_activation_as_its_original_does() -> None:
    torch.manual_seed(0)
    model = CLASSIFIERS["mnistnet"](1, 10).eval()
    images = torch.rand(3, 1, 28, 28)
    hidden = torch.relu(model.conv2(torch.relu(model.conv1(images))))
    pooled = hidden.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))
    expected = torch.relu(model.fc1(pooled.flatten(1)))
    torch.testing.assert_close(model.embed(images), expected)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_drop_out_in_training_only(name: str) -> None:
    torch.manual_seed(0)
    shape = {"mnistnet": (4, 1, 28, 28), "resnet18": (4, 3, 8, 8)}[name]
    model, images = CLASSIFIERS[name](shape[1], 3), torch.rand(shape)
    with torch.no_grad():
        model.eval()
        assert torch.equal(model(images), model(images))
        model.train()
        assert torch.equal(model(images), model(images)) == (name == "resnet18")


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_tapped_pass_gives_the_logits_of_a_plain_one_to_the_bit(
    name: str, training: bool
) -> None:
    torch.manual_seed(0)
    shape = {"mnistnet": (4, 1, 28, 28), "resnet18": (4, 3, 16, 16)}[name]
    model, images = CLASSIFIERS[name](shape[1], 3).train(training), torch.rand(shape)
    torch.manual_seed(1)
    plain = model(images)
    torch.manual_seed(1)
    taps, logits = model.tap(images)
    assert torch.equal(logits, plain)
    assert tuple(tap.shape[1] for tap in taps) == model.tapped
    assert [tap.shape[2:] for tap in taps] == {
        "mnistnet": [(26, 26), (12, 12), ()],
        "resnet18": [(16, 16), (8, 8), (4, 4), (2, 2)],
    }[name]
    assert all((tap >= 0).all() and tap.requires_grad for tap in taps)


def test_the_taps_of_resnet_are_the_outputs_of_its_blocks() -> None:
    torch.manual_seed(0)
    model, images, outputs = CLASSIFIERS["resnet18"](3, 4).eval(), torch.rand(2, 3, 16, 16), []
    for layer in (model.body.layer1, model.body.layer2, model.body.layer3, model.body.layer4):
        layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output.clone()))
    with torch.no_grad():
        model(images)
        taps, _ = model.tap(images)
    for tap, output in zip(taps, outputs[:4], strict=True):
        assert torch.equal(tap, output)


def test_the_taps_of_mnistnet_come_before_its_dropout() -> None:
    torch.manual_seed(0)
    model, images = CLASSIFIERS["mnistnet"](1, 4), torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        evaluated, _ = model.eval().tap(images)
        trained, _ = model.train().tap(images)
        assert torch.equal(model.eval().embed(images), evaluated[2])
    assert torch.equal(trained[0], evaluated[0])
    assert torch.equal(trained[1], evaluated[1])
    assert not torch.equal(trained[2], evaluated[2])  # behind the first dropout, before the second
    expected = torch.relu(model.conv1(images))
    torch.testing.assert_close(evaluated[0], expected)


def test_the_loss_module_by_hand() -> None:
    """Averages 2 and 3 of two taps, one layer each of width 2, then one number."""
    module = LossModule((1, 1), 2)
    weights = {
        "layers.0.weight": [[1.0], [-1.0]],
        "layers.0.bias": [0.0, 1.0],
        "layers.1.weight": [[2.0], [0.5]],
        "layers.1.bias": [-5.0, 0.0],
        "head.weight": [[10.0, 100.0, 1000.0, 2.0]],
        "head.bias": [0.25],
    }
    module.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    flat = torch.tensor([[3.0]])
    square = torch.tensor([[[[1.0, 1.0], [2.0, 4.0]]]])
    # relu(2, -1) = 2, 0 and relu(1, 1.5) = 1, 1.5: 10 * 2 + 1000 * 1 + 2 * 1.5 + 0.25
    torch.testing.assert_close(module([square, flat]), torch.tensor([1023.25]))


def test_the_loss_module_has_one_layer_a_tap_and_one_number_an_image() -> None:
    torch.manual_seed(0)
    module = LossModule((64, 128, 256, 512), 128)
    assert parameters(module) == (64 + 128 + 256 + 512 + 4) * 128 + 4 * 128 + 1
    taps = [torch.rand(5, channels, 3, 3) for channels in (64, 128, 256, 512)]
    assert module(taps).shape == (5,)


def test_element_networks_give_64_numbers_an_image() -> None:
    torch.manual_seed(0)
    conv = ConvElements(0.25)
    assert conv.eval()(torch.rand(3, 1, 28, 28)).shape == (3, conv.width) == (3, 64)
    assert (conv(torch.rand(50, 1, 28, 28)) >= 0).all()  # A.1 ends in a ReLU
    images = torch.rand(2, 1, 28, 28)
    assert not torch.equal(conv.train()(images), conv(images))
    assert FeatureElements(7)(torch.rand(3, 7)).shape == (3, 64)
    assert bool((FeatureElements(7)(torch.randn(50, 7)) < 0).any())  # A.2 does not


@pytest.mark.parametrize("pooling", POOLINGS)
def test_predictions_have_one_row_a_set(pooling: str) -> None:
    network = make_network(pooling)
    prediction = network(noise(1, 9, 5), members(make_sets(2, 9, [1, 4, 9, 4]), 9))
    assert prediction.embedding.shape == (4, network.width) == (4, 32)
    assert prediction.utility.shape == prediction.transport.shape == (4,)
    assert prediction.utility.unique().numel() == 4


@settings(max_examples=15, deadline=None, derandomize=True)
@given(SEEDS, st.sampled_from(POOLINGS), st.lists(st.integers(1, 8), min_size=1, max_size=4))
def test_the_order_of_the_images_never_changes_a_set(
    seed: int, pooling: str, sizes: list[int]
) -> None:
    network, images = make_network(pooling, seed), noise(seed, 8, 5)
    matrix = members(make_sets(seed, 8, sizes), 8)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(seed + 1))
    straight, shuffled = network(images, matrix), network(images[order], matrix[:, order])
    for a, b in zip(straight, shuffled, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(SEEDS, st.sampled_from(POOLINGS), st.lists(st.integers(1, 8), min_size=1, max_size=5))
def test_a_set_gives_the_same_answer_alone_and_beside_larger_ones(
    seed: int, pooling: str, sizes: list[int]
) -> None:
    network, images = make_network(pooling, seed), noise(seed, 8, 5)
    sets = make_sets(seed, 8, sizes)
    together = network(images, members([*sets, torch.arange(8)], 8))
    for place, subset in enumerate(sets):
        alone = network(images, members([subset], 8))
        for a, b in zip(alone, together, strict=True):
            torch.testing.assert_close(a[0], b[place], rtol=1e-9, atol=1e-9)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(SEEDS, st.integers(1, 5), st.integers(1, 4), st.floats(1e-3, 1e6))
def test_padding_never_changes_an_attention_pooled_set(
    seed: int, size: int, padding: int, scale: float
) -> None:
    torch.manual_seed(seed)
    pool = AttentionPooling(8, heads=2, inducing=3).double()
    block = noise(seed, 2, size, 8)
    garbage = scale * noise(seed + 1, 2, padding, 8)
    mask = torch.ones(2, size + padding, dtype=torch.bool)
    mask[:, size:] = False
    plain = pool.pool_padded(block, torch.ones(2, size, dtype=torch.bool))
    padded = pool.pool_padded(torch.cat([block, garbage], 1), mask)
    torch.testing.assert_close(padded, plain, rtol=1e-10, atol=1e-10)
    in_front = pool.pool_padded(torch.cat([garbage, block], 1), mask.flip(1))
    torch.testing.assert_close(in_front, plain, rtol=1e-10, atol=1e-10)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(SEEDS, st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_mean_pooling_is_the_mean_of_the_members(seed: int, sizes: list[int]) -> None:
    elements, sets = noise(seed, 7, 3), make_sets(seed, 7, sizes)
    pooled = MeanPooling()(elements, members(sets, 7))
    for row, subset in zip(pooled, sets, strict=True):
        expected = sum(elements[int(i)] for i in subset) / len(subset)
        torch.testing.assert_close(row, expected, rtol=1e-6, atol=1e-6)


def test_attention_pooling_is_more_than_a_mean() -> None:
    """Two sets of one mean are one set to mean pooling, and two to attention."""
    elements = torch.tensor([[1.0, 1], [-1, -1], [3, -2], [-3, 2]], dtype=torch.float64).repeat(
        1, 4
    )
    matrix = members([torch.tensor([0, 1]), torch.tensor([2, 3])], 4)
    mean = MeanPooling()(elements, matrix)
    torch.testing.assert_close(mean[0], mean[1])
    torch.manual_seed(0)
    attention = AttentionPooling(8).double()(elements, matrix)
    assert (attention[0] - attention[1]).abs().max() > 1e-3
    assert (attention - mean).abs().max() > 1e-3


def test_an_attention_block_is_that_of_the_set_transformer() -> None:
    """H = Q' + softmax(Q' K'^T / sqrt(d)) V' head by head, then H + relu(FC(H)), without layer norm."""
    torch.manual_seed(3)
    width, heads = 6, 2
    block = AttentionPooling(width, heads=heads).double().gather
    queries, keys = noise(1, 1, 2, width), noise(2, 1, 3, width)
    with torch.no_grad():
        query, key, value = block.query(queries)[0], block.key(keys)[0], block.value(keys)[0]
    hidden = query.clone()
    for head in range(heads):
        part = slice(head * 3, head * 3 + 3)
        for i in range(2):
            logits = [float(query[i, part] @ key[j, part]) / math.sqrt(width) for j in range(3)]
            shares = [math.exp(v) / sum(map(math.exp, logits)) for v in logits]
            hidden[i, part] += sum(s * value[j, part] for j, s in enumerate(shares))
    expected = hidden + torch.relu(block.output(hidden))
    torch.testing.assert_close(block(queries, keys)[0], expected)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_labeled_pool_itself_sits_at_rho_of_zero(pooling: str) -> None:
    network, images = make_network(pooling), noise(4, 12, 5)
    whole = members([torch.arange(12), torch.arange(6)], 12)
    embedding = network(images, whole).embedding
    origin = network.rho(torch.zeros(1, 64, dtype=torch.float64))[0]
    torch.testing.assert_close(embedding[0], origin, rtol=1e-6, atol=1e-6)
    assert (embedding[1] - origin).abs().max() > 1e-3


def test_a_random_set_lies_about_one_unit_from_the_labeled_pool() -> None:
    """Rho reads sets in standard errors, so that its inputs do not shrink with the size of the pool."""
    network = make_network("mean")
    for count in (50, 800):
        images = 3 + 0.1 * noise(5, count, 5)
        elements = network.elements(images)
        sets = make_sets(6, count, [count // 2] * 40)
        reference = network.refer(elements)
        pooled = network.pooling(elements, members(sets, count))
        unit = (pooled - reference.center) / reference.scale
        assert 0.5 < float(unit.detach().square().mean().sqrt()) < 1.5


@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_of_gradients_reach_the_images(pooling: str) -> None:
    torch.manual_seed(1)
    pool = MeanPooling() if pooling == "mean" else AttentionPooling(4, heads=2, inducing=2).double()
    matrix = members(make_sets(1, 5, [2, 4]), 5)
    elements = noise(2, 5, 4).requires_grad_()

    def pooled(values: Tensor) -> Tensor:
        return pool(values, matrix).square()  # so that mean pooling has curvature too

    assert torch.autograd.gradcheck(pooled, (elements,))
    assert torch.autograd.gradgradcheck(pooled, (elements,))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", ["conv", "features"])
def test_curvature_against_finite_differences_of_the_gradient(pooling: Any, kind: str) -> None:
    """What the bilevel fit needs: Hessian-vector products in all weights, through both poolings."""
    torch.manual_seed(2)
    elements = ConvElements(0.1) if kind == "conv" else FeatureElements(5)
    network = SetNetwork(elements, pooling).double().eval()
    images = noise(3, 5, 1, 28, 28) if kind == "conv" else noise(3, 5, 5)
    matrix = members(make_sets(3, 5, [2, 3, 4]), 5)
    names = [name for name, _ in network.named_parameters()]
    weights = tuple(weight.detach() for weight in network.parameters())
    direction = tuple(noise(9 + i, *weight.shape) for i, weight in enumerate(weights))

    def gradient(values: tuple[Tensor, ...], *, graph: bool = False) -> tuple[Tensor, ...]:
        state = dict(zip(names, values, strict=True))
        prediction = functional_call(network, state, (images, matrix))
        value = (prediction.utility.sigmoid() + prediction.transport.square()).sum()
        return torch.autograd.grad(value, values, create_graph=graph)

    def moved(step: float) -> tuple[Tensor, ...]:
        pairs = zip(weights, direction, strict=True)
        return gradient(tuple((w + step * d).requires_grad_() for w, d in pairs))

    leaves = tuple(weight.clone().requires_grad_() for weight in weights)
    product = torch.autograd.grad(gradient(leaves, graph=True), leaves, direction)
    step = 1e-7
    largest = max(float(value.abs().max()) for value in product)
    for exact, up, down in zip(product, moved(step), moved(-step), strict=True):
        torch.testing.assert_close((up - down) / (2 * step), exact, rtol=1e-4, atol=1e-5 * largest)
    assert largest > 1e-3
