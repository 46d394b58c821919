"""Words for people: text of users and files shown as it is, and numbers in the form people read."""

import difflib
import html
import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from rambo.errors import shorten

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")  # every ASCII sign that Markdown may read
_JOINER = "\u2060"  # invisible; keeps an address from becoming a link


def literal(text: object, limit: int = 120) -> str:
    """Return text that Markdown shows as it is: no link, image, HTML, formula, colour or emoji code.

    For every text that is not ours: class, run, dataset and file names, messages that repeat them.
    """
    plain = shorten(text, limit)
    escaped = _PUNCTUATION.sub(r"\\\1", plain)
    # Addresses are found after escapes are undone, so they are broken with something invisible.
    escaped = re.sub(r"(?i)\b(https?|ftp|mailto|xmpp)(\\:)", rf"\1{_JOINER}\2", escaped)
    escaped = re.sub(r"(?i)\b(www)(\\\.)", rf"\1{_JOINER}\2", escaped)
    return escaped.replace("\\@", f"{_JOINER}\\@")


def perhaps(word: object, options: Iterable[str], meanings: Mapping[str, str] | None = None) -> str:
    """Return `perhaps margin is meant; ` for a name that is, or is nearly, one of some, else nothing.

    Args:
        word: what was typed.
        options: the names.
        meanings: what is meant by a name, where it is not the name itself.
    """
    names, typed = [*options], str(word)
    spelled = {name.lower(): name for name in reversed(names)}  # the first one counts
    close = difflib.get_close_matches(typed.lower(), spelled, 1, 0.75)
    near = typed if typed in names else spelled[close[0]] if close else ""
    return f"perhaps {(meanings or {}).get(near, near)} is meant; " if near else ""


def for_plot(text: object, limit: int = 60) -> str:
    """Return text that Plotly, which reads some HTML, shows as it is."""
    return html.escape(shorten(text, limit), quote=False)


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share in [0, 1] as percent that no line breaks, or a dash where there is none."""
    return "-" if share is None else unbroken(f"{100 * share:.{digits}f} %")


def unbroken(words: str) -> str:
    """Return words in which `80.4 ± 0.3 %` stays on one line, with `±` where a terminal has `+-`."""
    joined = re.sub(r"(?<=\d) (?:\+-|±) (?=\d)", "\u00a0±\u00a0", words)
    return re.sub(r"(?<=\d) (?=%|points?\b)", "\u00a0", joined)


def duration(seconds: float | None) -> str:
    """Return seconds as people say them: `under a second`, `42 s`, `3 min`, `1 h 20 min`."""
    if seconds is None:
        return "unknown"
    if seconds < 1:
        return "under a second"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours < 10 else f"{hours} h"


def count(number: float, one: str, many: str | None = None) -> str:
    """Return `1 image`, `1,200 images`."""
    return f"{number:,.0f} {one if number == 1 else many or one + 's'}"


def moment(stamp: str, *, year: bool = True) -> str:
    """Return an ISO 8601 time of a run in this machine's own time zone, to the minute."""
    try:
        form = "%d %b %Y, %H:%M" if year else "%d %b %H:%M"
        return datetime.fromisoformat(stamp).astimezone().strftime(form)
    except ValueError:
        return "-"
