"""What must hold before a run is made: the config fits its dataset. Imports no torch, so pages can ask too."""

from rambo import lineup
from rambo.config import ClassifierConfig, Config
from rambo.datasets import corruption
from rambo.datasets.prepared import POOL, TEST, VALIDATION, Prepared
from rambo.errors import BudgetError, ConfigError, DataError

_RESNET_SIDE = 16  # below, batch norm after three halvings meets single pixels
_GREY = (1, 28, 28)


def check(config: Config, data: Prepared) -> None:
    """Refuse a config that does not fit the dataset, before anything is written.

    Raises:
        ConfigError: k is below the number of classes or beyond the pool, the validation set leaves too little, the
            oracle is to err about a class there is not, or a strategy cannot work with the classifier.
        BudgetError: the budget exceeds what k leaves unlabeled.
        DataError: a class has no image in the pool, there is no test set, or f cannot read the images.
    """
    tapping = [name for name in config.strategies if lineup.of(name).needs_network]
    if config.classifier.name == "logistic" and tapping:
        raise ConfigError(
            "a logistic head has no layers to tap",
            field="strategies",
            value=tapping[0],
            hint=f"leave {tapping[0]} out, or choose mnistnet or resnet18 as {{classifier.name}}",
            others=("classifier.name",),
        )
    channels, height, width = data.images.shape[1:]
    resolve_classifier(config.classifier, (channels, height, width))
    classes = data.num_classes
    pool = int((data.roles == POOL).sum())
    if not (data.roles == VALIDATION).any():
        size = config.dataset.validation_size
        if size < classes or size > pool - classes - 1:
            raise ConfigError(
                f"does not fit {data.name}, which has {pool} training images",
                field="dataset.validation_size",
                value=size,
                limit=classes if size < classes else pool - classes - 1,
                hint=f"use {classes} to {pool - classes - 1}",
            )
    _check_noisy_classes(config, data)
    _check_sizes(config, data)
    present = set(data.labels[data.roles == POOL].tolist())
    for label, name in enumerate(data.classes):
        if label not in present:
            raise DataError(
                f"its class {name!r} has no image in the pool",
                field="dataset.name",
                value=config.dataset.name,
                hint="remove the class",
            )
    if not (data.roles == TEST).any():
        raise DataError(
            "it has no test images",
            field="dataset.name",
            value=config.dataset.name,
            hint="add some, or let the split make them",
        )


def _check_sizes(config: Config, data: Prepared) -> None:
    """Refuse a k or a budget that the pool is too small for."""
    classes, pool = data.num_classes, corruption.pool_size(config.dataset, data)
    imbalance, thinned = config.dataset.corruption.imbalance, ""
    others: tuple[str, ...] = ("dataset.validation_size",)
    if imbalance != "none":
        thinned = f" under {{dataset.corruption.imbalance}} {imbalance}"
        others += ("dataset.corruption.imbalance",)
    if config.k < classes:
        raise ConfigError(
            f"is below the {classes} classes of {data.name}",
            field="k",
            value=config.k,
            limit=classes,
            hint=f"use at least {classes}, so that every class has a labeled image",
        )
    if config.k >= pool:
        raise ConfigError(
            f"leaves nothing to choose from: the pool of {data.name} has {pool} images{thinned}",
            field="k",
            value=config.k,
            limit=pool - 1,
            hint=f"use at most {pool - 1}",
            others=others,
        )
    if config.budget > pool - config.k:
        raise BudgetError(
            f"exceeds the {pool - config.k} unlabeled images of {data.name} "
            f"that {{k}} {config.k} leaves{thinned}",
            field="budget",
            value=config.budget,
            limit=pool - config.k,
            hint=f"lower it to at most {pool - config.k}",
            others=("k", *others),
        )


def _check_noisy_classes(config: Config, data: Prepared) -> None:
    """Refuse class numbers that the dataset does not have."""
    last = data.num_classes - 1
    for number in config.dataset.corruption.noisy_classes:
        if number > last:
            raise ConfigError(
                f"{data.name} has classes 0 to {last}",
                field="dataset.corruption.noisy_classes",
                value=number,
                limit=last,
                hint="name others, or none for all",
            )


def resolve_classifier(config: ClassifierConfig, shape: tuple[int, int, int]) -> ClassifierConfig:
    """Return the config with `auto` replaced: MnistNet for 28 x 28 grey images, else ResNet-18.

    Args:
        config: possibly with name `auto`.
        shape: `C, H, W` of the images.

    Raises:
        DataError: the network cannot read such images.
    """
    grey, size = shape == _GREY, " x ".join(map(str, shape))
    name = config.name
    if name == "auto":
        name = "mnistnet" if grey else "resnet18"
    if name == "mnistnet" and not grey:
        raise DataError(
            f"images are {size}, not 1 x 28 x 28",
            field="classifier.name",
            value=name,
            hint="use resnet18",
        )
    if name == "resnet18" and min(shape[1:]) < _RESNET_SIDE:
        raise DataError(
            f"images are {size}, and it needs sides of {_RESNET_SIDE} pixels or more",
            field="classifier.name",
            value=name,
            limit=_RESNET_SIDE,
            hint="enlarge the images",
        )
    return config.model_copy(update={"name": name})


def wants_features(config: Config, data: Prepared) -> bool:
    """Return whether anything in a run reads frozen features, so that they have to be computed first.

    Raises:
        ConfigError: the convolutional extractor was asked for images it cannot read.
    """
    learns = lineup.learners(config.strategies)
    measures = any(lineup.of(name).measures_distances for name in config.strategies)
    return (
        bool(learns and (reads_features(config, data) or config.rambo.offline.proxy))
        or config.classifier.name == "logistic"
        or (measures and looks_at_features(config, data))
    )


def reads_features(config: Config, data: Prepared) -> bool:
    """Return whether u_hat and OT read frozen features (A.2) and not pixels (A.1).

    Raises:
        ConfigError: the convolutional extractor was asked for images it cannot read.
    """
    extractor = config.rambo.utility_model.extractor
    grey = data.images.shape[1:] == _GREY
    if extractor == "conv" and not grey:
        raise ConfigError(
            f"reads 28 x 28 grey images, not {data.name}",
            field="rambo.utility_model.extractor",
            value=extractor,
            hint="use features",
        )
    return extractor == "features" or not grey


def looks_at_features(config: Config, data: Prepared) -> bool:
    """Return whether the strategies that know distances take them between frozen features, not embeddings of f."""
    space = config.rivals.space
    return space == "features" or (space == "auto" and reads_features(config, data))
