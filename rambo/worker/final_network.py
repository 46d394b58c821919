"""The final classifier as one module from pictures to probabilities, and the zip that carries it elsewhere."""

import copy
import importlib.util
import io
import json
import warnings
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rambo.datasets.features import Backbone
from rambo.storage.packing import to_zip
from rambo.worker.classify_script import SCRIPT

_NO_ONNX = (
    "not written: it needs two packages more, `pip install onnx onnxscript`; then train again"
)


class FinalNetwork(nn.Module):
    """Pictures `b x C x H x W`, bytes 0..255, to probabilities `b x c`: scaling, f, softmax.

    Attributes:
        body: f, or a frozen backbone with a head on it.
        resolution: to which pictures are resized first; 0 for as they are.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, body: nn.Module, shift: Tensor, scale: Tensor, resolution: int = 0) -> None:
        """Put the parts together; `shift` is subtracted and `scale` divides, per channel of the bytes."""
        super().__init__()
        self.body, self.resolution = body, resolution
        self.register_buffer("shift", shift.reshape(-1, 1, 1).float())
        self.register_buffer("scale", scale.reshape(-1, 1, 1).float())

    def forward(self, pictures: Tensor) -> Tensor:
        """Return probabilities."""
        pixels = pictures.float()
        if self.resolution:
            size = (self.resolution, self.resolution)
            pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
        logits: Tensor = self.body((pixels - self.shift) / self.scale)
        return logits.softmax(1)


def on_features(
    backbone: Backbone, weights: Tensor, biases: Tensor, resolution: int
) -> FinalNetwork:
    """Return a logistic head, `d x c` and `c`, on a frozen backbone."""
    head = nn.Linear(*weights.shape)
    head.load_state_dict({"weight": weights.t().contiguous(), "bias": biases})
    body = nn.Sequential(backbone.module, head)
    shift, scale = torch.tensor(backbone.shift), torch.tensor(backbone.scale)
    return FinalNetwork(body, shift, scale, resolution).eval()


def on_pixels(model: nn.Module, mean: Tensor, std: Tensor) -> FinalNetwork:
    """Return a classifier that reads normalised images, `C` means and deviations of `images / 255`."""
    return FinalNetwork(model, mean * 255, std * 255).eval()


def bundle(
    network: FinalNetwork, shape: tuple[int, int, int], about: Mapping[str, Any]
) -> tuple[bytes, str]:
    """Return the zip of weights, graph, ONNX where it can be had and a script, and ONNX in words.

    The graph carries no weights, so `model.safetensors` is the one place they are in.

    Args:
        network: in eval mode, on the CPU.
        shape: `C, H, W` of a picture.
        about: of `model.json`; `onnx` is added.
    """
    example = torch.zeros((2, *shape), dtype=torch.uint8)
    onnx, note = _onnx(network, example)
    about = {**about, "onnx": note}
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    members = {
        "model.safetensors": safetensors.torch.save(state),
        "model.json": (json.dumps(about, indent=1) + "\n").encode(),
        "network.pt2": _graph(network, example),
        "classify.py": SCRIPT.encode(),
    }
    return to_zip(members | ({"model.onnx": onnx} if onnx else {})), note


def _graph(network: FinalNetwork, example: Tensor) -> bytes:
    """Return the network as torch.export saves it, all weights zero."""
    bare = copy.deepcopy(network)
    with torch.no_grad():
        for tensor in bare.state_dict().values():
            tensor.zero_()
    for parameter in bare.parameters():
        parameter.requires_grad_(False)
    batch = torch.export.Dim("batch", min=1, max=4096)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(bare, (example,), dynamic_shapes=({0: batch},))
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
    return buffer.getvalue()


def _onnx(network: FinalNetwork, example: Tensor) -> tuple[bytes, str]:
    """Return the network as ONNX with its file's name, or nothing with the reason."""
    if not all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript")):
        return b"", _NO_ONNX
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                verbose=False,
                input_names=["pictures"],
                output_names=["probabilities"],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
            )
            assert program is not None  # without a file's name the exporter returns it
            return program.model_proto.SerializeToString(), "model.onnx"
    except Exception as error:  # the exporter has its own zoo of errors
        return b"", f"not written: torch.onnx cannot export this network ({type(error).__name__})"
