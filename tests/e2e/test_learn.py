"""Learn in a real browser: a move changes numbers and address, and the link opens the very setting elsewhere."""

import contextlib

import ot
import pytest
import torch

from benchmarks import app
from rambo.method.losses import ranking_loss
from rambo.method.transport import exact_transport
from rambo.method.utility_samples import interpolate_utilities
from rambo.ui.learn import bilevel, filters, rounds, tables, transport, which

from .conftest import FLAGS, ROOT, reaches, running, settled, until
from .test_components import at_rest, charts_ready

APP = ROOT / "app.py"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory):
    """A server on an empty workspace."""
    with running(APP, tmp_path_factory.mktemp("learn") / "home") as url:
        yield url


def test_the_benchmark_paints_as_these_tests_do() -> None:
    painting = {flag for flag in FLAGS if "gpu" in flag or "swiftshader" in flag}
    assert painting == {flag for flag in app.FLAGS if flag != "--no-sandbox"}


def number(page, label: str) -> str:
    """Return what a figure says; that no line breaks within it is not compared."""
    figure = page.locator("[data-testid=stMetric]", has_text=label).last
    return figure.locator("[data-testid=stMetricValue]").inner_text().replace("\xa0", " ")


def test_a_moved_slider_stands_in_the_link_and_opens_elsewhere(new_page, address) -> None:
    page = new_page()
    page.goto(f"{address}/learn?step=bilevel")
    settled(page)
    slider = page.get_by_role("slider", name="log lambda")
    for _ in range(10):
        slider.press("ArrowRight")
    expected = f"{bilevel.evaluate(bilevel.task(0), -5.0).hypergradient:+.4f}"
    reaches(lambda: number(page, "Hypergradient"), expected)
    reaches(lambda: "lambda=-5" in page.evaluate("location.search"), True)
    other = new_page()
    other.goto(page.url)
    settled(other)
    reaches(lambda: number(other, "Hypergradient"), expected)
    assert other.off_origin == []
    assert other.console_errors == page.console_errors


def test_a_swapped_image_moves_the_distance_to_that_of_pot(new_page, address) -> None:
    page = new_page()
    page.goto(f"{address}/learn?step=transport")
    settled(page)
    rows = list(transport.START)

    def sentence() -> str:
        return number(page, "OT(S, S_val)")

    reaches(sentence, f"{exact_transport(transport.ground_cost(1.0)[rows]):.2f}")
    cells = page.get_by_role("group", name="Images that may be in S").get_by_role("button")
    cells.nth(rows[-1]).click()
    cells.nth(3).click()
    rows = sorted([*rows[:-1], 3])
    reaches(sentence, f"{exact_transport(transport.ground_cost(1.0)[rows]):.2f}")
    reaches(lambda: f"s={'.'.join(map(str, rows))}" in page.evaluate("location.search"), True)
    other = new_page()
    other.goto(page.url)
    settled(other)
    reaches(lambda: number(other, "OT(S, S_val)"), sentence())


def test_a_symbol_explains_itself_on_hover_and_on_tap(new_page, address) -> None:
    page = new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    page.goto(f"{address}/learn?step=transport")
    settled(page)
    symbol = page.locator(".rambo-term:has-text('validation set')").first
    tip = symbol.locator(".rambo-tip")
    assert not tip.is_visible()
    charts_ready(page, 1)
    at_rest(page)  # while the chart comes, what lies above it moves under the finger
    symbol.tap()
    reaches(tip.is_visible, True)
    box = tip.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert "validation set" in tip.inner_text()


def test_keys_turn_the_page(new_page, address) -> None:
    page = new_page()
    page.goto(f"{address}/learn")
    settled(page)
    page.get_by_role("button", name="Next").wait_for()

    def turned(keys: str, expected: bool) -> bool:
        """Press, and say whether the step came; a page that does not listen yet is asked again."""

        def there() -> bool:  # asked of the page: `page.url` stands still while nobody talks to it
            return "step=which" in page.evaluate("location.search")

        page.keyboard.press(keys)
        with contextlib.suppress(AssertionError):
            reaches(there, expected, 15)
        return there() == expected

    until(lambda: turned("Control+ArrowRight", True), "the next step")
    page.get_by_role("button", name="Set A teaches more").wait_for()
    until(lambda: turned("Control+ArrowLeft", False), "the step before")


def hover_text(page, box: dict[str, float]) -> str:
    """What the tip says when the pointer rests in the middle of a box; empty without one."""
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = page.locator(".rambo-tip-free")
    with contextlib.suppress(AssertionError):
        reaches(tip.is_visible, True, 5)
    return tip.inner_text() if tip.is_visible() else ""


def place_of(element, symbol: str) -> dict[str, float]:
    """The box of a symbol in the text of an element."""
    return element.evaluate(
        """(element, symbol) => {
          const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
          let text = texts.nextNode();
          while (!text.data.includes(symbol)) text = texts.nextNode();
          const range = new Range();
          const at = text.data.indexOf(symbol);
          range.setStart(text, at);
          range.setEnd(text, at + symbol.length);
          const { x, y, width, height } = range.getBoundingClientRect();
          return { x, y, width, height };
        }""",
        symbol,
    )


def test_symbols_in_labels_captions_and_axes_explain_themselves(new_page, address) -> None:
    page = new_page()
    page.goto(f"{address}/configure")
    settled(page)
    until(lambda: page.locator("body[data-rambo-symbols]").count(), "the page is read")
    budget = page.get_by_text("Labels to buy (B)").first
    budget.scroll_into_view_if_needed()
    until(lambda: "How many labels are bought" in hover_text(page, place_of(budget, "B")), "B")
    page.locator(".st-key-configure-all label").click()
    heading = page.get_by_text("How u_hat learns which of two sets").first
    heading.wait_for()
    settled(page)
    heading.scroll_into_view_if_needed()
    until(lambda: "the utility model" in hover_text(page, place_of(heading, "u_hat")), "u_hat")
    page.mouse.move(2, 2)
    reaches(page.locator(".rambo-tip-free").is_visible, False)
    page.goto(f"{address}/learn?step=bilevel")
    settled(page)
    axis = page.locator(".rambo-plot[data-digest] .xtitle", has_text="lambda").first
    until(lambda: "the learned weight decay" in hover_text(page, axis.bounding_box()), "lambda")
    for step, sentence, symbol, words in (
        ("filter", "M decides who chooses", "M", "the size of the margin filter"),
        ("interpolation", "alpha", "alpha", "the weight of the earlier accuracy"),
        ("ranknet", "Gap of the scores", "s_2", "the score of the second set"),
        ("transport", "Move every image of S", "S", "a set of images"),
    ):
        opened(page, address, step)
        text = page.get_by_text(sentence).first
        text.scroll_into_view_if_needed()
        until(lambda t=text, s=symbol, w=words: w in hover_text(page, place_of(t, s)), symbol)


def test_a_tap_on_a_label_explains_its_symbol(new_page, address) -> None:
    page = new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    page.goto(f"{address}/configure")
    settled(page)
    until(lambda: page.locator("body[data-rambo-symbols]").count(), "the page is read")
    tip = page.locator(".rambo-tip-free")
    budget = page.get_by_text("Labels to buy (B)").first

    def tapped() -> bool:
        budget.scroll_into_view_if_needed()
        symbol = place_of(budget, "B")
        page.touchscreen.tap(symbol["x"] + symbol["width"] / 2, symbol["y"] + symbol["height"] / 2)
        with contextlib.suppress(AssertionError):
            reaches(tip.is_visible, True, 5)
        return tip.is_visible()

    until(tapped, "a tip", 60)
    assert "the budget" in tip.inner_text()
    box = tip.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


def press(page, label: str, key: str, times: int = 1) -> None:
    """Move a slider by keys."""
    slider = page.get_by_role("slider", name=label).first
    for _ in range(times):
        slider.press(key)


def opened(page, address: str, step: str):
    page.goto(f"{address}/learn?step={step}")
    settled(page)
    return page


def test_the_gaps_move_loss_and_gradient_to_those_of_the_core(new_page, address) -> None:
    page = opened(new_page(), address, "ranknet")
    press(page, "Gap of the scores", "ArrowLeft", 5)
    press(page, "Gap of the true", "ArrowLeft", 8)  # from 3 to -1 points: the second set is better
    scores = torch.tensor([[0.5, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = ranking_loss(scores, torch.tensor([[0.5, 0.6]], dtype=torch.float64))
    (gradient,) = torch.autograd.grad(loss, scores)
    reaches(lambda: number(page, "Loss"), f"{loss.item():.3f}")
    reaches(lambda: number(page, "Gradient"), f"{float(gradient[0, 0]):+.3f}")


def test_the_weight_of_the_labels_and_begin_again_give_the_distance_of_pot(
    new_page, address
) -> None:
    page = opened(new_page(), address, "transport")
    press(page, "Weight of the labels", "ArrowRight", 5)
    cost = transport.ground_cost(1.5)[list(transport.START)]
    expected = ot.emd2(ot.unif(cost.shape[0]), ot.unif(cost.shape[1]), cost)
    reaches(lambda: number(page, "OT(S, S_val)"), f"{expected:.2f}")
    cells = page.get_by_role("group", name="Images that may be in S").get_by_role("button")
    cells.nth(transport.START[0]).click()
    reaches(lambda: number(page, "Images in S"), str(len(transport.START) - 1))
    page.get_by_text("map", exact=True).click()
    reaches(lambda: "draw=map" in page.evaluate("location.search"), True)
    page.get_by_role("button", name="Begin again").click()
    reaches(lambda: number(page, "OT(S, S_val)"), f"{expected:.2f}")


def test_steps_and_pairs_walk_to_where_the_hypergradient_leads(new_page, address) -> None:
    page = opened(new_page(), address, "bilevel")
    press(page, "Let it walk", "ArrowRight", 4)
    press(page, "Other pairs", "ArrowRight", 2)
    work = bilevel.task(2)
    place = bilevel.evaluate(work, bilevel.walk(work, -6.0, 4)[-1])
    reaches(lambda: number(page, "Loss on long pairs"), f"{place.outer:.3f}")
    reaches(lambda: number(page, "Hypergradient"), f"{place.hypergradient:+.4f}")


def test_sets_and_distances_get_the_utility_of_equation_4(new_page, address) -> None:
    page = opened(new_page(), address, "interpolation")
    table = tables.read(tables.Interpolation)
    press(page, "Set of the last", "ArrowRight", 3)
    reaches(
        lambda: number(page, "Interpolated utility"), f"{100 * table.sets[3].interpolated:.1f} %"
    )
    page.get_by_text("Move the distances yourself").click()
    near = page.get_by_role("slider", name="d_i: distance")
    until(near.is_enabled, "the sliders wake up")
    press(page, "d_i: distance", "ArrowLeft", 4)
    expected = interpolate_utilities(
        torch.tensor([0.2]), torch.tensor([0.6]), *table.accuracies
    ).item()
    reaches(lambda: number(page, "Interpolated utility"), f"{100 * expected:.1f} %")


def test_filter_and_rounds_show_the_row_they_point_at(new_page, address) -> None:
    page = opened(new_page(), address, "filter")
    press(page, "M: how many", "End")
    row = max(tables.read(tables.Filters).filters, key=lambda row: row.filter_size)
    expected = f"{100 * sum(row.test_accuracies) / len(row.test_accuracies):.1f} %"
    reaches(lambda: number(page, "Test accuracy"), expected)
    reaches(lambda: f"M={row.filter_size}" in page.evaluate("location.search"), True)
    opened(page, address, "rounds")
    press(page, "Rounds", "End")
    page.get_by_test_id("stButtonGroup").get_by_text("badge", exact=True).click()
    values = rounds.accuracies("badge")[:, -1]
    mean, error = rounds.mean_and_error(values)
    reaches(lambda: number(page, "Test accuracy"), f"{100 * mean:.1f} ± {100 * error:.1f} %")


def test_a_picture_that_stays_keeps_its_node_and_gets_the_new_words(new_page, address) -> None:
    page = opened(new_page(), address, "filter")
    cells = page.locator(".st-key-learn-filter-chosen .cell")
    cells.nth(199).wait_for()
    cells.evaluate_all("nodes => nodes.forEach((node) => { node.stayed = true; })")
    press(page, "M: how many", "ArrowRight")
    before, after = (filters.shipped()[size] for size in (200, 400))
    batch_size = tables.read(tables.Filters).batch_size
    words = [
        f"step {place // batch_size + 1}, margin {margin:.3f}"
        for place, margin in enumerate(after.margins)
    ]
    captions = "nodes => nodes.map((node) => node.tip.split('\\n')[0])"
    reaches(lambda: cells.evaluate_all(captions), words)
    stayed = cells.evaluate_all(
        "nodes => nodes.filter((node) => node.stayed).map((node) => +node.dataset.id)"
    )
    assert set(stayed) == set(before.chosen) & set(after.chosen) != set()


def test_a_guess_and_a_board_are_judged_as_trained(new_page, address) -> None:
    page = opened(new_page(), address, "which")
    press(page, "Pair", "ArrowRight")
    page.get_by_role("button", name="Set A teaches more").click()
    first = which.shipped().utilities[1][:, 0]
    sentence = f"Trained once, A reaches {100 * first[0]:.1f} % and B {100 * first[1]:.1f} %"
    page.get_by_text(sentence).wait_for()
    board = tables.read(tables.Boards).boards[1]
    places = ".".join(str(board.unlabeled.index(image)) for image in board.choices["rambo"])
    page.goto(f"{address}/learn?board=2&pick={places}")
    settled(page)
    page.get_by_role("button", name="Train", exact=True).click()
    expected = f"{100 * board.accuracies['rambo']:.1f} %"
    page.get_by_text(f"from {100 * board.accuracies['']:.1f} % to {expected}").wait_for()
