"""A real browser against a real `streamlit run`: what the end-to-end tests share.

`serve(app)` starts a server of its own on a free port, with its own workspace in `RAMBO_HOME`;
`page` is a fresh browser page that notes requests to other hosts and errors in the console.
Without Chromium these tests are skipped; `RAMBO_REQUIRE_BROWSER=1` (CI) makes that an error.

Nothing here may depend on how fast the machine is: what comes a moment after a click is waited for
(`until`, `reaches`, playwright's own waits), never read at once.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

PATIENCE = 240  # seconds; the machine may be busy with other work
SLACK = 10  # seconds a busy machine may take beyond a limit that the product sets itself
ROOT = Path(__file__).resolve().parents[2]
APPS = Path(__file__).parent / "apps"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",  # WebGL without a graphics card
    "--enable-unsafe-swiftshader",
    "--disable-gpu-rasterization",  # what is no WebGL is painted the plain way: a quarter of the work
    "--disable-gpu-compositing",
]
LOCAL_SCHEMES = ("data", "blob", "about", "chrome")
_LOGS: list[Path] = []  # of the servers that are up
HARMLESS = ("favicon", "Failed to load resource: net::ERR_CONNECTION_REFUSED")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder `e2e`; each wait has a limit of its own."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(1800))


def until(done: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until `done()`."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def reaches(read: Callable[[], object], expected: object, seconds: float = 60) -> None:
    """Wait until `read()` returns `wanted`."""
    end = time.monotonic() + seconds
    while (value := read()) != expected:
        assert time.monotonic() < end, f"{value!r} instead of {expected!r} after {seconds} s"
        time.sleep(0.05)


def settled(page) -> None:
    """Wait for the end of the script run."""
    page.wait_for_selector("h1")
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")


def _browser_path() -> str | None:
    """Return the installed Chromium, if any."""
    named = os.environ.get("RAMBO_CHROMIUM")
    return named or next((path for name in BROWSERS if (path := shutil.which(name))), None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Write beside a failure what the browser showed and what the server wrote, since neither is there later."""
    outcome = yield
    report = outcome.get_result()
    if report.when != "call" or not report.failed:
        return
    for page in getattr(item, "open_pages", []):
        with contextlib.suppress(Exception):  # a page that is closed, or hangs, has no text
            state = page.locator("[data-testid=stApp]").get_attribute(
                "data-test-script-state", timeout=2_000
            )
            words = page.locator("body").inner_text(timeout=2_000)
            report.sections.append((f"{page.url}, script {state}", words[:2_000]))
    for log in _LOGS:
        report.sections.append((str(log), log.read_text("utf-8", "replace")[-3_000:]))


@pytest.fixture(scope="session")
def chromium() -> Iterator["object"]:
    """One headless browser for the whole session."""
    reason = None
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        reason = "playwright is not installed (requirements-dev.txt)"
    path = _browser_path()
    if reason is None and path is None:
        reason = "no Chromium on this machine; set RAMBO_CHROMIUM to one"
    if reason is not None:
        if os.environ.get("RAMBO_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def new_page(chromium, request: pytest.FixtureRequest) -> Iterator[Callable]:
    """`new_page(**options)` opens a page in a context of its own, for example with a dark theme."""
    contexts = []
    pages = request.node.open_pages = []

    def open_page(**options):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        pages.append(page)
        page.off_origin, page.console_errors = [], []

        def requested(request) -> None:
            url = urlsplit(request.url)
            if url.scheme not in LOCAL_SCHEMES and url.hostname not in ("127.0.0.1", "localhost"):
                page.off_origin.append(request.url)

        def note(message) -> None:
            if message.type == "error" and not any(part in message.text for part in HARMLESS):
                page.console_errors.append(message.text)

        page.on("request", requested)
        page.on("console", note)
        page.on("pageerror", lambda error: page.console_errors.append(str(error)))
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_page):
    """A fresh page; `page.off_origin` and `page.console_errors` are lists of what was seen."""
    return new_page()


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(app: Path, home: Path, env: dict[str, str] | None = None) -> Iterator[str]:
    """Run `streamlit run app` until the block ends; give its address.

    Args:
        app: the script.
        home: `RAMBO_HOME` of the server; its log goes there too.
        env: further environment variables.
    """
    port = free_port()
    home.mkdir(parents=True, exist_ok=True)
    log = home / "streamlit.log"
    command = [sys.executable, "-m", "streamlit", "run", str(app), "--server.headless=true"]
    command += [f"--server.port={port}"]  # all else: config.toml
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    folders = os.pathsep.join((str(home.parent), str(ROOT)))
    environment = os.environ | {"RAMBO_HOME": str(home), "PYTHONPATH": paths}
    environment |= {"RAMBO_FOLDERS": folders} | (env or {})
    with log.open("wb") as out:
        server = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _LOGS.append(log)
    try:
        _wait(f"http://127.0.0.1:{port}/_stcore/health", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        _LOGS.remove(log)
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(timeout=5)
                break


def _wait(url: str, server: subprocess.Popen, log: Path, seconds: float = 120) -> None:
    """Wait until the server answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(url, timeout=2).close()
            return
        time.sleep(0.1)
    pytest.fail(f"streamlit did not start:\n{log.read_text('utf-8', 'replace')[-3000:]}")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """`serve(app, env)` starts a server for this test and returns its address."""
    with contextlib.ExitStack() as stack:

        def start(app: Path | str, env: dict[str, str] | None = None) -> str:
            return stack.enter_context(running(Path(app), tmp_path / "home", env))

        yield start
