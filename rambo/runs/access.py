"""Who may reach the app and what they may do, as whoever starts it says in its environment.

    RAMBO_SHARE           `lan` or `proxy`; not set: for this machine alone, without any login
    RAMBO_EDITOR_TOKEN    who opens the app with it in the address may start, stop, delete, import and label
    RAMBO_VIEWER_TOKEN    who opens the app with it in the address may look
    RAMBO_EDITORS         with a login (OIDC): addresses of e-mail, or `*@example.org`, separated by commas
    RAMBO_VIEWERS         the same; `*` for everyone who can log in

`rambo app --share` makes the tokens that are not given and keeps them in the workspace.
"""

import contextlib
import dataclasses
import fnmatch
import hmac
import json
import os
import re
import secrets
import socket
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from rambo.errors import ConfigError
from rambo.storage import files

Role = Literal["editor", "viewer"]
ROLES: tuple[Role, ...] = ("editor", "viewer")
KINDS = ("lan", "proxy")
COOKIE, PARAMETER = "rambo-access", "token"
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1", "[::1]"}
_SHORTEST = 16  # characters of a token
_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9.-]{0,252}[a-z0-9])?")
_BASE = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")


@dataclasses.dataclass(frozen=True)
class Access:
    """Who may reach the app.

    Attributes:
        shared: whether anyone but this machine may.
        tokens: by role; none where a login decides.
        people: patterns of e-mail addresses by role, for a login.
    """

    shared: bool
    tokens: dict[Role, str]
    people: dict[Role, tuple[str, ...]]

    @classmethod
    def from_environment(cls) -> "Access":
        """Return what the environment says."""
        tokens = {role: os.environ.get(_variable(role), "") for role in ROLES}
        people = {role: _listed(os.environ.get(f"RAMBO_{role.upper()}S", "")) for role in ROLES}
        return cls(
            bool(os.environ.get("RAMBO_SHARE")),
            {role: token for role, token in tokens.items() if len(token) >= _SHORTEST},
            people,
        )

    def behind(self, hosts: Iterable[str]) -> "Access":
        """Return the same for a server under these names; one beyond this machine makes it shared, said or not."""
        beyond = any(host.strip().casefold() not in _THIS_MACHINE for host in hosts)
        return dataclasses.replace(self, shared=self.shared or beyond)

    def role_of_token(self, token: str) -> Role | None:
        """Return what whoever has this token may do, or None; the comparison takes the same time for all."""
        guess = token.encode("utf-8", "replace")
        result: Role | None = None
        for role in reversed(ROLES):
            if role in self.tokens and hmac.compare_digest(self.tokens[role].encode(), guess):
                result = role
        return result

    def role_of_person(self, email: str) -> Role | None:
        """Return what whoever logged in with this address may do, or None."""
        for role in ROLES:
            if any(fnmatch.fnmatchcase(email.casefold(), one) for one in self.people[role]):
                return role
        return None


def _variable(role: Role) -> str:
    """Return the name of the variable that holds the token of a role."""
    return f"RAMBO_{role.upper()}_TOKEN"


def _listed(text: str) -> tuple[str, ...]:
    """Return the parts between commas, in small letters."""
    return tuple(part.strip().casefold() for part in text.split(",") if part.strip())


def tokens(root: Path, *, renew: bool = False) -> dict[Role, str]:
    """Return a token for each role: the environment's, else the workspace's, which are made here once.

    Args:
        root: the workspace.
        renew: make new ones, so that links given away before end.

    Raises:
        ConfigError: one in the environment is too short to be a secret.
        OSError: the disk refuses.
    """
    stored: dict[str, str] = {}
    target = root / "access.json"
    if not renew:
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
            stored = dict(json.loads(target.read_text("utf-8")))
    result: dict[Role, str] = {}
    for role in ROLES:
        own = os.environ.get(_variable(role)) or ""
        if own and len(own) < _SHORTEST:
            hint = "use the output of `openssl rand -hex 16`"
            problem = f"has fewer than {_SHORTEST} characters"
            raise ConfigError(problem, field=_variable(role), hint=hint)
        old = str(stored.get(role, ""))
        result[role] = own or (old if len(old) >= _SHORTEST else secrets.token_urlsafe(18))
    if any(stored.get(role) != token for role, token in result.items()):
        files.write_bytes(target, json.dumps(result).encode())
        target.chmod(0o600)
    return result


def login_of(*folders: Path) -> bool:
    """Return whether the secrets of Streamlit in one of these folders say how people log in."""
    for folder in folders:
        with contextlib.suppress(OSError, ValueError):
            if "auth" in tomllib.loads((folder / ".streamlit" / "secrets.toml").read_text("utf-8")):
                return True
    return False


@dataclasses.dataclass(frozen=True)
class Sharing:
    """How the app's server is reached.

    Attributes:
        kind: `lan` or `proxy`.
        hosts: names by which browsers reach it.
        port: of the server.
        base: path below which it lies behind a proxy, without slashes around; empty for the root.
    """

    kind: str
    hosts: tuple[str, ...]
    port: int
    base: str

    @property
    def addresses(self) -> list[str]:
        """Where browsers find it."""
        path = f"/{self.base}/" if self.base else "/"
        if self.kind == "proxy":
            return [f"https://{host}{path}" for host in self.hosts]
        return [f"http://{host}:{self.port}{path}" for host in self.hosts]

    def options(self, address: str) -> list[str]:
        """Return what Streamlit is started with.

        Args:
            address: that the server listens on.
        """
        allowed = ["localhost", "127.0.0.1", *self.hosts]
        options = [f"--server.address={address}", f"--server.port={self.port}"]
        options += ["--server.headless=true", "--logger.hideWelcomeMessage=true"]
        options += [f"--browser.serverAddress={self.hosts[0]}"]
        options += [f"--server.allowedHosts={host}" for host in allowed]
        if self.kind == "proxy":
            options += [f"--server.corsAllowedOrigins=https://{host}" for host in self.hosts]
        return [*options, f"--server.baseUrlPath={self.base}"] if self.base else options


def sharing(kind: str, hosts: list[str], port: str | None, base: str | None) -> Sharing:
    """Return how the app is to be reached, checked.

    Raises:
        ConfigError: something is missing, or no name of a host.
    """
    if kind not in KINDS:
        raise ConfigError("unknown", field="--share", value=kind, hint="use lan or proxy")
    named = [host.strip().casefold().rstrip(".") for host in hosts]
    for host in named:
        if not _HOST.fullmatch(host):
            hint = "give a bare name such as rambo.example.org, without http:// and port"
            raise ConfigError("no name of a host", field="--host", value=host, hint=hint)
    if kind == "proxy" and not named:
        hint = "name the address that browsers see, such as --host rambo.example.org"
        raise ConfigError("is missing", field="--host", hint=hint)
    number = port or "8501"
    if not (number.isdecimal() and 1 <= int(number) <= 65535):
        raise ConfigError("no port", field="--port", value=number, hint="use a number such as 8501")
    path = (base or "").strip("/")
    if path and not _BASE.fullmatch(path):
        raise ConfigError("no path", field="--base-path", value=base, hint="use one such as /rambo")
    return Sharing(kind, tuple(dict.fromkeys(named or _own_names())), int(number), path)


def _own_names() -> list[str]:
    """Return the names of this machine in its network: its address first, for names need a directory."""
    result = []
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent: it only picks the way out
        result.append(str(probe.getsockname()[0]))
    name = socket.gethostname().casefold()
    return [host for host in (*result, name) if _HOST.fullmatch(host)] or ["localhost"]
