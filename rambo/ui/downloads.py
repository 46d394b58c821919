"""Download buttons whose file is still there when the browser asks for it.

Streamlit makes the file of a deferred download when the button is pressed, and lets no session name it: the end of any
script run, of any session and of any fragment, marks it as an orphan, and the next such end deletes it. A menu that
ticks every two seconds, or a second tab, ends runs all the time, and the browser then finds 404 where the file was. So
the file also gets a name of its own here, for as long as a browser may take to ask.
"""

import itertools
import threading
from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit import runtime

SECONDS = 60.0  # a browser asks within a second; a person may first have to allow the download
_numbers = itertools.count()


def button(
    label: str,
    make: Callable[[], bytes | str],
    file_name: str,
    mime: str,
    *,
    key: str,
    **options: Any,
) -> None:
    """Draw a button that makes a file when it is pressed, and hands it over.

    Args:
        label: on the button.
        make: returns the file; called in a thread without a session, once for each press.
        file_name: under which the browser saves it.
        mime: its type.
        key: unique on the page.
        options: of `st.download_button`, such as `type`, `icon` and `help`.
    """
    st.download_button(
        label,
        data=lambda: hold(make(), mime, file_name),
        file_name=file_name,
        mime=mime,
        key=key,
        on_click="ignore",
        **options,
    )


def hold(content: bytes | str, mime: str, file_name: str, seconds: float = SECONDS) -> bytes:
    """Return the bytes of a file, after telling Streamlit to keep the file that it makes of them for some seconds.

    Streamlit knows a file by bytes, type and name, so this one and that of the button are the same. Outside a session
    its owner is a constant that no script run clears; a place of its own there is taken back by an empty file.
    """
    data = content.encode() if isinstance(content, str) else content
    if runtime.exists():
        files = runtime.get_instance().media_file_mgr
        place = f"rambo-download-{next(_numbers)}"
        files.add(data, mime, place, file_name=file_name, is_for_static_download=True)
        later = threading.Timer(seconds, files.add, (b"", mime, place))
        later.daemon = True
        later.start()
    return data
