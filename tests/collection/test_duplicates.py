"""Clusters of near duplicates: what belongs together does, different pictures of one kind do not."""

import io
import time

import numpy as np
from collection_helpers import picture
from PIL import Image, ImageEnhance, ImageOps

from rambo.collection.duplicates import clusters, small_pictures
from rambo.collection.images import look_at_file
from rambo.collection.records import Frame


def small(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return np.frombuffer(look_at_file(buffer.getvalue(), Frame(32, 32)).small, np.uint8)


def test_frames_of_a_scene_belong_together_and_scenes_apart():
    draw = np.random.default_rng(0)
    scenes = np.stack([np.asarray(picture(n, (28, 28), grey=True)) for n in range(20)]).astype(int)
    frames = np.repeat(scenes, 10, 0) + draw.integers(-3, 4, (200, 28, 28))
    groups = clusters(small_pictures(frames.clip(0, 255).astype(np.uint8)[:, None]))
    assert groups.tolist() == np.repeat(np.arange(20) * 10, 10).tolist()


def test_another_size_or_compression_is_the_same_picture():
    photo = picture(1, (300, 200))
    copies = [
        small(photo),
        small(photo, "JPEG", quality=60),
        small(photo.resize((150, 100)), "JPEG", quality=90),
        small(photo, "WEBP", quality=70),
        small(picture(2, (300, 200))),
    ]
    assert clusters(np.stack(copies)).tolist() == [0, 0, 0, 0, 4]


def test_another_exposure_is_the_same_picture_and_a_mirror_or_another_frame_is_not():
    photo = picture(1, (300, 200))
    copies = [
        photo,
        ImageEnhance.Brightness(photo).enhance(1.1),
        ImageEnhance.Contrast(photo).enhance(0.85),
        photo.convert("L"),
        photo.crop((3, 2, 297, 198)),
        ImageOps.mirror(photo),
        photo.crop((60, 40, 240, 160)),
        ImageEnhance.Brightness(photo).enhance(0.4),
    ]
    leaders = clusters(np.stack([small(copy) for copy in copies]))
    assert leaders.tolist() == [0, 0, 0, 0, 0, 5, 6, 7]


def test_digits_of_one_class_are_not_taken_for_duplicates():
    from sklearn.datasets import load_digits

    digits = load_digits().images
    images = [Image.fromarray((d * 255 / 16).astype(np.uint8)).resize((28, 28)) for d in digits]
    groups = clusters(small_pictures(np.stack([np.asarray(i) for i in images])[:, None]))
    assert len(np.unique(groups)) > 0.99 * len(digits)


def test_exact_copies_belong_together_whatever_they_show():
    flat = np.repeat(np.array([[0], [7], [255]], np.uint8), 256, axis=1)
    assert clusters(flat[[0, 1, 2, 0, 1, 2, 2]]).tolist() == [0, 1, 2, 0, 1, 2, 2]
    assert clusters(np.zeros((0, 256), np.uint8)).tolist() == []
    assert clusters(np.zeros((1, 256), np.uint8)).tolist() == [0]


def test_small_pictures_are_block_means():
    image = np.arange(32 * 32, dtype=np.float64).reshape(32, 32) * 255 / 1023
    image = image.astype(np.uint8)
    expected = image.reshape(16, 2, 16, 2).mean(axis=(1, 3)).round().astype(np.uint8)
    assert small_pictures(image[None, None]).reshape(16, 16).tolist() == expected.tolist()
    assert small_pictures(np.full((1, 3, 8, 8), 9, np.uint8)).tolist() == [[9] * 256]


def test_ten_thousand_pictures_take_seconds():
    draw = np.random.default_rng(0)
    many = draw.integers(0, 256, (10_000, 256), dtype=np.uint8)
    many[5000:] = many[:5000]
    started = time.perf_counter()
    groups = clusters(many)
    assert time.perf_counter() - started < 20
    assert np.array_equal(groups, np.tile(np.arange(5000), 2))
