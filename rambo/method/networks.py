"""The networks: two classifiers f and the set network u_hat.

A batch of sets is a matrix: with average pooling, `s` sets over `N` images are a row-normalised membership matrix
`s x N`, and their embeddings are `rho(M @ psi(x))`, so each image is embedded once however many sets hold it.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rambo.datasets import vision_sets


class MnistNet(nn.Module):
    """The LeNet-like classifier for 28 x 28 grey images.

    Source: Section 5.1; layers as in DISTIL's MnistNet. Choice: element-wise dropout on the vector, where the
    original's channel dropout does the same and is deprecated; pooling before the ReLU, which is the same function.
    """

    width = 128
    tapped = (32, 64, 128)  # channels of the taps

    def __init__(self, channels: int, num_classes: int) -> None:
        """Draw fresh weights from torch's ambient generator."""
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.dropout1 = nn.Dropout2d(0.25)
        self.fc1 = nn.Linear(9216, self.width)
        self.dropout2 = nn.Dropout(0.5)
        self.head = nn.Linear(self.width, num_classes)

    def embed(self, images: Tensor) -> Tensor:
        """Return the penultimate layer, `a x C x 28 x 28` -> `a x 128`."""
        return self.dropout2(self._layers(images)[-1])

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `a x C x 28 x 28` -> `a x c`."""
        return self.head(self.embed(images))

    def tap(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the three hidden layers and the logits of one pass.

        Choice: the learning loss is published for ResNet-18 only; here it reads every layer after its ReLU.

        Returns:
            `a x 32 x 26 x 26`, `a x 64 x 12 x 12` and `a x 128` before dropout; logits `a x c`.
        """
        taps = self._layers(images)
        return taps, self.head(self.dropout2(taps[-1]))

    def _layers(self, images: Tensor) -> list[Tensor]:
        """Return both convolutions and the vector, each after its ReLU."""
        first = F.relu(self.conv1(images))
        second = F.relu(F.max_pool2d(self.conv2(first), 2))
        return [first, second, F.relu(self.fc1(self.dropout1(second).flatten(1)))]


class ResNet18(nn.Module):
    """ResNet-18 with a 3 x 3 stem of stride 1 and no max-pool, from scratch.

    Source: Section 5.1. Choice: DISTIL's form for 32 x 32 images; the 7 x 7 stem is poor at that size.
    """

    width = 512
    tapped = (64, 128, 256, 512)  # channels of the taps

    def __init__(self, channels: int, num_classes: int) -> None:
        """Draw fresh weights from torch's ambient generator."""
        super().__init__()
        self.body = vision_sets.load("torchvision.models").resnet18(num_classes=num_classes)
        self.body.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        self.body.maxpool = nn.Identity()
        self.body.fc = nn.Identity()
        self.head = nn.Linear(self.width, num_classes)

    def embed(self, images: Tensor) -> Tensor:
        """Return the average-pooled last block, `a x C x H x W` -> `a x 512`."""
        embedded: Tensor = self.body(images)
        return embedded

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `a x C x H x W` -> `a x c`."""
        return self.head(self.embed(images))

    def tap(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the outputs of the four blocks and the logits of one pass.

        Source: Yoo and Kweon 2019.

        Returns:
            64, 128, 256 and 512 channels, each at half the side of the one before; logits `a x c`.
        """
        body, taps = self.body, []
        hidden = body.relu(body.bn1(body.conv1(images)))
        for layer in (body.layer1, body.layer2, body.layer3, body.layer4):
            hidden = layer(hidden)
            taps.append(hidden)
        return taps, self.head(body.avgpool(hidden).flatten(1))


Classifier = MnistNet | ResNet18
CLASSIFIERS: dict[str, type[MnistNet] | type[ResNet18]] = {
    "mnistnet": MnistNet,
    "resnet18": ResNet18,
}


class LossModule(nn.Module):
    """Predicts the loss of each image from the taps of a classifier.

    Source: Yoo and Kweon 2019: each tap is averaged over its pixels and put through a layer and a ReLU; all together
    give one number.
    """

    def __init__(self, tapped: Sequence[int], width: int) -> None:
        """Draw fresh weights from torch's ambient generator; one layer of `width` a tap."""
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(channels, width) for channels in tapped)
        self.head = nn.Linear(len(tapped) * width, 1)

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """Return predicted losses `a` from taps `a x channels` or `a x channels x height x width`."""
        pooled = [tap.unsqueeze(2).flatten(2).mean(2) for tap in taps]  # a vector is one pixel
        hidden = [F.relu(layer(tap)) for layer, tap in zip(self.layers, pooled, strict=True)]
        predicted: Tensor = self.head(torch.cat(hidden, 1))[:, 0]
        return predicted


class ConvElements(nn.Module):
    """The element network psi for 28 x 28 grey images.

    Source: A.1, steps 1-11. Choice: the list leaves out the second convolution and all widths; 8 and 16 channels of
    5 x 5 (whole vector registers: second derivatives cost 40 % less than with 10 and 20), then 128 and 64 units;
    element-wise dropout on the vector. The first dropout stands between the first ReLU and the next layer, as steps 3
    to 5 read; the stock example that the list resembles drops channels after its second convolution.
    """

    width = 64

    def __init__(self, dropout: float) -> None:
        """Draw fresh weights from torch's ambient generator."""
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 5)
        self.conv2 = nn.Conv2d(8, 16, 5)
        self.dropout1 = nn.Dropout2d(dropout)
        self.fc1 = nn.Linear(256, 128)
        self.dropout2 = nn.Dropout(dropout)
        self.fc2 = nn.Linear(128, self.width)

    def forward(self, images: Tensor) -> Tensor:
        """Return element embeddings, `N x 1 x 28 x 28` -> `N x 64`."""
        hidden = self.dropout1(F.relu(F.max_pool2d(self.conv1(images), 2)))
        hidden = F.relu(F.max_pool2d(self.conv2(hidden), 2)).flatten(1)
        hidden = self.dropout2(F.relu(self.fc1(hidden)))
        return F.relu(self.fc2(hidden))


class FeatureElements(nn.Module):
    """The element network psi over frozen features.

    Source: A.2. Choice: widths 128 and 64.
    """

    width = 64

    def __init__(self, features: int) -> None:
        """Draw fresh weights from torch's ambient generator."""
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, 128), nn.ReLU(), nn.Linear(128, self.width))

    def forward(self, features: Tensor) -> Tensor:
        """Return element embeddings, `N x d` -> `N x 64`."""
        embedded: Tensor = self.layers(features)
        return embedded


class MeanPooling(nn.Module):
    """Average over the members of each set (A.3)."""

    def forward(self, elements: Tensor, membership: Tensor) -> Tensor:
        """Return pooled sets, `N x d` and `s x N` -> `s x d`."""
        return membership @ elements


class Attention(nn.Module):
    """Multihead attention block MAB(Q, K) of the Set Transformer, with masked keys.

    Source: Lee et al. 2019. The scale is the square root of the whole width, as in the authors' code; no layer norm.
    """

    def __init__(self, width: int, heads: int) -> None:
        """Draw fresh weights from torch's ambient generator."""
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return `s x q x d` from queries `s x q x d`, keys `s x a x d` and key mask `s x a` (true = member)."""
        query = self.query(queries)

        def split(values: Tensor) -> Tensor:
            return values.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # s x heads x a x d/heads

        logits = split(query) @ split(self.key(keys)).transpose(-1, -2) / math.sqrt(query.shape[-1])
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None, None, :], -math.inf)
        mixed = (logits.softmax(-1) @ split(self.value(keys))).transpose(1, 2).flatten(2)
        hidden = query + mixed
        return hidden + F.relu(self.output(hidden))


class AttentionPooling(nn.Module):
    """Set Transformer pooling: one induced self-attention block, then attention with one seed.

    Sets are gathered into a padded `s x a x d` block; padding is masked as a key, so it never changes a set.
    """

    def __init__(self, width: int, heads: int = 4, inducing: int = 16) -> None:
        """Draw fresh weights from torch's ambient generator."""
        super().__init__()
        self.inducing = nn.Parameter(torch.empty(1, inducing, width))
        self.seed = nn.Parameter(torch.empty(1, 1, width))
        nn.init.xavier_uniform_(self.inducing)
        nn.init.xavier_uniform_(self.seed)
        self.gather, self.spread, self.pool = (Attention(width, heads) for _ in range(3))

    def forward(self, elements: Tensor, membership: Tensor) -> Tensor:
        """Return pooled sets, `N x d` and `s x N` -> `s x d`."""
        members = membership > 0
        largest = int(members.sum(1).max())
        index = members.byte().argsort(dim=1, descending=True, stable=True)[:, :largest]  # s x a
        return self.pool_padded(elements[index], members.gather(1, index))

    def pool_padded(self, block: Tensor, mask: Tensor) -> Tensor:
        """Return pooled sets from padded members, `s x a x d` and mask `s x a` -> `s x d`."""
        sets = len(block)
        induced = self.gather(self.inducing.expand(sets, -1, -1), block, mask)
        mixed = self.spread(block, induced)
        pooled: Tensor = self.pool(self.seed.expand(sets, -1, -1), mixed, mask)
        return pooled[:, 0]


class SetPrediction(NamedTuple):
    """What u_hat says of `s` sets: `embedding` s x h, `utility` s (any scale), `transport` s (offline means)."""

    embedding: Tensor
    utility: Tensor
    transport: Tensor


class Reference(NamedTuple):
    """The labeled pool as u_hat sees it: its pooled embedding `center` 1 x d, and the unit of difference `scale`."""

    center: Tensor
    scale: Tensor


class SetNetwork(nn.Module):
    """The multi-task set network u_hat: elements psi, pooling, rho, one head for utility and one for OT.

    Source: A.3; phi(S) = rho(pool psi(x)) is the set embedding. Choice: rho has widths 64 and 32; the rank head is
    the two-layer head of B.5, so that the ablation of RankNet changes the loss only.

    Choice: rho reads the difference of a set from the labeled pool, in standard errors of a random set of that size.
    Means of a hundred images differ by a few per cent of what they share; without this the heads saw equal inputs
    and the ranking loss stayed at log 2 (0.693) through a whole run.
    """

    width = 32

    def __init__(
        self, elements: ConvElements | FeatureElements, pooling: Literal["mean", "attention"]
    ) -> None:
        """Draw fresh weights from torch's ambient generator."""
        super().__init__()
        inner = elements.width
        self.elements = elements
        self.pooling = MeanPooling() if pooling == "mean" else AttentionPooling(inner)
        self.rho = nn.Sequential(nn.Linear(inner, inner), nn.ReLU(), nn.Linear(inner, self.width))
        self.utility_head, self.transport_head = (
            nn.Sequential(nn.Linear(self.width, self.width), nn.ReLU(), nn.Linear(self.width, 1))
            for _ in range(2)
        )

    def refer(self, elements: Tensor) -> Reference:
        """Return the reference of a labeled pool, from its element embeddings `k x d`."""
        count = len(elements)
        center = self.pooling(elements, elements.new_full((1, count), 1 / count))
        spread = (elements - elements.mean(0)).square().mean().sqrt()
        return Reference(center, spread / math.sqrt(count) + 1e-6)

    def predict_pooled(self, pooled: Tensor, reference: Reference) -> SetPrediction:
        """Return the predictions for pooled sets `s x d`."""
        embedding = self.rho((pooled - reference.center) / reference.scale)
        return SetPrediction(
            embedding, self.utility_head(embedding)[:, 0], self.transport_head(embedding)[:, 0]
        )

    def forward(self, inputs: Tensor, membership: Tensor) -> SetPrediction:
        """Return the predictions for `s` sets of labeled images.

        Args:
            inputs: `k x ...` normalised images or frozen features of the whole labeled pool.
            membership: `s x k`, rows normalised.
        """
        elements = self.elements(inputs)
        return self.predict_pooled(self.pooling(elements, membership), self.refer(elements))
