"""The process that trains a final model: on every label but those kept aside, measured on these, packed to be used.

What is finished is kept: frozen features beside the dataset, the weights and the predictions in the model's folder.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from rambo import checks
from rambo.collection import find
from rambo.collection.looks import SUFFIXES
from rambo.config import ClassifierConfig, DatasetConfig
from rambo.datasets import catalog, prepared
from rambo.datasets.features import frozen_backbone, frozen_features, has_backbone
from rambo.datasets.prepared import LABELED, TEST, VALIDATION, Labels, Prepared
from rambo.errors import DataError
from rambo.events import Emit, Event, Noticed, StageAdvanced, ignore, stage
from rambo.method.networks import CLASSIFIERS, Classifier
from rambo.method.pools import normalise
from rambo.runs import models, repair
from rambo.runs.environment import VERSION
from rambo.runs.line import wait_in_line
from rambo.runs.models import ClassReport, Mistake, Report, Score
from rambo.runs.workspace import Run, Workspace
from rambo.seeding import Streams
from rambo.training.classifier import create_classifier, cross_entropy, train_classifier
from rambo.training.gpu.batched import exactly
from rambo.training.heads import Heads, fit_heads
from rambo.worker import cross_validation, run_worker
from rambo.worker.attempts import conclude
from rambo.worker.final_network import FinalNetwork, bundle, on_features, on_pixels

_MISTAKES = 48  # that a report keeps
_CHUNK = 256  # pictures a forward pass
_WEIGHTS, _WEIGHTS_OF_ALL = "weights", "weights-of-all"
_COLUMNS = 50  # classes up to which every probability has a column


def work(run: Run, listener: Emit = ignore, *, launch: float | None = None) -> str:
    """Train a final model until it is done, stopped or failed, and return that status; see `run_worker.work`.

    Raises:
        RunLockedError: another worker is at it.
        RamboError: what went wrong; the status says it too.
    """
    with run.lock():
        if run.status == "done" and not repair.broken(run):
            return "done"
        run.take_up(launch)
        return conclude(run, lambda: _train(run, listener))


def _train(run: Run, listener: Emit) -> str:
    """Wait in line, train, and say `done`."""
    run.heed_stop()
    root = run.folder.parent.parent
    device = run_worker.resolve_device(run.config["compute"]["device"])
    with wait_in_line(root, device, run.id, lambda ahead: None):
        run.begin_attempt()
        run.set_status("running")
        with run_worker.single_threaded(), exactly("float32"):
            _Training(run, listener, Workspace(root), device).work()
    run.set_status("done")
    return "done"


class _Training:
    """One final training, step by step."""

    def __init__(self, run: Run, listener: Emit, workspace: Workspace, device: str) -> None:
        """Use a run that this process holds."""
        self.run, self.listener, self.workspace, self.device = run, listener, workspace, device
        self.config, self.notices = run.config, list[str]()
        self.dataset = DatasetConfig(name=self.config["dataset"]["name"])

    def emit(self, event: Event) -> None:
        """Record an event, pass it on, and stop where that was asked for."""
        self.run.append(event, trial=None, strategy=None)
        if not isinstance(event, StageAdvanced):
            self.run.flush()
        self.listener(event)
        if isinstance(event, Noticed):
            self.notices.append(event.message)
        self.run.heed_stop()

    def work(self) -> None:
        """Train, measure, predict and pack."""
        data = self._open()
        taught, folds = cross_validation.teachers(data, int(self.config["seed"]))
        present = set(data.labels[taught].tolist())
        if len(present) < 2:
            raise DataError(
                f"{len(taught)} labels of {len(present)} class{'es' if len(present) != 1 else ''}",
                field="dataset",
                value=self.dataset.name,
                hint="label images of at least two classes first",
            )
        missing = [name for place, name in enumerate(data.classes) if place not in present]
        if missing:
            names = ", ".join(missing[:5])
            self.emit(
                Noticed(f"no label teaches {names}: the model never answers with confidence there")
            )
        if folds is not None:
            self.emit(Noticed(cross_validation.words(int(folds.max()) + 1, len(taught))))
        config, words = self._choose(data)
        network, probabilities, judged = self._learn(data, taught, folds, config)
        report = self._report(data, taught, probabilities, judged, folds, config.name, words)
        every = cross_validation.all_but_test(data)
        if self.config["model"].get("all_labels") and len(every) > len(taught):
            network, probabilities, _ = self._learn(data, every, None, config, _WEIGHTS_OF_ALL)
            report = report.model_copy(update={"refit": len(every)})
        self.run.save_table(models.PREDICTIONS, _predictions(data, probabilities))
        with stage("packing", 1, self.emit) as advance:
            shape = tuple(data.images.shape[1:])
            about = self._about(data, report)
            archive, onnx = bundle(network.cpu(), shape, about)
            models.save_zip(self.run, archive)
            advance()
        models.save_report(self.run, report.model_copy(update={"onnx": onnx}))

    def _open(self) -> Prepared:
        """Return the version that the model was made for, prepared again where it is gone."""
        fingerprint = self.run.environment.dataset.fingerprint
        with contextlib.suppress(DataError):
            folder = prepared.folder_of(self.workspace.root, fingerprint)
            return prepared.open_prepared(folder, verify=True)
        return catalog.prepare(self.dataset.name, self.workspace.root, emit=self.emit)

    def _choose(self, data: Prepared) -> tuple[ClassifierConfig, str]:
        """Return what to train, and why in words.

        Choice: `auto` takes MnistNet for 28 x 28 grey images, else a logistic head on frozen features where
        their weights are on this machine: with few labels it is better than a network trained from nothing.
        """
        config = ClassifierConfig(**self.config["classifier"])
        shape = data.images.shape[1:]
        if config.name == "auto" and shape != (1, 28, 28):
            if has_backbone(self.dataset, data_root=None):
                config = config.model_copy(update={"name": "logistic"})
            else:
                self.emit(
                    Noticed(
                        "no weights of a frozen network are here, so ResNet-18 is trained from nothing"
                    )
                )
        if config.name != "logistic":
            config = checks.resolve_classifier(config, (shape[0], shape[1], shape[2]))
        words = {
            "logistic": "a logistic head on frozen features of a network trained on ImageNet; the network itself "
            "is not fine-tuned",
            "mnistnet": "MnistNet, trained from nothing on your labels",
            "resnet18": "ResNet-18, trained from nothing on your labels",
        }[config.name]
        return config, words

    def _learn(
        self,
        data: Prepared,
        taught: np.ndarray,
        folds: Labels | None,
        config: ClassifierConfig,
        weights: str = _WEIGHTS,
    ) -> tuple[FinalNetwork, np.ndarray, np.ndarray | None]:
        """Return a classifier, what it says of every image, and what those of the folds say of `taught`."""
        if config.name == "logistic":
            return self._on_features(data, taught, folds, config)
        network, probabilities = self._on_pixels(data, taught, config, weights)
        judged = None if folds is None else self._fold_networks(data, taught, folds, config)
        return network, probabilities, judged

    def _on_features(
        self, data: Prepared, taught: np.ndarray, folds: Labels | None, config: ClassifierConfig
    ) -> tuple[FinalNetwork, np.ndarray, np.ndarray | None]:
        """Return a head on frozen features, what it says of every image, and what the heads of the folds say."""
        values, name = frozen_features(
            data, self.dataset, data_root=None, device=self.device, emit=self.emit
        )
        features, rows = torch.from_numpy(values), torch.from_numpy(taught)
        backbone, _ = frozen_backbone(self.dataset, data_root=None)
        labels = torch.from_numpy(data.labels)[rows]

        def fit(members: Tensor) -> Heads:
            return fit_heads(
                *(features[rows], labels, members),
                num_classes=data.num_classes,
                l2=config.logistic.l2,
                iterations=config.logistic.iterations,
            )

        with stage("training", 1, self.emit) as advance:
            heads = fit(torch.ones(1, len(rows), dtype=torch.bool))
            advance()
        judged = None
        if folds is not None:
            with stage(cross_validation.STAGE, 1, self.emit) as advance:
                fold = torch.from_numpy(folds)
                members = torch.arange(int(fold.max()) + 1)[:, None] != fold
                logits = fit(members).logits(features[rows])
                judged = logits[fold, torch.arange(len(rows))].softmax(1).numpy()
                advance()
        self.emit(Noticed(f"frozen features of {name}, {backbone.width} numbers an image"))
        network = on_features(
            backbone, heads.weights[0], heads.biases[0], self.dataset.feature_resolution
        )
        return network, heads.logits(features)[0].softmax(1).numpy(), judged

    def _on_pixels(
        self, data: Prepared, taught: np.ndarray, config: ClassifierConfig, weights: str
    ) -> tuple[FinalNetwork, np.ndarray]:
        """Return a network trained on the labeled images, and what it says of every image."""
        model = self._stored_model(data, config, weights)
        model = model or self._fit(data, taught, config, weights)
        network = on_pixels(model, torch.tensor(data.mean), torch.tensor(data.std)).to(self.device)
        outputs = []
        count = -(-len(data.images) // _CHUNK)
        with stage("predicting", count, self.emit) as advance, torch.inference_mode():
            for start in range(0, len(data.images), _CHUNK):
                chunk = torch.from_numpy(data.images[start : start + _CHUNK]).to(self.device)
                outputs.append(network(chunk).cpu())
                advance()
        return network, torch.cat(outputs).numpy()

    def _fit(
        self, data: Prepared, taught: np.ndarray, config: ClassifierConfig, weights: str
    ) -> Classifier:
        """Train the network; each epoch is a step, and its weights are kept."""
        pictures = torch.from_numpy(data.images[taught])
        images = normalise(pictures, data.mean, data.std).to(self.device)
        labels = torch.from_numpy(data.labels[taught]).to(self.device)
        streams = Streams(int(self.config["seed"]))
        model = create_classifier(images, config, data.num_classes, streams)
        done = 0

        def objective(f: Classifier, minibatch: Tensor, target: Tensor, epoch: int) -> Any:
            nonlocal done
            while done < epoch - 1:
                done += 1
                advance()
            return cross_entropy(f, minibatch, target, epoch)

        with stage("training", config.max_epochs, self.emit) as advance:
            train_classifier(model, images, labels, config, streams, objective=objective)
        state = {name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()}
        self.run.save_arrays(weights, state)
        return model

    def _fold_networks(
        self, data: Prepared, taught: np.ndarray, folds: Labels, config: ClassifierConfig
    ) -> np.ndarray:
        """Return what networks say of the fold that each has not learned from, `a x c`; each fold is a step."""
        images = normalise(torch.from_numpy(data.images[taught]), data.mean, data.std)
        images = images.to(self.device)
        labels = torch.from_numpy(data.labels[taught]).to(self.device)
        judged = torch.zeros(len(taught), data.num_classes)
        count = int(folds.max()) + 1
        with stage(cross_validation.STAGE, count, self.emit) as advance:
            for number in range(count):
                rest, own = (torch.from_numpy(rows) for rows in (folds != number, folds == number))
                streams = Streams(int(self.config["seed"])).child(f"fold-{number}")
                model = create_classifier(images, config, data.num_classes, streams)
                train_classifier(model, images[rest], labels[rest], config, streams)
                with torch.inference_mode():
                    for part in own.nonzero()[:, 0].split(_CHUNK):
                        judged[part] = model.eval()(images[part]).softmax(1).cpu()
                advance()
        return judged.numpy()

    def _stored_model(
        self, data: Prepared, config: ClassifierConfig, weights: str
    ) -> Classifier | None:
        """Return the network that an earlier attempt trained, or None: there is none, or it is damaged."""
        if not self.run.is_whole(weights):
            return None
        model: nn.Module = CLASSIFIERS[config.name](data.images.shape[1], data.num_classes)
        state = self.run.load_arrays(weights)
        model.load_state_dict({name: torch.from_numpy(values) for name, values in state.items()})
        return model.to(self.device).eval()  # type: ignore[return-value]

    def _report(
        self,
        data: Prepared,
        taught: np.ndarray,
        probabilities: np.ndarray,
        judged: np.ndarray | None,
        folds: Labels | None,
        name: str,
        words: str,
    ) -> Report:
        """Return how good it is: on the images kept aside, else on the labels by the models of the other folds."""
        combined = probabilities
        parts = {
            part: np.flatnonzero((data.roles == role) & (data.labels >= 0))
            for part, role in (("validation", VALIDATION), ("test", TEST))
        }
        if judged is not None:
            combined = probabilities.copy()
            combined[taught] = judged
            parts = {cross_validation.STAGE: taught}
        guesses = combined.argmax(1)
        scores = {
            part: Score(correct=int((guesses[rows] == data.labels[rows]).sum()), count=len(rows))
            for part, rows in parts.items()
            if len(rows)
        }
        judges = next(
            (part for part in (cross_validation.STAGE, "test", "validation") if part in scores), ""
        )
        rows = parts.get(judges, np.array([], dtype=np.int64))
        size = data.num_classes
        confusion = np.zeros((size, size), dtype=np.int64)
        np.add.at(confusion, (data.labels[rows], guesses[rows]), 1)
        wrong = rows[guesses[rows] != data.labels[rows]]
        sure = wrong[np.argsort(-combined[wrong, guesses[wrong]], kind="stable")][:_MISTAKES]
        names = data.names()
        files = names.files if names is not None else ()
        return Report(
            classifier=name,
            words=words,
            dataset=data.collection,
            labeled=len(taught),
            validation=scores.get("validation"),
            test=scores.get("test"),
            cross_validation=scores.get(cross_validation.STAGE),
            folds=0 if folds is None else int(folds.max()) + 1,
            judged=judges,
            classes=tuple(
                ClassReport(
                    name=data.classes[c],
                    labeled=int((data.labels[taught] == c).sum()),
                    judged=int(confusion[c].sum()),
                    precision=_share(confusion[c, c], confusion[:, c].sum()),
                    recall=_share(confusion[c, c], confusion[c].sum()),
                )
                for c in range(size)
            ),
            confusion=tuple(tuple(map(int, row)) for row in confusion),
            mistakes=tuple(
                Mistake(
                    row=int(row),
                    file=files[row] if files else f"{row:06d}.png",
                    label=data.classes[data.labels[row]],
                    guess=data.classes[guesses[row]],
                    probability=float(combined[row, guesses[row]]),
                )
                for row in sure.tolist()
            ),
            notices=tuple(dict.fromkeys(self.notices)),
        )

    def _about(self, data: Prepared, report: Report) -> Mapping[str, Any]:
        """Return what `model.json` says: classes, preprocessing and where the model comes from."""
        collection = find(self.workspace.root, self.config["model"]["collection"])
        channels, height, width = data.images.shape[1:]
        scores = {
            name: {
                "accuracy": score.accuracy,
                "standard_error": score.standard_error,
                "images": score.count,
            }
            for name, score in (
                ("validation", report.validation),
                ("test", report.test),
                ("cross_validation", report.cross_validation),
            )
            if score is not None
        }
        return {
            "format": 1,
            "classes": list(data.classes),
            "suffixes": list(SUFFIXES),
            "preprocessing": {
                "width": width,
                "height": height,
                "fit": collection.frame.fit,
                "channels": channels,
                "bytes": "0..255, channels first; scaling and softmax are inside the network",
                "words": collection.frame.sentence(),
            },
            "classifier": {"name": report.classifier, "words": report.words},
            "accuracy": scores,
            "provenance": {
                "model": self.run.id,
                "created": self.run.created(),
                "collection": data.collection,
                "fingerprint": data.fingerprint,
                "labels": report.refit or report.labeled,
                "labels_when_judged": report.labeled,
                "seed": self.config["seed"],
                "rambo": VERSION,
                "torch": torch.__version__,
            },
        }


def _share(part: int, whole: int) -> float | None:
    """Return a share, or None of nothing."""
    return float(part / whole) if whole else None


def _predictions(data: Prepared, probabilities: np.ndarray) -> pd.DataFrame:
    """Return what f says of every image, one row each in the order of the dataset."""
    names = data.names()
    guesses = probabilities.argmax(1)
    ordered = np.sort(probabilities, axis=1)
    roles = {LABELED: "labeled", VALIDATION: "validation", TEST: "test"}
    frame = {
        "dataset_index": np.arange(len(guesses)),
        "file": list(names.files)
        if names is not None
        else [f"{i:06d}.png" for i in range(len(guesses))],
        "role": [roles.get(int(role), "unlabeled") for role in data.roles],
        "label": [data.classes[label] if label >= 0 else None for label in data.labels],
        "predicted_label": [data.classes[guess] for guess in guesses],
        "probability": ordered[:, -1].astype(float),
        "margin": (ordered[:, -1] - ordered[:, -2]).astype(float),
    }
    if data.num_classes <= _COLUMNS:
        frame |= {
            f"p_{name}": probabilities[:, place].astype(float)
            for place, name in enumerate(data.classes)
        }
    return pd.DataFrame(frame)
