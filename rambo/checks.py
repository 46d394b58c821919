"""What must hold before a run is made: the config fits its dataset. Imports no torch, so pages can ask too."""

import numpy as np

from rambo import lineup
from rambo.collection.splits import most_pairs
from rambo.config import (
    ClassifierConfig,
    Config,
    CorruptionConfig,
    DatasetConfig,
    describe,
    restore,
)
from rambo.datasets import corruption, repeats
from rambo.datasets.prepared import LABELED, POOL, TEST, VALIDATION, Prepared
from rambo.errors import BudgetError, ConfigError, DataError, RamboError, shorten

_RESNET_SIDE = 16  # below, batch norm after three halvings meets single pixels
_GREY = (1, 28, 28)
_FEW_JUDGES = 200  # below, one image is half a point of accuracy or more
_FEWEST_JUDGES = 2  # validation images that a config can ask for


def fit(config: Config, data: Prepared) -> Config:
    """Return the config as a run on this dataset keeps it.

    Choice: of a partly labeled dataset all labeled images are S_0, so k is how many there are, and a k_1 beyond that
    becomes automatic; of few labels few different subsets can be drawn, so fewer offline pairs are. Any other dataset
    leaves the config as it is.
    """
    if not data.partly_labeled:
        return config
    # By way of plain settings, because config nodes are frozen and `restore` puts the whole together again.
    settings = describe(config)
    settings["k"] = max(2, int((data.roles == LABELED).sum()))  # fewer are refused by `check`
    # A k_1 that fits is somebody's wish and stays; one that cannot be is not worth refusing a run for.
    if (config.rambo.initial_size or 0) > settings["k"]:
        settings["rambo"]["initial_size"] = None
    offline = settings["rambo"]["offline"]
    # Of k labels only so many pairs of equal-size subsets differ; more would train the same sets again and say nothing.
    offline["pairs"] = min(offline["pairs"], most_pairs(settings["k"]) or offline["pairs"])
    return restore(settings)


def with_own_validation(config: Config, data: Prepared) -> Config:
    """Return the config with the size of the S_val that the dataset brings, as it is where it brings none.

    A run ignores the setting there; a study that varies the number of judges has to know it.
    """
    own = int((data.roles == VALIDATION).sum())
    # So few cannot be asked for as a size; the setting stays, and the run uses what there is.
    if own < _FEWEST_JUDGES:
        return config
    return config.model_copy(
        update={"dataset": config.dataset.model_copy(update={"validation_size": own})}
    )


def change_words(config: Config, data: Prepared) -> str:
    """Return in words what of the config the dataset decides otherwise; empty where it decides nothing."""
    adapted, parts = fit(config, data), []
    size = with_own_validation(config, data).dataset.validation_size
    # Said only of a size that somebody chose: nobody has to hear that a default gave way.
    if config.dataset.validation_size not in (size, DatasetConfig().validation_size):
        parts.append(f"S_val is the {size:,} validation images that {data.name} brings")
    if adapted != config:
        parts.append(_labeled_words(config, adapted, data))
    return "; ".join(parts)


def _labeled_words(config: Config, adapted: Config, data: Prepared) -> str:
    """Return in words what a partly labeled dataset changes."""
    words = f"k is {adapted.k:,}: {data.name} has that many labeled images to learn from"
    if adapted.rambo.initial_size != config.rambo.initial_size:
        words += f"; so the pretraining starts from {adapted.initial_size:,} labels"
    if adapted.rambo.offline.pairs != config.rambo.offline.pairs:
        words += f"; of so few {adapted.rambo.offline.pairs:,} offline pairs are enough"
    return words


def check(config: Config, data: Prepared) -> None:
    """Refuse a config that does not fit the dataset, before anything is written.

    What is wrong in several places is said of all of them: `RamboError.parts`.

    Raises:
        ConfigError: k is beyond the pool, the validation set leaves too little, the oracle is to err about a class
            there is not or where nobody knows the labels, or a strategy cannot work with the classifier or without
            S_val.
        BudgetError: the budget exceeds what there is to choose from.
        DataError: there is no test set, there are no labels to learn from, or f cannot read the images.
    """
    # What is checked is what would run: a k that `fit` replaces anyway can do no harm.
    config = fit(config, data)
    # Roles are fixed where labels are missing, so what is said of drawing S_val and a test set does not apply.
    own = (
        (_check_partly_labeled,)
        if data.partly_labeled
        else (_check_validation, _check_noisy_classes, _check_test)
    )
    # All are collected, so that a form marks every field at once and nobody mends one error to meet the next.
    errors: list[RamboError] = []
    for part in (_check_classifier, *own, _check_part, _check_sizes):
        if part is _check_sizes and any(e.field == "dataset.validation_size" for e in errors):
            continue  # what it leaves of the pool cannot be said
        try:
            part(config, data)
        except RamboError as error:
            errors += error.parts
    if errors:
        raise type(errors[0]).join(errors)


def _check_classifier(config: Config, data: Prepared) -> None:
    """Refuse a classifier that cannot read the images, or has no layers where a strategy taps some."""
    # LLAL's loss module reads what stands between the layers (`Classifier.tap`), which one linear head does not have.
    tapping = [name for name in config.strategies if lineup.of(name).needs_network]
    if config.classifier.name == "logistic" and tapping:
        raise ConfigError(
            "a logistic head has no layers to tap",
            field="strategies",
            value=tapping[0],
            hint=f"leave {tapping[0]} out, or choose mnistnet or resnet18 as {{classifier.name}}",
            others=("classifier.name",),
        )
    # Only asked whether it raises: the network is chosen again by whoever trains it.
    channels, height, width = data.images.shape[1:]
    resolve_classifier(config.classifier, (channels, height, width))


def _check_validation(config: Config, data: Prepared) -> None:
    """Refuse a size of S_val that cannot be drawn."""
    if (data.roles == VALIDATION).any():
        return
    classes, pool = data.num_classes, int((data.roles == POOL).sum())
    # S_val is drawn from the training images class by class: one of each at least, and one of each stays behind, with
    # one more so that something is left to choose.
    size = config.dataset.validation_size
    if size < classes or size > pool - classes - 1:
        raise ConfigError(
            f"does not fit {data.name}, which has {pool} training images",
            field="dataset.validation_size",
            value=size,
            limit=classes if size < classes else pool - classes - 1,
            hint=f"use {classes} to {pool - classes - 1}",
        )


def _check_test(config: Config, data: Prepared) -> None:
    """Refuse a dataset without test images."""
    # Test labels judge a choice and decide nothing; a simulated run without them would end with nothing to compare.
    if not (data.roles == TEST).any():
        raise DataError(
            "it has no test images",
            field="dataset.name",
            value=config.dataset.name,
            hint="add some, or let the split make them",
        )


def judging_words(data: Prepared) -> list[str]:
    """Return what a person should know of the images that judge: classes they lack, and how coarse they are."""
    if data.partly_labeled:
        return []
    words = []
    for name, role in (("validation", VALIDATION), ("test", TEST)):
        counts = np.bincount(data.labels[data.roles == role], minlength=data.num_classes)
        total = int(counts.sum())
        if not total:  # S_val is drawn class by class
            continue
        if missing := [shorten(data.classes[c], 40) for c in np.flatnonzero(counts == 0)]:
            those = ", ".join(missing[:5]) + (" and others" if len(missing) > 5 else "")
            words.append(
                f"no {name} image shows {those}: the {name} accuracy says nothing of "
                f"{'it' if len(missing) == 1 else 'them'}"
            )
        if total < _FEW_JUDGES:
            words.append(
                f"only {total} {name} images judge: one of them is {100 / total:.1f} points of accuracy"
            )
    return words


def _check_part(config: Config, data: Prepared) -> None:
    """Refuse more judges than S_val has images."""
    part, own = config.dataset.validation_part, int((data.roles == VALIDATION).sum())
    # What the dataset brings counts first; where it brings none, what the split will draw.
    most = own if own or data.partly_labeled else config.dataset.validation_size
    if part is not None and part > most:
        raise ConfigError(
            f"exceeds the {most} validation images of {data.name}",
            field="dataset.validation_part",
            value=part,
            limit=most,
            hint=f"use at most {most}, or leave it out for all",
            others=() if own else ("dataset.validation_size",),
        )


def check_judged(config: Config, data: Prepared) -> None:
    """Refuse a dataset on which nobody can tell how good a batch was.

    Raises:
        DataError: labels are missing.
    """
    if data.partly_labeled:
        raise DataError(
            f"{data.name} has images whose label nobody knows, and a study compares accuracies",
            field="dataset.name",
            value=config.dataset.name,
            hint=f"name rehearsal:{config.dataset.name}, which plays on its labeled images alone",
        )


def _check_partly_labeled(config: Config, data: Prepared) -> None:
    """Refuse what cannot be done with a dataset whose labels nobody knows."""
    labeled = int((data.roles == LABELED).sum())
    # Two, because the smallest pair of subsets that differ has one image each.
    if labeled < 2:
        raise DataError(
            f"{data.name} has {labeled} labeled image{'' if labeled == 1 else 's'} to learn from",
            field="dataset.name",
            value=config.dataset.name,
            limit=2,
            hint="label at least 2 images, better a few of every class",
        )
    # Of few labels none are set aside. Most strategies look at S_0 and U_0 alone and run all the same.
    if not (data.roles == VALIDATION).any():
        for name in config.strategies:
            if lineup.of(name).reads_validation:
                raise ConfigError(
                    f"{data.name} has no validation images, and this strategy needs some",
                    field="strategies",
                    value=name,
                    hint=f"leave {name} out, or label more images, so that a share of them can be set aside",
                )
    # The oracle compares sets by the labels of images that nobody bought: a rehearsal has them, a real pool does not.
    if config.oracle_draws:
        raise ConfigError(
            f"nobody knows the labels of {data.name}, so no oracle can answer",
            field="oracle_draws",
            value=config.oracle_draws,
            limit=0,
            hint="use 0, or rehearse on the labeled images first",
        )
    wrong, none = (
        describe(config)["dataset"]["corruption"],
        CorruptionConfig().model_dump(mode="json"),
    )
    # The source of foreign images alone brings none in, so it may stand there with any value.
    for field, value in wrong.items():
        if value != none[field] and field != "foreign_source":
            raise ConfigError(
                f"nobody knows the labels of {data.name}, so nothing can be made wrong with them",
                field=f"dataset.corruption.{field}",
                value=value,
                limit=none[field],
                hint=f"use {none[field] or 'none'}",
            )


def _check_sizes(config: Config, data: Prepared) -> None:
    """Refuse a k or a budget that the pool is too small for."""
    # After S_val is drawn and classes are made rare: what k and B have to share.
    pool = corruption.pool_size(config.dataset, data)
    # Other fields that the same error could be mended by: forms mark them, and the words name the imbalance.
    imbalance, thinned = config.dataset.corruption.imbalance, ""
    others: tuple[str, ...] = ("dataset.validation_size",)
    if imbalance != "none":
        thinned = f" under {{dataset.corruption.imbalance}} {imbalance}"
        others += ("dataset.corruption.imbalance",)
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
    # Last, because it looks at every image, while what is refused above is known from counts.
    _check_repeats(config, data)


def _check_repeats(config: Config, data: Prepared) -> None:
    """Refuse a budget beyond what can be chosen where of a group only so many images may be bought.

    Where S_0 is drawn by each trial nobody knows yet which images are left; the worker asks again.
    """
    # Without groups and near duplicates every image can be chosen, and counts have said it all.
    if not repeats.limits(config.acquisition, data):
        return
    unlabeled = np.flatnonzero(data.roles == POOL)
    # Images with a label count as bought: a near duplicate of one would be paid for twice.
    labeled = np.flatnonzero(np.isin(data.roles, (VALIDATION, TEST, LABELED)))
    settings, budget = config.acquisition, config.budget
    offer = repeats.restrict(unlabeled, labeled, data, settings, budget=budget, seed=0)
    if budget > (most := len(offer.candidates)):
        raise repeats.too_few(budget, data, settings, most=most)


def _check_noisy_classes(config: Config, data: Prepared) -> None:
    """Refuse class numbers that the dataset does not have."""
    # The config cannot know how many classes a dataset has, so numbers are compared here.
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
    # Decided by shape and not by name, so that a user's own 28 x 28 images get the network of the paper's.
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
    # Frozen features take long on a CPU, so they are computed only where something in the run reads them.
    # u_hat and its offline proxy, a logistic f, and strategies that measure distances: the only three that read them.
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
    # The convolutional extractor (A.1) has fixed widths; all other images are described by frozen features (A.2).
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
