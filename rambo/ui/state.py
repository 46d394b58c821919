"""What a page knows before it draws: the workspace, the run in the address, and how to get to another page.

The address carries `run` and the view's filters; the run directory carries everything else.
"""

import os
from typing import Any, NoReturn

import streamlit as st

from rambo.errors import RunNotFoundError
from rambo.runs.workspace import Run, Workspace

PAGES = {  # script -> (menu label, icon, what one does there)
    "app.py": ("Home", ":material/home:", "What RAMBO is, the demo, all runs"),
    "pages/data.py": ("Data", ":material/photo_library:", "Look at the images and the pools"),
    "pages/configure.py": ("Configure", ":material/tune:", "Choose data and budgets, see the cost"),
    "pages/train.py": ("Train", ":material/monitoring:", "Watch the utility model learn"),
    "pages/batch.py": ("Batch", ":material/grid_view:", "Inspect and export what was chosen"),
    "pages/label.py": (
        "Label",
        ":material/new_label:",
        "Give the chosen images their labels, train the final model",
    ),
    "pages/compare.py": ("Compare", ":material/compare:", "RAMBO beside its rivals"),
    "pages/studies.py": ("Studies", ":material/science:", "The paper's tables and figures, here"),
    "pages/learn.py": ("Learn", ":material/school:", "The method step by step, each step to touch"),
}


def workspace() -> Workspace:
    """Return the workspace of this server."""
    return _workspace(os.environ.get("RAMBO_HOME") or "runs")


@st.cache_resource(show_spinner=False, max_entries=8)
def _workspace(root: str) -> Workspace:
    """Return one workspace object per folder."""
    return Workspace.from_environment()


def requested() -> str | None:
    """Return the run id in the address, as it was typed, or None."""
    value = st.query_params.get("run")
    return value or None


def presenting() -> bool:
    """Return whether the address asks for one figure at a time, in large type."""
    return "present" in st.query_params


def find_run(run_id: str) -> Run:
    """Return the run of that name.

    Raises:
        RunNotFoundError: there is none; the message is fit for a page.
    """
    try:
        return workspace().find(run_id)
    except RunNotFoundError:
        raise RunNotFoundError(
            "there is no such run", field="run", value=run_id, hint="choose one of the list"
        ) from None


def address(run_id: str | None, **filters: Any) -> dict[str, str]:
    """Return the query parameters of a link: the run, and filters that are not None."""
    query = {"run": run_id} | filters
    return {name: str(value) for name, value in query.items() if value is not None}


def go(page: str, run_id: str | None = None, **filters: Any) -> NoReturn:
    """Open another page on a run."""
    st.switch_page(page, query_params=address(run_id, **filters))


def link(page: str, run_id: str | None, label: str | None = None, **filters: Any) -> None:
    """Draw a link to a page that keeps the run."""
    word, icon, words = PAGES[page]
    st.page_link(
        page,
        label=label or word,
        icon=icon,
        help=words,
        query_params=address(run_id, **filters),
    )
