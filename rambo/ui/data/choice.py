"""What a person looks at: the dataset of the run, one of the catalog, their own images, or a labeled file."""

import streamlit as st

from rambo.collection import collection as collected
from rambo.errors import shorten
from rambo.runs.workspace import Run
from rambo.ui import allowed, collections, frame, library, readers, state, visitor
from rambo.ui.data import address, upload

RUN, OWN, NEW = ":run", ":own", ":new"  # choices beside the names of the catalog
_NAME_LENGTH = 60  # characters of a collection's name


def pick_dataset(run: Run | None) -> str:
    """Return what the person wants to look at: `:run`, a name of the catalog or of a collection, `:new` or `:own`."""
    words = {RUN: f"Images of run {run.id}"} if run else {}
    words |= {name: name for name in library.names() if collected.parse(name) is None}
    words |= {f"{collected.PREFIX}{slug}": name for slug, name in _collections().items()}
    words |= {
        NEW: "Use my images: folder, zip, table …",
        OWN: "A labeled .npz file, to compare strategies",
    }
    requested = _requested() or next(iter(words))
    if requested.startswith(collected.PREFIX) and requested not in words:
        words[requested] = shorten(
            requested.removeprefix(collected.PREFIX), _NAME_LENGTH
        )  # there is none: said below
    key = "data-choice"
    current = requested if requested in words else OWN
    if st.session_state.get(key) not in words or st.session_state.get("data-asked") != current:
        st.session_state[key] = current  # an import, or a link, may have changed the address
    st.session_state["data-asked"] = current
    return st.selectbox(
        "Dataset",
        list(words),
        format_func=words.__getitem__,
        key=key,
        on_change=_remember_choice,
        width=420,
    )


def collection_of(name: str) -> str | None:
    """Return the slug of a choice that is a collection, whichever version of it, else None."""
    own = name.startswith(collected.PREFIX)
    return name.removeprefix(collected.PREFIX).partition("@")[0] if own else None


def _collections() -> dict[str, str]:
    """Return the collections by slug, and those whose first import is at work."""
    names = collections.names() | collections.waiting()
    called = list(names.values())
    return {
        slug: shorten(name, _NAME_LENGTH) + (f" ({slug})" if called.count(name) > 1 else "")
        for slug, name in names.items()
    }


def _requested() -> str | None:
    """Return what the address asks for; `collection=SLUG` stands for the dataset of that name."""
    slug = st.query_params.get("collection")
    return f"{collected.PREFIX}{slug}" if slug else st.query_params.get("dataset")


def pick_file() -> str:
    """Return the path of a file on this machine, typed or uploaded, or an empty text."""
    requested = st.query_params.get("dataset", OWN)
    st.session_state.setdefault("data-path", "" if requested == OWN else requested)
    left, right = st.columns(2, gap="large")
    typed = left.text_input(
        "Path of an .npz file on this machine",
        key="data-path",
        on_change=_remember_path,
        placeholder="my-images.npz",
        help="It holds `images` (uint8, N x H x W or N x H x W x 3) and `labels` (whole numbers).",
    )
    right.file_uploader(
        "or send it from your computer",
        type="npz",
        key="data-upload",
        on_change=_take_upload,
        max_upload_size=upload.LIMIT_MB,
    )
    return _located(typed.strip()) if typed.strip() else ""


def _located(typed: str) -> str:
    """Return the absolute path of an `.npz` file that is there, so that a worker in another folder finds it.

    What only stands in an address is not looked for.
    """
    if not allowed.is_own_path(typed) or not typed.lower().endswith(".npz"):
        return typed
    path = allowed.located(typed)
    if path is None:
        return typed
    allowed.ask_for(path)
    return path


def is_archive(path: str) -> bool:
    """Return whether this may be an `.npz` file; one that only stands in an address is not looked for."""
    if not path.lower().endswith(".npz") or not allowed.is_open(path):
        return False
    return not allowed.is_own_path(path) or allowed.located(path) is not None


def _remember_choice() -> None:
    """Put the choice into the address; filters of the dataset before belong to that one."""
    address.forget("label", "other", "pool", "dataset", "collection")
    chosen = st.session_state["data-choice"]
    named = collected.parse(chosen)
    if named is None:
        st.query_params["dataset"] = chosen
    else:
        st.query_params["collection"] = named[0]
    st.session_state["data-asked"] = chosen


def _remember_path() -> None:
    """Put the path into the address."""
    address.forget("label", "other", "collection")
    typed = st.session_state["data-path"].strip()
    allowed.ask_for(typed)
    st.query_params["dataset"] = typed or OWN


def _take_upload() -> None:
    """Keep an uploaded file, and begin to prepare it."""
    file = st.session_state["data-upload"]
    if file is None:
        return
    with frame.calmly():
        with visitor.acting("import", file.name):
            path = upload.keep_upload(file, file.name, state.workspace().root)
        st.session_state["data-path"] = str(path)
        _remember_path()
        library.ensure(str(path))


def use_button(name: str, run: Run | None) -> None:
    """Draw the way on: a run of this dataset."""
    if st.button("Use this dataset", type="primary", icon=":material/arrow_forward:"):
        state.go("pages/configure.py", run.id if run else None, dataset=dataset_name(name, run))


def dataset_name(name: str, run: Run | None) -> str:
    """Return the name under which Configure knows what a person looks at."""
    if name == RUN and run is not None:
        return readers.config(run).dataset.name
    return name
