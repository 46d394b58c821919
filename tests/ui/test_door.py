"""Requests as browsers, proxies and strangers send them, and what the door before Streamlit's server does with them."""

import asyncio
import gzip
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit import config

from rambo.ui import door, senders
from rambo.ui.door import Door

PAGE = b"<!doctype html><html><head><title>Streamlit</title></head><body></body></html>"
EDITOR, VIEWER = "e" * 24, "v" * 24
HTML = {"accept": "text/html,*/*"}


async def streamlit(scope: dict, receive: Any, send: Any) -> None:
    """Stand for Streamlit: accept every socket, answer every request."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    headers = dict(scope["headers"])
    kind = b"application/json" if b"_stcore" in scope["path"].encode() else b"text/html"
    body = PAGE
    fields = [(b"content-type", kind), (b"etag", b'"x"')]
    if b"gzip" in headers.get(b"accept-encoding", b""):
        body = gzip.compress(PAGE)
        fields.append((b"content-encoding", b"gzip"))
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body[:20], "more_body": True})
    await send({"type": "http.response.body", "body": body[20:]})


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Streamlit's settings that the door reads, as shipped."""
    scope: dict[str, Any] = {
        "server.allowedHosts": ["localhost", "127.0.0.1"],
        "server.corsAllowedOrigins": [],
        "server.baseUrlPath": "",
    }
    monkeypatch.setattr(config, "get_option", scope.__getitem__)
    return scope


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]) -> None:
    monkeypatch.setenv("RAMBO_SHARE", "proxy")
    monkeypatch.setenv("RAMBO_EDITOR_TOKEN", EDITOR)
    monkeypatch.setenv("RAMBO_VIEWER_TOKEN", VIEWER)
    settings["server.allowedHosts"].append("lab.example")
    settings["server.corsAllowedOrigins"].append("https://lab.example")


def ask(path: str = "/", method: str = "GET", kind: str = "http", **headers: str) -> tuple:
    """Return status, headers and body of an answer; of a web socket 101 or 403."""
    path, _, query = path.partition("?")
    all_headers = {"host": "localhost:8501"} | {k.replace("_", "-"): v for k, v in headers.items()}
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "scheme": "http",
        "headers": [(k.encode(), v.encode()) for k, v in all_headers.items()],
    }
    messages: list[dict] = []

    async def receive() -> dict:
        return {"type": f"{kind}.request" if kind == "http" else "websocket.connect"}

    async def send(message: dict) -> None:
        messages.append(message)

    asyncio.run(Door(streamlit)(scope, receive, send))  # type: ignore[arg-type]
    if kind == "websocket":
        return (101 if messages[0]["type"] == "websocket.accept" else 403), {}, b""
    answer = {k.decode(): v.decode() for k, v in messages[0]["headers"]}
    return messages[0]["status"], answer, b"".join(m.get("body", b"") for m in messages[1:])


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:8501", "http://localhost:8501", 101),
        ("127.0.0.1:8501", "http://127.0.0.1:8501", 101),
        ("localhost:8501", None, 403),
        ("localhost:8501", "null", 403),
        ("localhost:8501", "http://localhost:3000", 403),
        ("localhost:8501", "http://127.0.0.1:8501", 403),
        ("localhost:8501", "https://evil.example", 403),
        ("evil.example", "http://evil.example", 403),
        ("evil.example:8501", "http://localhost:8501", 403),
        ("localhost:8501@evil.example", "http://localhost:8501", 403),
        ("", "http://localhost:8501", 403),
    ],
)
def test_a_socket_opens_for_the_same_address_and_port_only(
    settings: dict[str, Any], host: str, origin: str | None, status: int
) -> None:
    headers = {"host": host} | ({} if origin is None else {"origin": origin})
    assert ask("/_stcore/stream", kind="websocket", **headers)[0] == status


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("lab.example", "https://lab.example", 101),
        ("lab.example:443", "https://lab.example", 101),
        ("localhost:8501", "https://lab.example", 101),  # a proxy that does not pass the host on
        ("lab.example", "https://lab.example:8443", 403),
        ("localhost:8501", "http://lab.example", 403),
        ("other.example", "https://lab.example", 403),
    ],
)
def test_a_proxys_address_opens_as_it_was_named(
    shared: None, host: str, origin: str, status: int
) -> None:
    assert ask("/_stcore/stream", kind="websocket", host=host, origin=origin)[0] == status


@pytest.mark.parametrize(("scheme", "status"), [("https", 101), ("http", 403)])
def test_a_page_without_tls_reaches_no_app_with_tls(shared: None, scheme: str, status: int) -> None:
    origin, forwarded = f"{scheme}://lab.example:8443", {"x-forwarded-proto": "https"}
    answer = ask(
        "/_stcore/stream", kind="websocket", host="lab.example:8443", origin=origin, **forwarded
    )
    assert answer[0] == status


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_foreign_pages_write_nothing(settings: dict[str, Any], method: str) -> None:
    path = "/_stcore/upload_file/a/b"
    assert ask(path, method, origin="http://localhost:3000")[0] == 403
    assert ask(path, method)[0] == 403
    assert ask(path, method, origin="http://localhost:8501")[0] == 200


def test_an_unknown_name_is_answered_in_words(settings: dict[str, Any]) -> None:
    status, headers, body = ask(host="lab-pc:8501", **HTML)
    assert status == 403
    assert b"rambo app --share lan --host lab-pc" in body
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert b"<script" not in ask(host="<script>alert(1)</script>", **HTML)[2]
    assert ask("/_stcore/health", host="lab-pc:8501")[0] == 200


def test_a_page_forbids_foreign_frames_and_explains_a_socket_that_never_opens(
    settings: dict[str, Any],
) -> None:
    status, headers, body = ask("/train", accept_encoding="gzip", **HTML)
    assert status == 200
    assert headers["content-security-policy"] == "frame-ancestors 'self'"
    assert "etag" not in headers
    assert int(headers["content-length"]) == len(body)
    assert b"<head><noscript>" in body
    assert b"This page cannot reach RAMBO" in body


@pytest.mark.parametrize("path", ["/media/a.html", "/_stcore/health", "/component/x/index.html"])
def test_what_is_no_page_passes_untouched(settings: dict[str, Any], path: str) -> None:
    assert ask(path, **HTML)[2] == PAGE


@pytest.mark.parametrize(("path", "target"), [("/", "./"), ("/train", "train"), ("/a/b/c", "c")])
def test_a_token_leaves_the_address_for_a_cookie(shared: None, path: str, target: str) -> None:
    status, headers, _ = ask(
        f"{path}?run=r-1&token={VIEWER}", x_forwarded_proto="https", host="lab.example", **HTML
    )
    assert (status, headers["location"]) == (303, f"{target}?run=r-1")
    cookie = headers["set-cookie"]
    assert cookie.startswith(f"rambo-access={VIEWER};")
    for word in ("HttpOnly", "SameSite=strict", "Secure", "Path=/"):
        assert word in cookie
    assert headers["referrer-policy"] == "no-referrer"


def test_a_wrong_token_leaves_no_cookie(shared: None) -> None:
    status, headers, _ = ask("/?token=guessed", **HTML)
    assert status == 303
    assert "set-cookie" not in headers


def test_only_editors_send_files(shared: None) -> None:
    for cookie, status in ((EDITOR, 200), (VIEWER, 403), ("", 403), ("e" * 23, 403)):
        headers = {"origin": "https://lab.example", "host": "lab.example"}
        if cookie:
            headers["cookie"] = f"a=b; rambo-access={cookie}"
        assert ask("/_stcore/upload_file/a/b", "PUT", **headers)[0] == status


def test_where_people_log_in_their_page_says_who_sends_files(
    shared: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door.visitor, "login", lambda: True)
    headers = {"origin": "https://lab.example", "host": "lab.example"}
    stranger = headers | {"cookie": f"rambo-access={EDITOR}"}  # tokens open nothing beside a login
    path = "/_stcore/upload_file/session-1/file-1"
    assert ask(path, "PUT", **stranger)[0] == 403
    monkeypatch.setattr(
        senders, "get_script_run_ctx", lambda **_: SimpleNamespace(session_id="session-1")
    )
    senders.note(may_send=True)
    assert ask(path, "PUT", **headers)[0] == 200
    assert ask(path.replace("session-1", "session-2"), "PUT", **headers)[0] == 403
    assert ask(f"/_stcore/upload_file/session-1/..{path[:-9]}2/x", "PUT", **headers)[0] == 403
    senders.note(may_send=False)
    assert ask(path, "PUT", **headers)[0] == 403
