"""The archives for annotators and their tools: read back with other readers, and the same each time."""

import base64
import csv
import getpass
import hashlib
import io
import json
import re
import socket
import struct
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from store_helpers import CONFIG, child, names, refusal

from rambo import __main__ as command_line
from rambo import export
from rambo.datasets import prepared
from rambo.datasets.prepared import POOL, TEST, VALIDATION, Prepared
from rambo.errors import ConfigError, StoreError
from rambo.export import evidence
from rambo.export.bundles import choices
from rambo.method import acquisition
from rambo.runs.environment import DatasetOrigin, Environment
from rambo.runs.run import Run
from rambo.runs.workspace import Workspace

CLASSES = [
    '=HYPERLINK("http://host/?x="&A1,"click")',
    "<script>alert(1)</script>",
    "\"&'<>]]>&amp;",
    "two\nlines\0\u2028\ufffe",
    "../../etc/passwd",
    "日本 😀",
]
ARCHIVES = ("zip", "label-studio", "fiftyone", "distil")
CHOSEN = [17, 3, 40, 101, 8, 29]  # no order
COUNT, LABELED = 120, (0, 4, 10, 33)
VALIDATED, TESTED = tuple(range(50, 70)), tuple(range(70, 100))
UNLABELED = sorted({*range(COUNT)} - {*LABELED, *VALIDATED, *TESTED})
MEMBERS = {  # beside the images
    "zip": [
        "README.txt", "dataset_index.npy", "images/metadata.csv", "label-studio/README.txt",
        "label-studio/label_config.xml",
        "label-studio/tasks-inline.json", "label-studio/tasks.json", "manifest.csv", "manifest.jsonl",
        "run.json",
    ],
    "label-studio": ["README.txt", "label_config.xml", "tasks-inline.json", "tasks.json"],
    "fiftyone": ["README.txt", "labels.json", "manifest.jsonl"],
    "distil": ["README.txt", "dataset_index.npy", "pool_position.npy"],
}  # fmt: skip
FOLDER = {"zip": "images/", "label-studio": "images/", "fiftyone": "data/"}


def write_dataset(workspace: Path, channels: int = 1) -> Prepared:
    rng = np.random.default_rng(3)
    roles = np.full(COUNT, POOL, np.uint8)
    roles[list(VALIDATED)], roles[list(TESTED)] = VALIDATION, TEST
    return prepared.write(
        workspace,
        name="photos",
        images=rng.integers(0, 256, (COUNT, channels, 9, 13), dtype=np.uint8),
        labels=np.arange(COUNT) % len(CLASSES),
        roles=roles,
        classes=[name.replace("\ufffe", "") for name in CLASSES],
        mean=[0.5] * channels,
        std=[0.2] * channels,
        source="made by the tests",
        licence="none needed",
        origin=f"tests:{channels}",
    )


def new_run(home: Path, channels: int = 1, name: str = "photos", **environment: Any) -> Run:
    """Make a run of a dataset on which `rambo` chose with evidence and `margin` without."""
    data = write_dataset(home, channels)
    about = DatasetOrigin(data.name, data.fingerprint, data.source)
    facts = {"rambo": "0.1.0", "torch": "2", "dataset": about, "classes": tuple(CLASSES)}
    environment_facts = Environment(**facts | environment)
    run = Workspace(home).create(
        {**CONFIG, "dataset": {"name": name, "features": "auto"}}, environment_facts
    )
    frame = pd.DataFrame(
        {"order": range(1, 7), "step": [0, 0, 0, 1, 1, 1], "dataset_index": CHOSEN}
    )
    evidence = {
        "margin": np.linspace(0.0, 0.5, 6),
        "predicted_class": [0, 1, 2, 3, 4, 5],
        "predicted_utility": [0.75] * 3 + [-0.5] * 3,
    }
    run.save_table("trial-0/rambo/selection", frame.assign(**evidence))
    run.save_table("trial-0/margin/selection", frame.assign(**dict.fromkeys(evidence)))
    return run


def save_atlas(run: Run, without: tuple[int, ...] = (), lacking: int | None = None) -> np.ndarray:
    """Write an atlas, less some images, and return the probabilities of all images."""
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet(np.ones(len(CLASSES)), COUNT).astype(np.float32)
    indices = np.array([i for i in range(COUNT) if i not in TESTED and i not in without])
    pool = np.where(np.isin(indices, LABELED), 0, np.where(np.isin(indices, VALIDATED), 2, 1))
    arrays = {
        "indices": indices,
        "pool": pool.astype(np.uint8),
        "probabilities": probabilities[indices],
        "embeddings": np.zeros((len(indices), 3), np.float32),
        "map": np.zeros((len(indices), 2), np.float32),
        "explained": np.zeros(2, np.float32),
    }
    if lacking is not None:
        arrays["lacking"] = np.array([lacking])
    run.save_arrays("trial-0/atlas", arrays)
    return probabilities


@pytest.fixture
def run(tmp_path: Path) -> Run:
    other = new_run(tmp_path / "runs")
    save_atlas(other)
    return other


def unpack(run: Run, format: str, **options: Any) -> dict[str, bytes]:
    file = export.build(run, format, **options)
    with zipfile.ZipFile(io.BytesIO(file.data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def load(data: bytes) -> np.ndarray:
    return np.load(io.BytesIO(data), allow_pickle=False)


# What the rows say.


def test_rows_name_the_file_and_the_place_in_the_unlabeled_pool(run: Run) -> None:
    for strategy in ("rambo", "margin"):
        table = export.rows(run, strategy)
        assert [row.file for row in table] == [f"{index:06d}.png" for index in CHOSEN]
        assert [UNLABELED[row.pool_position] for row in table] == CHOSEN
        assert all(type(row.pool_position) is int for row in table)
        assert all(list(row.record()) == list(export.COLUMNS) for row in table)


def test_a_strategy_without_evidence_takes_it_from_the_atlas_and_another_keeps_its_own(
    run: Run,
) -> None:
    probabilities = torch.from_numpy(save_atlas(run))[CHOSEN]
    filled, own = export.rows(run, "margin"), export.rows(run, "rambo")
    assert [row.margin for row in filled] == acquisition.margins(probabilities).tolist()
    guesses = probabilities.argmax(1).tolist()
    assert [row.predicted_class for row in filled] == guesses
    assert [row.predicted_label for row in filled] == [CLASSES[guess] for guess in guesses]
    assert {row.predicted_utility for row in filled} == {None}
    assert [row.margin for row in own] == np.linspace(0.0, 0.5, 6).tolist()
    assert [row.predicted_class for row in own] == [0, 1, 2, 3, 4, 5]


def test_an_atlas_that_lacks_an_image_gives_no_positions(run: Run) -> None:
    """They would all be off by one behind it."""
    probabilities = save_atlas(run, without=(CHOSEN[1],))
    table = export.rows(run, "margin")
    assert {row.pool_position for row in table} == {None}
    classes_of_rows = [row.predicted_class for row in table]
    guesses = probabilities.argmax(1)
    assert classes_of_rows == [None if i == CHOSEN[1] else guesses[i] for i in CHOSEN]


def test_a_smaller_pool_has_positions_where_the_atlas_says_that_it_is_whole(run: Run) -> None:
    """As under imbalance, or with foreign images in the places of others."""
    absent = (UNLABELED[0], UNLABELED[5])
    rest = [index for index in UNLABELED if index not in absent]
    save_atlas(run, without=absent, lacking=0)
    contents = evidence.gather(run, "margin")
    assert [rest[row.pool_position] for row in contents.rows] == CHOSEN
    assert contents.notices == ()
    save_atlas(run, without=absent, lacking=2)
    contents = evidence.gather(run, "margin")
    assert {row.pool_position for row in contents.rows} == {None}
    assert "leaves some out" in contents.notices[0]


def test_without_an_atlas_all_but_distil_is_there(tmp_path: Path) -> None:
    run = new_run(tmp_path / "runs")
    keys = ("pool_position", "margin", "predicted_class", "predicted_label", "predicted_utility")
    for row in export.rows(run, "margin"):
        assert [getattr(row, key) for key in keys] == [None] * 5
    for format in export.FORMATS:
        if format == "distil":
            words = refusal(lambda: export.build(run, "distil"))
            assert words.startswith(f"run {run.id}: ")
            assert "unlabeled pool" in words
            assert "--format zip" in words
        else:
            assert export.build(run, format, "margin").count == 6
    tasks = json.loads(unpack(run, "label-studio", strategy="margin")["tasks.json"])
    assert not any("predictions" in task for task in tasks)


def test_without_its_images_a_run_still_gives_rows(run: Run, tmp_path: Path) -> None:
    (tmp_path / "runs" / "datasets").rename(tmp_path / "away")
    table = export.rows(run)
    assert [row.margin for row in table] == np.linspace(0.0, 0.5, 6).tolist()
    assert {row.pool_position for row in table} == {None}
    for format in ("zip", "label-studio", "fiftyone"):
        words = refusal(lambda format=format: export.build(run, format))
        assert "images are missing or damaged" in words
        assert "rambo prepare" in words
    refusal(lambda: export.rows(run, truth=True))


@pytest.mark.parametrize("fingerprint", ["", "../datasets", ".."])
def test_a_run_that_names_no_dataset_is_refused(tmp_path: Path, fingerprint: str) -> None:
    run = new_run(tmp_path / "runs", dataset=DatasetOrigin(fingerprint=fingerprint))
    assert "images are missing" in refusal(lambda: export.build(run, "zip"))


# What every archive holds.


@pytest.mark.parametrize("format", ARCHIVES)
def test_members_are_ours_by_name_sorted_and_without_a_time(run: Run, format: str) -> None:
    file = export.build(run, format)
    with zipfile.ZipFile(io.BytesIO(file.data)) as archive:
        infos = archive.infolist()
    file_names = [info.filename for info in infos]
    pictures = [f"{FOLDER[format]}{index:06d}.png" for index in CHOSEN] if format in FOLDER else []
    assert file_names == sorted(MEMBERS[format] + pictures)
    assert all(re.fullmatch(r"([a-z-]+/)?[A-Za-z0-9_-]+\.[a-z]+", name) for name in file_names)
    for info in infos:
        assert info.date_time == (1980, 1, 1, 0, 0, 0)
        assert (info.create_system, info.external_attr >> 16) == (3, 0o100644)
        assert (info.extra, info.comment) == (b"", b"")
    suffix = "" if format == "zip" else f"-{format}"
    assert file.name == f"{run.id}-rambo-seed5{suffix}.zip"
    assert (file.mime, file.count) == ("application/zip", 6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("format", list(FOLDER))
def test_images_are_exact_and_carry_nothing_else(
    tmp_path: Path, format: str, channels: int
) -> None:
    run = new_run(tmp_path / "runs", channels)
    data = write_dataset(tmp_path / "runs", channels)
    members = unpack(run, format)
    for index in CHOSEN:
        png = members[f"{FOLDER[format]}{index:06d}.png"]
        with Image.open(io.BytesIO(png)) as image:
            assert (image.format, image.mode) == ("PNG", "L" if channels == 1 else "RGB")
            pixels = np.asarray(image)
        expected = data.images[index]
        np.testing.assert_array_equal(pixels.reshape(9, 13, channels).transpose(2, 0, 1), expected)
        assert chunks(png) <= {b"IHDR", b"IDAT", b"IEND"}


def chunks(png: bytes) -> set[bytes]:
    """Return the kinds of chunks of a PNG file."""
    kinds, place = set(), 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        kinds.add(png[place + 4 : place + 8])
        place += length + 12
    return kinds


def test_the_same_run_gives_the_same_bytes(run: Run, monkeypatch) -> None:
    first = [hashlib.sha256(export.build(run, form).data).hexdigest() for form in export.FORMATS]
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: 2e9)
        later.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
        again = [export.build(run, form).data for form in export.FORMATS]
    assert [hashlib.sha256(data).hexdigest() for data in again] == first
    code = (
        "import sys, hashlib, pathlib; from rambo import export; from rambo.runs import run;"
        "made = run.Run(pathlib.Path(sys.argv[1]));"
        "data = [export.build(made, form).data for form in export.FORMATS];"
        "print(*[hashlib.sha256(one).hexdigest() for one in data])"
    )
    other = child(code, run.folder).communicate()[0]  # sets stand in another order there
    assert other.decode().split() == first


@pytest.mark.parametrize("format", export.FORMATS)
@pytest.mark.parametrize("name", ["/home/alice-canary/secret/me.npz", "C:\\alice-canary\\me.npz"])
def test_nothing_private_is_in_any_byte(tmp_path: Path, format: str, name: str) -> None:
    run = new_run(tmp_path / "runs", name=name, plugins=("canary-host", str(Path.cwd())))
    save_atlas(run)
    file = export.build(run, format)
    parts = [file.data, file.name.encode()]
    if format in ARCHIVES:
        parts += [*unpack(run, format).values(), *map(str.encode, unpack(run, format))]
    canaries = [str(tmp_path), str(Path.cwd()), str(Path.home()), "alice", "secret", "canary"]
    # two or three letters stand in any picture by chance
    canaries += [name for name in (socket.gethostname(), getpass.getuser()) if len(name) > 3]
    for part in parts:
        assert not [canary for canary in canaries if canary.encode() in part]
        assert not re.search(rb"[\x20-\x7e]*(/home/|/tmp/|/root|C:\\)[\x20-\x7e]*", part)


def test_true_labels_stay_out_unless_asked_for(run: Run, tmp_path: Path) -> None:
    """With other labels in the dataset, every byte stays as it was."""
    before = {format: export.build(run, format).data for format in export.FORMATS}
    labels = [row.true_label for row in export.rows(run, truth=True)]
    assert labels == [CLASSES[index % len(CLASSES)] for index in CHOSEN]
    members = unpack(run, "zip", truth=True)
    table = list(csv.DictReader(io.StringIO(members["manifest.csv"].decode(), newline="")))
    assert [row["true_label"].replace("'", "") for row in table] == [
        name.replace("'", "") for name in labels
    ]
    tasks = json.loads(members["label-studio/tasks.json"])
    assert [task["data"]["true_label"] for task in tasks] == labels
    (file,) = (tmp_path / "runs" / "datasets").glob("*/labels.npy")
    np.save(file, np.zeros(COUNT, np.int64))
    with pytest.raises(StoreError, match="missing or damaged"):
        export.rows(run, truth=True)
    meta = prepared._read_meta(file.parent)  # now as if it had been prepared so
    hashes = meta.sha256 | {"labels": hashlib.sha256(file.read_bytes()).hexdigest()}
    changed = meta.model_copy(update={"sha256": hashes}).sealed()
    (file.parent / "meta.json").write_text(changed.model_dump_json())
    assert {export.rows(run, truth=True)[0].true_label} == {CLASSES[0]}
    for format in export.FORMATS:
        assert export.build(run, format).data == before[format]
        assert b"true_label" not in b"".join(
            data
            for name, data in (unpack(run, format) if format in ARCHIVES else {}).items()
            if not name.endswith("README.txt")
        )


# What each archive says.


def test_the_manifest_is_the_rows(run: Run) -> None:
    rows, members = [row.record() for row in export.rows(run)], unpack(run, "zip")
    lines = members["manifest.jsonl"].decode().splitlines()
    assert [json.loads(line) for line in lines] == rows
    read = csv.reader(io.StringIO(members["manifest.csv"].decode(), newline=""), strict=True)
    assert next(read) == list(export.COLUMNS)
    for cells, row in zip(read, rows, strict=True):
        for cell, (key, value) in zip(cells, row.items(), strict=True):
            if key == "predicted_label":
                assert cell.replace("'", "") == value.replace("'", "")
                assert not cell.startswith(("=", "+", "-", "@"))
            else:
                assert cell == str(value)
    assert load(members["dataset_index.npy"]).tolist() == CHOSEN
    assert members["manifest.csv"] == export.build(run, "csv").data
    assert members["manifest.jsonl"] == export.build(run, "jsonl").data


def test_run_json_tells_what_made_the_choice(tmp_path: Path) -> None:
    run = new_run(
        tmp_path / "runs", name="/home/alice/my photos.npz", plugins=("private",), cores=2
    )
    answer = json.loads(unpack(run, "zip", strategy="margin")["run.json"])
    assert list(answer) == [
        "run_id", "created", "strategy", "seed", "images", "config", "environment", "notices",
    ]  # fmt: skip
    assert "map of the images" in answer["notices"][0]  # this run has none
    assert answer["config"] == CONFIG | {"dataset": {"name": "my photos.npz", "features": "auto"}}
    assert (answer["run_id"], answer["created"]) == (run.id, run.created())
    assert (answer["strategy"], answer["seed"], answer["images"]) == ("margin", 5, 6)
    about = run.environment.record()["dataset"]
    assert answer["environment"] == {
        "rambo": "0.1.0", "torch": "2", "cores": 2, "dataset": about, "classes": CLASSES,
    }  # fmt: skip
    plain = json.loads(unpack(new_run(tmp_path / "runs"), "zip")["run.json"])
    assert plain["config"]["dataset"]["name"] == "photos"


@pytest.mark.parametrize("format", ["zip", "label-studio"])
def test_label_studio_gets_tasks_that_fit_its_interface_and_its_images(
    run: Run, format: str
) -> None:
    members, rows = unpack(run, format, guesses=True), export.rows(run)
    place = "label-studio/" if format == "zip" else ""
    tasks = json.loads(members[f"{place}tasks.json"])
    root = ET.fromstring(members[f"{place}label_config.xml"].decode())
    tags = ["View", "View", "Image", "View", "Choices"] + ["Choice"] * 6
    assert [element.tag for element in root.iter()] == tags
    assert "display: flex" in root.attrib["style"], "picture and choices beside each other"
    (image,), (group,) = root
    assert (image.attrib["name"], image.attrib["value"]) == ("image", "$image")
    assert image.attrib["maxHeight"] == "70vh"
    assert group.attrib == {"name": "label", "toName": "image", "choice": "single"}
    offered = [choice.attrib["value"] for choice in group]
    assert all(list(choice.attrib) == ["value"] for choice in group)
    assert offered[:3] + offered[4:] == CLASSES[:3] + CLASSES[4:]
    assert offered[3] == "two lines"
    for task, row in zip(tasks, rows, strict=True):
        url = task["data"]["image"]
        assert url == "/data/local-files/?d=" + f"images/{row.file}"
        assert url.partition("?d=")[2] in members
        assert {key: task["data"][key] for key in row.record()} == row.record()
        (prediction,) = task["predictions"]
        (result,) = prediction["result"]
        assert "score" not in prediction, "a margin is no confidence"
        assert (result["from_name"], result["to_name"]) == ("label", "image")
        assert result["type"] == "choices"
        assert result["value"] == {"choices": [offered[row.predicted_class]]}


def test_guesses_are_in_the_tasks_only_where_they_are_asked_for(run: Run) -> None:
    tasks = json.loads(unpack(run, "label-studio")["tasks.json"])
    assert not any("predictions" in task for task in tasks)


def test_inlined_tasks_carry_the_very_pictures(run: Run) -> None:
    members = unpack(run, "label-studio")
    plain, inline = (json.loads(members[name]) for name in ("tasks.json", "tasks-inline.json"))
    for task, other in zip(inline, plain, strict=True):
        head, _, data = task["data"]["image"].partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data) == members[f"images/{task['data']['file']}"]
        assert task["data"] | {"image": ""} == other["data"] | {"image": ""}


def test_an_image_folder_has_all_columns_beside_its_images(run: Run, tmp_path: Path) -> None:
    members = unpack(run, "zip")
    table = list(csv.DictReader(io.StringIO(members["images/metadata.csv"].decode())))
    rows = list(csv.DictReader(io.StringIO(members["manifest.csv"].decode())))
    assert [{"file_name": row["file"]} | row for row in rows] == table
    assert all(f"images/{row['file_name']}" in members for row in table)
    for name, data in members.items():
        if name.startswith("images/"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(data)
    code = """
import importlib.util, json, sys
if importlib.util.find_spec("datasets") is None:
    sys.exit(3)
import datasets
loaded = datasets.load_dataset("imagefolder", data_dir=sys.argv[1], cache_dir=sys.argv[2])["train"]
print(json.dumps([loaded.column_names, sorted(loaded["dataset_index"])]))
"""
    # -I: a folder of our tests is called `datasets` too
    command = [sys.executable, "-I", "-c", code, str(tmp_path / "images"), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    if done.returncode == 3:
        pytest.skip("Hugging Face's datasets is not installed")
    columns, indices = json.loads(done.stdout.splitlines()[-1])
    assert indices == sorted(CHOSEN)
    assert {"image", "margin", "predicted_label"} <= set(columns)


def test_label_studios_own_code_takes_the_tasks(run: Run) -> None:
    sdk = pytest.importorskip("label_studio_sdk.label_interface")
    members = unpack(run, "label-studio", guesses=True)
    interface = sdk.LabelInterface(members["label_config.xml"].decode())
    for task in json.loads(members["tasks.json"]):
        assert interface.validate_prediction(task["predictions"][0])


def test_the_readme_of_label_studio_says_how_images_are_served(run: Run) -> None:
    text = unpack(run, "label-studio")["README.txt"].decode("ascii")
    assert "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true" in text
    assert "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=" in text
    assert "Add Source Storage > Local files" in text
    own = unpack(run, "label-studio", image_url="https://host/a b/")
    assert "LABEL_STUDIO" not in own["README.txt"].decode("ascii")
    urls = [task["data"]["image"] for task in json.loads(own["tasks.json"])]
    assert urls == [f"https://host/a b/{index:06d}.png" for index in CHOSEN]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        ([" a\tb\n", "\0b\udcff"], ["a b", "b"]),
        (["a", "a", "b"], ["0: a", "1: a", "2: b"]),
        (["a b", "a\nb"], ["0: a b", "1: a b"]),
        (["", "x"], ["0: ", "1: x"]),
        (["\u202e", "1: "], ["0: ", "1: 1:"]),
        ([], []),
    ],
)
def test_choices_are_lines_that_differ(lines: list[str], expected: list[str]) -> None:
    assert choices(lines) == expected


def test_fiftyone_gets_its_labels_file_without_labels(run: Run) -> None:
    members, rows = unpack(run, "fiftyone"), [row.record() for row in export.rows(run)]
    labels = json.loads(members["labels.json"])
    assert labels == {"classes": CLASSES, "labels": {f"{index:06d}": None for index in CHOSEN}}
    assert list(labels["labels"]) == [f"{index:06d}" for index in CHOSEN]
    pictures = {name for name in members if name.startswith("data/")}
    assert pictures == {f"data/{key}.png" for key in labels["labels"]}
    assert [json.loads(line) for line in members["manifest.jsonl"].decode().splitlines()] == rows
    text = members["README.txt"].decode("ascii")
    code = text[text.index("import json") : text.index("session =")]
    compile(code, "README", "exec")
    assert "fo.types.FiftyOneImageClassificationDataset" in code


def test_distil_gets_its_indices_and_the_others(run: Run) -> None:
    members = unpack(run, "distil")
    position, index = load(members["pool_position.npy"]), load(members["dataset_index.npy"])
    assert (position.dtype, index.dtype) == (np.int64, np.int64)
    assert index.tolist() == CHOSEN
    assert np.array(UNLABELED)[position].tolist() == CHOSEN
    text = members["README.txt"].decode("ascii")
    assert "pool_position.npy" in text
    assert "dataset_index.npy" in text


@pytest.mark.parametrize("format", export.FORMATS)
def test_the_command_line_writes_what_a_download_holds(
    run: Run, tmp_path: Path, monkeypatch, capsys, format: str
) -> None:
    monkeypatch.setenv("RAMBO_HOME", str(tmp_path / "runs"))
    download = export.build(run, format, "margin")
    out = tmp_path / download.name
    arguments = ["export", run.id, "--format", format, "--out", str(out), "--strategy", "margin"]
    assert command_line.main(arguments) == 0
    assert capsys.readouterr().err == f"wrote 6 images to {out}\n"
    assert out.read_bytes() == download.data
    assert names(tmp_path) == sorted([download.name, "runs"])


def test_the_command_line_names_every_format(capsys) -> None:
    with pytest.raises(SystemExit):
        command_line.main(["export", "-h"])
    printed = capsys.readouterr().out
    assert all(format in printed for format in export.FORMATS)


def test_an_archive_that_cannot_be_made_leaves_no_file(tmp_path: Path) -> None:
    run = new_run(tmp_path / "runs")
    refusal(lambda: export.build(run, "distil").write(tmp_path / "out.zip"))
    refusal(lambda: export.build(run, "zip", "random").write(tmp_path / "out.zip"), ConfigError)
    assert names(tmp_path) == ["runs"]
