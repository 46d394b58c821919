"""The Python door, as a person at a keyboard uses it, on 200 tiny images."""

import doctest
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from store_helpers import unwritable
from tiny import write_tiny
from torch.utils.data import TensorDataset

import rambo
from rambo import api, errors, lineup
from rambo.api import door, working
from rambo.api.bar import Bar
from rambo.api.choice import Choice
from rambo.api.comparison import Comparison
from rambo.datasets import arguments, in_memory
from rambo.datasets.prepared import TEST
from rambo.errors import DataError, Interrupted, RamboError, RunLockedError, StoreError
from rambo.events import Event, StageStarted
from rambo.export.evidence import open_dataset
from rambo.figures.rivals import sampling_error
from rambo.method.pools import Selection
from rambo.runs import audit
from rambo.strategies import others
from rambo.worker import run_worker

QUICKLY = {
    "k": 24,
    "classifier": {"max_epochs": 2},
    "compute": {"device": "cpu", "jobs": 1},
}
ALL = ["rambo", "margin"]
SMALL = QUICKLY | {
    "acquisition": {"batch_size": 4, "filter_size": 12},
    "rambo": {
        "initial_size": 16,
        "pairs_per_iteration": 4,
        "offline": {"pairs": 5, "held_out": 0.4, "repeated_pairs": 1},
        "utility_model": {"epochs": 2, "bilevel": {"inner_steps": 2, "terms": 2}},
    },
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """200 images, 28 x 28 grey, each class a bright quadrant."""
    return np.array(write_tiny(tmp_path_factory.mktemp("tiny")).images)[:, 0]


TRUTH = np.tile(np.arange(4), 50)
LABELS = np.where(np.arange(200) < 40, TRUTH, -1)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of its own, and no strategies of other tests."""
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path))
    monkeypatch.setattr(lineup, "_registered", {})
    monkeypatch.setattr(others, "_functions", {})
    return tmp_path


@pytest.fixture(scope="module")
def compared(images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """RAMBO and margin on images whose labels are all known."""
    place = tmp_path_factory.mktemp("runs")
    return api.compare(
        images, TRUTH, 8, ALL, trials=1, workspace=place, progress=False, name="<b>mine", **SMALL
    )


def choose(images: Any, labels: Any = LABELS, budget: Any = 4, **more: Any) -> Any:
    return api.choose(
        images, labels, budget, **({"strategy": "margin", "progress": False} | QUICKLY | more)
    )


def test_importing_rambo_takes_a_moment_and_loads_nothing_heavy() -> None:
    code = "import time; t = time.perf_counter(); import rambo; t = time.perf_counter() - t\n"
    code += "import sys; print(t); print(*sorted({'torch', 'streamlit', 'plotly', 'numpy'} & set(sys.modules)))\n"
    code += "rambo.runs; print(*sorted({'torch', 'streamlit', 'plotly'} & set(sys.modules)))\n"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    seconds, heavy, later = done.stdout.split("\n")[:3]
    assert float(seconds) < 0.1
    assert (heavy, later) == ("", "")


def test_the_docstrings_of_the_door_are_true(home: Path, images: np.ndarray) -> None:
    names = {"images": images, "labels": LABELS, "truth": TRUTH, "quickly": QUICKLY}
    names |= {name: getattr(api, name) for name in api.__all__}
    finder = doctest.DocTestFinder(recurse=False)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    tried = 0
    for name in (
        "choose",
        "compare",
        "open",
        "runs",
        "strategy",
        "load",
        "show",
    ):  # in the order of what is there
        (test,) = finder.find(getattr(api, name), name, globs=dict(names))
        lines: list[str] = []
        result = runner.run(test, out=lines.append)
        assert result.failed == 0, "".join(lines)
        tried += result.attempted
    assert tried > 10


def test_the_same_arrays_in_other_forms_are_the_same_run(home: Path, images: np.ndarray) -> None:
    chosen = choose(images)
    mask = np.arange(200) < 40
    texts = np.array([None if label < 0 else int(label) for label in LABELS], dtype=object)
    forms = [
        (images, LABELS, {}),
        (images[:, None], np.where(mask, TRUTH, np.nan), {}),
        (torch.from_numpy(images)[:, None] / 255, torch.from_numpy(LABELS), {}),
        (images, texts, {}),
        (images, TRUTH.tolist(), {"known": mask}),
        (images, np.ma.masked_array(TRUTH, ~mask), {}),
    ]
    for pictures, labels, more in forms:
        again = choose(pictures, labels, **more)
        assert again.run.id == chosen.run.id
    assert len(api.runs()) == 1
    assert set(chosen.indices.tolist()) <= set(range(40, 200))
    assert chosen.accuracy is None
    assert "Nobody knows their labels yet" in chosen.words()


def test_a_choice_is_indices_images_a_table_and_files(compared: Any, images: np.ndarray) -> None:
    chosen = compared.choice("rambo")
    assert chosen.indices.shape == (8,)
    np.testing.assert_array_equal(chosen.images(), images[chosen.indices])
    table = chosen.table()
    assert table["dataset_index"].tolist() == chosen.indices.tolist()
    assert table["step"].tolist() == [0] * 4 + [1] * 4
    out = chosen.export(compared.run.folder.parent / "batch.csv")
    assert len(out.read_text().splitlines()) == 9
    assert 0 < chosen.accuracy <= 1
    assert chosen.config.k == 24


def test_figures_are_plotly_objects_with_what_the_run_recorded(compared: Any) -> None:
    import plotly.graph_objects as go

    figures = compared.choice("rambo").figures
    assert set(figures) == set(dir(figures))
    assert all(isinstance(figures[name], go.Figure) for name in figures)
    chosen = next(trace for trace in figures.steps.data if trace.name == "chosen")
    assert list(chosen.x) == [1, 2]
    stars = next(trace for trace in figures.map.data if trace.name == "chosen")
    assert sorted(stars.customdata) == sorted(compared.choice("rambo").indices)
    assert "--st-" not in figures.map.to_json()
    margin = compared.choice("margin").figures
    assert list(margin) == ["map"]
    with pytest.raises(StoreError, match=r"figure ranking: .*Margin has nothing .*look at map"):
        _ = margin.ranking


def test_figures_name_themselves_where_no_html_is_shown(compared: Any) -> None:
    assert repr(compared.choice("margin").figures) == "<Figures: map>"
    assert repr(compared.choice("rambo").figures).startswith("<Figures: ranking, losses, transport")


def test_a_comparison_says_what_may_be_said(compared: Any) -> None:
    assert compared.table()["strategy"].tolist() == ["RAMBO", "Margin"]
    (row,) = compared.differences().to_dict("records")
    gap = 100 * (compared.choice("rambo").accuracy - compared.choice("margin").accuracy)
    assert row["points"] == pytest.approx(gap)
    assert (row["trials"], row["finding"]) == (1, "too few")
    assert compared.verdict.startswith("RAMBO cannot be told apart yet from Margin: ")
    points = [trace for trace in compared.figure.data if trace.mode == "markers"]
    assert [trace.x[0] for trace in points] == pytest.approx(
        [100 * compared.choice(name).accuracy for name in reversed(ALL)]
    )


def test_the_figure_of_a_comparison_has_the_error_of_its_test_set_and_says_of_how_many(
    compared: Any,
) -> None:
    images = int((open_dataset(compared.run).roles == TEST).sum())
    bands = [trace for trace in compared.figure.data if trace.mode == "lines"]
    for name, band in zip(reversed(ALL), bands, strict=True):
        accuracy = compared.choice(name).accuracy
        off = sampling_error(accuracy, images)
        span = [100 * max(accuracy - off, 0.0), 100 * min(accuracy + off, 1.0)]
        assert list(band.x) == pytest.approx(span)
    assert compared.figure.layout.title.text.endswith(f"does on {images} test images")


def test_what_a_notebook_shows_has_pictures_and_cost_and_is_escaped(compared: Any) -> None:
    stored = api.open(compared.run.id, workspace=compared.run.folder.parent)
    pages = [
        compared._repr_html_(),
        compared.choice("rambo")._repr_html_(),
        stored._repr_html_(),
        stored.config._repr_html_(),
        api.runs(workspace=compared.run.folder.parent)._repr_html_(),
    ]
    assert all("<b>mine" not in page for page in pages)
    assert all("&lt;b&gt;mine" in page for page in pages[:3])
    assert "data:image/png;base64," in pages[1]
    assert "classifiers trained" in pages[1]
    assert "rambo.offline.pairs</td><td>5<" in pages[3]


def test_an_interrupt_stops_the_run_and_the_same_call_goes_on(
    home: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Bar, event: Event) -> None:
        if isinstance(event, StageStarted) and event.stage == "evaluation":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bar, "__call__", interrupt)
        with pytest.raises(Interrupted) as stop:
            choose(images, TRUTH)
    (stored,) = api.runs()
    assert stored.status == "stopped"
    assert stop.value._render_traceback_() == [
        f"stopped; run this cell again, and run {stored.id} goes on where it is"
    ]
    assert "Margin chose 4 images" in repr(stored.choice())
    stored.run.set_status("running")  # as after a kernel that died: it says so, and nobody holds it
    assert stored.status == "interrupted"
    again = choose(images, TRUTH)
    assert (again.run.id, again.run.status) == (stored.id, "done")
    assert choose(images, TRUTH).run.id == stored.id  # nothing is started: it is done
    again.export(home / "batch.csv")
    newer = choose(images, TRUTH, fresh=True).run.id
    assert newer != stored.id
    api.open(newer).delete()
    assert [one.id for one in api.runs()] == [stored.id]
    acts, _ = audit.read(home)
    mine = stored.id
    assert [(act.what, act.subject) for act in acts] == [
        ("start", mine), ("stop", mine), ("start", mine), ("export", mine), ("start", newer), ("delete", newer),
    ]  # fmt: skip
    assert {act.who for act in acts} == {f"{audit.user()} in Python"}


def test_an_interrupt_while_libraries_load_waits_for_them_and_is_one_line(tmp_path: Path) -> None:
    """The first call loads pandas and torch for seconds; a half loaded torch does not load again."""
    code = """
import builtins, os, signal, sys, numpy as np
real, sent = builtins.__import__, []
def load(name, *more):
    if name in ("pandas", "torch") and name not in sent:
        sent.append(name)
        os.kill(os.getpid(), signal.SIGINT)
    return real(name, *more)
builtins.__import__ = load
import rambo
for _ in range(3):
    try:
        rambo.choose(np.zeros((9, 4, 4), np.uint8), [0, 1, 2] * 3)
    except rambo.Interrupted as stop:
        print(stop, *sent, sent[-1] in sys.modules)
    except rambo.RamboError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(rambo.__file__).parents[1])},
    )  # fmt: skip
    first, second, third = done.stdout.splitlines()
    assert first == "stopped; run this cell again to go on pandas True"
    assert second == "stopped; run this cell again to go on pandas torch True"
    assert third.startswith("images are 4 x 4 pixels")


def test_a_strategy_of_ones_own_is_not_taken_for_its_older_self(
    home: Path, images: np.ndarray
) -> None:
    def define(start: int) -> Any:
        @api.strategy("mine")
        def mine(call: Any) -> Any:
            return call.problem.unlabeled[start : start + call.budget]

        return mine

    first = choose(images, strategy=define(0)).indices
    second = choose(images, strategy=define(4)).indices
    assert first.tolist() == [40, 41, 42, 43]
    assert second.tolist() == [44, 45, 46, 47]


def test_another_kernel_at_the_same_run_is_told_in_one_line(home: Path, images: np.ndarray) -> None:
    chosen = choose(images)
    with chosen.run.lock(), pytest.raises(RunLockedError, match=r"another kernel .*rambo\.open"):
        choose(images)


def test_kernels_that_ask_the_same_at_once_share_one_run(
    home: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run_worker.start

    def start(*arguments: Any) -> Any:
        time.sleep(0.3)  # the other one asks in the meantime
        return real(*arguments)

    monkeypatch.setattr(run_worker, "start", start)
    monkeypatch.setattr(working, "finish", lambda run, progress: run)
    with ThreadPoolExecutor(2) as kernels:
        ids = [kernels.submit(lambda: choose(images).run.id) for _ in range(2)]
    assert {one.result() for one in ids} == {stored.id for stored in api.runs()}
    assert len(api.runs()) == 1


def test_a_folder_that_may_not_be_written_is_told_in_one_line(
    tmp_path: Path, images: np.ndarray
) -> None:
    with unwritable(tmp_path), pytest.raises(StoreError, match=r"name another with workspace="):
        choose(images, workspace=tmp_path / "runs")


def test_equal_pictures_with_different_labels_are_told(home: Path, images: np.ndarray) -> None:
    doubled = images.copy()
    doubled[1] = doubled[0]
    with pytest.warns(UserWarning, match="labels: images 0 and 1 are the same picture"):
        choose(doubled)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"images": np.zeros((60, 784), np.uint8)},
            r"^images are uint8 \(60, 784\); give .*28, 28",
        ),
        ({"images": np.zeros((200, 4, 4), np.uint8)}, r"^images are 4 x 4 pixels; resize"),
        ({"images": np.full((200, 28, 28), -1.5)}, r"^images: run from -1.5 .*; give"),
        ({"images": np.full((200, 28, 28), np.nan)}, r"^images: hold numbers .* not finite; give"),
        ({"images": np.full((200, 28, 28), "a")}, r"^images: hold texts in place of pixels; give"),
        (
            {"images": [np.zeros((8, 8)), np.zeros((9, 9))]},
            r"^images: .*(no array|several sizes).*; give",
        ),
        ({"labels": [0, 1]}, r"^labels: 2 labels beside 200 images; give one an image"),
        ({"images": np.full((200, 28, 28), 2.5)}, r"^images: run from 2.5 .* without a clear"),
        ({"labels": np.arange(200) % 4 - 5}, r"^labels: run down to -5; count classes from 0"),
        (
            {"test": (np.zeros((9, 28, 28), np.uint8), np.full(9, -1))},
            r"^test: every label is unknown; give test images",
        ),
        ({"labels": None}, r"^labels: every label is unknown; label a few"),
        ({"labels": [0] * 200}, r"^labels: 200 images of 1 class; use .* 2 to 1000 classes"),
        ({"labels": [0, "cat"] * 100}, r"^labels: numbers and texts are mixed; use one"),
        ({"labels": [0.5] * 200}, r"^labels are float64 with fractions; give"),
        ({"labels": [{}] * 200}, r"^labels holds dict; give whole numbers or texts"),
        ({"known": np.ones(3, bool)}, r"^known: bool of shape \(3,\); give 200"),
        (
            {"known": np.arange(200) < 43},
            r"^known is True for 3 images without a label, the first one image 40; give the label",
        ),
        (
            {"known": [[True], [True, False]]},
            r"^known: a list is no column of True and False; give",
        ),
        (
            {"known": torch.zeros(200, dtype=torch.bool, device="meta")},
            r"^known: a Tensor is no column of True and False; give 200",
        ),
        (
            {"known": torch.eye(200).to_sparse_csr()},
            r"^known: a Tensor is no column of True and False; give 200",
        ),
        ({"known": [1, 0] * 100}, r"^known: int64 of .* numpy.array\(known, dtype=bool\)$"),
        ({"known": True}, r"^known: bool of shape \(\); give 200"),
        ({"classes": ["one"]}, r"^labels: run from 0 to 3 but 1 classes are named"),
        ({"test": 3}, r"^test: int is no pair; give test=\(images, labels\)"),
        ({"budget": 500}, r"^budget 500 exceeds the 160 unlabeled .*; lower it to at most 160"),
        ({"budget": 0}, r"^budget 0 is too small; use at least 1"),
        ({"budget": 2.5}, r"^budget 2.5: use a whole number"),
        ({"budget": True}, r"^budget True: use a whole number"),
        ({"strategy": "best"}, r"^strategy best: unknown; choose one of: rambo"),
        ({"strategy": print}, r"^strategy print: name one, or write @rambo.strategy"),
        ({"strategy": ["margin", "random"]}, r"^strategy .* is not one; .*rambo.compare"),
        ({"strategy": []}, r"^strategy \[\] is not one; give one"),
        ({"images": np.zeros((0, 28, 28), np.uint8)}, r"^images is empty; give"),
        ({"images": 3}, r"^images: an int is no array .*; give .* or the name of a dataset"),
        (
            {"validation": (np.zeros((4, 14, 28), np.uint8), [0, 1, 2, 3])},
            r"^validation has images of 14 x 28 beside those of 28 x 28; make",
        ),
        ({"classes": 4}, r"^classes 4 is no list of names; give"),
        ({"classes": "abcd"}, r"^classes abcd is no list of names; give"),
        ({"classes": ["a", "b", "a", "c"]}, r"^classes: a is there twice; give"),
        ({"name": 5}, r"^name 5 is no text; give"),
        ({"workspace": 3}, r"^workspace 3 is no text; give the path of a folder"),
        ({"preset": "fast"}, r"^preset fast: unknown; choose one of: demo"),
        (
            {"epochs": 3},
            r"^epochs 3: the config has no field 'epochs'; perhaps rambo__utility_model",
        ),
        ({"classifier": {"max_epoch": 3}}, r"has no field 'max_epoch'"),
        ({"seed": -1}, r"^seed -1 is too small; use at least 0"),
        ({"images": ["a.png", "b.png"]}, r"^images: hold texts .*; give the folder they lie in"),
        ({"images": np.zeros((28, 28), np.uint8)}, r"^images are .*: one image.*images\[None\]"),
        ({"images": None}, r"^images: None is no array of images"),
        ({"images": {"a": 1}}, r"^images: a dict is no array of images"),
        ({"images": csr_matrix(np.eye(9))}, r"^images: a csr_matrix is no array of images"),
        ({"images": torch.zeros(9, 28, 28, device="meta")}, r"^images: a Tensor is no array"),
        ({"images": "", "labels": None}, r"^images is empty; give the name of a dataset"),
        (
            {"images": TensorDataset(torch.zeros(9, 28, 28), torch.zeros(9))},
            r"give numpy.stack\(\[image for",
        ),
        ({"labels": "labels.csv"}, r"^labels: 'labels.csv' is no column of labels; give one"),
        ({"labels": {0: 1}}, r"^labels: a dict is no column of labels; give one"),
        ({"labels": LABELS[None]}, r"^labels: 1 label of shape \(1, 200\) beside 200 images"),
        ({"labels": np.zeros(200, "datetime64[D]")}, r"^labels are datetime64.*; give [^;:]*$"),
        (
            {"labels": ["a", "b"] * 100, "classes": ["a", "c"]},
            r"^labels: label b is not .*; add it",
        ),
        ({"known": np.arange(9)}, r"^known: int64 of shape \(9,\); .*such as numpy.isin"),
        ({"classes": []}, r"^classes is empty; give a list"),
        ({"classes": np.array(None)}, r"^classes None is no list of names; give"),
        ({"budget": np.zeros(3)}, r"^budget \[0. 0. 0.\]: use a whole number"),
        ({"fresh": np.zeros(3)}, r"^fresh \[0. 0. 0.\] is neither True nor False; use"),
        ({"progress": "no"}, r"^progress no is neither True nor False; use"),
        ({"classes": {"a", "b", "c", "d"}}, r"^classes .* is no list of names; give"),
        ({"classes": dict.fromkeys(range(4), "a")}, r"^classes .* is no list of names; give"),
        ({"classes": ["a", None, "c", "d"]}, r"^classes: the name of class 1 is empty; give"),
        ({"budget": "4"}, r"^budget '4': use a whole number"),
        ({"workspace": " "}, r"^workspace is empty; give the path of a folder"),
        ({"workspace": "a\0b"}, r"^workspace has a NUL in it; give"),
        ({"preset": ["demo"]}, r"^preset \['demo'\]: unknown; choose"),
        ({"strategy": "Margin"}, r"^strategy Margin: unknown; perhaps margin is meant; choose"),
        (
            {"images": "Fashion-MNIST-mni", "labels": None},
            r"; perhaps fashion-mnist-mini is meant;",
        ),
        (
            {"images": "collection:no", "labels": None},
            r"no such collection; give the folder of its",
        ),
        (
            {"validation": (np.zeros((9, 28, 28)), None)},
            r"^validation: None is no column of labels",
        ),
        (
            {"test": (np.zeros((9, 28, 28), np.uint8), list("abcdabcda"))},
            r"^test are texts beside labels that are not; use one",
        ),
        ({"batch_size": 3}, r"; perhaps acquisition__batch_size is meant$"),
        ({"sed": 3}, r"; perhaps seed is meant$"),
        ({"M": 3}, r"; perhaps acquisition__filter_size is meant$"),
        ({"dataset": "x"}, r"^dataset.name is what images says; give"),
        ({"dataset": {"name": "x"}}, r"^dataset.name is what images says; give"),
        ({"strategies": ["margin", "random"]}, r"^strategies is no argument .*rambo.compare$"),
        ({"stategy": "margin"}, r"; perhaps strategy is meant$"),
        ({"label": TRUTH, "images": 3}, r"^label .*; perhaps labels is meant$"),
        ({"m": 3}, r"; perhaps acquisition__filter_size is meant$"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_the_argument_and_the_way_out(
    home: Path, images: np.ndarray, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(RamboError, match=words) as caught:
        choose(**({"images": images} | arguments))
    (line,) = caught.value._render_traceback_()
    assert line.isprintable()
    assert "python -m" not in line
    assert isinstance(caught.value, errors.RamboError)


@pytest.mark.parametrize(
    ("select", "words"),
    [
        (lambda call: call.problem.unlabeled[:2], "chose 2 images where 4 are asked for"),
        (lambda call: None, "returned NoneType; return 4 whole numbers"),
        (lambda call: torch.rand(200), r"returned torch.float32 of shape \(200,\); return 4"),
        (lambda call: torch.arange(200) < 4, r"returned torch.bool of shape \(200,\); return 4"),
        (lambda call: [[0, 1], [2, 3]], r"returned torch.int64 of shape \(2, 2\); return 4"),
        (lambda call: call.labels, r"ended with AttributeError.* in line \d+, .*call.labels"),
        (lambda: 0, r"ended with TypeError: .*; mend the function, and run this cell again"),
        (lambda call: Selection([0.5] * 4, [0] * 4), r"a Selection with indices, torch.float32 of"),
        (
            lambda call: Selection(call.problem.unlabeled[:4], "abcd"),
            r"a Selection with steps, str;",
        ),
    ],
)
def test_a_function_that_is_no_strategy_is_told_in_one_line(
    home: Path, images: np.ndarray, select: Any, words: str
) -> None:
    with pytest.raises(RamboError, match=rf"^strateg(y|ies) mine.*{words}"):
        choose(images, strategy=api.strategy("mine")(select))


def test_what_is_odd_about_arrays_is_told(home: Path, images: np.ndarray) -> None:
    extra = {"validation": (images[:20], TRUTH[:20] + 4), "test": (images[150:160], TRUTH[150:160])}
    with pytest.warns(UserWarning, match="stand among images") as notes:
        choose(images, **extra)
    words = [str(note.message) for note in notes]
    assert any(line.startswith("validation: 20 pictures of its 20 stand among") for line in words)
    assert any(line.startswith("validation: class 4 stands in no label") for line in words)
    assert any(line.startswith("test: 10 pictures of its 10 stand among images") for line in words)
    with pytest.warns(UserWarning, match="labels: all 160 that are known differ"):
        choose(images, np.arange(200))


_PROBABILITIES = np.full((20, 4), 0.25)


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        (TRUTH[:20] + 0.5, None, ": labels are float64 with fractions; give"),
        (np.where(TRUTH[:20] == 1, np.inf, TRUTH[:20]), None, ": a label is too large or not"),
        (_PROBABILITIES, None, r": labels of shape \(20, 4\) are no one-hot rows"),
        (np.full((20, 4), np.nan), None, ": every label is unknown; give"),
        (np.ones((20, 4)), None, r": labels of shape \(20, 4\) give some images several classes"),
        (np.full(20, 2**64 - 1, np.uint64), None, ": a label is 18446744073709551615; use"),
        (TRUTH[:20] + 3, list("abcd"), ": labels run from 3 to 6 but 4 classes are named; give"),
        (TRUTH[:20] + 1, list("abcd"), ": taken together .*, labels run from 0 to 4 but 4 classes"),
    ],
)
def test_labels_of_validation_or_test_that_are_refused_name_the_argument(
    home: Path, images: np.ndarray, part: str, labels: Any, classes: Any, words: str
) -> None:
    pairs = {"test": (images[20:40], TRUTH[20:40])} | {part: (images[:20], labels)}
    with pytest.raises(DataError, match=f"^{part}{words}"):
        in_memory.keep(images, TRUTH, home, classes=classes, **pairs)


def test_a_text_that_is_no_class_names_its_argument_and_no_file(
    home: Path, images: np.ndarray
) -> None:
    names = np.array(list("abcd"))
    strange = names[TRUTH[:20]]
    strange[3] = "e"
    with pytest.raises(DataError, match=r"^test: label e is not among the 4 classes") as caught:
        in_memory.keep(
            images, names[TRUTH], home, classes=list("abcd"), test=(images[:20], strange)
        )
    assert "file" not in str(caught.value)


def test_true_and_false_with_two_class_names_are_0_and_1(home: Path, images: np.ndarray) -> None:
    _, data = in_memory.keep(
        images, TRUTH > 1, home, classes=["no", "yes"], test=(images[:20], TRUTH[:20] > 1)
    )
    assert data.classes == ("no", "yes")
    assert data.labels[:200].tolist() == (TRUTH > 1).astype(int).tolist()
    _, beside = in_memory.keep(images, TRUTH % 2, home, test=(images[:20], TRUTH[:20] % 2 == 1))
    assert beside.classes == ("0", "1")


def test_a_column_of_images_of_one_size_is_taken_as_the_images(images: np.ndarray) -> None:
    column = np.empty(200, object)
    column[:] = list(images)
    tensors = np.empty(200, object)
    tensors[:] = list(torch.from_numpy(images))
    for form in (pd.Series(list(images)), pd.DataFrame({"image": list(images)}), column, tensors):
        np.testing.assert_array_equal(arguments.pixels_of("images", form), images)
    column[3] = images[3][:20]
    with pytest.raises(DataError, match=r"^images: hold images of several sizes"):
        arguments.pixels_of("images", column)


def test_tensors_of_rare_kinds_are_the_same_images(home: Path, images: np.ndarray) -> None:
    pixels = np.zeros_like(images)
    pixels[:, :14] = images[:, :14] // 128 * 255
    own = torch.from_numpy(pixels)
    plain = arguments.pixels_of("images", own)
    for other in (own.to_sparse(), (own / 255).bfloat16(), (own / 255).requires_grad_()):
        np.testing.assert_array_equal(arguments.pixels_of("images", other), plain)


def test_what_cannot_stand_together_is_refused(home: Path, images: np.ndarray) -> None:
    with pytest.raises(RamboError, match=r"^labels: stands beside the name of a dataset"):
        choose("fashion-mnist-mini", [1, 2])
    with pytest.raises(DataError, match=r"^labels: some are unknown, .*use rambo.rehearse"):
        api.compare(images, LABELS, 4, ["margin", "random"], progress=False, **QUICKLY)
    with pytest.raises(DataError, match=r"^images: every label .* known, .*use rambo.compare"):
        api.rehearse(images, TRUTH, 4, ["margin", "random"], progress=False, **QUICKLY)
    for alone in (api.compare, api.rehearse):
        with pytest.raises(RamboError, match=r"^strategies margin: one alone .*; name two"):
            alone(images, LABELS, 4, ["margin"], progress=False, **QUICKLY)
        with pytest.raises(RamboError, match=r"^strategies bagde: unknown; perhaps badge"):
            alone(images, LABELS, 4, ["margin", "bagde"], progress=False, **QUICKLY)
    with pytest.raises(RamboError, match=r"^known is no argument .*rambo.rehearse take it"):
        api.compare(images, TRUTH, 4, known=TRUTH > 0, progress=False, **QUICKLY)
    with pytest.raises(DataError, match=r"^test: none is given beside validation"):
        choose(images, TRUTH, validation=(images[:20], TRUTH[:20]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: choose("no-such-set", None), r"^images no-such-set: unknown; .* folder or a zip"),
        (lambda: choose("/no/such/folder", None), r"^images /no/such/folder: no such .*; correct"),
        (lambda: choose("~/no-such-folder", None), r"^images /.*: no such file or folder; correct"),
        (lambda: api.load("no-such-set"), r"^name no-such-set: unknown; choose one of"),
        (lambda: api.load(3), r"^name 3 is no text; give the name of a dataset"),
        (lambda: api.open("nothing"), r"^run nothing: no such run; rambo.runs\(\) lists them"),
        (
            lambda: api.strategy("rambo")(lambda call: call),
            r"^strategy rambo: RAMBO has one of that name",
        ),
        (lambda: api.strategy("mine", colr="red"), r"^colr is nothing .*; choose of: colour"),
        (lambda: api.strategy(3), r"^name 3 is no text; write @rambo.strategy"),
        (lambda: api.strategy(print), r"^name <built-in .* is no text; write @rambo.strategy"),
        (lambda: api.strategy("mine")(3), r"^3 is to be the strategy mine, .*; write a function"),
        (lambda: api.strategy("mine")(print), r"is no function of yours; write a function"),
        (
            lambda: api.strategy("mine", symbol="blob")(lambda call: call),
            r"^strategy mine has the symbol blob; use one of circle, .*, hourglass, bowtie; ",
        ),
        (
            lambda: api.strategy("all")(lambda call: call),
            r"^strategy all is the word for all of RAMBO's own; choose another name$",
        ),
        (lambda: api.strategy("mine", colour=3), r"^colour 3 is no text; give a text"),
        (lambda: api.strategy("mine", greedy="x"), r"^greedy x is neither True nor False; use"),
        (lambda: api.strategy(), r"^name is missing; help\(rambo.strategy\) says"),
        (lambda: api.choose(), r"^images is missing; help\(rambo.choose\) says"),
        (lambda: api.compare(images=1, trials=5), r"^images: an int is no array"),
        (lambda: api.rehearse(), r"^images is missing; help\(rambo.rehearse\) says"),
        (lambda: api.load(), r"^name is missing; help\(rambo.load\) says"),
        (lambda: api.load("a" * 300), r"^name is longer than any path can be; give the name"),
        (lambda: api.show(), r"^images is missing; help\(rambo.show\) says"),
        (lambda: api.show("cat"), r"^images cat is a name; give the images .* rambo.load"),
        (lambda: api.show(1, 2), r"^rambo.show: takes at most 1 argument without a name, not 2; "),
        (lambda: api.open(), r"^run is missing; help\(rambo.open\) says"),
        (lambda: api.open("x", run="x"), r"^run is given twice; help\(rambo.open\) says"),
        (
            lambda: rambo.runs(folder="x"),
            r"^folder is no argument of rambo.runs; it takes workspace$",
        ),
        (
            lambda: rambo.runs("x"),
            r"^rambo.runs: takes at most 0 arguments without a name, not 1; give",
        ),
        (lambda: rambo.runs()[0], r"^run 0: there are 0; rambo.choose makes the first"),
        (lambda: rambo.runs()["x"], r"^run x: there are 0; "),
        (lambda: Choice(), r"^run is missing; help\(rambo.Choice\) says"),
        (lambda: Choice("x"), r"^run x is no run; give one of rambo.runs\(\), or rambo.open"),
        (lambda: Comparison(None), r"^run None is no run; give"),
        (lambda: rambo.Config("x"), r"^rambo.Config: takes no argument .*; give settings as name="),
        (
            lambda: rambo.Config(budgt=3),
            r"^budgt is no field .*; perhaps budget is meant; it takes",
        ),
        (lambda: rambo.Config(budget="x"), r"^budget x: use a whole number$"),
        (lambda: rambo.Selection(), r"^indices is missing; help\(rambo.Selection\) says"),
        (lambda: rambo.Selection(indics=1), r"^indics is no argument of rambo.Selection; it takes"),
        (lambda: rambo.stratgy, r"^rambo: no attribute 'stratgy'; perhaps strategy is meant; it"),
        (lambda: api.rehearse(1, test=2), r"^test is no argument .*; a rehearsal draws its own$"),
    ],
)
def test_every_door_names_its_argument_and_speaks_python(home: Path, call: Any, words: str) -> None:
    with pytest.raises(RamboError, match=words) as caught:
        call()
    assert "python -m" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda choice: choice.gallery("x"), r"^limit 'x': use a whole number of images"),
        (lambda choice: choice.gallery(float("nan")), r"^limit nan: use a whole number"),
        (lambda choice: choice.gallery(1, 2), r"^rambo.Choice.gallery: takes at most 1 argument"),
        (lambda choice: choice.gallery(size=3), r"^size is no argument .*; it takes limit"),
        (lambda choice: choice.export(), r"^out is missing; help\(rambo.Choice.export\) says"),
        (lambda choice: choice.export("a", np.zeros(2)), r"^format \[0. 0.\] is no text; choose"),
        (lambda choice: choice.figures[[]], r"^figure \[\]: unknown; choose one of"),
        (lambda choice: Choice(choice.run, np.zeros(2)), r"^strategy \[0. 0.\]: not in this run; "),
        (lambda choice: Choice(choice.run, trial=np.zeros(2)), r"^trial \[0. 0.\]: use 0 to "),
        (lambda choice: Choice(choice.run, trial=99), r"^trial 99: not in this run; use 0 to "),
        (
            lambda choice: choice.table(3),
            r"^rambo.Choice.table: takes no argument; write table\(\)",
        ),
        (lambda choice: choice.figure, r"^rambo.Choice: no attribute .*; perhaps figures is meant"),
        (lambda choice: choice.figures.rankng, r"^rambo.Figures: .*; perhaps ranking is meant"),
        (
            lambda choice: api.open(choice.run.id[:-1], workspace=choice.run.folder.parent),
            r"no such run; perhaps .* is meant; rambo.runs\(\) lists them",
        ),
    ],
)
def test_what_is_wrong_with_a_choice_is_one_sentence(compared: Any, call: Any, words: str) -> None:
    with pytest.raises(RamboError, match=words):
        call(compared.choice("margin"))


@pytest.mark.parametrize("folder", ["~/runs", Path("~/runs")], ids=["text", "path"])
def test_a_workspace_below_the_home_of_the_user_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Any
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert door.workspace_at(folder).root == tmp_path / "runs"
    monkeypatch.setenv("RAMBO_HOME", str(folder))
    assert door.workspace_at(None).root == tmp_path / "runs"


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("~nobodyx/runs", "names the home of a user who is not here; write the path in full"),
        ("FILE", r"is a file; give the path of a folder"),
        ("FILE/runs", r"lies below .*notes.txt, which is a file; give the path of a folder"),
    ],
)
def test_a_workspace_that_can_be_none_is_told_by_every_door(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    images: np.ndarray,
    folder: str,
    words: str,
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    place = folder.replace("FILE", str(tmp_path / "notes.txt"))
    doors = (
        lambda **where: rambo.runs(**where),
        lambda **where: rambo.open("some", **where),
        lambda **where: rambo.load("digits", **where),
        lambda **where: choose(images, **where),
    )
    for call in doors:
        with pytest.raises(RamboError, match=f"^workspace .*{words}$") as caught:
            call(workspace=place)
        assert "delete" not in str(caught.value)
    monkeypatch.setenv("RAMBO_HOME", place)
    for call in doors:
        with pytest.raises(RamboError, match=f"^RAMBO_HOME .*{words}$"):
            call()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_what_has_a_run_opens_it(compared: Any) -> None:
    place = compared.run.folder.parent
    for handle in (compared, compared.choice(), compared.run, compared.run.id):
        assert api.open(handle, workspace=place).id == compared.run.id


def test_what_is_refused_as_a_strategy_stays_as_it_was() -> None:
    class Thing:
        """What takes attributes and cannot be called."""

    thing = Thing()
    with pytest.raises(RamboError, match="is to be the strategy mine"):
        api.strategy("mine")(thing)
    assert vars(thing) == {}


def test_every_picture_is_hashed_once(
    home: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, data = in_memory.keep(images, TRUTH, home, test=(images[:20], TRUTH[:20]))
    hashed = []
    content = in_memory._content
    monkeypatch.setattr(
        in_memory, "_content", lambda data, index: hashed.append(index) or content(data, index)
    )
    assert [line[:4] for line in in_memory.doubts(data, ["test"])] == ["test"]
    assert sorted(hashed) == [*range(220)]
    hashed.clear()
    assert in_memory.doubts(data) == []
    assert sorted(hashed) == [*range(220)]


@pytest.mark.parametrize(
    ("out", "format", "words"),
    [
        ("batch.doc", None, r"^out batch.doc: its ending names no format; end it in .csv"),
        ("/no/such/batch.csv", None, r"^out /no/such/batch.csv: its folder does not exist; make"),
        ("batch.csv", "excel", r"^format excel: unknown; choose one of: csv"),
        (3, None, r"^out 3 is no text; give the path of a file"),
    ],
)
def test_an_export_names_what_is_wrong(compared: Any, out: Any, format: Any, words: str) -> None:
    with pytest.raises(RamboError, match=words):
        compared.choice("margin").export(out, format)


def test_a_rehearsal_plays_inside_the_labels_at_hand(home: Path, images: np.ndarray) -> None:
    mask = np.arange(200) < 40
    comparison = api.rehearse(
        images, TRUTH, 20, ["margin", "random"], 1, known=mask, progress=False, **QUICKLY
    )
    assert comparison.run.environment.dataset.name == "rehearsal of images"
    assert comparison.strategies == ["margin", "random"]
    assert comparison.verdict.startswith("Margin cannot be told apart yet from Random")


def test_a_name_of_the_door_that_is_not_there_is_an_attribute_error() -> None:
    assert callable(rambo.choose)
    assert {*api.__all__} <= set(dir(rambo))
    assert rambo.RamboError is RamboError
    assert issubclass(rambo.Interrupted, KeyboardInterrupt)
    assert rambo.Choice.__name__ == "Choice"
    with pytest.raises(AttributeError, match="no attribute 'chose'"):
        _ = rambo.chose
