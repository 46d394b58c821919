"""What if another batch had been taken? Swap images of one greedy step and see u_hat move."""

from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st

from rambo.events import BatchChosen
from rambo.figures import maps
from rambo.runs.whatif import UHat
from rambo.text import count
from rambo.ui import frame
from rambo.ui.batch import batch_data, detail, edited, map_view, steps_view
from rambo.ui.batch.batch_data import Batch
from rambo.ui.batch.what_if import (
    Desk,
    Edit,
    key_of,
    spread,
    swap,
    utility_of,
    verdict,
    why_beatable,
)
from rambo.ui.components import gallery, plot

SOURCES = ("next by margin", "the map", "another candidate")
_OFFERED = 60  # images one can pick from


@st.fragment
def show(batch: Batch, oracle: bool) -> None:
    """Draw the what-if of one greedy step."""
    with frame.guard():
        edited.redraw()
        hat = batch_data.u_hat(batch)
        if hat is None or batch.atlas is None or not batch.decisions:
            st.info(
                "This run did not keep what a what-if needs: the trained u_hat and the map of the images. "
                "Run it again, or resume it, to try other batches."
            )
            return
        st.caption(
            "u_hat ranks sets: its number has no unit and is no accuracy. Only differences between batches of the same "
            "step and size say something; the spread of the step's candidates shows what counts as much."
        )
        decision = steps_view.pick_step(batch, key="what-if-step")
        desk = Desk(batch, batch.atlas, decision, edit_of(batch, decision), oracle)
        show_numbers(hat, desk)
        left, right = st.columns(2, gap="medium")
        with left:
            out = show_members(desk)
        with right:
            show_source(desk, out)


def edit_of(batch: Batch, decision: BatchChosen) -> Edit:
    """Return the person's batch of a step: of this tab, else as it is on disk, at first the one that was chosen."""
    edit = st.session_state.get(key_of(batch, decision))
    if isinstance(edit, Edit):
        return edit
    return Edit(edited.load(batch).steps.get(decision.step, tuple(decision.chosen)))


def show_numbers(hat: UHat, desk: Desk) -> None:
    """Show u_hat before and after, and what the difference is worth."""
    decision, edit = desk.decision, desk.edit
    before, after = decision.utility, utility_of(hat, decision, edit.members)
    equal = len(edit.members) == len(decision.chosen)
    change, unit = after - before, spread(decision)
    with st.container(horizontal=True):
        st.metric("u_hat of the chosen batch", f"{before:.3f}")
        delta = f"{change:+.3f}" if change and equal else None
        st.metric("u_hat of your batch", f"{after:.3f}" if equal else "another size", delta=delta)
        st.metric(
            "Spread of the candidates",
            "-" if unit is None else f"{unit:.3f}",
            help="The standard deviation of u_hat over the batches this step looked at: the unit for differences.",
        )
        st.metric("Images in your batch", f"{len(edit.members)}")
    yours = after if equal else None
    figure = maps.candidate_strip(decision.utilities, decision.utility, yours=yours)
    alt = "Predicted utilities of the candidates, of the chosen batch and of yours"
    plot(figure, key="what-if-strip", height=172, alt=alt)
    st.markdown(verdict(change, decision, len(edit.members)))
    st.caption(why_beatable(decision, desk.filter_size))


def show_members(desk: Desk) -> list[int]:
    """Draw the batch and what can be done to it; return the selected images."""
    st.markdown("**Your batch**: select images to remove or swap")
    edit, chosen = desk.edit, set(desk.decision.chosen)
    result = gallery(
        batch_data.sheet(desk.batch, edit.members),
        edit.members,
        key=f"members-{desk.key}",
        size=56,
        badges={item: "new" for item in edit.members if item not in chosen},
        captions=batch_data.captions(desk.batch, edit.members, oracle=desk.oracle),
        empty="The batch is empty.",
        label="Images of your batch",
    )
    out = [item for item in result.selected if item in edit.members]
    shorter = [item for item in edit.members if item not in out]
    with st.container(horizontal=True):
        change = _changer(desk)
        change("remove", "Remove", "delete", lambda: edit.to(shorter), off=not out)
        change("undo", "Undo", "undo", edit.undone, off=not edit.history)
        reset = Edit(tuple(desk.decision.chosen))
        change("reset", "Reset", "restart_alt", lambda: reset, off=edit.members == reset.members)
    if result.opened is not None:
        detail.open_on(desk.batch, result.opened, edit.members, oracle=desk.oracle)
    return out


def show_source(desk: Desk, out: list[int]) -> None:
    """Draw where other images come from."""
    source = st.segmented_control(
        "Swap for",
        SOURCES,
        default=SOURCES[0],
        required=True,
        key="what-if-source",
    )
    if source == SOURCES[2]:
        show_candidates(desk)
        return
    if source == SOURCES[1]:
        offered = pick_on_map(desk)
    else:
        offered = desk.available()[:_OFFERED].tolist()
        following = offered[: len(out)]
        _changer(desk)(
            "next",
            f"Swap {len(out) or ''} for the next by margin".replace("  ", " selected "),
            "swap_horiz",
            lambda: desk.edit.to(swap(desk.edit.members, out, following)),
            off=not out or len(following) < len(out),
        )
    if offered:
        show_offered(desk, out, offered)


def show_offered(desk: Desk, out: list[int], offered: list[int]) -> None:
    """Draw images one can pick, and the buttons that take them."""
    result = gallery(
        batch_data.sheet(desk.batch, offered),
        offered,
        key=f"offered-{desk.key}",
        size=44,
        captions=batch_data.captions(desk.batch, offered, oracle=desk.oracle),
        label="Images to take",
        max_height=260,
    )
    into = [item for item in result.selected if item in set(offered)]
    members = desk.edit.members
    with st.container(horizontal=True):
        change = _changer(desk)
        word = f"Swap {len(out)} for {len(into)}" if out and into else "Swap the selected"
        change(
            "swap",
            word,
            "swap_horiz",
            lambda: desk.edit.to(swap(members, out, into)),
            off=not out or not into,
        )
        change("add", "Add", "add", lambda: desk.edit.to(swap(members, [], into)), off=not into)
    if not (out and into):
        st.caption("Select images on the left, and here those that take their places.")
    if result.opened is not None:
        detail.open_on(desk.batch, result.opened, offered, oracle=desk.oracle)


def show_candidates(desk: Desk) -> None:
    """Offer whole batches: a random one, or one of the best candidates."""
    change, edit = _changer(desk), desk.edit
    change(
        "random",
        "Draw a random candidate",
        "casino",
        desk.random_candidate,
        tip="A random batch of the smallest margins, as the acquisition draws its candidates.",
    )
    best = zip(desk.decision.candidates, desk.decision.candidate_utilities, strict=True)
    for place, (batch, utility) in enumerate(best):
        members = tuple(batch)
        taken = members == edit.members
        change(
            f"candidate-{place}",
            f"Candidate {place + 1}: u_hat {utility:.3f}",
            "check" if taken else "layers",
            _taking(edit, members),
            off=taken,
        )


def pick_on_map(desk: Desk) -> list[int]:
    """Draw the map; return the unlabeled images inside the lasso, the smallest margins first."""
    embedded = map_view.map_of(desk.batch)
    lasso = plot(
        embedded.figure,
        key=f"what-if-map-{desk.batch.key}",
        alt=embedded.caption,
        height=380,
        select=True,
        highlight=desk.edit.members,
    )
    if lasso is None:
        st.caption("Draw a lasso around unlabeled images; your batch is ringed.")
        return []
    there = desk.available()
    inside = there[np.isin(there, lasso)]
    st.caption(f"{count(len(inside), 'image')} inside the lasso could be taken.")
    return inside[:_OFFERED].tolist()


def _taking(edit: Edit, members: Sequence[int]) -> Callable[[], Edit]:
    """Return the change that takes a whole batch."""
    return lambda: edit.to(members)


def _changer(desk: Desk) -> Callable[..., None]:
    """Return what draws a button that changes the batch."""

    def button(
        name: str,
        label: str,
        icon: str,
        change: Callable[[], Edit],
        *,
        off: bool = False,
        tip: str | None = None,
    ) -> None:
        """Draw the button; `off` disables it."""
        st.button(
            label,
            icon=f":material/{icon}:",
            key=f"what-if-{name}",
            on_click=_apply,
            args=(desk, change),
            disabled=off,
            help=tip,
        )

    return button


def _apply(desk: Desk, change: Callable[[], Edit]) -> None:
    """Keep a changed batch, on disk too, and forget what was selected in the galleries."""
    with frame.calmly():
        edit = change()
        own_batch = edited.load(desk.batch)
        step = desk.decision.step
        own = edit.members == tuple(desk.decision.chosen)
        edited.save(
            desk.batch,
            own_batch.without_step(step) if own else own_batch.with_step(step, edit.members),
        )
        st.session_state[desk.key] = edit
        for part in ("members", "offered"):
            st.session_state[f"{part}-{desk.key}"] = {"selected": []}
