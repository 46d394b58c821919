"""Networks of `M` classifiers side by side: the layers that `batched` trains many members with.

The members' channels lie beside each other, so that a convolution has `M` groups and a linear layer is a batch of
products; everything between (ReLU, pooling, sums) is blind to it, and the networks' own `forward` serves unchanged.
Every weight has one more axis in front, the slot. A layer counts its slots by its weights, so the same network answers
for some slots only if `torch.func.functional_call` hands it their share of the weights.
"""

import copy
import functools
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Convolution = Literal["grouped", "products"]


def stack(model: nn.Module, slots: int, convolution: Convolution = "grouped") -> nn.Module:
    """Return a network of `slots` copies of the model, side by side: `b x slots*C x H x W` -> `b x slots*c`.

    Its state has the names of the model's; every tensor has one more axis in front, the slot.

    Args:
        model: what to copy.
        slots: M.
        convolution: one convolution of `M` groups, or patches and a batch of `M` products; the same numbers but for
            rounding. Which is faster depends on the device.
    """
    forms = _STACKED | {nn.Conv2d: functools.partial(_Conv, convolution=convolution)}
    stacked = copy.deepcopy(model)
    for parent in list(stacked.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) in forms:
                setattr(parent, name, forms[type(layer)](layer, slots))
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    for name, value in stacked.state_dict().items():
        assert value.shape == (slots, *shapes[name]), f"no stacked form of the layer of {name}"
    return stacked


class _Stacked(nn.Module):
    """A layer of several members: its parameters and buffers, once a slot."""

    def __init__(self, layer: nn.Module, slots: int) -> None:
        super().__init__()
        for name, value in layer.named_parameters(recurse=False):
            self.register_parameter(name, nn.Parameter(_repeated(value, slots)))
        for name, buffer in layer.named_buffers(recurse=False):
            self.register_buffer(name, _repeated(buffer, slots))


class _Conv(_Stacked):
    """A convolution of each slot's channels: `b x M*C x H x W` -> `b x M*K x H' x W'`."""

    weight: Tensor  # M x K x C x k x k
    bias: Tensor | None  # M x K

    def __init__(self, layer: nn.Conv2d, slots: int, *, convolution: Convolution) -> None:
        super().__init__(layer, slots)
        assert not isinstance(layer.padding, str)
        self.stride, self.padding, self.convolution = layer.stride, layer.padding, convolution
        if layer.bias is None:
            self.register_parameter("bias", None)

    def forward(self, images: Tensor) -> Tensor:
        if self.convolution == "products":
            return self._products(images)
        bias = None if self.bias is None else self.bias.flatten()
        groups, weight = len(self.weight), self.weight.flatten(0, 1)
        return F.conv2d(images, weight, bias, self.stride, self.padding, groups=groups)

    def _products(self, images: Tensor) -> Tensor:
        """Return the same by patches: a product of `K x C*k*k` with `C*k*k x b*L` in each slot."""
        count, slots, kernel = len(images), len(self.weight), self.weight.shape[3:]
        patches = F.unfold(images, kernel, stride=self.stride, padding=self.padding)
        patches = patches.unflatten(1, (slots, -1)).permute(1, 2, 0, 3).flatten(2)
        outputs = self.weight.flatten(2) @ patches  # M x K x b*L
        if self.bias is not None:
            outputs = outputs + self.bias[:, :, None]
        across = images.shape[3] + 2 * self.padding[1] - kernel[1]
        outputs = outputs.unflatten(2, (count, -1, across // self.stride[1] + 1))
        return outputs.permute(2, 0, 1, 3, 4).flatten(1, 2)


class _Linear(_Stacked):
    """A batch of `M` products: `b x M*d` -> `b x M*e`."""

    weight: Tensor  # M x e x d
    bias: Tensor  # M x e

    def forward(self, inputs: Tensor) -> Tensor:
        split = inputs.unflatten(1, (len(self.weight), -1)).transpose(0, 1)  # M x b x d
        product = torch.baddbmm(self.bias.unsqueeze(1), split, self.weight.transpose(1, 2))
        return product.transpose(0, 1).flatten(1)


class BatchNorm(_Stacked):
    """BatchNorm over the images that count: `b x M*C x H x W`, unchanged shape.

    Choice: torch's own counts all images; with a short last minibatch in some slot its statistics would be wrong.
    """

    weight: Tensor  # M x C, as are the bias and the statistics
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor  # M
    counts: Tensor  # b x M, 1 or 0; set before each step of training

    def __init__(self, layer: nn.BatchNorm2d, slots: int) -> None:
        super().__init__(layer, slots)
        assert layer.momentum is not None
        self.eps, self.momentum = layer.eps, layer.momentum

    def forward(self, images: Tensor) -> Tensor:
        """Return the normalised channels; in training by this minibatch, else by what was learned."""
        split = images.unflatten(1, (len(self.weight), -1))  # b x M x C x H x W
        running = self.running_mean, self.running_var
        mean, variance = self._learn(split) if self.training else running
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return torch.addcmul(shift[:, :, None, None], split, scale[:, :, None, None]).flatten(1, 2)

    def _learn(self, split: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of this minibatch, `M x C` each, and let the running ones follow."""
        within, middle = torch.var_mean(split, (3, 4), correction=0)  # of each image, b x M x C
        weights = self.counts[:, :, None]
        images = weights.sum(0).clamp(min=1)  # M x 1
        mean = (middle * weights).sum(0) / images
        variance = ((within + (middle - mean).square()) * weights).sum(0) / images
        with torch.no_grad():
            values = images * split[0, 0, 0].numel()
            unbiased = variance * values / (values - 1).clamp(min=1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
            self.num_batches_tracked += 1
        return mean, variance


class Dropout(_Stacked):
    """Dropout with masks that were drawn before: `b x M*d` or, for whole channels, `b x M*d x H x W`."""

    keep: Tensor  # b x M*d bool; set before each step of training

    def __init__(self, layer: nn.Dropout | nn.Dropout2d, slots: int) -> None:
        super().__init__(layer, slots)
        self.rate = layer.p

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what is kept, scaled up; in eval mode everything."""
        if not self.training:
            return inputs
        noise = self.keep.to(inputs.dtype).div(1 - self.rate)
        return inputs * noise.view(*noise.shape, *[1] * (inputs.dim() - 2))


_STACKED: dict[type[nn.Module], Callable[..., _Stacked]] = {
    nn.Linear: _Linear,
    nn.BatchNorm2d: BatchNorm,
    nn.Dropout: Dropout,
    nn.Dropout2d: Dropout,
}


def _repeated(value: Tensor, slots: int) -> Tensor:
    """Return copies of a tensor along a new first axis, in plain memory order."""
    copies = value.detach().expand(slots, *value.shape)
    return copies.clone(memory_format=torch.contiguous_format)
