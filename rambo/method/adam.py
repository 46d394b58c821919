"""Adam without what the first of torch's optimizers costs a process."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """`torch.optim.Adam` to the last bit, by the same function of torch.

    The first `torch.optim.Optimizer` of a process imports torch's compiler, which takes longer than a small classifier
    trains.

    Args:
        parameters: leaves; their `grad` is read, and they are changed in place.
        learning_rate: of every step.
        weight_decay: the factor of |w|^2 / 2 in what is descended.
        fused: one kernel for all tensors; else torch's default for their device.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float,
        *,
        weight_decay: float = 0.0,
        fused: bool = False,
    ) -> None:
        self.parameters = list(parameters)
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.fused = fused
        # Of each tensor's gradient; a fused kernel reads its number of steps on its device.
        self.means = [torch.zeros_like(p) for p in self.parameters]
        self.squares = [torch.zeros_like(p) for p in self.parameters]
        self.steps = [torch.zeros((), device=p.device if fused else "cpu") for p in self.parameters]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Take one step down the gradients; a parameter that has none stays where it is."""
        moved = [i for i, parameter in enumerate(self.parameters) if parameter.grad is not None]
        adam(
            [self.parameters[i] for i in moved],
            [gradient for p in self.parameters if (gradient := p.grad) is not None],
            [self.means[i] for i in moved],
            [self.squares[i] for i in moved],
            [],
            [self.steps[i] for i in moved],
            fused=self.fused or None,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )
