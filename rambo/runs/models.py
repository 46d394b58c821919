"""Final models in the workspace: made, found and read. Imports no torch.

A model lies in `models/` of the workspace as a run does, so it is started, watched, stopped and resumed like one. Its
folder also holds `report.json` and, among the artifacts, the predictions for every image and `model.zip`.
"""

import math

import pydantic

from rambo.collection import collection as collections
from rambo.config import ClassifierConfig, Settings
from rambo.datasets.prepared import Prepared
from rambo.errors import ConfigError, StoreError
from rambo.runs.run import Run
from rambo.runs.workspace import Workspace, environment

FOLDER = "models"
CLASSIFIERS = ("auto", "logistic", "mnistnet", "resnet18")
PREDICTIONS = "predictions"
_REPORT, _ZIP = "report.json", "artifacts/model.zip"


class _Record(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")


class Score(_Record):
    """An accuracy with what it was counted on."""

    correct: int
    count: int

    @property
    def accuracy(self) -> float:
        """The share of right answers in [0, 1]."""
        return self.correct / self.count

    @property
    def standard_error(self) -> float:
        """The standard error of `accuracy`.

        Choice: two right and two wrong answers are added first (Agresti and Coull 1998), or 22 of 22 would claim
        to be exact.
        """
        share = (self.correct + 2) / (self.count + 4)
        return math.sqrt(share * (1 - share) / (self.count + 4))


class ClassReport(_Record):
    """How one class fares among the judged images; None where nothing can be said.

    Attributes:
        name: of the class.
        labeled: images that taught it.
        judged: images of it that were judged.
        precision: of the images that f gives to it, the share that is of it.
        recall: of its images, the share that f gives to it.
    """

    name: str
    labeled: int
    judged: int
    precision: float | None
    recall: float | None


class Mistake(_Record):
    """An image that f was wrong about; `row` is its place in the dataset."""

    row: int
    file: str
    label: str
    guess: str
    probability: float


class Report(_Record):
    """What the final training gave.

    Attributes:
        classifier: `logistic`, `mnistnet` or `resnet18`.
        words: what was trained, and why that, in words.
        dataset: the collection and version.
        labeled: images that taught the model that was judged.
        refit: images that taught the one that is handed over, where it learned from those of S_val too, after these had
            judged; else 0: it is the one that was judged.
        validation: on S_val; None where there is none, or where it taught.
        test: on the test set; None where there is none.
        cross_validation: on every label, each judged by a model that had not learned from its fold; None where images
            enough were kept aside.
        folds: of that; 0 without.
        judged: `test`, `validation` or `cross-validation`: on which the classes, the confusion and the mistakes are
            counted.
        classes: one entry a class.
        confusion: row true class, column guess.
        mistakes: the most confident first.
        notices: what a person should know.
        onnx: `model.onnx` where the zip holds it, else why it does not.
    """

    classifier: str
    words: str
    dataset: str
    labeled: int
    validation: Score | None = None
    test: Score | None = None
    cross_validation: Score | None = None
    folds: int = 0
    judged: str = ""
    classes: tuple[ClassReport, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    notices: tuple[str, ...] = ()
    onnx: str = ""
    refit: int = 0

    def taught(self) -> str:
        """Return which labels taught the model that is handed over, in a sentence."""
        if self.refit:
            return (
                f"The model that is handed over learned from all {self.refit:,} labels, those of validation too; the "
                f"figures are of one that learned from the other {self.labeled:,}, before"
            )
        if self.validation is not None:
            return f"The {self.validation.count:,} validation labels judge the model and did not teach it"
        rest = "" if self.test is None else " but those of the test set"
        return f"All {self.labeled:,} labels{rest} taught the model"

    def judge(self) -> Score | None:
        """Return the score on the images that judged; None where nothing did."""
        scores = {
            "test": self.test,
            "validation": self.validation,
            "cross-validation": self.cross_validation,
        }
        return scores.get(self.judged)

    def sentence(self) -> str:
        """Return the accuracies with counts and standard errors on one line."""
        parts = [f"{self.labeled:,} labels"]
        folded = f"{self.folds}-fold cross-validated"
        for name, score in (
            ("validation", self.validation),
            ("test", self.test),
            (folded, self.cross_validation),
        ):
            if score is not None:
                parts.append(
                    f"{name} accuracy {score.accuracy:.1%} ({score.correct:,} of {score.count:,}, "
                    f"standard error {100 * score.standard_error:.1f} points)"
                )
        if self.refit:
            parts.append(f"then trained on all {self.refit:,} labels, those of validation too")
        if not self.judged:
            parts.append("no labeled image was kept aside, so nobody knows how good it is")
        return "; ".join(parts)

    def table(self) -> list[str]:
        """Return a line for each class."""
        lines = []
        for report in self.classes:
            shares = [
                f"{word} {share:.1%}" if share is not None else f"{word} unknown"
                for word, share in (("precision", report.precision), ("recall", report.recall))
            ]
            lines.append(f"  {report.name}: {report.labeled:,} labels, {', '.join(shares)}")
        return lines


def workspace_of(workspace: Workspace) -> Workspace:
    """Return where the models of a workspace lie."""
    return Workspace(workspace.root / FOLDER)


def is_model(run: Run) -> bool:
    """Return whether this is a final model and not an ordinary run."""
    return "model" in run.config


def settings(
    data: Prepared,
    *,
    classifier: str = "auto",
    seed: int = 0,
    device: str = "auto",
    all_labels: bool = False,
) -> Settings:
    """Return the config of a final model, as its record keeps it.

    Args:
        data: the collection's version.
        classifier: one of `CLASSIFIERS`.
        seed: of the weights and the order.
        device: on which it trains.
        all_labels: train it once more, on the labels of S_val too, when these have judged it.

    Raises:
        ConfigError: there is no such classifier.
    """
    if classifier not in CLASSIFIERS:
        raise ConfigError(
            "unknown",
            field="classifier",
            value=classifier,
            hint=f"choose one of: {', '.join(CLASSIFIERS)}",
        )
    slug, _, version = data.collection.partition("@")
    return {
        "model": {"collection": slug, "version": int(version), "all_labels": all_labels},
        "dataset": {"name": f"{collections.PREFIX}{data.collection}"},
        "classifier": ClassifierConfig(name=classifier).model_dump(),
        "compute": {"device": device},
        "seed": seed,
        "k": int(((data.roles != 0) & (data.labels >= 0)).sum()),
        "strategies": [],
        "trials": 1,
    }


def create(config: Settings, data: Prepared, workspace: Workspace, device: str) -> Run:
    """Return a new queued model.

    Args:
        config: of `settings`.
        data: the collection's version, prepared.
        workspace: of all runs.
        device: what to call it on a page.

    Raises:
        StoreError: the workspace cannot be written.
    """
    return workspace_of(workspace).create(config, environment(data, device))


def of_collection(workspace: Workspace, slug: str) -> list[Run]:
    """Return the models of a collection, the newest first; a damaged one is left out."""
    runs = []
    for run in workspace_of(workspace).runs():
        try:
            if run.config.get("model", {}).get("collection") == slug:
                runs.append(run)
        except StoreError:
            continue
    return runs


def save_report(run: Run, report: Report) -> None:
    """Write what the training gave."""
    run.save_document(_REPORT, report.model_dump_json().encode())


def load_report(run: Run) -> Report | None:
    """Return what the training gave, or None while it has not come to its end.

    Raises:
        StoreError: it is lost or damaged.
    """
    try:
        data = run.load_document(_REPORT)
        with run.naming("report"):
            return Report.model_validate_json(data)
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def save_zip(run: Run, data: bytes) -> None:
    """Write the zip with the model."""
    run.save_document(_ZIP, data)


def load_zip(run: Run) -> bytes:
    """Return the zip with the model.

    Raises:
        StoreError: it is not there, or lost or damaged.
    """
    return run.load_document(_ZIP)
