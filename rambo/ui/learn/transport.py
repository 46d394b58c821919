"""Optimal transport: how far a set is from the validation images, and which image serves which."""

import math
from functools import cache

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from rambo.errors import DataError
from rambo.figures import lessons
from rambo.figures.prepared import Figure
from rambo.ui import pictures
from rambo.ui.components import gallery, plot
from rambo.ui.learn import parts, tables

Array = NDArray[np.float64]

START = (0, 1, 12, 13, 6, 7, 18, 19, 24, 25)  # rows of the table: two images of each class
LARGEST = 15  # images of a set that can be drawn
_SMALLEST = 1e-12


def solve(cost: Array) -> tuple[float, Array]:
    """Return the exact OT cost between uniform weights and an optimal plan, `a x v`, which sums to 1.

    Choice: shortest augmenting paths in whole units of mass, 1 / lcm(a, v); for some dozens of images this is a
    matter of milliseconds and needs no library.

    Args:
        cost: `a x v` float64, finite, not empty.

    Raises:
        DataError: the cost is empty or not finite.
    """
    if cost.size == 0 or not np.isfinite(cost).all():
        raise DataError(
            "is empty or not finite",
            field="the OT cost matrix",
            hint="choose at least one image",
        )
    rows, columns = cost.shape
    units = math.lcm(rows, columns)
    supply, demand = np.full(rows, units // rows), np.full(columns, units // columns)
    flow = np.zeros((rows, columns), np.int64)
    while supply.any():
        path, amount = _shortest(cost, flow, supply, demand)
        supply[path[-1][0]] -= amount
        demand[path[0][1]] -= amount
        for row, column, sign in path:
            flow[row, column] += sign * amount
    plan = flow / units
    return float((plan * cost).sum()), plan


def _shortest(
    cost: Array, flow: NDArray[np.int64], supply: NDArray[np.int64], demand: NDArray[np.int64]
) -> tuple[list[tuple[int, int, int]], int]:
    """Return the cheapest way for more mass, from its end to its start, and how much can go along it."""
    to_row, to_column = np.where(supply > 0, 0.0, np.inf), np.full(len(demand), np.inf)
    from_column, from_row = np.full(len(supply), -1), np.full(len(demand), -1)
    while True:
        # Only what is truly cheaper changes where it came from: a way back costs the same, and would go round.
        ahead = to_row[:, None] + cost
        nearer = ahead.min(0) < to_column - _SMALLEST
        to_column[nearer], from_row[nearer] = ahead.min(0)[nearer], ahead.argmin(0)[nearer]
        back = np.where(flow > 0, to_column - cost, np.inf)
        better = back.min(1) < to_row - _SMALLEST
        if not better.any():
            break
        to_row[better], from_column[better] = back.min(1)[better], back.argmin(1)[better]
    column = int(np.where(demand > 0, to_column, np.inf).argmin())
    amount, path = int(demand[column]), []
    while True:
        row = int(from_row[column])
        path.append((row, column, 1))
        if from_column[row] < 0:
            return path, min(amount, int(supply[row]))
        column = int(from_column[row])
        path.append((row, column, -1))
        amount = min(amount, int(flow[row, column]))


def show() -> None:
    """Draw the step."""
    data = tables.read(tables.Transport)
    candidates: list[int] = data.labeled
    left, right = st.columns([2, 3], gap="large")
    with left:
        weight = st.slider(
            "Weight of the labels",
            0.0,
            2.0,
            1.0,
            0.1,
            key="labels",
            bind="query-params",
            help="The ground cost is the squared distance of the pixels plus this times the squared distance of the "
            "classes (OTDD).",
        )
        chosen = _choose(candidates)
    members = [candidates.index(image) for image in chosen]
    with right:
        if not members:
            st.info("Choose at least one image for S.", icon=":material/touch_app:")
            return
        cost = ground_cost(weight)
        value, plan = solve(cost[members])
        first, _ = solve(cost[list(START)])
        parts.numbers(
            {
                "OT(S, S_val)": (
                    f"{value:.2f}",
                    "The cheapest way to turn S into S_val, squared units.",
                ),
                "Against the first S": (
                    f"{value - first:+.2f}",
                    "Below zero: nearer to S_val than the set this step begins with.",
                ),
                "Images in S": (f"{len(members)}", "Each carries the same share of the mass."),
            }
        )
        shape = st.segmented_control(
            "Draw as",
            ["columns", "map"],
            default="columns",
            required=True,
            key="draw",
            bind="query-params",
            help="Columns: S on the left, S_val on the right. Map: images that look alike lie together.",
        )
        plot(
            figure(members, plan, shape == "map"),
            key="learn-transport",
            height=560,
            alt=f"The optimal plan from {len(members)} images of S to {plan.shape[1]} of S_val as lines.",
        )


def ground_cost(weight: float) -> Array:
    """Return the OTDD costs between the images that may be in S and those of S_val, `30 x 10`.

    Args:
        weight: of the label distances.
    """
    data = tables.read(tables.Transport)
    cost: Array = np.array(data.feature_cost) + weight * np.array(data.label_cost)
    return cost


def _choose(candidates: list[int]) -> list[int]:
    """Let the person choose S, which stands in the address."""
    if "learn-set" not in st.session_state:
        st.session_state["learn-set"] = {"selected": _from_address(candidates)}
    st.markdown(f"**S: click images in and out** (1 to {LARGEST})")
    picked = gallery(
        tables.sheet(candidates),
        candidates,
        key="learn-set",
        size=46,
        captions=tables.captions(candidates),
        label="Images that may be in S",
    ).selected
    chosen = [image for image in picked if image in candidates][:LARGEST]
    if len(picked) > LARGEST:
        st.caption(f"The first {LARGEST} count.")
    st.button("Begin again", key="learn-set-again", icon=":material/restart_alt:", on_click=_again)
    rows = [candidates.index(image) for image in chosen]
    if sorted(rows) != sorted(START):
        st.query_params["s"] = ".".join(str(row) for row in sorted(rows))
    elif "s" in st.query_params:
        del st.query_params["s"]
    return sorted(chosen)


def _again() -> None:
    """Put the first set back."""
    candidates: list[int] = tables.read(tables.Transport).labeled
    st.session_state["learn-set"] = {"selected": _images_of(START, candidates)}


def _from_address(candidates: list[int]) -> list[int]:
    """Return the set of the address, or the first one."""
    text = st.query_params.get("s", "")
    rows = [int(part) for part in text.split(".") if part.isascii() and part.isdigit()]
    rows = [row for row in dict.fromkeys(rows) if row < len(candidates)][:LARGEST]
    return _images_of(rows or START, candidates)


def _images_of(rows: list[int] | tuple[int, ...], candidates: list[int]) -> list[int]:
    """Return the images in some rows of the table."""
    return [candidates[row] for row in rows]


def figure(members: list[int], plan: Array, as_map: bool) -> Figure:
    """Return both sets with their images, and the plan as lines whose width is the mass.

    Args:
        members: rows of the table, S.
        plan: `a x v`.
        as_map: by likeness, in place of two columns.
    """
    data = tables.read(tables.Transport)
    ids = [data.labeled[row] for row in members] + data.validation
    labels = tables.dataset()[1][ids]
    count, others = plan.shape
    if as_map:
        places = np.array(data.points)
        spots = np.concatenate([places[members], places[len(data.labeled) :]])
        size = np.array([0.055, 0.055]) * np.ptp(places, axis=0)
    else:
        spots = np.concatenate([_column(0.0, count), _column(1.0, others)])
        size = np.array([0.07, 0.95 / max(count, others)])
    words = [tables.CLASSES[label] for label in labels]
    return lessons.plan(spots, plan, labels, words, [_picture(i) for i in ids], size)


def _column(x: float, count: int) -> Array:
    """Return places one below the other."""
    return np.stack([np.full(count, x), -(np.arange(count) + 0.5) / count], 1)


@cache
def _picture(index: int) -> str:
    """Return an image as an address that carries it."""
    return pictures.data_address(Image.fromarray(tables.dataset()[0][index, 0]))
