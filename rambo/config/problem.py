"""The part of the config tree around the method: the data, how choices are judged, where the work is done."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from rambo.config.node import STORED, Node
from rambo.errors import ConfigError


class CorruptionConfig(Node):
    """What is wrong with the data: an oracle that errs, classes that are rare (Sections 5.5, B.2, B.3)."""

    # share of S_0 and U_0 whose label reads another class; S_val and test stay clean
    label_noise: Annotated[float, Field(ge=0, le=0.9, allow_inf_nan=False)] = 0.0
    noisy_classes: tuple[Annotated[int, Field(ge=0, le=9999)], ...] = ()  # Choice: empty is all
    # 3 of 10 classes keep 80 % (the paper's words) or 10 % (GLISTER's code) of S_0 and U_0
    imbalance: Literal["none", "paper", "glister"] = "none"
    # share of U_0 that belongs to no class; the oracle answers "none of these", and the label is spent
    foreign: Annotated[float, Field(ge=0, le=0.9, allow_inf_nan=False)] = 0.0
    # the dataset they come from; Choice: digits among clothes, else clothes, which are shipped
    foreign_source: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    # share of U_0 that nearly repeats another image of it, 19 frames each of as many scenes as that takes
    copies: Annotated[float, Field(ge=0, le=0.8, allow_inf_nan=False)] = 0.0

    @pydantic.model_validator(mode="after")
    def _one_kind_of_dirt(self) -> "CorruptionConfig":
        """Refuse foreign images and near copies in one pool: what they waste would be told as one."""
        if self.foreign and self.copies:
            raise ValueError(
                ConfigError(
                    "near copies are not mixed with foreign images",
                    field="dataset.corruption.copies",
                    value=self.copies,
                    limit=0,
                    hint="set it or {dataset.corruption.foreign} to 0",
                    others=("dataset.corruption.foreign",),
                )
            )
        return self


class DatasetConfig(Node):
    """Which images, and how many are held out."""

    name: Annotated[str, Field(min_length=1, max_length=1000)] = "fashion-mnist-mini"
    validation_size: Annotated[int, Field(ge=2, le=100_000)] = 1000  # Section 5.1
    # frozen extractor for images not 28 x 28 grey
    features: Literal["auto", "resnet18", "efficientnet-lite0"] = "auto"
    # Choice: side the images are resized to for it
    feature_resolution: Annotated[int, Field(ge=16, le=512)] = 64
    # a file of torchvision's ResNet-18 weights
    feature_weights: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    corruption: CorruptionConfig = CorruptionConfig()
    # of S_val, how many judge: a nested part, all else as it is (Table 2); none: all of it
    validation_part: Annotated[int, Field(ge=2, le=100_000)] | None = None

    @pydantic.model_validator(mode="after")
    def _weights_fit_the_network(self) -> "DatasetConfig":
        """Refuse weights for a network that is not used."""
        if self.feature_weights is not None and self.features == "efficientnet-lite0":
            raise ValueError(
                ConfigError(
                    "these are weights of ResNet-18",
                    field="dataset.feature_weights",
                    value=self.feature_weights,
                    hint="choose resnet18 or auto as {dataset.features}, or leave the weights out",
                    others=("dataset.features",),
                )
            )
        return self


class EvaluationConfig(Node):
    """How choices are made comparable, and judged once their labels are revealed."""

    # paired: cells and controls share whatever chance decides; first: as version 0.1 drew, for its stored runs
    draws: Literal["paired", "first"] = "paired"

    # trainings of f on S_1 whose mean accuracy counts; the paper: one. One of 400 images is noise of about a point.
    repeats: Annotated[int, Field(ge=1, le=20)] = 1


class ComputeConfig(Node):
    """Where the work is done; never part of the result on a CPU."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    # worker processes on a CPU; one per core where not given
    jobs: Annotated[int, Field(ge=1, le=1024)] | None = None
    backend: Literal["loky", "dask"] = "loky"  # joblib's; dask reaches a cluster
    # of the cluster's scheduler; one on this machine where not given
    address: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    # classifiers side by side; a GPU: 256 MnistNets, 64 ResNets; a CPU: one after the other
    slots: Annotated[int, Field(ge=1, le=4096)] | None = None
    precision: Literal["float32", "tf32"] = "float32"  # of the trainings on a GPU

    @pydantic.model_validator(mode="before")
    @classmethod
    def _ray_error(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        """Refuse ray, which version 0.1 offered and nobody ran; a stored run that names it is still shown."""
        if not isinstance(value, Mapping) or value.get("backend") != "ray":
            return value
        if info.context != STORED:
            check_offered({"compute": value})
        return {**value, "backend": "loky", "address": None}


def check_offered(settings: Mapping[str, Any]) -> None:
    """Refuse to work on stored settings that an older version offered and this one does not.

    Raises:
        ConfigError: they name ray.
    """
    if settings.get("compute", {}).get("backend") == "ray":
        raise ConfigError(
            "is no longer offered", field="compute.backend", value="ray", hint="choose loky or dask"
        )
