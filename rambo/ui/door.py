"""The door before Streamlit's server: hosts, origins and frames that are let in, the token, a page without a socket.

Streamlit alone lets a web socket without `Origin` in, and one from any port of this machine; shows a grey skeleton for
ever where its socket is refused; and lets any page frame it. All settings are Streamlit's own: `server.allowedHosts`,
`server.corsAllowedOrigins` and `server.baseUrlPath`.
"""

import html
import re
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config

from rambo.runs import access
from rambo.ui import senders, visitor

_PLACE = re.compile(r"(?i)<head[^>]*>")
_PARTS = re.compile(r"/(_stcore|media|component|static|app/static|oauth2callback|auth)(/|$)")
_WATCH = Path(__file__).with_name("door.html")
_LIFETIME = 60 * 60 * 24 * 30  # seconds that a browser remembers its token
_UPLOADS = "/_stcore/upload_file"
_HEADERS = {
    "content-security-policy": "frame-ancestors 'self'",
    "x-frame-options": "SAMEORIGIN",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # an address may hold a token
}


def layers() -> list[Middleware]:
    """Return what stands before Streamlit's server."""
    return [Middleware(Door)]


class Door:
    """What every request passes before Streamlit sees it."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before `app`."""
        self._app = app
        self._hosts = tuple(
            one.strip().casefold() for one in config.get_option("server.allowedHosts")
        )
        self._access = access.Access.from_environment().behind(self._hosts)
        self._origins = {_origin(one) for one in config.get_option("server.corsAllowedOrigins")}
        self._base = (config.get_option("server.baseUrlPath") or "").strip("/")
        self._watch = _WATCH.read_text("utf-8")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["type"] == "websocket":
            if self._open_to(headers, needed=True):
                await self._app(scope, receive, send)
            else:  # 403 before the handshake
                await receive()
                await send({"type": "websocket.close", "code": 1008})
            return
        answer = self._answer(scope, headers)
        if answer is not None:
            await answer(scope, receive, send)
        elif _is_page(scope, headers):
            await self._page(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _answer(self, scope: Scope, headers: Headers) -> Response | None:
        """Return what is answered here, or None: Streamlit answers."""
        path = scope["path"].rstrip("/")
        if path.endswith("/_stcore/health"):  # says no more than that something is there
            return None
        if not self._serves(headers.get("host", "")):
            return HTMLResponse(_refusal(headers.get("host", "")), 403, _HEADERS)
        writes = scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if writes and not self._open_to(headers, needed=True):
            return PlainTextResponse("refused: another page asked for this", 403)
        if f"{_UPLOADS}/" in path and writes and not self._may_send(path, headers):
            return PlainTextResponse("refused: only editors may send files", 403)
        if self._access.shared and _is_page(scope, headers):
            return self._take_token(scope, headers)
        return None

    def _serves(self, host: str) -> bool:
        """Return whether the app may be reached under this name."""
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".") if _plain(host) else ""
        return not self._hosts or any(
            allowed in ("*", name) or (allowed.startswith("*.") and name.endswith(allowed[1:]))
            for allowed in self._hosts
        )

    def _open_to(self, headers: Headers, *, needed: bool) -> bool:
        """Return whether host and origin are ours: the same address with its port, or one that was allowed."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._serves(host):
            return False
        if origin is None:
            return not needed
        plain = _origin(origin)
        if plain in self._origins:
            return True
        scheme, _, address = plain.partition("://")
        forged = scheme != "https" and headers.get("x-forwarded-proto") == "https"
        return address == _address(host, plain) and not forged

    def _may_send(self, path: str, headers: Headers) -> bool:
        """Return whether a file comes from an editor; with a login the page tells, for only it knows."""
        if not self._access.shared:
            return True
        if visitor.login():
            return senders.may_send(path.rpartition(f"{_UPLOADS}/")[2].partition("/")[0])
        return self._access.role_of_token(_cookie(headers)) == "editor"

    def _take_token(self, scope: Scope, headers: Headers) -> Response | None:
        """Move a token from the address, where it would be seen and passed on, into a cookie."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in query if name == access.PARAMETER]
        if not tokens:
            return None
        rest = urlencode([(name, value) for name, value in query if name != access.PARAMETER])
        answer = RedirectResponse(f"{_relative(scope['path'])}{f'?{rest}' if rest else ''}", 303)
        if self._access.role_of_token(tokens[-1]) is not None:
            secure = _origin_is_safe(scope, headers)
            path = f"/{self._base}" if self._base else "/"
            answer.set_cookie(
                access.COOKIE,
                tokens[-1],
                _LIFETIME,
                path=path,
                secure=secure,
                httponly=True,
                samesite="strict",
            )
        answer.headers.update({"referrer-policy": "no-referrer", "cache-control": "no-store"})
        return answer

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a page through, with headers that forbid foreign frames and with words for a socket that never opens."""
        dropped = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")
        request = {**scope, "headers": [one for one in scope["headers"] if one[0] not in dropped]}
        begun: list[Message] = []
        parts: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                begun.append(message)
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                await self._send_page(begun[0], b"".join(parts), send)

        await self._app(request, receive, collect)

    async def _send_page(self, start: Message, body: bytes, send: Send) -> None:
        """Send a page with what it lacks."""
        headers = MutableHeaders(raw=list(start["headers"]))
        if headers.get("content-type", "").startswith("text/html"):
            text = body.decode("utf-8", "surrogateescape")
            text = _PLACE.sub(lambda head: head[0] + self._watch, text, count=1)
            body = text.encode("utf-8", "surrogateescape")
            headers["content-length"] = str(len(body))
            headers.update(_HEADERS)
            for name in ("etag", "last-modified"):
                if name in headers:
                    del headers[name]
        await send({**start, "headers": headers.raw})
        await send({"type": "http.response.body", "body": body})


def _is_page(scope: Scope, headers: Headers) -> bool:
    """Return whether a browser asks for a page to show, not for a part of one or a file to keep."""
    wants_text = scope["method"] == "GET" and "text/html" in headers.get("accept", "")
    return wants_text and not _PARTS.search(scope["path"])


def _plain(host: str) -> bool:
    """Return whether this is a name, or an address, with a port or without."""
    return (
        re.fullmatch(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9a-fA-F:.]+\](:[0-9]{1,5})?", host)
        is not None
    )


def _origin(text: str) -> str:
    """Return an origin in the form in which two can be compared: small letters, the usual port left out."""
    parts = urlsplit(text.strip().casefold())
    return f"{parts.scheme}://{_address(parts.netloc, text)}"


def _address(netloc: str, origin: str) -> str:
    """Return host and port, without the port that goes without saying for the scheme of `origin`."""
    usual = ":443" if origin.casefold().startswith("https:") else ":80"
    return netloc.casefold().removesuffix(usual)


def _cookie(headers: Headers) -> str:
    """Return the token in the cookie, or an empty text."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    token = jar.get(access.COOKIE)
    return token.value if token is not None else ""


def _origin_is_safe(scope: Scope, headers: Headers) -> bool:
    """Return whether the browser speaks TLS, with the server or with the proxy before it."""
    return scope.get("scheme") == "https" or headers.get("x-forwarded-proto") == "https"


def _relative(path: str) -> str:
    """Return the last part of a path: a redirect to it stays below whatever path a proxy adds."""
    last = path.rpartition("/")[2]
    return last if last and re.fullmatch(r"[A-Za-z0-9_-]+", last) else "./"


def _refusal(host: str) -> str:
    """Return a page that says that this name is not open."""
    name = html.escape(
        (urlsplit(f"//{host}").hostname or host if _plain(host) else "this name")[:100]
    )
    return _SIMPLE.format(
        title="RAMBO is not open under this name",
        words=f"<p>You asked for it as <b>{name}</b>, which whoever started it has not allowed.</p><p>They can: "
        f"<code>rambo app --share lan --host {name}</code> in a network, or <code>--share proxy --host {name}</code> "
        "behind a proxy with TLS. The README says more.</p>",
    )


_SIMPLE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<body style="font: 16px/1.5 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1rem">
<h1 style="font-size: 1.4rem">{title}</h1>{words}</body></html>"""
