"""Opening the app to others, and who did what."""

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

from rambo.errors import ConfigError
from rambo.runs import access, audit
from rambo.runs import workspace as workspaces

_FORMAT = 1  # of the JSON of `audit`


def add_sharing(parser: argparse.ArgumentParser) -> None:
    """Give `app` the options that open it to other machines."""
    parser.add_argument(
        "--share",
        metavar="HOW",
        help="open the app to others: lan, or proxy (with TLS, see docs/deploy.md); prints links that hold a token",
    )
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="name by which browsers reach the app (lan: default this machine's); may be given again",
    )
    parser.add_argument("--port", metavar="N", help="of the server (default 8501)")
    parser.add_argument(
        "--listen",
        metavar="ADDRESS",
        help="that the server listens on (lan: default all, proxy: default this machine's own)",
    )
    parser.add_argument(
        "--base-path", metavar="PATH", help="path of the app behind a proxy, such as /rambo"
    )
    parser.add_argument(
        "--new-tokens", action="store_true", help="end all links that were given away before"
    )


def server_options(arguments: argparse.Namespace) -> list[str]:
    """Return how Streamlit is started; of a shared app the links are printed, and its tokens put in the environment."""
    base = arguments.base_path or os.environ.get("RAMBO_BASE_PATH")
    if arguments.share is None:
        if arguments.host or arguments.listen:
            field = "--host" if arguments.host else "--listen"
            raise ConfigError("opens nothing alone", field=field, hint="add --share lan or proxy")
        port = [f"--server.port={arguments.port}"] if arguments.port else []
        base = (base or "").strip("/")
        return [*port, *([f"--server.baseUrlPath={base}"] if base else [])]
    shared = access.sharing(arguments.share, arguments.host, arguments.port, base)
    workspace = workspaces.Workspace.from_environment()
    os.environ["RAMBO_SHARE"] = shared.kind
    listen = arguments.listen or ("0.0.0.0" if shared.kind == "lan" else "127.0.0.1")
    if access.login_of(Path.cwd(), Path.home()):
        print("\n".join(shared.addresses), file=sys.stderr)
        words = "people log in; RAMBO_EDITORS and RAMBO_VIEWERS say who may change things and who may look"
        print(words, file=sys.stderr)
        return shared.options(listen)
    tokens = access.tokens(workspace.root, renew=arguments.new_tokens)
    for role, token in tokens.items():
        os.environ[f"RAMBO_{role.upper()}_TOKEN"] = token
        for address in shared.addresses:
            print(f"{role:<6}  {address}?{access.PARAMETER}={token}", file=sys.stderr)
    print(
        "whoever has a link may do what it says: editors change things, viewers look",
        file=sys.stderr,
    )
    return shared.options(listen)


def print_audit(arguments: argparse.Namespace) -> int:
    """Print who did what, the oldest first; exit 1 where a line was changed or is missing."""
    acts, wrong = audit.read(workspaces.Workspace.from_environment().root)
    if arguments.json:
        report = {"acts": [dataclasses.asdict(act) for act in acts], "damaged_lines": wrong}
        print(json.dumps({"format": _FORMAT, **report}))
    else:
        print("\n".join(act.words() for act in acts) or "nothing was done yet")
    for number in wrong:
        problem = f"line {number} was changed or cut off, or one before it is missing"
        print(f"rambo: {audit.NAME}: {problem}", file=sys.stderr)
    return 1 if wrong else 0


def note_export(subject: str, more: str) -> None:
    """Add an export to the audit log of the workspace; say so where that is not possible."""
    root = workspaces.Workspace.from_environment().root
    if words := audit.note_export(root, subject, more):
        print(f"rambo: {words}", file=sys.stderr)


def note(what: str, subject: str, more: str = "") -> None:
    """Add what was done here to the audit log of the workspace."""
    audit.note(workspaces.Workspace.from_environment().root, what, subject, more=more)
