"""Beat the machine: choose 20 images, train, and stand beside the strategies at the same budget."""

import threading
import time

import numpy as np
import streamlit as st

from rambo.datasets.prepared import TEST
from rambo.errors import shorten
from rambo.figures import lessons
from rambo.figures.prepared import Figure
from rambo.text import literal, percent
from rambo.ui.components import gallery, plot
from rambo.ui.learn import heads, tables

BUDGET = 20


class Best:
    """The best choice of everybody who played on this server, a board a number; it lives as long as the server."""

    def __init__(self) -> None:
        """Begin with none."""
        self._guard = threading.Lock()
        self._scores: dict[int, tuple[float, str]] = {}

    def enter(self, board: int, accuracy: float, name: str) -> None:
        """Keep a result if it is the best of its board; of equal ones the first."""
        with self._guard:
            if board not in self._scores or accuracy > self._scores[board][0]:
                self._scores[board] = accuracy, name

    def of(self, board: int) -> tuple[float, str] | None:
        """Return the best accuracy of a board and who reached it, or None."""
        return self._scores.get(board)


@st.cache_resource(show_spinner=False)
def best() -> Best:
    """Return the one list of this server."""
    return Best()


def boards() -> int:
    """Return how many boards there are."""
    return len(tables.read(tables.Boards).boards)


def train(board: int, chosen: list[int]) -> float:
    """Return the test accuracy of f trained on the labeled images of a board and a choice.

    Args:
        board: its number, from 0.
        chosen: image indices.
    """
    own = tables.read(tables.Boards).boards[board]
    _, labels, roles = tables.dataset()
    grown, pixels = np.array(sorted({*own.labeled, *chosen})), tables.pixels()
    everyone = np.ones((1, len(grown)), bool)
    head = heads.fit_heads(pixels[grown], labels[grown], everyone, num_classes=len(tables.CLASSES))
    test = np.flatnonzero(roles == TEST)
    return float((head.guesses(pixels[test])[0] == labels[test]).mean())


def rivals(board: int) -> dict[str, float]:
    """Return the test accuracy of what each strategy chose on a board, without a choice under ``."""
    measured: dict[str, float] = tables.read(tables.Boards).boards[board].accuracies
    return measured


def luck(board: int) -> list[float]:
    """Return the test accuracies of random choices on a board, sorted."""
    accuracies: list[float] = tables.read(tables.Boards).boards[board].luck
    return accuracies


def show() -> None:
    """Draw the step."""
    board = (
        st.slider(
            "Board: other images, other labels",
            1,
            boards(),
            1,
            key="board",
            bind="query-params",
            help="Each board has 40 labeled images, 200 without labels, and a budget of 20.",
        )
        - 1
    )
    pool: list[int] = tables.read(tables.Boards).boards[board].unlabeled
    left, right = st.columns([3, 2], gap="large")
    with left:
        chosen = _choose(board, pool)
    with right:
        _result(board, chosen)


def _choose(board: int, pool: list[int]) -> list[int]:
    """Let the person choose; each board keeps its own choice, and that of the one shown stands in the address."""
    key = f"learn-beat-{board}"
    choices: dict[int, list[int]] = st.session_state.setdefault("learn-beat-choices", {})
    if key not in st.session_state:
        # The address speaks of the board that a link opens; afterwards of the one that was shown before.
        first = [] if choices else _from_address(pool)
        st.session_state[key] = {"selected": choices.get(board, first)}
    top = st.container(horizontal=True, vertical_alignment="center")
    picked = gallery(
        tables.sheet(pool),
        pool,
        key=key,
        size=38,
        max_height=560,
        captions={image: f"image {image}, no label yet" for image in pool},
        label="Images without a label",
    ).selected
    chosen = choices[board] = [image for image in picked if image in set(pool)]
    with top:
        st.markdown(f"**{len(chosen)} of {BUDGET} chosen**")
        st.button("Clear", key="learn-beat-clear", on_click=_put, args=(key, []))
        st.button(
            "Fill up at random",
            key="learn-beat-fill",
            on_click=_fill,
            args=(key, pool, chosen),
            disabled=len(chosen) >= BUDGET,
        )
    places = ".".join(str(pool.index(image)) for image in chosen[: 2 * BUDGET])
    if places:
        st.query_params["pick"] = places
    elif "pick" in st.query_params:
        del st.query_params["pick"]
    return chosen


def _put(key: str, chosen: list[int]) -> None:
    """Set the choice."""
    st.session_state[key] = {"selected": chosen}


def _fill(key: str, pool: list[int], chosen: list[int]) -> None:
    """Add random images up to the budget."""
    rest = [image for image in pool if image not in set(chosen)]
    more = np.random.default_rng(time.time_ns()).permutation(rest)[: BUDGET - len(chosen)]
    _put(key, [*chosen, *more.tolist()])


def _from_address(pool: list[int]) -> list[int]:
    """Return the choice in the address."""
    numbers = [p for p in st.query_params.get("pick", "").split(".") if p.isascii() and p.isdigit()]
    places = dict.fromkeys(int(part) for part in numbers)
    return [pool[place] for place in places if place < len(pool)][:BUDGET]


def _result(board: int, chosen: list[int]) -> None:
    """Draw the button, and the table once it was pressed."""
    name = st.text_input("Your name, if you like", key="learn-beat-name", max_chars=30)
    pressed = st.button(
        "Train",
        key="learn-beat-train",
        type="primary",
        icon=":material/model_training:",
        disabled=len(chosen) != BUDGET,
        help="Buys the labels of your images and trains f on them and the 40 that are labeled.",
    )
    trained: dict[int, tuple[float, list[int]]] = st.session_state.setdefault(
        "learn-beat-trained", {}
    )
    if pressed:
        accuracy = train(board, chosen)
        trained[board] = accuracy, chosen
        best().enter(board, accuracy, shorten(name.strip() or "somebody", 30))
    if (top := best().of(board)) is not None:
        st.success(
            f"Best of the class on this board: **{percent(top[0])}** by {literal(top[1])}",
            icon=":material/emoji_events:",
        )
    if board not in trained:
        st.info(
            f"Choose {BUDGET} images and press Train. Then you see what the strategies chose.",
            icon=":material/touch_app:",
        )
        return
    _standing(board, *trained[board])


def _standing(board: int, yours: float, chosen: list[int]) -> None:
    """Draw who stands where."""
    beaten = np.searchsorted(luck(board), yours) / len(luck(board))
    st.markdown(
        f"Your 20 labels take f from {percent(rivals(board)[''])} to **{percent(yours)}** on the test images. "
        f"Of {len(luck(board))} random choices, yours beats {percent(float(beaten), 0)}."
    )
    plot(
        figure(board, yours),
        key="learn-beat-figure",
        height=300,
        alt="Test accuracy of your choice beside those of the strategies and of random choices.",
    )
    labels = tables.dataset()[1]
    classes = len(set(labels[chosen].tolist()))
    both = len(set(chosen) & set(tables.read(tables.Boards).boards[board].choices["rambo"]))
    st.caption(
        f"Your images show {classes} of {len(tables.CLASSES)} classes; {both} of them RAMBO chose too."
    )


def figure(board: int, yours: float) -> Figure:
    """Return the accuracies as points in a row each, random choices as a cloud."""
    others = {name: value for name, value in rivals(board).items() if name}
    return lessons.standing(others, yours, luck(board))
