"""The frame in a real browser: deep links, hostile names, the server's settings, and no torch in it."""

import socket
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import page_helpers
import pytest
import tiny

from rambo.runs.workspace import Run

from .conftest import ROOT, reaches, running, settled, until

APP = ROOT / "app.py"
PLACES = ["", "data", "configure", "train", "batch", "compare", "studies", "learn"]
MENU = ["Home", "Data", "Configure", "Train", "Batch", "Label", "Compare", "Studies", "Learn"]
HOSTILE = [
    "![x](http://evil.example/beacon.png)",
    "<img src=http://evil.example/p.png onerror=alert(1)>",
    "[click](javascript:alert(2)) https://evil.example",
    "<script>alert(3)</script> $x^2$ :red[a] **b**",
]


def hostile_run(home: Path) -> Run:
    """Return a finished run of a dataset whose name and classes try everything."""
    write = tiny.prepared.write

    def renamed(*args, **options):
        return write(*args, **(options | {"classes": HOSTILE, "name": HOSTILE[1]}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny.prepared, "write", renamed)
        return page_helpers.make_done(home)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory):
    """A server on a workspace with two runs, one of them full of hostile names: (address, run, hostile run)."""
    home = tmp_path_factory.mktemp("frame") / "home"
    plain = page_helpers.make_done(home, strategies=["margin", "random"])
    hostile = hostile_run(home)
    with running(APP, home) as address:
        yield address, plain, hostile


def test_a_page_begins_at_its_top_however_far_the_one_before_was_scrolled(page, site) -> None:
    address, run, _ = site
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{address}/compare?run={run.id}")
    settled(page)
    depth = "document.querySelector('[data-testid=stMain]').scrollTop"
    page.wait_for_function(
        f"{depth} > 0 || document.querySelector('[data-testid=stMain]').scrollTo(0, 400)"
    )
    page.locator("[data-testid=stSidebar]").get_by_role("link", name="Learn").click()
    page.wait_for_function("document.title.startsWith('Learn')")
    settled(page)
    reaches(lambda: page.evaluate(depth), 0)


def test_on_a_telephone_the_menu_leaves_when_a_page_was_picked(page, site) -> None:
    address, run, _ = site
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}/compare?run={run.id}")
    settled(page)
    page.locator("[data-testid=stExpandSidebarButton]").click()
    page.locator("[data-testid=stSidebar]").get_by_role("link", name="Learn").click()
    page.wait_for_function("document.title.startsWith('Learn')")
    page.locator("[data-testid=stSidebar][data-collapsed=true]").wait_for(state="attached")


def test_what_will_happen_is_not_cut_on_a_telephone_and_needs_no_scrolling_on_a_small_screen(
    page, site
) -> None:
    address, _, _ = site
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}/configure")
    page.get_by_text("What will happen").wait_for()
    cut = """() => { const card = document.querySelector('.st-key-cost-card').closest('[data-testid=stColumn]');
        return getComputedStyle(card).overflowY; }"""
    reaches(lambda: page.evaluate(cut), "visible")
    page.set_viewport_size({"width": 1280, "height": 720})
    reaches(lambda: page.evaluate(cut), "auto")
    more = """() => { const card = document.querySelector('.st-key-cost-card').closest('[data-testid=stColumn]');
        return card.scrollHeight - card.clientHeight; }"""
    reaches(lambda: page.evaluate(more), 0)


def test_the_labels_of_a_row_stand_on_one_line(page, site) -> None:
    address, run, _ = site
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{address}/batch?run={run.id}")
    settled(page)
    tops = """() => ['Sort by', 'Show as'].map((words) => Math.round([...document.querySelectorAll(
        '[data-testid=stWidgetLabel]')].find((label) => label.innerText === words)?.getBoundingClientRect().top))"""
    reaches(lambda: len(set(page.evaluate(tops))), 1)


def run_in(page) -> str | None:
    return parse_qs(urlsplit(page.url).query).get("run", [None])[0]


def test_a_cold_deep_link_opens_its_page_with_the_whole_frame(page, site) -> None:
    address, run, _ = site
    page.goto(f"{address}/compare?run={run.id}")
    settled(page)
    reaches(lambda: page.locator("h1").inner_text(), "Compare")
    links = page.locator("[data-testid=stSidebar] [data-testid=stPageLink]")
    reaches(lambda: [text.split()[-1] for text in links.all_inner_texts()], MENU)  # after the icon
    assert page.get_by_role("dialog").count() == 0


def test_the_run_survives_every_click_reload_and_back(page, site) -> None:
    address, run, _ = site
    page.goto(f"{address}/?run={run.id}")
    settled(page)
    for name in [
        "Data",
        "Configure",
        "Train",
        "Batch",
        "Label",
        "Compare",
        "Studies",
        "Learn",
        "Home",
    ]:
        page.locator("[data-testid=stSidebar]").get_by_role("link", name=name).click()
        page.wait_for_function("name => document.title.startsWith(name)", arg=name, polling=100)
        settled(page)
        reaches(lambda: run_in(page), run.id)
    page.reload()
    settled(page)
    reaches(lambda: run_in(page), run.id)
    page.go_back()
    page.wait_for_function("() => document.title.startsWith('Learn')")
    settled(page)
    reaches(lambda: run_in(page), run.id)


@pytest.mark.parametrize("place", PLACES)
def test_hostile_names_are_text_on_every_page(page, site, place: str) -> None:
    address, _, run = site
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(f"{address}/{place}?run={run.id}")
    settled(page)
    page.wait_for_timeout(2500)
    assert dialogs == []
    assert page.off_origin == []
    for element, attribute in (("a", "href"), ("img", "src")):
        values = page.eval_on_selector_all(element, f"all => all.map(e => e.{attribute} || '')")
        assert [url for url in values if "evil" in url or "javascript:" in url] == []
    body = page.locator("body").inner_text()
    assert "Traceback" not in body
    assert "errors.log" not in body


@pytest.mark.parametrize(
    "typed", ["nope", "../../etc/passwd", "%00", "<b>x</b>", "a" * 3000, "\U0001f4a5;"]
)
def test_any_other_run_in_the_address_is_no_such_run(page, site, typed: str) -> None:
    address, _, _ = site
    page.goto(f"{address}/batch?run={quote(typed, safe='')}")
    page.get_by_text("there is no such run").wait_for()
    assert page.off_origin == []


def test_no_torch_and_no_other_interface(site) -> None:
    address, _, _ = site
    port = urlsplit(address).port

    def servers() -> list[Path]:
        processes = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        mark = f"--server.port={port}"
        return [entry for entry in processes if mark in read(entry / "cmdline").split("\0")]

    until(lambda: len(servers()) == 1, "one server")  # a child just forked looks like its parent
    (server,) = servers()
    assert "streamlit" in read(server / "cmdline")
    assert "libtorch" not in read(server / "maps")
    addresses = {facts[4][0] for facts in socket.getaddrinfo(socket.gethostname(), None)}
    for other in addresses - {"127.0.0.1", "::1"}:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((other, port), timeout=10)


def test_a_foreign_host_or_origin_is_refused(site) -> None:
    port = urlsplit(site[0]).port
    own = f"127.0.0.1:{port}"
    assert upgrade(port, host=own, origin=f"http://{own}") == 101
    assert upgrade(port, host="evil.example", origin="http://evil.example") == 403
    assert upgrade(port, host=own, origin="http://evil.example") == 403


def upgrade(port: int | None, *, host: str, origin: str) -> int:
    """Return the status of a request for the app's web socket."""
    lines = ["GET /_stcore/stream HTTP/1.1", f"Host: {host}", f"Origin: {origin}"]
    lines += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall("\r\n".join(lines).encode())
        return int(line.recv(200).split()[1])


def read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
