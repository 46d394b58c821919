"""Who looks at a page, what they may do, and that it stands in the audit log: every button asks here.

An app for this machine alone asks nobody. A shared one (`rambo app --share`) knows people by the token in the link they
opened, or by a login where `.streamlit/secrets.toml` has one; see `rambo.runs.access`.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator

import streamlit as st

from rambo.errors import RamboError
from rambo.runs import audit
from rambo.runs.access import COOKIE, Access, Role
from rambo.text import literal
from rambo.ui import senders, state

_LOG = logging.getLogger(__name__)
_DOING = {  # what the log calls it -> what a person reads
    "start": "start work",
    "stop": "stop work",
    "delete": "delete anything",
    "import": "bring images",
    "label": "give labels",
    "edit": "change a batch",
    "note": "give tags and notes",
    "prepare": "get datasets",
}


def access() -> Access:
    """Return who may reach this server."""
    return Access.from_environment().behind(st.get_option("server.allowedHosts") or ())


def role() -> Role | None:
    """Return what whoever looks may do; None: nothing."""
    rules = access()
    if not rules.shared:
        return "editor"
    if login():
        return rules.role_of_person(_email()) if _logged_in() else None
    return rules.role_of_token(st.context.cookies.get(COOKIE, ""))


def may_edit() -> bool:
    """Return whether whoever looks may do more than look."""
    return role() == "editor"


def login() -> bool:
    """Return whether people log in, because whoever started the app said how."""
    with contextlib.suppress(Exception):  # no file, or one that is no TOML
        return "auth" in st.secrets
    return False


def name() -> str:
    """Return what the audit log calls whoever looks."""
    rules = access()
    if not rules.shared:
        return f"{audit.user()} in the app"
    where = st.context.ip_address or "this machine"
    return f"{role() or 'nobody'} {_email() if login() else ''} from {where}".replace("  ", " ")


def show_gate() -> bool:
    """Return whether somebody may see this page; say what to do where not."""
    granted = role()
    senders.note(may_send=granted == "editor")
    if granted is not None:
        return True
    st.title("RAMBO")
    if not login():
        st.info(
            "This app is shared, and opens with a link that holds a token. Ask whoever started it for one.",
            icon=":material/key:",
        )
    elif not _logged_in():
        st.info("This app is shared. Log in to see it.", icon=":material/key:")
        st.button("Log in", type="primary", icon=":material/login:", on_click=st.login)
    else:
        st.info(
            f"{literal(_email() or 'This account', 100)} may not see this app. Ask whoever started it.",
            icon=":material/key:",
        )
        st.button("Log out", icon=":material/logout:", on_click=st.logout)
    return False


def show_role() -> None:
    """Say in the menu who looks, in a shared app."""
    if not access().shared:
        return
    words = "You may change things here." if may_edit() else "You may look, not change anything."
    st.caption(f":material/{'edit' if may_edit() else 'visibility'}: {words}")
    if login():
        st.button(
            "Log out", icon=":material/logout:", type="tertiary", on_click=st.logout, key="log-out"
        )


def require(what: str) -> None:
    """Refuse those who may only look.

    Raises:
        RamboError: they may.
    """
    if not may_edit():
        doing = _DOING.get(what, "change anything")
        raise RamboError(
            f"You may look, but not {doing}",
            field="your link",
            hint="ask whoever started the app for the editors' link",
        )


@contextlib.contextmanager
def acting(what: str, subject: str = "", more: str = "") -> Iterator[Callable[[str], None]]:
    """Let an editor do something, and note it once it is done.

    Args:
        what: in a word, for the log.
        subject: the run, collection or study.
        more: anything else.

    Yields:
        Says what the subject is called, where that shows only afterwards.

    Raises:
        RamboError: whoever looks may not, or it cannot be noted.
    """
    require(what)
    called = [subject]
    yield called.append
    note(what, called[-1], more)


def note(what: str, subject: str, more: str = "") -> None:
    """Add to the log what whoever looks has done."""
    audit.note(state.workspace().root, what, subject, who=name(), more=more)


def noting(make: Callable[[], bytes | str], subject: str, more: str = "") -> Callable[[], bytes]:
    """Return what makes a file for a download, and notes in the log who it was handed to.

    Args:
        make: called in a thread without a session, so who looks is asked here.
        subject: the run, collection or study.
        more: what of it.
    """
    who, root = name(), state.workspace().root

    def content() -> bytes:
        """Make it, and say so in the log."""
        file = make()
        if words := audit.note_export(root, subject, more, who=who):
            _LOG.warning(words)
        return file.encode() if isinstance(file, str) else file

    return content


def _logged_in() -> bool:
    """Return whether somebody logged in."""
    with contextlib.suppress(AttributeError):
        return bool(st.user.is_logged_in)
    return False


def _email() -> str:
    """Return the address of e-mail of who logged in, as far as their provider vouches for it."""
    user = st.user.to_dict()
    vouched = user.get("email_verified", True) in (True, "true", None)
    return str(user.get("email") or "") if vouched else ""
