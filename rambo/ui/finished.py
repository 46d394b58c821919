"""The finished run that comes with rambo: every page has something to show before anything was started."""

import contextlib
import functools
from pathlib import Path

import streamlit as st

from rambo.errors import DataError, RamboError
from rambo.figures import label_figure
from rambo.figures.prepared import PreparedFigure
from rambo.figures.theme import strategy_word
from rambo.runs import audit, label_curve, travel
from rambo.runs.label_curve import LUCK, LabelCurve
from rambo.storage import places
from rambo.text import count, literal
from rambo.ui import state, visitor
from rambo.ui.components import plot


def shipped() -> str | None:
    """Return the id of the shipped run, which a workspace may not have yet, or None where none came along."""
    path = places.finished_run()
    return path.stem if path else None


def offer_finished(*, key: str = "finished", stay: bool = False) -> None:
    """Draw the button that opens the shipped run, where there is one.

    Args:
        key: of the button.
        stay: on this very page, whose address names the run; else on Batch.
    """
    path = places.finished_run()
    if path is None or not (visitor.may_edit() or path.stem in state.workspace().ids()):
        return
    if st.button("Look at a finished run", icon=":material/visibility:", key=key):
        with st.spinner("Unpacking it"):
            run = open_finished()
        if stay:
            st.rerun()
        state.go("pages/batch.py", run)


def open_finished() -> str:
    """Return the id of the shipped run, which joins the workspace the first time it is asked for.

    Raises:
        RamboError: it is not there, or the workspace cannot be written.
    """
    path = places.finished_run()
    if path is None:
        raise DataError(
            "no finished run came with this rambo",
            field="data/finished",
            hint="start the demo instead",
        )
    workspace = state.workspace()
    if path.stem in workspace.ids():
        return path.stem
    with visitor.acting("import", path.stem, "the shipped run"):
        return travel.unpack(path, workspace, ours=True).run


def bring() -> str | None:
    """Return the id of the shipped run for a page that has nothing else to show; None where it may not be brought.

    Choice: whoever deleted it does not want it back, and whoever may only look brings nothing.
    """
    path = places.finished_run()
    if path is None or not visitor.may_edit():
        return None
    # A workspace that cannot be written or read says so where somebody asks for something.
    with contextlib.suppress(RamboError), st.spinner("Unpacking the finished run that comes along"):
        acts, _ = audit.read(state.workspace().root)
        if any(act.what == "delete" and act.subject == path.stem for act in acts):
            return None
        open_finished()
    # Another tab may have been faster.
    return path.stem if path.stem in state.workspace().ids() else None


def curve() -> LabelCurve | None:
    """Return accuracy against labels in the settings of the shipped run, or None where no table came along."""
    path = places.finished_run()
    table = None if path is None else path.with_name("label_curve.json")
    if table is None or not table.is_file():
        return None
    return _curve(str(table), table.stat().st_mtime_ns)


def show_curve(curve: LabelCurve, *, key: str, few: bool = False) -> None:
    """Draw accuracy against labels with what it says.

    Args:
        curve: of the shipped run's settings.
        key: of the figure.
        few: only RAMBO, the best of all, and random choice.
    """
    names = curve.strategies
    best = label_figure.best(curve, names)
    if few:
        names = list(dict.fromkeys([*filter(None, [best]), "rambo", LUCK]))
    with st.container(key=f"wide-{key}"):
        left, right = st.columns([3, 2], gap="large")
    with left:
        plot(
            _figure(curve.run, tuple(names), _curve=curve),
            key=key,
            height=360 if few else 400,
            alt="Test accuracy over the labels bought, of each strategy and of random choice.",
            file_name="rambo-labels",
        )
    with right:
        st.markdown(f"**{literal(label_figure.headline(curve), 300)}**")
        lines = [f"- {literal(line, 300)}" for line in label_figure.findings(curve)]
        st.markdown("\n".join([f"With {curve.budget:,} labels, on the finished run:\n", *lines]))
        st.caption(
            f"Means of {count(_trials(curve), 'trial')}, each of {_trainings(curve)} of f; band and bars are "
            f"one standard error. Random choice was measured with {_budgets(curve, LUCK)} bought labels; "
            f"{_points(curve)}"
        )


def _trainings(curve: LabelCurve) -> str:
    """Return of how many trainings an accuracy is the mean, in words."""
    least, most = curve.trainings
    return count(most, "training") if least == most else f"{least} to {most} trainings"


def _points(curve: LabelCurve) -> str:
    """Return with how many labels the other strategies were measured, and that nobody knows the rest, in words."""
    others = [name for name in curve.strategies if name != LUCK]
    at = {_budgets(curve, name) for name in others}
    if len(at) == 1:
        return f"the others with {at.pop()}. What they reach with other numbers is not known."
    named = "; ".join(f"{strategy_word(name)} with {_budgets(curve, name)}" for name in others)
    return f"{named}. What they reach with other numbers is not known."


def _budgets(curve: LabelCurve, name: str) -> str:
    """Return with how many labels a strategy was measured, in words."""
    *first, last = (f"{budget:,}" for budget in sorted(curve.accuracies[name]))
    return f"{', '.join(first)} and {last}" if first else last


def _trials(curve: LabelCurve) -> int:
    """Return over how many trials random choice was measured."""
    return len(curve.accuracies[LUCK][curve.budget])


@functools.lru_cache(maxsize=2)
def _curve(path: str, changed: int) -> LabelCurve:
    """Return the table in a file; both arguments are the key of the cache."""
    return label_curve.read(Path(path))


@st.cache_resource(show_spinner=False, max_entries=4)
def _figure(run: str, names: tuple[str, ...], *, _curve: LabelCurve) -> PreparedFigure:
    """Return the figure, made once."""
    return label_figure.label_figure(_curve, names)
