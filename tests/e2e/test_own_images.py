"""A person's folder in a real browser: imported, its report read, rehearsed, a batch chosen and exported."""

import csv
import hashlib
import io
import re
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image

from .conftest import PATIENCE, ROOT, reaches, settled

LABELS, IMAGES, BUDGET = 30, 600, 30
CLASSES = ("zero", "one", "two")
ALLOWED = "404"  # Streamlit asks /data/_stcore/... first where it connects anew below a page


def digits(folder: Path) -> Path:
    """Write 600 pictures of three digits as PNG files, 30 of them in folders that name their class."""
    from sklearn.datasets import load_digits

    bundled = load_digits()
    rows = np.flatnonzero(bundled.target < 3)
    pictures = [*bundled.images[rows], *(image.T for image in bundled.images[rows])][:IMAGES]
    targets = [*bundled.target[rows], *bundled.target[rows]]
    counts = dict.fromkeys(range(3), LABELS // 3)
    for place, (pixels, digit) in enumerate(zip(pictures, targets, strict=False)):
        labeled = counts[digit] > 0
        counts[digit] -= labeled
        home = folder / (CLASSES[digit] if labeled else "unlabeled")
        home.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray((pixels * 15.9).astype(np.uint8))
        picture.resize((28, 28)).save(home / f"scan {place}.png")
    (folder / "zero" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


def says(page, words: str) -> None:
    """Wait on Train until the run is done and says so."""
    page.get_by_text(re.compile(words)).first.wait_for(timeout=2 * PATIENCE * 1000)
    settled(page)


def test_a_folder_of_600_pictures_with_30_labels_becomes_a_batch_to_pay_for(
    page, serve, tmp_path: Path
) -> None:
    folder = digits(tmp_path / "scans")
    address = serve(ROOT / "app.py")
    page.goto(address)
    settled(page)
    page.get_by_role("button", name="Use my images").click()
    page.get_by_role("textbox", name="Name of the collection").fill("My scans")
    page.get_by_role("textbox", name="Path of the folder").fill(str(folder))
    page.get_by_role("button", name="Import", exact=True).click()
    page.wait_for_url("**collection=my-scans*")
    page.get_by_role("heading", name="Health report").wait_for(timeout=240_000)
    settled(page)

    def figures() -> list[str]:
        """Return how many images are labeled, validate, test and have no label."""
        return page.locator(
            ".st-key-collection-counts [data-testid=stMetricValue]"
        ).all_inner_texts()

    expected = ["24", "6", "0", f"{IMAGES - LABELS}"]
    reaches(figures, expected)
    report = page.locator(".st-key-health")
    assert "torn.png" in report.inner_text()
    assert "zero 10" in report.inner_text()

    page.reload()  # what was imported is there for anyone who opens the address
    page.get_by_role("heading", name="Health report").wait_for()
    reaches(figures, expected)

    page.get_by_role("button", name="Open Configure with these").click()
    page.wait_for_url("**/configure*")
    assert parse_qs(urlsplit(page.url).query)["dataset"] == ["collection:my-scans"]
    page.get_by_text("24 labeled to learn from, 6 to check with, 570 to choose from").wait_for(
        timeout=240_000
    )
    chosen = page.get_by_role("combobox", name="Dataset")
    reaches(chosen.input_value, "My scans (my images)")
    field = page.get_by_role("spinbutton", name="Labels you hold")
    reaches(lambda: (field.input_value(), field.is_disabled()), ("24", True))
    budget = page.get_by_role("spinbutton", name="Labels to buy")
    budget.fill(f"{BUDGET}")
    budget.press("Enter")
    settled(page)
    for name in ("RAMBO", "Filter only"):  # what is left trains two classifiers
        page.get_by_role("button", name=name, exact=True).click()
        settled(page)

    page.get_by_role("button", name="Rehearse on my labels first").click()
    page.wait_for_url(re.compile(r"/train\?.*run=rehearsal"))
    says(page, "On your own images")

    page.locator("[data-testid=stSidebar]").get_by_role("link", name="Configure").click()
    page.wait_for_url("**/configure*")
    reaches(budget.input_value, f"{BUDGET}")
    page.locator(".st-key-configure-start button").click()
    page.wait_for_url(re.compile(r"/train\?.*run=collection"))
    (run,) = parse_qs(urlsplit(page.url).query)["run"]
    says(page, "Batch chosen, waiting for labels")

    page.locator("[data-testid=stSidebar]").get_by_role("link", name="Batch").click()
    page.wait_for_url(re.compile(r"/batch\?"))
    page.get_by_text(re.compile(f"chose {BUDGET} images")).first.wait_for()
    settled(page)
    page.get_by_role("tab", name="Export").click()
    page.get_by_text("--format zip").wait_for()
    with page.expect_download() as download:
        page.locator(".st-key-export-download button").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("images/metadata.csv").decode())))
        assert len({row["file_name"] for row in rows}) == len(rows) == BUDGET
        assert {row["run_id"] for row in rows} == {run}
        for row in rows:
            data = archive.read(f"images/{row['file_name']}")
            assert Image.open(io.BytesIO(data)).size == (28, 28)
            original = (folder / row["original_file"]).read_bytes()
            assert hashlib.sha256(data).digest() == hashlib.sha256(original).digest()
    assert page.off_origin == []
    assert [text for text in page.console_errors if ALLOWED not in text] == []
