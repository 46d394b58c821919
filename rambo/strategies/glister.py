"""GLISTER-ONLINE: images whose gradient step, at f's own guess, lowers the validation loss most."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from rambo.method.acquisition import logit_gradients
from rambo.method.pools import Selection
from rambo.strategies.picking import first, in_one_step
from rambo.training.call import Call


def glister(call: Call) -> Selection:
    """Return the images that lower the loss on S_val most, greedily (Killamsetty et al. 2021, Algorithm 1).

    Only the last layer moves. A step on all of S_0 comes first, then one on each image taken, with f's guess for its
    label. Choice: the gradient of S_0 is a sum, as in the authors' code, and there is no regulariser.
    """
    problem, predictions = call.problem, call.predictions()
    pool, validation = problem.unlabeled.sort().values, problem.validation
    probabilities = predictions.probabilities
    # a bias is the weight of a constant 1
    inputs = F.pad(predictions.embeddings, (0, 1), value=1.0)
    rate = call.config.rivals.glister.learning_rate or call.config.classifier.learning_rate
    labels, guesses = problem.labels[problem.labeled], probabilities[pool].argmax(1)
    tiny = torch.finfo(probabilities.dtype).tiny  # a probability of 0 has no logit
    logits = step(
        probabilities[validation].clamp_min(tiny).log(),
        inputs[validation],
        logit_gradients(probabilities[problem.labeled], labels),
        inputs[problem.labeled],
        rate,
    )
    picks = steepest(
        logit_gradients(probabilities[pool], guesses),
        inputs[pool],
        logits,
        inputs[validation],
        problem.labels[validation],
        rate,
    )
    return in_one_step(predictions, first(call, pool, picks))


def steepest(
    gradients: Tensor,
    inputs: Tensor,
    logits: Tensor,
    validation: Tensor,
    labels: Tensor,
    rate: float,
) -> Iterator[int]:
    """Yield again and again the example whose gradient step lowers the validation loss most, and take that step.

    A step of -eta g_i changes the loss by -eta <g_i, v> to first order, v being the validation gradient: the largest
    product wins, of equal ones the first. With g = q outer h the product is <q_i, V h_i>, and no g is built.

    Args:
        gradients: q, `N x c` by the logits.
        inputs: h, `N x (e + 1)`: embeddings and a 1.
        logits: `n x c` of the validation examples; not changed.
        validation: `n x (e + 1)`: their embeddings and a 1.
        labels: `n` their true class ids.
        rate: eta.
    """
    barred = torch.zeros_like(inputs[:, 0])
    for _ in range(len(inputs)):
        steepness = logit_gradients(logits.softmax(1), labels).T @ validation / len(labels)
        gains = (gradients * (inputs @ steepness.T)).sum(1)
        pick = int((gains + barred).argmax())
        yield pick
        barred[pick] = -torch.inf
        logits = step(logits, validation, gradients[[pick]], inputs[[pick]], rate)


def step(
    logits: Tensor, validation: Tensor, gradients: Tensor, inputs: Tensor, rate: float
) -> Tensor:
    """Return the validation logits after one step of the last layer on some examples.

    Args:
        logits: `n x c`.
        validation: `n x (e + 1)`: embeddings of the validation examples and a 1.
        gradients: `a x c` by the logits of the examples; their sum is taken.
        inputs: `a x (e + 1)`: embeddings of the examples and a 1.
        rate: eta.
    """
    return logits - rate * (validation @ inputs.T) @ gradients
