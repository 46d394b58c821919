"""The Python door: choose images, compare strategies, rehearse on one's own labels, open what was done before.

Everything here is also `rambo.choose`, `rambo.compare`, ...: the package loads this module when one of them is asked
for, and torch when something is trained.
"""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rambo.api import door, markup
from rambo.api import settings as typed
from rambo.api.choice import Choice
from rambo.api.comparison import Comparison
from rambo.api.decorator import strategy
from rambo.api.markup import Markup
from rambo.api.record import RunList, StoredRun
from rambo.calls import checked
from rambo.config import Config, Settings
from rambo.datasets.prepared import LABELED, POOL, Prepared
from rambo.errors import ConfigError, DataError, RunNotFoundError
from rambo.interrupts import whole
from rambo.runs.workspace import Workspace
from rambo.text import perhaps

__all__ = ["choose", "compare", "load", "open", "rehearse", "runs", "show", "strategy"]

Folder = str | os.PathLike[str]
_RIVALS = ("rambo", "filter-only", "margin", "random")
_NAMES = "give the name of a dataset, such as 'fashion-mnist-mini', or the path of a folder"
_TRIALS = 5  # the fewest that can be evidence


@checked
def choose(
    images: Any,
    labels: Any = None,
    budget: int | None = None,
    strategy: Any = "rambo",
    *,
    known: Any = None,
    validation: tuple[Any, Any] | None = None,
    test: tuple[Any, Any] | None = None,
    classes: Sequence[str] | None = None,
    name: str = "images",
    preset: str | None = None,
    workspace: Folder | None = None,
    progress: bool = True,
    fresh: bool = False,
    **settings: Any,
) -> Choice:
    """Return the images that a strategy would have labeled for a budget; the run is kept like any other.

    Where the same was asked before, that run is gone on with, or its choice returned.

    >>> chosen = choose(images, labels, budget=4, strategy="margin", progress=False, **quickly)
    >>> chosen.indices.shape, chosen.images().shape
    ((4,), (4, 28, 28))
    >>> bool((labels[chosen.indices] == -1).all())
    True
    >>> list(chosen.table().columns[:3])
    ['order', 'step', 'dataset_index']

    Args:
        images: `N x H x W`, `N x H x W x C` or `N x C x H x W`, numpy or a tensor, bytes or floats in [0, 1]; or the
            name of a dataset (`fashion-mnist-mini`), of a collection (`collection:pets`), a folder, zip or `.npz` file.
        labels: of arrays: `N` numbers or texts, and -1, None, NaN or a mask where nobody knows. Where all are known
            the run plays: it hides them, buys `budget` of them, and says how good that was.
        budget: how many labels to buy: 500, or what the preset says.
        strategy: a name, or a function under `@rambo.strategy`.
        known: `N` bool beside `labels`: False hides a label; True stands only where there is one.
        validation: images and labels of S_val; a share of the labels where not given.
        test: images and labels that judge the choice.
        classes: names of the classes 0, 1, ...
        name: what to call the arrays.
        preset: `demo`, `quick` or `paper`.
        workspace: folder of all runs; RAMBO_HOME or `runs` where not given.
        progress: draw a progress bar.
        fresh: start anew even if the same was done before.
        settings: any other field of the config: `k=50`, `seed=1`, `rambo__offline__pairs=20`.

    Raises:
        RamboError: an argument is wrong; the error names it and the way out.
        Interrupted: the kernel was interrupted; the same call goes on.
    """
    names = typed.names_of(strategy)
    if len(names) != 1:
        raise ConfigError(
            "is not one", field="strategy", value=names, hint="give one, or use rambo.compare"
        )
    arrays = (labels, known, validation, test, classes, name)
    run = _run(images, arrays, budget, names, preset, workspace, progress, fresh, settings)
    return Choice(run)


@checked
def compare(
    images: Any,
    labels: Any = None,
    budget: int | None = None,
    strategies: Any = _RIVALS,
    trials: int = _TRIALS,
    *,
    validation: tuple[Any, Any] | None = None,
    test: tuple[Any, Any] | None = None,
    classes: Sequence[str] | None = None,
    name: str = "images",
    preset: str | None = None,
    workspace: Folder | None = None,
    progress: bool = True,
    fresh: bool = False,
    **settings: Any,
) -> Comparison:
    """Return several strategies on the same labels and seeds, with the paired verdict.

    >>> both = compare(images, truth, 4, ["margin", "random"], trials=2, progress=False, **quickly)
    >>> both.table()["strategy"].tolist()
    ['Margin', 'Random']
    >>> both.verdict.startswith("Margin cannot be told apart yet from Random:")
    True

    Args:
        images: as in `choose`; every label has to be known.
        labels: as in `choose`.
        budget: as in `choose`.
        strategies: names or functions, the first one compared with each other; `all` of RAMBO's own.
        trials: how many times, each with another S_0; fewer than five are no evidence.
        validation: as in `choose`.
        test: as in `choose`.
        classes: as in `choose`.
        name: as in `choose`.
        preset: as in `choose`.
        workspace: as in `choose`.
        progress: as in `choose`.
        fresh: as in `choose`.
        settings: as in `choose`.

    Raises:
        RamboError: an argument is wrong; the error names it and the way out.
        Interrupted: the kernel was interrupted; the same call goes on.
    """
    arrays = (labels, None, validation, test, classes, name)
    names = typed.names_of(strategies, "strategies")
    door.several("strategies", names)
    settings = settings | {"trials": trials}
    run = _run(images, arrays, budget, names, preset, workspace, progress, fresh, settings, True)
    return Comparison(run)


@checked
def rehearse(
    images: Any,
    labels: Any = None,
    budget: int | None = None,
    strategies: Any = _RIVALS,
    trials: int = _TRIALS,
    *,
    known: Any = None,
    classes: Sequence[str] | None = None,
    name: str = "images",
    preset: str | None = None,
    workspace: Folder | None = None,
    progress: bool = True,
    **settings: Any,
) -> Comparison:
    """Return the same game played inside the labels at hand, before anything is paid: who wins on one's own images?

    Args:
        images: as in `choose`; some labels are unknown.
        labels: as in `choose`.
        budget: of the real choice; the rehearsal's is as much smaller as there are fewer images.
        strategies: as in `compare`.
        trials: how many times; fewer than five are no evidence.
        known: as in `choose`.
        classes: as in `choose`.
        name: as in `choose`.
        preset: as in `choose`.
        workspace: as in `choose`.
        progress: as in `choose`.
        settings: as in `choose`.

    Raises:
        RamboError: an argument is wrong, or there are too few labels to play with.
    """
    with whole():
        from rambo.api import working
        from rambo.datasets import catalog, rehearsal

    names = typed.names_of(strategies, "strategies")
    door.several("strategies", names)
    place, progress = door.workspace_at(workspace), door.flag("progress", progress)
    typed.check_arguments(settings)
    arrays = (labels, known, None, None, classes, name)
    with door.interruptible(), door.in_words_of_python():
        dataset, defaults = _dataset(images, arrays, place, progress)
        data = catalog.prepare(dataset, place.root)
        real = typed.build(dataset, budget, names, preset, settings | {"trials": trials}, defaults)
        config = rehearsal.scaled(real, data, rehearsal.derive(data, place.root, dataset))
    return Comparison(working.run_of(config, place, progress=progress, fresh=False))


@checked
def load(name: str, *, workspace: Folder | None = None) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the images to choose from of a dataset, their labels (-1 where nobody knows) and the class names.

    >>> pictures, numbers, classes = load("fashion-mnist-mini")
    >>> pictures.shape, pictures.dtype, classes[int(numbers[0])] in classes
    ((8000, 28, 28), dtype('uint8'), True)

    Args:
        name: as in `choose`.
        workspace: as in `choose`.

    Raises:
        DataError: there is no such dataset.
    """
    from rambo.datasets import catalog

    place = door.workspace_at(workspace)
    text = door.path_of("name", name, _NAMES)
    with door.in_words_of_python("name"):
        data = catalog.prepare(_named(text, place, False), place.root)
    rows = np.isin(data.roles, (POOL, LABELED))
    images = np.array(data.images[rows])
    images = images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)
    return images, np.array(data.labels[rows]), list(data.classes)


@checked
def show(images: Any) -> Markup:
    """Return images as one picture that a notebook shows, 20 a row.

    >>> str(show(images[:3])).startswith("<img alt='3 images'")
    True

    Args:
        images: as in `choose`, some hundreds at most.

    Raises:
        DataError: they are no images.
    """
    from rambo.datasets import arguments

    if isinstance(images, str | os.PathLike):
        hint = "give the images themselves: rambo.load(NAME)[0] has those of a dataset"
        raise DataError("is a name", field="images", value=images, hint=hint)
    pixels = arguments.pixels_of("images", images)
    tiles = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    return Markup(markup.thumbnails(tiles, f"{len(tiles)} images"))


@checked
def open(run: str, *, workspace: Folder | None = None) -> StoredRun:
    """Return a run of the workspace by its name.

    >>> stored = open(runs()[0].id)
    >>> stored.status
    'done'

    Raises:
        RunNotFoundError: there is none of that name.
    """
    place = door.workspace_at(workspace)
    record = getattr(run, "run", run)
    name = str(getattr(record, "id", record))
    try:
        with door.in_words_of_python():
            return StoredRun(place.find(name))
    except RunNotFoundError as error:
        error.hint = f"{perhaps(name, place.ids())}{error.hint}"
        raise


@checked
def runs(*, workspace: Folder | None = None) -> RunList:
    """Return all runs of the workspace, the newest first.

    >>> runs()[0]
    <Run arrays-...: done>
    """
    return RunList(door.workspace_at(workspace).runs())


def _run(
    images: Any,
    arrays: tuple[Any, ...],
    budget: int | None,
    names: Sequence[str],
    preset: str | None,
    folder: Folder | None,
    progress: bool,
    fresh: bool,
    settings: Settings,
    judged: bool = False,
) -> Any:
    """Return the finished run of a call."""
    with whole():
        from rambo.api import working  # torch: from here on it is needed

    place = door.workspace_at(folder)
    progress, fresh = door.flag("progress", progress), door.flag("fresh", fresh)
    typed.check_arguments(settings)
    with door.interruptible(), door.in_words_of_python():
        dataset, defaults = _dataset(images, arrays, place, progress)
        config: Config = typed.build(dataset, budget, names, preset, settings, defaults)
        if judged:
            _check_judged(dataset, place)
    return working.run_of(config, place, progress=progress, fresh=fresh)


def _dataset(
    images: Any, arrays: tuple[Any, ...], place: Workspace, progress: bool
) -> tuple[str, Settings]:
    """Return the name of the dataset that was given, and what it makes of settings nobody gave."""
    from rambo.datasets import catalog, in_memory

    labels, known, validation, test, classes, name = arrays
    if isinstance(images, str | os.PathLike):
        lists = {"labels": labels, "known": known, "validation": validation, "test": test}
        for argument, value in (lists | {"classes": classes}).items():
            if value is not None:
                raise ConfigError(
                    "stands beside the name of a dataset, which has its own",
                    field=argument,
                    hint="leave it out, or give images as an array",
                )
        text = door.path_of("images", images, _NAMES)
        dataset = _named(text, place, progress)
        return dataset, _defaults(catalog.prepare(dataset, place.root))

    own, data = in_memory.keep(
        images,
        labels,
        place.root,
        known=known,
        validation=validation,
        test=test,
        classes=door.class_names(classes),
        name=door.text_of("name", name, "give a text"),
    )
    parts = [
        part for part, pair in (("validation", validation), ("test", test)) if pair is not None
    ]
    for sentence in in_memory.doubts(data, parts):
        warnings.warn(sentence, stacklevel=5)
    return own, _defaults(data)


def _defaults(data: Prepared) -> Settings:
    """Return what a dataset makes of settings that nobody gave."""
    if data.partly_labeled:  # all that is labeled is S_0
        return {"k": max(2, int((data.roles == LABELED).sum()))}
    size = max(len(data.classes), min(1000, int((data.roles == POOL).sum()) // 5))
    return {"dataset.validation_size": size}


def _named(name: str, place: Workspace, progress: bool) -> str:
    """Return the name of a dataset, importing a folder, a zip or a table as a collection first."""
    from rambo.datasets import catalog

    path = Path(name).expanduser()
    if not path.exists() and ({"/", os.sep} & set(name) or name.startswith("~")):
        raise DataError(
            "no such file or folder",
            field="images",
            value=path,
            hint="correct it"
            + ("" if path.is_absolute() else f"; {Path.cwd()} is where it begins"),
        )
    if name in catalog.CATALOG or path.suffix.lower() == ".npz" or not path.exists():
        return catalog.pinned(name, place.root)
    from rambo.api.bar import Bar
    from rambo.collection import importing

    bar = Bar(progress)
    try:
        result = importing.import_images(place.root, path, emit=bar, wait=True)
    finally:
        bar.close()
    slug = result.collection.slug
    if result.changed:
        door.note(place, "import", f"{slug}@{result.version}")
    return catalog.pinned(f"collection:{slug}", place.root)


def _check_judged(dataset: str, place: Workspace) -> None:
    """Refuse to compare where nobody can tell how good a choice was."""
    from rambo.datasets import catalog

    if catalog.prepare(dataset, place.root).partly_labeled:
        raise DataError(
            "some are unknown, so no choice can be judged",
            field="labels",
            hint="use rambo.rehearse, which plays inside the labels at hand",
        )
