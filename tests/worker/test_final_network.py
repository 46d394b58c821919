"""The final model elsewhere: its script reads pictures as the import did, and ONNX says what torch says."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from rambo.collection.images import look_at_file
from rambo.collection.records import Frame
from rambo.method.networks import CLASSIFIERS
from rambo.worker import final_network
from rambo.worker.classify_script import SCRIPT


def pictures():
    """Return files of many kinds, as bytes."""
    draw = np.random.default_rng(0)
    colours = Image.fromarray(draw.integers(0, 256, (60, 90, 3), dtype=np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    deep = draw.integers(0, 65536, (40, 50), dtype=np.uint16)
    kinds = {
        "plain": (colours, "PNG", {}),
        "turned": (colours, "JPEG", {"exif": turned}),
        "print": (colours.convert("CMYK"), "JPEG", {}),
        "palette": (colours.convert("P"), "GIF", {}),
        "clear": (colours.convert("RGBA").rotate(30), "PNG", {}),
        "grey": (colours.convert("L"), "PNG", {}),
        "16 bits": (Image.fromarray(deep), "PNG", {}),
        "12 bits": (Image.fromarray(deep // 16), "TIFF", {}),
        "large": (colours.resize((900, 700)), "WEBP", {}),
    }
    for name, (image, form, options) in kinds.items():
        buffer = io.BytesIO()
        image.save(buffer, form, **options)
        yield name, buffer.getvalue()


@pytest.mark.parametrize("fit", ["letterbox", "crop"])
def test_the_script_reads_a_picture_as_the_import_did(tmp_path, fit):
    body = SCRIPT[SCRIPT.index("def read") : SCRIPT.index("table =")]
    about = {"preprocessing": {"channels": 3}}
    names = {"torch": torch, "Image": Image, "ImageOps": ImageOps, "about": about}
    names |= {"width": 48, "height": 32, "fit": fit}
    exec(body, names)
    for kind, data in pictures():
        (tmp_path / "picture").write_bytes(data)
        expected = look_at_file(data, Frame(width=48, height=32, fit=fit)).pixels
        assert (names["read"](tmp_path / "picture").numpy() == expected).all(), kind


def test_the_script_needs_no_numpy():
    assert "numpy" not in SCRIPT


def test_onnx_says_what_torch_says_where_it_can_be_written():
    torch.manual_seed(0)
    network = final_network.on_pixels(
        CLASSIFIERS["mnistnet"](1, 3).eval(), torch.tensor([0.5]), torch.tensor([0.2])
    )
    data, words = final_network.bundle(network, (1, 28, 28), {})
    members = zipfile.ZipFile(io.BytesIO(data))
    if words != "model.onnx":
        assert "pip install onnx onnxscript" in words
        assert "model.onnx" not in members.namelist()
        pytest.skip("onnx and onnxscript are not installed")
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(members.read("model.onnx"))
    for count in (1, 5):
        batch = torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8)
        (output,) = session.run(None, {"pictures": batch.numpy()})
        torch.testing.assert_close(torch.from_numpy(output), network(batch).detach())
