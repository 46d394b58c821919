"""A person's own batch beside the strategy's: said in words, made of what is shown or selected, taken back."""

import streamlit as st

from rambo.figures.theme import strategy_word
from rambo.runs import edits, paths
from rambo.runs.edits import EditedBatch
from rambo.text import count, literal
from rambo.ui import frame, visitor
from rambo.ui.batch import batch_data
from rambo.ui.batch.batch_data import Batch
from rambo.ui.components import strip

_THUMBNAILS = 60  # added images that are drawn
_CHANGED = "batch-edited"  # the head of the page, outside the tabs' fragments, does not say it yet
_STATE = "batch-edit-seen"  # the file of the edit as this window knows it


def load(batch: Batch) -> EditedBatch:
    """Return what a person made of a batch; an empty edit where it is as the strategy chose it.

    Raises:
        StoreError: the file is damaged.
    """
    return edits.load(batch.run, batch.trial, batch.strategy) or EditedBatch()


def save(batch: Batch, edit: EditedBatch) -> None:
    """Put what a person made of a batch on disk."""
    with visitor.acting("edit", batch.run.id, f"the batch of {batch.strategy}"):
        edits.save(batch.run, batch.trial, batch.strategy, edit)
    st.session_state[_CHANGED] = True
    st.session_state[_STATE] = _stamp(batch)


def is_stale(batch: Batch) -> bool:
    """Return whether somebody changed the batch in another window since it was drawn or changed in this one."""
    return bool(_stamp(batch) != st.session_state.get(_STATE))


def _stamp(batch: Batch) -> tuple[str, int, int] | None:
    """Return what tells one state of the edit's file from another; None where there is none."""
    path = paths.edited_batch(batch.run.folder, batch.trial, batch.strategy)
    try:
        facts = path.stat()
    except OSError:
        return None
    return str(path), facts.st_mtime_ns, facts.st_size


def redraw() -> None:
    """Draw the whole page again where only a fragment was drawn after a change: its head says whose batch it is."""
    if st.session_state.pop(_CHANGED, False):
        st.rerun()


def size(batch: Batch) -> int | None:
    """Return the number of images in the person's batch, or None: it is the strategy's."""
    edit = load(batch)
    if not edit.steps:
        return None
    return len(edit.batch(batch.indices.tolist(), batch.steps.tolist()))


def show(batch: Batch) -> None:
    """Say how the person's batch differs from the strategy's, where it does."""
    st.session_state.pop(_CHANGED, None)
    st.session_state[_STATE] = _stamp(batch)
    edit = load(batch)
    if not edit.steps:
        return
    chosen, steps = batch.indices.tolist(), batch.steps.tolist()
    removed, added = edit.removed(chosen, steps), edit.added(chosen, steps)
    now = len(edit.batch(chosen, steps))
    word = literal(strategy_word(batch.strategy))
    parts = [
        f"{len(removed):,} of {word}'s {batch.count:,} taken out" if removed else "",
        f"{len(added):,} put in" if added else "",
    ]
    changes = " and ".join(part for part in parts if part) or "another order"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f":material/edit: **Your own batch: {count(now, 'image')}** ({changes} by you). "
            "It is what is exported and labeled."
        )
        st.button(
            f"Back to {word}'s choice",
            icon=":material/undo:",
            type="tertiary",
            key="edit-discard",
            on_click=_discard,
            args=(batch,),
        )
    if added:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption("Put in by you:", width="content")
            strip(
                batch_data.sheet(batch, added[:_THUMBNAILS]),
                added[:_THUMBNAILS],
                key="edit-added",
                size=36,
            )


def make_buttons(batch: Batch, visible: list[int], marked: list[int]) -> None:
    """Draw what makes the selected or the shown images the batch."""
    if not visitor.may_edit():
        return
    edit = load(batch)
    now = [i for i, _ in edit.batch(batch.indices.tolist(), batch.steps.tolist())]
    inside = [image for image in marked if image in set(now)]
    if inside:
        rest = [image for image in now if image not in set(inside)]
        _button(batch, f"Take {len(inside):,} out of the batch", "delete", rest, "edit-remove")
        _button(batch, f"Make these {len(inside):,} the batch", "filter_list", inside, "edit-keep")
    elif 0 < len(visible) < batch.count:
        _button(
            batch,
            f"Make the {len(visible):,} shown the batch",
            "filter_list",
            visible,
            "edit-shown",
        )


def make_lasso_buttons(batch: Batch, inside: list[int]) -> None:
    """Draw what makes the unlabeled images inside a lasso the batch, or a part of it.

    Args:
        batch: whose map.
        inside: the unlabeled images in the lasso, chosen or not, in the order in which new ones join the batch.
    """
    if not inside or not visitor.may_edit():
        return
    now = [i for i, _ in load(batch).batch(batch.indices.tolist(), batch.steps.tolist())]
    new = [image for image in inside if image not in set(now)]
    with st.container(horizontal=True):
        if set(inside) != set(now):
            label = f"Make these {count(len(inside), 'unlabeled image')} the batch"
            _button(batch, label, "lasso_select", inside, "edit-lasso")
        if new:
            label = f"Put {len(new):,} of them into the batch"
            _button(batch, label, "add", [*now, *new], "edit-lasso-add")


def _button(batch: Batch, label: str, icon: str, images: list[int], key: str) -> None:
    """Draw one of them."""
    st.button(
        label,
        icon=f":material/{icon}:",
        type="tertiary",
        key=key,
        on_click=_limit,
        args=(batch, images),
        help="Your own batch beside the strategy's; it is kept on disk, and can be taken back.",
    )


def _limit(batch: Batch, images: list[int]) -> None:
    """Make these images the batch."""
    with frame.calmly():
        _forget(batch)
        chosen, steps = batch.indices.tolist(), batch.steps.tolist()
        save(batch, load(batch).limited(images, chosen, steps))


def _discard(batch: Batch) -> None:
    """Bring the strategy's choice back."""
    with frame.calmly():
        _forget(batch)
        save(batch, EditedBatch())


def _forget(batch: Batch) -> None:
    """Forget the what-ifs of this tab, which would hide what is on disk."""
    for key in [k for k in st.session_state if str(k).startswith(f"what-if-{batch.key}-")]:
        del st.session_state[key]
