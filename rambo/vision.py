"""Import torchvision, also where its compiled operators cannot be loaded.

A torchvision built for CUDA beside a CPU build of torch fails at import, because it registers shapes for operators
(`nms`, `qnms`) that its compiled library did not define. Nothing here uses them, so they are declared first.
"""

import functools
import importlib
import types

import torch

_MISSING = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@functools.cache
def load(name: str = "torchvision") -> types.ModuleType:
    """Return the module `name` of torchvision, or of a library built on it (such as timm)."""
    try:
        return importlib.import_module(name)
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _MISSING:
        library.define(schema)
    _KEPT.append(library)  # the declarations live as long as this object
    return importlib.import_module(name)


_KEPT: list[torch.library.Library] = []
