"""The script inside the zip of a final model; it needs torch, safetensors and Pillow, and no numpy."""

SCRIPT = '''\
"""Classify a folder of images:  python classify.py FOLDER > predictions.csv   (pip install torch safetensors pillow)"""
import csv, json, pathlib, sys
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file
here, about = pathlib.Path(__file__).parent, json.loads((pathlib.Path(__file__).parent / "model.json").read_text())
network = torch.export.load(here / "network.pt2").module()
network.load_state_dict(load_file(here / "model.safetensors"))
width, height, fit = (about["preprocessing"][name] for name in ("width", "height", "fit"))
def read(path):  # as the images were read that it learned from
    image = Image.open(path)
    image.draft(None, (2 * max(width, height),) * 2)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 10, 12 or 16 bits, by their range
        image = image.convert("I")
        full = next(limit for limit in (255, 1023, 4095, 65535, 2**32) if image.getextrema()[1] <= limit)
        image = image.point(lambda value: value * (255 / full) + 0.5).convert("L")
    image = image.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    factor = min(image.width // width, image.height // height) // 3
    image = image.reduce(factor) if factor > 1 else image
    if fit == "crop":
        image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    elif image.size != (width, height):
        scale = min(width / image.width, height / image.height)
        small = image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.LANCZOS)
        image = Image.new("RGB", (width, height), (128, 128, 128))
        image.paste(small, ((width - small.width) // 2, (height - small.height) // 2))
    image = image.convert("L") if about["preprocessing"]["channels"] == 1 else image
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).reshape(height, width, -1).permute(2, 0, 1)
table = csv.writer(sys.stdout)
table.writerow(["file", "label", "probability"])
for path in sorted(p for p in pathlib.Path(sys.argv[1]).rglob("*") if p.suffix.lower() in about["suffixes"]):
    try:
        probabilities = network(read(path)[None])[0]
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        print(f"{path}: cannot be read as an image ({error})", file=sys.stderr)
        continue
    best = int(probabilities.argmax())
    table.writerow([path.relative_to(sys.argv[1]), about["classes"][best], f"{float(probabilities[best]):.4f}"])
'''
