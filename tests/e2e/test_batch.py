"""The page Batch as a person uses it: replay, lasso, swap, detail, download."""

import contextlib
import csv
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import page_helpers
import pytest

from rambo.export import evidence
from rambo.runs import notes
from rambo.runs.notes import ImageNote
from rambo.runs.workspace import Run, Workspace

from .conftest import ROOT, reaches, running, settled, until
from .test_components import at_rest, charts_ready, drag_lasso

SETTINGS = {"budget": 24, "acquisition": {"batch_size": 4, "filter_size": 20}}
ALLOWED = "404"  # Streamlit asks /batch/_stcore/... first on a page of its own


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("e2e-batch") / "runs"
    return page_helpers.make_done(root, **SETTINGS)


@pytest.fixture(scope="module")
def address(finished: Run) -> Iterator[str]:
    home = finished.folder.parent
    with running(ROOT / "app.py", home) as url:
        yield f"{url}/batch?run={finished.id}"


@pytest.fixture
def opened(page, address: str, finished: Run):
    page.set_viewport_size({"width": 1440, "height": 1000})
    page.goto(address)
    page.wait_for_selector(".box[data-digest] .cell")
    yield page
    shutil.rmtree(  # a person's own batch is kept on disk, and so are notes
        finished.folder / "edits", ignore_errors=True
    )
    (finished.folder / "notes.json").unlink(missing_ok=True)
    assert page.off_origin == []
    assert [text for text in page.console_errors if ALLOWED not in text] == []


def display(finished: Run) -> dict:
    """Return what `show --json` says of RAMBO's choice."""
    command = [sys.executable, "-m", "rambo", "show", finished.id, "--json"]
    environment = {"RAMBO_HOME": str(finished.folder.parent), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    results = json.loads(done.stdout)["results"]
    return next(result for result in results if result["strategy"] == "rambo")


def cells(page, nth: int = 0) -> list[int]:
    """Return the images of the nth gallery, in the order they are drawn."""
    return page.evaluate(
        """(nth) => {
          const roots = [...document.querySelectorAll('*')].map((node) => node.shadowRoot).filter(Boolean);
          const grids = roots.map((root) => root.querySelector('.grid[aria-label]')).filter(Boolean);
          return [...(grids[nth]?.querySelectorAll('.cell') ?? [])].map((cell) => Number(cell.dataset.id));
        }""",
        nth,
    )


def wait_cells(page, expected: list[int], nth: int = 0) -> None:
    """Wait until a gallery shows these images."""
    reaches(lambda: cells(page, nth), expected)


def test_the_gallery_is_the_order_of_choice_and_the_slider_replays_it(
    opened, finished: Run
) -> None:
    facts = display(finished)
    wait_cells(opened, facts["selected"])
    slider = opened.get_by_role("slider").first
    slider.focus()
    for _ in range(3):
        slider.press("ArrowLeft")
    first = [i for i, step in zip(facts["selected"], facts["steps"], strict=True) if step <= 2]
    wait_cells(opened, first)
    opened.wait_for_url(re.compile(r"[?&]step=3\b"))
    assert finished.id in opened.url
    opened.reload()
    opened.wait_for_selector(".box[data-digest] .cell")
    wait_cells(opened, first)


def test_a_lasso_by_mouse_filters_the_gallery(opened, finished: Run) -> None:
    charts_ready(opened, 1)
    facts = display(finished)
    wait_cells(opened, facts["selected"])
    atlas = finished.load_arrays("trial-0/atlas")
    places = atlas["neighbours"][:, 0]
    across = np.sort(places)[40:-40]
    widest = np.diff(across).argmax()
    middle = float(across[widest] + across[widest + 1]) / 2  # no point lies near the line
    at_rest(opened)
    (edge, _), (low, high) = opened.evaluate(
        """() => {
          const {xaxis, yaxis} = document.querySelector('.rambo-plot .js-plotly-plot')._fullLayout;
          return [xaxis.range, yaxis.range].map(([a, b]) => [a + 0.005 * (b - a), b - 0.005 * (b - a)]);
        }"""
    )
    drag_lasso(opened, [(edge, low), (edge, high), (middle, high), (middle, low)])
    text = opened.locator("p", has_text=re.compile("Inside the lasso: .* chosen")).inner_text()
    count = int(re.search(r"(\d+) chosen", text)[1])
    within = set(atlas["indices"][places < middle].tolist())
    inside = [index for index in facts["selected"] if index in within]
    assert count == len(inside)
    wait_cells(opened, inside or facts["selected"])
    own = within & set(atlas["indices"][atlas["pool"] == 1].tolist())
    opened.get_by_role("button", name=f"Make these {len(own)} unlabeled image").click()
    opened.get_by_text(f"Your own batch: {len(own)} image").wait_for()
    marks = {row.dataset_index: row.chosen_by for row in evidence.rows(finished, "rambo")}
    assert marks == {i: "rambo" if i in facts["selected"] else "person" for i in own}
    opened.get_by_role("button", name="Back to RAMBO's choice").click()
    opened.get_by_text("Your own batch").wait_for(state="detached")
    opened.get_by_role("button", name="Inside the lasso:").click()
    wait_cells(opened, facts["selected"])
    reaches(lambda: opened.locator("p", has_text="Inside the lasso:").count(), 0)
    settled(opened)
    slider = opened.get_by_role("slider").first
    for up_to in (max(facts["steps"]) - 1, max(facts["steps"]) - 2):
        # The browser tells all it knows again: the lasso must not be among it.
        slider.press("ArrowLeft")
        wait_cells(
            opened,
            [i for i, s in zip(facts["selected"], facts["steps"], strict=True) if s <= up_to],
        )
    assert opened.locator("p", has_text="Inside the lasso:").count() == 0


def test_the_map_shows_the_picture_of_the_point_under_the_pointer(opened, finished: Run) -> None:
    charts_ready(opened, 1)
    at_rest(opened)
    x, y, image = opened.evaluate(
        """() => {
          const node = document.querySelector('.rambo-plot .js-plotly-plot');
          const trace = node.data.findLast((one) => one.customdata?.length);
          const { xaxis, yaxis } = node._fullLayout;
          const box = node.getBoundingClientRect();
          return [box.left + xaxis._offset + xaxis.c2p(trace.x[0]),
                  box.top + yaxis._offset + yaxis.c2p(trace.y[0]), trace.customdata[0]];
        }"""
    )
    opened.mouse.move(x - 40, y - 40)
    opened.mouse.move(x, y, steps=5)
    tile = opened.locator(".rambo-plot-tile[data-id]").first
    tile.wait_for(state="visible")
    chosen = display(finished)["selected"]
    assert int(tile.get_attribute("data-id")) in chosen, image
    assert "blob:" in tile.evaluate("(node) => getComputedStyle(node).backgroundImage")


def test_without_webgl_the_map_is_there_and_picks_images_all_the_same(
    new_page, address: str, finished: Run
) -> None:
    page = new_page(viewport={"width": 1440, "height": 1000})
    page.add_init_script(
        """const original = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
          return kind.includes("webgl") ? null : original.call(this, kind, ...rest);
        };"""
    )
    page.goto(address)
    charts_ready(page, 1)
    node = page.locator(".rambo-plot .js-plotly-plot").first
    assert node.locator(".no-webgl").count() == 0
    points = finished.load_arrays("trial-0/atlas")["indices"]
    assert node.locator(".scatterlayer path.point").count() >= len(points)
    page.locator(".cell").nth(2).click()
    page.wait_for_function(
        "document.querySelector('.rambo-plot .js-plotly-plot').data.at(-1).x.length === 1"
    )


def boxes(page) -> dict[str, list[float]]:
    """Return left, top, right and bottom of the points' ground of the map and of the gallery's first image."""
    return page.evaluate(
        """() => {
          const sides = (box) => [box.left, box.top, box.right, box.bottom];
          const { left, top } = document.querySelector('.rambo-plot .js-plotly-plot').getBoundingClientRect();
          const { xaxis, yaxis } = document.querySelector('.rambo-plot .js-plotly-plot')._fullLayout;
          const ground = new DOMRect(left + xaxis._offset, top + yaxis._offset, xaxis._length, yaxis._length);
          const roots = [...document.querySelectorAll('*')].map((node) => node.shadowRoot).filter(Boolean);
          const cell = roots.map((root) => root.querySelector('.cell')).find(Boolean);
          return { map: sides(ground), image: sides(cell.getBoundingClientRect()) };
        }"""
    )


def at_size(page, width: int, height: int) -> dict[str, list[float]]:
    """Return `boxes` in a window of this size, once the map has taken its place; nothing is wider than the window."""
    page.set_viewport_size({"width": width, "height": height})
    box = page.locator(".rambo-plot").first

    def fits() -> bool:
        full = box.evaluate("(node) => node.querySelector('.js-plotly-plot')._fullLayout.width")
        return abs(full - box.bounding_box()["width"]) < 2

    until(fits, "the map has the width of its column")
    main = page.locator("[data-testid=stMain]")
    assert main.evaluate("(node) => node.scrollWidth - node.clientWidth") == 0
    return boxes(page)


def test_map_and_gallery_stand_above_the_fold_and_a_selected_image_is_ringed_without_a_new_chart(
    opened,
) -> None:
    charts_ready(opened, 1)
    opened.evaluate("window.chart = document.querySelector('.rambo-plot .js-plotly-plot')")
    for width, height in ((1280, 720), (1920, 1080)):
        layout = at_size(opened, width, height)
        start, top, end, bottom = layout["map"]
        assert top <= 300, layout
        assert min(bottom, height) - top >= 0.5 * height, layout
        assert end - start >= 0.35 * width, layout
        assert layout["image"][3] <= height, layout
        assert layout["image"][2] <= start, layout
    layout = at_size(opened, 390, 844)
    assert layout["map"][2] - layout["map"][0] >= 320, layout
    assert layout["map"][1] > layout["image"][3], layout
    opened.set_viewport_size({"width": 1440, "height": 1000})
    opened.locator(".cell").nth(2).click()
    opened.wait_for_function("window.chart.data.at(-1).x.length === 1")
    assert opened.evaluate("window.chart.isConnected")
    opened.get_by_text("images shown, 1 selected").wait_for()


def test_an_image_taken_out_is_said_at_once_exported_and_outlives_a_reload(
    opened, finished: Run
) -> None:
    out = display(finished)["selected"][2]
    opened.locator(".cell").nth(2).click()
    opened.get_by_role("button", name="Take 1 out of the batch").click()
    opened.get_by_text("Your own batch: 23 images").wait_for()
    opened.reload()
    opened.get_by_text("Your own batch: 23 images").wait_for()
    opened.get_by_role("tab", name="Export").click()
    opened.get_by_text("Table (csv)").click()
    button = opened.get_by_role("button", name="Download your 23 images as csv")
    with opened.expect_download() as download:
        button.click()
    rows = Path(download.value.path()).read_text().splitlines()
    assert len(rows) == 24
    assert str(out) not in [
        row.split(",")[rows[0].split(",").index("dataset_index")] for row in rows
    ]
    bystander = (
        opened.context.new_page()
    )  # who looks at the same batch hears of it without a reload
    bystander.goto(opened.url)
    bystander.get_by_text("Your own batch: 23 images").wait_for()
    opened.get_by_role("tab", name="What if").click()
    until(lambda: len(cells(opened, 0)) >= 3, "the batch of the step is drawn")
    opened.locator(".cell").nth(0).click()
    opened.get_by_role("button", name="Remove", exact=True).click()
    opened.get_by_text("Your own batch: 22 images").wait_for()
    bystander.get_by_text("Your own batch: 22 images").wait_for()
    bystander.close()
    opened.get_by_role("button", name="Back to RAMBO's choice").click()
    opened.get_by_text("Your own batch").wait_for(state="detached")


def test_enter_opens_an_image_and_escape_closes_it(opened, finished: Run) -> None:
    index = display(finished)["selected"][0]
    opened.locator(".cell").first.focus()
    opened.keyboard.press("Enter")
    dialog = opened.get_by_role("dialog")
    dialog.get_by_text(f"Image {index}", exact=True).wait_for()
    dialog.get_by_text("Nearest labeled images").wait_for()
    dialog.get_by_role("button", name="Next").click()
    dialog.get_by_text(f"Image {display(finished)['selected'][1]}", exact=True).wait_for()
    opened.keyboard.press("ArrowLeft")
    dialog.get_by_text(f"Image {index}", exact=True).wait_for()
    images = dialog.locator("[data-testid=stImage] img")
    sources = images.evaluate_all("(all) => all.map((image) => image.src.split(';')[0])")
    assert set(sources) == {
        "data:image/png"
    }  # nothing that the server may drop before it is fetched
    opened.keyboard.press("Escape")
    dialog.wait_for(state="detached")


def test_tags_and_a_note_typed_in_the_drawer_stay_filter_and_are_exported(
    opened, finished: Run
) -> None:
    first, second = display(finished)["selected"][:2]
    opened.locator(".cell").first.focus()
    opened.keyboard.press("Enter")
    drawer = opened.get_by_role("dialog")
    drawer.get_by_role("combobox", name="Tags").click()
    opened.keyboard.type("blurry")
    opened.keyboard.press("Enter")
    reaches(lambda: notes.load(finished).get(first), ImageNote(("blurry",)))
    drawer.get_by_label("Note").fill("<b>ask</b> Ana")
    opened.keyboard.press("Escape")  # leaves the field and keeps what was typed
    entry = ImageNote(("blurry",), "<b>ask</b> Ana")
    reaches(lambda: notes.load(finished).get(first), entry)
    drawer.get_by_role("button", name="Next").click()
    drawer.get_by_text(f"Image {second}", exact=True).wait_for()
    reaches(drawer.get_by_label("Note").count, 1)  # for a moment the first image's is still there
    drawer.get_by_label("Note").fill("the second")
    drawer.get_by_role("button", name="Close").click()
    drawer.wait_for(state="detached")
    reaches(lambda: notes.load(finished).get(second), ImageNote(note="the second"))
    opened.reload()
    opened.wait_for_selector(".box[data-digest] .cell")
    opened.get_by_role("button", name="Filter and size").click()
    opened.get_by_role("combobox", name="Tags").click()
    opened.get_by_role("option", name="blurry").click()
    wait_cells(opened, [first])
    opened.keyboard.press("Escape")
    opened.get_by_role("button", name="Tag blurry").click()
    reaches(lambda: len(cells(opened)), 24)
    opened.get_by_role("tab", name="Export").click()
    opened.get_by_text("Table (csv)").click()
    with opened.expect_download() as download:
        opened.get_by_role("button", name="Download 24 images as csv").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [(row["tags"], row["note"]) for row in rows[:3]] == [
        ("blurry", "<b>ask</b> Ana"),
        ("", "the second"),
        ("", ""),
    ]


def metric(page, label: str) -> str:
    box = page.get_by_test_id("stMetric").filter(has_text=label)
    return box.get_by_test_id("stMetricValue").inner_text()


def test_swapping_an_image_moves_u_hat_and_undo_brings_it_back(opened, finished: Run) -> None:
    first = [
        i
        for i, step in zip(
            *(display(finished)[name] for name in ("selected", "steps")), strict=True
        )
        if step == 0
    ]
    opened.get_by_role("tab", name="What if").click()
    wait_cells(opened, first)
    before = metric(opened, "u_hat of your batch")
    until(lambda: cells(opened, 1), "images to take are offered")
    offered = cells(opened, 1)
    opened.locator(".cell").nth(1).click()
    button = opened.get_by_role("button", name="Swap 1 for the next by margin")
    button.click()
    wait_cells(opened, [first[0], offered[0], *first[2:]])
    until(lambda: metric(opened, "u_hat of your batch") != before, "u_hat moves")
    after = metric(opened, "u_hat of your batch")
    from rambo.runs import whatif

    utility = whatif.load(finished, 0).step_utility(0, [first[0], offered[0], *first[2:]])
    assert float(after) == pytest.approx(utility, abs=6e-4)
    opened.get_by_role("button", name="Undo").click()
    wait_cells(opened, first)
    reaches(lambda: metric(opened, "u_hat of your batch"), before)


def test_the_download_is_the_choice_of_the_command_line(opened, finished: Run) -> None:
    opened.get_by_role("tab", name="Export").click()
    with opened.expect_download() as waiting:
        opened.get_by_role("button", name="Download 24 images as zip").click()
    path = Path(waiting.value.path())
    assert waiting.value.suggested_filename == f"{finished.id}-rambo-seed0.zip"
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        lines = archive.read("manifest.jsonl").decode().splitlines()
    facts = display(finished)
    assert [json.loads(line)["dataset_index"] for line in lines] == facts["selected"]
    assert [json.loads(line)["step"] for line in lines] == facts["steps"]
    with opened.expect_download() as waiting:
        opened.get_by_role("button", name="Figures as HTML").click()
    page = Path(waiting.value.path()).read_text()
    assert page.startswith("<!doctype html>")
    assert Workspace(finished.folder.parent).find(finished.id).status == "done"


def test_each_of_many_downloads_right_after_a_new_format_arrives(
    opened, new_page, address: str
) -> None:
    """Other viewers end script runs all the time, and each such end cleans up the server's files."""
    formats = {
        "Everything (zip)": ("as zip", "seed0.zip"),
        "Table (csv)": ("as csv", "seed0.csv"),
        "DISTIL indices": ("as DISTIL indices", "distil.zip"),
        "JSON lines": ("as JSON lines", "seed0.jsonl"),
    }
    viewers = [new_page() for _ in range(4)]
    for viewer in viewers:
        viewer.goto(address)
    opened.get_by_role("tab", name="Export").click()
    opened.get_by_role("button", name="Download 24 images as zip").wait_for()
    wait = random.Random(0)
    for number in range(int(os.environ.get("RAMBO_DOWNLOADS", "12"))):
        name = list(formats)[number % len(formats)]
        opened.get_by_text(name, exact=True).click()
        words, ending = formats[name]
        button = opened.get_by_role("button", name=f"Download 24 images {words}")
        button.wait_for()
        opened.wait_for_timeout(wait.uniform(0, 2000))
        with opened.expect_download() as waiting:
            button.click()
        assert waiting.value.failure() is None, f"download {number}, {name}"
        assert Path(waiting.value.path()).stat().st_size > 100
        assert waiting.value.suggested_filename.endswith(ending)


def test_present_mode_is_turned_by_keys_fills_the_window_and_is_left_by_escape(
    opened, address: str
) -> None:
    page = opened
    page.get_by_role("link", name="Present").click()
    title = page.locator("h1")
    title.get_by_text("The images that RAMBO chose").wait_for()

    def place() -> str:
        return page.evaluate("new URLSearchParams(location.search).get('present')")

    def press(key: str, expected: str | None) -> None:
        """Press until the address says so: a page that is still being drawn does not listen."""

        def there() -> bool:
            if place() != expected:
                page.keyboard.press(key)
                with contextlib.suppress(AssertionError):
                    reaches(place, expected, 10)
            return place() == expected

        until(there, f"{key} leads to {expected}")

    press("ArrowRight", "2")
    title.get_by_text("Where the chosen images lie").wait_for()
    chart = page.locator(".rambo-plot[data-digest]")
    chart.wait_for()
    until(lambda: chart.bounding_box()["height"] > 550, "a chart as high as the window allows")
    box = page.locator(".st-key-present-turn").bounding_box()
    assert box["y"] + box["height"] <= 1000
    assert page.evaluate("document.querySelector('.block-container').scrollWidth") <= 1440
    chart.click()  # arrows turn the page also where the chart has the focus
    press("ArrowRight", "3")
    press("PageUp", "2")
    press("Home", "1")
    other = page.context.new_page()
    other.goto(page.url.split("?")[0] + "?" + page.evaluate("location.search").lstrip("?"))
    other.locator("h1").get_by_text("The images that RAMBO chose").wait_for()
    other.close()
    press("Escape", None)
    title.get_by_text("Batch").wait_for()
