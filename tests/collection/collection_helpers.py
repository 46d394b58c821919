"""What the tests of collections share: pictures that differ clearly, folders of them, and imports."""

import dataclasses
import math
import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from rambo import config
from rambo.collection.importing import ImportOptions, import_images
from rambo.collection.records import ROLE_NAMES
from rambo.datasets import catalog
from rambo.runs.workspace import Workspace, environment

CLASSES = ("cat", "dog", "owl")


def picture(number, size=(24, 20), grey=False):
    """Return a smooth image that is unlike that of any other number."""
    draw = np.random.default_rng(number)
    shape = (4, 4) if grey else (4, 4, 3)
    low = Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8))
    return low.resize(size, Image.Resampling.BICUBIC)


def save(path, number, size=(24, 20), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(number, size).save(path, **options)
    return path


def photos(root, per_class=5, unlabeled=4):
    """Write `root/<class>/N.png` and `root/unlabeled/N.png`."""
    number = 0
    for name in (*CLASSES, "unlabeled"):
        for place in range(unlabeled if name == "unlabeled" else per_class):
            save(root / name / f"{name[0]}{place}.png", number)
            number += 1
    return root


def bring(workspace, *paths, **options):
    """Import in this process."""
    return import_images(Path(workspace), list(paths), ImportOptions(jobs=1, **options))


def roles(snapshot):
    """Return the number of images of each role by its name."""
    return {name: int((snapshot.roles == role).sum()) for role, name in ROLE_NAMES.items()}


def label_of(snapshot, file):
    """Return the class of the image that came from a file, or None."""
    label = snapshot.labels[snapshot.files.index(file)]
    return None if label < 0 else snapshot.classes[label]


def topics(result, topic):
    return [line for line in result.health if line.topic == topic]


def chosen_run(workspace, collection, batch, others=None):
    """Return a run whose strategy `random` chose these rows of a collection's newest version.

    `others` holds what was chosen beside it, by trial and strategy.
    """
    root = Path(workspace)
    data = catalog.prepare(f"collection:{collection.slug}", root)
    batches = {(0, "random"): batch} | (others or {})
    names = list(dict.fromkeys(name for _, name in batches))
    settings = {"dataset": {"name": f"collection:{data.collection}"}, "strategies": names}
    settings["trials"] = 1 + max(trial for trial, _ in batches)
    facts = environment(data, "cpu", names)
    run = Workspace(root).create(config.describe(config.build(settings)), facts)
    for (trial, name), rows in batches.items():
        count = len(rows)
        frame = {"order": range(1, count + 1), "step": [0] * count, "dataset_index": list(rows)}
        frame |= {"margin": [0.5] * count, "predicted_class": [0] * count}
        table = pd.DataFrame(frame | {"predicted_utility": [math.nan] * count})
        run.save_table(f"trial-{trial}/{name}/selection", table)
    run.set_status("done")
    return run


@dataclasses.dataclass(frozen=True)
class Deadly:
    """A loader that does what a bug in a decoder would, for a few keys."""

    root: str

    def load(self, keys):
        return [self._one(key) for key in keys]

    def _one(self, key):
        if key == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        while key == "loop":
            pass
        if key == "eat":
            return bytes(3 * 10**9)
        return (Path(self.root) / key).read_bytes()
