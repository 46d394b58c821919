"""The chart and the gallery in a real browser."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import APPS, reaches, until

FIRST_GALLERY = "document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot"
# Counts chart nodes that leave the page.
WATCH = """() => {
  window.removed = 0;
  window.firstNodes = [...document.querySelectorAll('.rambo-plot .js-plotly-plot')];
  new MutationObserver((records) => {
    for (const record of records) for (const node of record.removedNodes) {
      if (node.nodeType === 1 && (node.matches('.js-plotly-plot') || node.querySelector?.('.js-plotly-plot'))) {
        window.removed += 1;
      }
    }
  }).observe(document.body, {childList: true, subtree: true});
}"""


def inside(points: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Return which points lie inside the polygon, by the even-odd rule."""
    x, y = points[:, 0, None].astype(float), points[:, 1, None].astype(float)
    ax, ay = path[:, 0], path[:, 1]
    bx, by = np.roll(ax, -1), np.roll(ay, -1)
    crosses = (ay > y) != (by > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        is_beside = x < (bx - ax) * (y - ay) / (by - ay) + ax
    return (crosses & is_beside).sum(1) % 2 == 1


def distance(points: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Return each point's distance to the polygon's outline."""
    start, step = path[None], (np.roll(path, -1, 0) - path)[None]
    away = points[:, None].astype(float) - start
    share = np.clip((away * step).sum(-1) / np.maximum((step**2).sum(-1), 1e-30), 0, 1)
    return np.linalg.norm(away - share[..., None] * step, axis=-1).min(1)


def scatter(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The points and ids of lasso_app.py."""
    xy = np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32)
    return xy, np.random.default_rng(1).permutation(count * 3)[:count]


def charts_ready(page, count: int) -> None:
    page.wait_for_function(
        f"document.querySelectorAll('.rambo-plot[data-digest] .js-plotly-plot').length >= {count}"
    )


def at_rest(page) -> None:
    """Wait until the first chart neither moves nor changes its size."""
    page.wait_for_function(
        """() => {
          const node = document.querySelector('.rambo-plot .js-plotly-plot');
          const {width, xaxis, yaxis} = node._fullLayout;
          const axes = [xaxis, yaxis].map((axis) => [axis._offset, axis._length]);
          const seen = JSON.stringify([node.getBoundingClientRect(), width, axes]);
          const rests = seen === window.seen && Math.abs(width - node.clientWidth) < 1;
          window.seen = seen;
          return rests;
        }""",
        polling=250,
    )


def open_map(page, serve) -> None:
    """Open lasso_app.py; the gallery above its chart pushes it down once it is there."""
    page.goto(serve(APPS / "lasso_app.py"))
    page.wait_for_selector(".box[data-digest] button.cell")
    charts_ready(page, 1)
    at_rest(page)


def drag_lasso(page, corners: list[tuple[float, float]], button_up: bool = True) -> None:
    """Draw a lasso through `corners`, given in data coordinates, where the whole chart is in sight."""
    page.evaluate("document.querySelector('.rambo-plot').scrollIntoView({block: 'center'})")
    at_rest(page)
    spots = page.evaluate(
        """(corners) => {
          const node = document.querySelector('.rambo-plot .js-plotly-plot');
          const {xaxis, yaxis} = node._fullLayout;
          const box = node.getBoundingClientRect();
          return corners.map(([x, y]) => [box.left + xaxis._offset + xaxis.c2p(x),
                                          box.top + yaxis._offset + yaxis.c2p(y)]);
        }""",
        corners,
    )
    page.mouse.move(*spots[0])
    page.mouse.down()
    for spot in [*spots[1:], spots[0]]:
        page.mouse.move(*spot, steps=6)
    if button_up:
        page.mouse.up()


def path_of_line(page) -> np.ndarray:
    """Return the outline plotly drew, in data coordinates."""
    path = page.evaluate(
        "document.querySelector('.rambo-plot .js-plotly-plot').layout.selections[0].path"
    )
    return np.array(re.findall(r"[ML]([-\d.e]+),([-\d.e]+)", path), float)


def gallery_state(page) -> dict:
    return json.loads(page.locator("[data-testid=stCode]").inner_text())


def wait_state(page, **expected) -> None:
    reaches(lambda: {name: gallery_state(page)[name] for name in expected}, expected)


def wait_first(page, expected: int) -> None:
    """Wait until the first thumbnail of the first gallery is this image."""
    reaches(
        lambda: page.evaluate(f"{FIRST_GALLERY}.querySelector('.cell')?.dataset.id"), f"{expected}"
    )


PLOT = Path(__file__).resolve().parents[2] / "rambo" / "ui" / "components" / "plot.js"
LEISURE = re.findall(r"const LEISURE = (\d+);", PLOT.read_text())[0]
# A page whose long timers never end: what waits for leisure waits for good.
HURRIED = f"""const after = window.setTimeout;
window.setTimeout = (work, delay, ...given) => delay === {LEISURE} ? 0 : after(work, delay, ...given);"""


def test_a_chart_out_of_sight_is_drawn_once_it_comes_into_sight(serve, page) -> None:
    page.add_init_script(HURRIED)
    page.goto(serve(APPS / "tall_app.py"))
    near, far = (page.locator(f".rambo-plot[aria-label={name}]") for name in ("near", "far"))
    near.locator(".js-plotly-plot").wait_for()
    far.wait_for()
    page.wait_for_timeout(1000)  # time in which it would have been drawn too
    assert far.bounding_box()["height"] >= 200, "its place is kept"
    assert far.locator(".js-plotly-plot").count() == 0
    far.scroll_into_view_if_needed()
    far.locator(".js-plotly-plot").wait_for()


def test_a_chart_out_of_sight_is_drawn_at_leisure(serve, page) -> None:
    """Nobody scrolls: a page that is printed has all its charts."""
    page.goto(serve(APPS / "tall_app.py"))
    charts_ready(page, 2)
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop") == 0


def test_live_charts_keep_their_node_zoom_and_legend(serve, page) -> None:
    page.goto(serve(APPS / "live_app.py"))
    charts_ready(page, 4)
    at_rest(page)
    page.evaluate(WATCH)
    chart = page.locator(".rambo-plot").first
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.4)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.7, steps=8)
    page.mouse.up()
    read = "document.querySelector('.js-plotly-plot')._fullLayout.xaxis.range"
    page.wait_for_function(f"{read}[0] > 50")
    zoomed = page.evaluate(read)
    chart.locator(".legendtoggle").last.click()
    hidden = "document.querySelector('.js-plotly-plot')._fullData[1].visible === 'legendonly'"
    page.wait_for_function(hidden)
    ticks = "Number(document.body.innerText.match(/ticks (\\d+)/)?.[1])"
    points = "document.querySelector('.js-plotly-plot').data[0].x.length"
    first, marks = page.evaluate(ticks), page.evaluate(points)
    page.wait_for_function(f"{ticks} >= {first + 5}", polling=200)
    page.wait_for_function(f"{points} > {marks}")  # new data did arrive in the same node
    assert page.evaluate("window.removed") == 0
    assert page.evaluate("window.firstNodes.every((node) => node.isConnected)")
    assert page.evaluate(read) == zoomed
    assert page.evaluate(hidden)
    assert page.evaluate("document.querySelectorAll('script[src*=plotly]').length") == 0
    assert page.off_origin == []
    assert page.console_errors == []


def test_plotly_js_is_fetched_once_and_then_comes_from_the_cache(serve, page) -> None:
    url = serve(APPS / "live_app.py")
    page.goto(url)
    charts_ready(page, 4)
    sizes = """performance.getEntriesByType('resource').filter((entry) => entry.name.endsWith('.gz')
      && entry.decodedBodySize > 500000).map((entry) => entry.transferSize)"""
    first = page.evaluate(sizes)
    assert len(first) == 1
    assert first[0] > 1_000_000
    page.goto(url)
    charts_ready(page, 4)
    assert page.evaluate(sizes) == [0]


def test_a_lasso_returns_exactly_the_ids_inside(serve, page) -> None:
    open_map(page, serve)
    xy, ids = scatter(8000)
    corners = [(-0.6, -0.4), (1.1, -0.8), (1.5, 0.9), (0.2, 0.3), (-0.7, 1.2)]
    drag_lasso(page, corners)
    page.wait_for_selector("text=/selected: \\d/")
    order = [int(item) for item in page.locator("[data-testid=stCode]").inner_text().split()]
    path = path_of_line(page)
    within = set(ids[inside(xy, path)].tolist())
    # Plotly counts in pixels: within a tenth of one, a point may lie on either side of the line.
    on_the_line = set(ids[distance(xy, path) < 1e-3].tolist())
    assert within ^ set(order) <= on_the_line
    assert len(on_the_line) < 20
    assert order == sorted(set(order))
    wished = set(ids[inside(xy, np.array(corners))].tolist())
    assert len(wished & set(order)) > 0.97 * len(wished | set(order)) > 1000
    assert page.locator(".legendtext").first.text_content() == "<b>pool</b> &"
    # A new lasso may start inside the old one.
    drag_lasso(page, [(0.3, -0.2), (0.9, -0.2), (0.9, 0.2)])
    page.wait_for_function(
        f"Number(document.body.innerText.match(/selected: (\\d+)/)?.[1]) < {len(order) // 2}"
    )
    drag_lasso(page, corners)
    page.wait_for_selector(f"text=selected: {len(order)}")
    # A rerun for another reason keeps the lasso and what it dimmed.
    runs = page.get_by_text(re.compile(r"^run \d+$"))
    before = runs.inner_text()
    page.get_by_role("button", name="Rerun").click()
    until(lambda: runs.inner_text() != before, "the page runs again")
    page.wait_for_timeout(500)
    assert len(path_of_line(page)) > 4
    assert page.get_by_text(f"selected: {len(order)}").count() == 1
    # Linked the other way: a clicked thumbnail is ringed, zoom and lasso stay.
    before = runs.inner_text()
    page.locator("button.cell").first.click()
    page.wait_for_function("document.querySelector('.js-plotly-plot').data.at(-1).x.length === 1")
    until(lambda: runs.inner_text() != before, "the run that ringed it ends")
    ring = page.evaluate(
        "(({x, y}) => [x[0], y[0]])(document.querySelector('.js-plotly-plot').data.at(-1))"
    )
    np.testing.assert_allclose(ring, xy[0], rtol=1e-5)
    assert len(path_of_line(page)) > 4
    # Cleared by the page, then by the person.
    page.get_by_role("button", name="Clear").click()
    page.wait_for_selector("text=selected: none")
    page.wait_for_function("!document.querySelector('.js-plotly-plot').layout.selections.length")
    drag_lasso(page, [(3.4, 3.4), (3.6, 3.4), (3.6, 3.7)])
    page.wait_for_selector("text=/selected: 0/")
    drag_lasso(page, corners)
    page.wait_for_selector("text=/selected: [1-9]/")
    page.locator(".rambo-plot").first.focus()
    page.keyboard.press("Escape")
    page.wait_for_selector("text=selected: none")
    assert page.off_origin == []
    assert page.console_errors == []


def test_a_double_click_clears_the_lasso(serve, page) -> None:
    open_map(page, serve)
    drag_lasso(page, [(-1, -1), (1, -1), (1, 1), (-1, 1)])
    page.wait_for_selector("text=/selected: [1-9]/")
    at_rest(page)
    box = page.locator(".rambo-plot .nsewdrag").bounding_box()

    def cleared() -> bool:
        """Try once: plotly takes clicks more than 300 ms apart, on a slow machine, for single ones."""
        page.mouse.dblclick(box["x"] + 30, box["y"] + 30)
        page.wait_for_timeout(2_000)
        return page.get_by_text("selected: none").is_visible()

    until(cleared, "a double click clears the lasso", 60)


def test_the_chart_answers_the_keyboard_and_follows_the_width(serve, page) -> None:
    open_map(page, serve)
    chart = page.locator(".rambo-plot")
    assert chart.get_attribute("aria-label") == "All points"
    chart.focus()
    read = "document.querySelector('.js-plotly-plot')._fullLayout.xaxis.range"
    low, high = page.evaluate(read)
    page.keyboard.press("+")
    page.wait_for_function(f"{read}[0] > {low}")
    page.keyboard.press("0")
    page.wait_for_function(f"Math.abs({read}[0] - {low}) < 1e-6")
    before = page.evaluate("document.querySelector('.js-plotly-plot')._fullLayout.width")
    page.set_viewport_size({"width": 800, "height": 900})
    page.wait_for_function(
        f"document.querySelector('.js-plotly-plot')._fullLayout.width < {before - 200}"
    )
    page.wait_for_selector(".modebar-btn[data-title='Download as PNG']", state="attached")
    tools = page.locator(".modebar-btn").evaluate_all("(b) => b.map((n) => n.dataset.title)")
    assert tools[-1] == "Download as PNG"
    assert not any("hare" in name or "loud" in name or "lotly" in name for name in tools)
    with page.expect_download() as download:
        page.locator(".modebar-btn[data-title='Download as PNG']").click()
    assert download.value.suggested_filename == "map.png"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_chart_wears_the_theme(serve, new_page, scheme) -> None:
    page = new_page(color_scheme=scheme)
    open_map(page, serve)
    page.wait_for_selector(".xtick text")
    ink = "getComputedStyle(document.querySelector('.xtick text')).fill"
    level = f"{ink}.match(/\\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b)"
    signs = {"light": "<", "dark": ">"}
    page.wait_for_function(f"{level} {signs[scheme]} 450")
    paper = "document.querySelector('.js-plotly-plot')._fullLayout.paper_bgcolor"
    assert page.evaluate(paper) == "rgba(0,0,0,0)"
    # The person's switch, while the page is open.
    other = "dark" if scheme == "light" else "light"
    page.emulate_media(color_scheme=other)
    page.wait_for_function(f"{level} {signs[other]} 450")
    assert page.console_errors == []


def visible_ids(page) -> list[int | None]:
    """Read each cell's id from its pixels: image i of gallery_app.py is a colour that spells i.

    A cell that shows no image of that app, or none yet, is None.
    """
    picture = page.locator(".grid").first
    spots = page.locator("button.cell .t").evaluate_all(
        """(tiles) => { const grid = tiles[0].closest('.grid').getBoundingClientRect();
          return tiles.map((tile) => { const box = tile.getBoundingClientRect();
            return [box.left - grid.left + box.width / 2, box.top - grid.top + box.height / 2]; }); }"""
    )
    pixels = np.asarray(Image.open(io.BytesIO(picture.screenshot())).convert("RGB")).astype(int)
    colors = [pixels[round(y), round(x)] for x, y in spots]
    return [int(red + 256 * green) if abs(blue - 200) < 4 else None for red, green, blue in colors]


def labels(page) -> list[int]:
    return [
        int(item)
        for item in page.locator("button.cell").evaluate_all("(c) => c.map((n) => n.dataset.id)")
    ]


def test_thumbnail_i_is_image_i_after_sort_and_filter(serve, page) -> None:
    page.goto(serve(APPS / "gallery_app.py"))
    page.wait_for_selector(".box[data-digest] button.cell")
    page.mouse.move(0, 0)
    up = [place * 7 + 3 for place in range(40)]
    reaches(lambda: (visible_ids(page), labels(page)), (up, up))
    fetched = (
        "performance.getEntriesByType('resource').filter((e) => e.name.includes('/media/')).length"
    )
    before = page.evaluate(fetched)
    for name, expected in [("down", up[::-1]), ("odd", up[1::2]), ("up", up)]:
        page.get_by_text(name, exact=True).click()
        wait_first(page, expected[0])
        page.mouse.move(0, 0)
        reaches(lambda expected=expected: (visible_ids(page), labels(page)), (expected, expected))
    assert page.evaluate(fetched) == before  # ids travelled, pictures did not
    assert page.off_origin == []
    assert page.console_errors == []


def test_gallery_by_mouse(serve, page) -> None:
    page.goto(serve(APPS / "gallery_app.py"))
    cells = page.locator("button.cell")
    cells.nth(2).click()
    cells.nth(5).click()
    wait_state(page, selected=[17, 38])
    assert cells.nth(2).get_attribute("aria-pressed") == "true"
    cells.nth(2).click()
    wait_state(page, selected=[38])
    page.get_by_text("odd", exact=True).click()  # hidden ids stay selected
    wait_first(page, 10)
    wait_state(page, selected=[38])
    page.get_by_text("up", exact=True).click()
    wait_first(page, 3)
    cells.nth(1).dblclick()  # opens, and is no choice
    wait_state(page, selected=[38], opened=10)
    cells.nth(3).hover()
    cells.nth(3).locator(".info").click()
    wait_state(page, selected=[38], opened=24)
    page.get_by_role("button", name="None").click()
    wait_state(page, selected=[])
    page.wait_for_function(f"!{FIRST_GALLERY}.querySelector('[aria-pressed=true]')")
    # A button pressed at once does not overtake the click before it.
    cells.nth(0).click()
    page.get_by_role("button", name="None").click()
    page.wait_for_timeout(1_000)
    wait_state(page, selected=[])
    assert page.console_errors == []


def test_gallery_by_keyboard(serve, page) -> None:
    page.goto(serve(APPS / "gallery_app.py"))
    page.wait_for_selector("text=page ready")
    page.wait_for_selector(".box[data-digest] button.cell")

    def focus() -> str | None:
        return page.evaluate(f"{FIRST_GALLERY}.activeElement?.dataset.id")

    page.get_by_role("button", name="None").focus()
    page.keyboard.press("Tab")
    reaches(focus, "3")  # one stop for the whole grid
    page.keyboard.press("ArrowRight")
    reaches(focus, "10")
    page.keyboard.press("Space")
    wait_state(page, selected=[10])
    assert focus() == "10"  # the rerun did not take the focus
    page.keyboard.press("ArrowDown")
    until(lambda: focus() != "10", "the focus moves down")
    below = int(focus())
    assert below > 10 + 7 * 3
    page.keyboard.press("Enter")
    wait_state(page, selected=[10], opened=below)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    wait_state(page, selected=[])
    page.keyboard.press("End")
    reaches(focus, str(39 * 7 + 3))
    ring = f"getComputedStyle({FIRST_GALLERY}.activeElement).outlineStyle"
    reaches(lambda: page.evaluate(ring), "solid")


def test_hostile_text_stays_text(serve, page) -> None:
    page.goto(serve(APPS / "gallery_app.py"))
    page.locator("button.cell").first.hover()
    tip = page.locator(".tip").first
    tip.wait_for(state="visible")
    assert tip.inner_text().startswith('<img src=x onerror="window.hacked=1"> **bold** </span>')
    assert "<b>" in page.locator(".legend").first.inner_text()
    assert "<script>" in page.locator(".row .name").first.inner_text()
    page.get_by_text("Nothing", exact=True).click()
    page.wait_for_selector("text=Nothing <i>here</i>.")
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None
    assert page.off_origin == []


def test_rows_show_candidates_side_by_side(serve, page) -> None:
    page.goto(serve(APPS / "gallery_app.py"))
    reaches(lambda: page.locator(".row").count(), 3)
    assert page.locator(".row .cell").count() == 5 + 4 + 3
    assert page.locator(".row.marked").count() == 1
    assert "✓ chosen" in page.locator(".row.marked .name").inner_text()
    assert page.locator(".row button").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_gallery_wears_the_theme(serve, new_page, scheme) -> None:
    page = new_page(color_scheme=scheme)
    page.goto(serve(APPS / "gallery_app.py"))
    badge = page.locator(".badge").first

    def levels() -> tuple[float, float]:
        """Return how bright ink and ground are."""
        style = badge.evaluate(
            "(n) => [getComputedStyle(n).color, getComputedStyle(n).backgroundColor]"
        )
        ink, ground = (np.mean([int(x) for x in re.findall(r"\d+", part)[:3]]) for part in style)
        return ink, ground

    until(lambda: (levels()[1] < 100) == (scheme == "dark"), f"a {scheme} ground")
    until(lambda: abs(np.subtract(*levels())) > 120, "a readable badge")


def test_five_hundred_thumbnails_are_one_picture(serve, page) -> None:
    page.goto(serve(APPS / "gallery_app.py", {"IMAGES": "500"}))
    page.wait_for_selector("text=page ready")
    page.wait_for_selector(".box[data-digest] button.cell")
    page.get_by_text("down", exact=True).click()
    wait_first(page, 3496)
    assert page.locator("button.cell").count() == 500
