"""What the README.txt of each hand-over says, in ASCII; nothing of the run stands in it."""

from collections.abc import Collection

_COLUMNS = """\
Columns of the manifest, in the order of choice:

  run_id, strategy, seed  what chose the image
  order                   1, 2, ... in the order of choice
  step                    the greedy step it was chosen in; step counts from 0, on the app's
                          pages from 1
  dataset_index           row in the dataset, from 0; it also names the image file
  pool_position           row in the unlabeled pool before the choice, sorted by dataset_index
  file                    name of the image file
  margin                  highest less second highest class probability; small means uncertain
  predicted_class         number of the class that the classifier guesses, from 0
  predicted_label         name of that class
  predicted_utility       what the utility model gives the batch of that step; only a ranking
"""

_REPEATS = """\
  repeats                 how many unlabeled images show nearly the same, so that this label may
                          serve them too
"""

_NAMES = """\
  original_file           the image's own file, below the folder or archive that was imported
  image_hash              SHA-256 of that file (of the pixels, where it came as an array); by it an
                          answer finds its image whatever else changes
"""

_NOTED = """\
  tags, note              what a person said of the image on the page Batch; in CSV commas stand
                          between tags
"""

_LAST = """\
  true_label              only where it was asked for: the class name that the dataset holds

What is not known is empty in CSV and null in JSON. In CSV an apostrophe stands before text that a
spreadsheet would run as a formula; JSON has all text as it is.
"""

_ARCHIVE = """\
Images chosen for labeling in one round by RAMBO.

  images/                       the images, with metadata.csv: Hugging Face reads all columns by
                                load_dataset("imagefolder", data_dir="images"). They are your own
                                files as they are, with what the camera wrote in them, where these
                                were found and wanted; else PNG of the size that RAMBO works with
  manifest.csv, manifest.jsonl  one row for each image
  run.json                      settings, versions and the fingerprint of the dataset
  dataset_index.npy             int64 rows in the dataset, in the order of choice
  label-studio/                 tasks and labeling interface for Label Studio, with a README

Where a person edited the batch, it is as the person left it, and one more column, chosen_by, says
for each image whether the strategy or the person chose it.

"""

_FIFTYONE = """\
Images chosen for labeling in one round by RAMBO, for FiftyOne. In this folder:

import json
from pathlib import Path

import fiftyone as fo

dataset = fo.Dataset.from_dir(
    dataset_dir=".", dataset_type=fo.types.FiftyOneImageClassificationDataset
)
rows = map(json.loads, Path("manifest.jsonl").read_text().splitlines())
by_file = {row["file"]: row for row in rows}
for sample in dataset.iter_samples(autosave=True):
    for field, value in by_file[Path(sample.filepath).name].items():
        if value is not None:
            sample[field] = value
session = fo.launch_app(dataset)

The labels in labels.json are null: nobody has given them yet.

"""

DISTIL = """\
Images chosen for labeling in one round by RAMBO, as DISTIL's strategies return them.

pool_position.npy  int64 rows in the unlabeled pool before the choice, which is sorted by
                   dataset_index: what select(budget) of a DISTIL strategy returns
dataset_index.npy  int64 rows in the whole dataset, for the same images

Both are in the order of choice, count from 0, and are read by numpy.load(name).
"""

CVAT = """\
Images chosen for labeling in one round by RAMBO, for CVAT.

  1. Create a task. In its Constructor choose Raw, and paste what labels.json holds: a tag for each
     class.
  2. Select files: all of images/.
  3. Open the job, choose "Tag annotation" in the menu of the workspace, and give each image one tag.
  4. Export the annotations as "CVAT for images 1.1" without images. The annotations.xml in it comes
     back by `python -m rambo label COLLECTION annotations.xml`, or on the page Label.

manifest.csv has a row for each image; its column file names the image here.
"""

_LABEL_STUDIO = """\
Images chosen for labeling in one round by RAMBO, for Label Studio.

In a new project, Settings > Labeling Interface > Code: paste label_config.xml. Then import ONE of
the two lists of tasks (at most 250,000 tasks and 200 MB at a time):

A. tasks-inline.json: the pictures are inside, nothing else is needed. (Not there for a very large
   batch.)

B. tasks.json: the tasks name the images by their address.
{serving}{storage}
{guesses}
The margin of each image is among the data of its task: highest less second highest class
probability, small means uncertain. It is no confidence, and no score. The choices stand in the
order of the class numbers, from 0.

When you are done: Export > JSON, then `python -m rambo label COLLECTION FILE`, or the page Label.
Skipped tasks and tasks without an answer are understood.
"""

_GUESSES = """
The class that the classifier guesses is ticked beforehand, as was asked for.
"""

_SERVING = """\
   Label Studio serves the images from the folder that holds images/. Set, where you start it:

     LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true
     LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=<full path of the folder that holds images/>
"""

_STORAGE = """\

   Settings > Cloud Storage > Add Source Storage > Local files: the full path of images/ itself.
   Without this the images are not found. Save it, and do not sync.
"""

_OWN = """\
   The images are loaded from the address that was given at the export; put images/ there.
"""


def label_studio(local: bool, guesses: bool) -> str:
    """Return the README for Label Studio.

    Args:
        local: the images are served by Label Studio itself, from a folder.
        guesses: f's guesses are ticked.
    """
    text = _GUESSES if guesses else ""
    if local:
        return _LABEL_STUDIO.format(serving=_SERVING, storage=_STORAGE, guesses=text)
    return _LABEL_STUDIO.format(serving=_OWN, storage="", guesses=text)


def archive(columns: Collection[str]) -> str:
    """Return what stands in an archive with these columns."""
    return _ARCHIVE + _columns(columns)


def fiftyone(columns: Collection[str]) -> str:
    """Return how FiftyOne opens the folder."""
    return _FIFTYONE + _columns(columns)


def _columns(columns: Collection[str]) -> str:
    """Return what the columns of the manifest mean."""
    names = _NAMES if "image_hash" in columns else ""
    repeats = _REPEATS if "repeats" in columns else ""
    return _COLUMNS + names + repeats + (_NOTED if "tags" in columns else "") + _LAST
