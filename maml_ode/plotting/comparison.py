"""The work-precision picture: what accuracy costs, one line a method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from maml_ode._validation import as_sequence, check_choice, check_flag, shown
from maml_ode.plotting.axes import one_axes
from maml_ode.plotting.style import CYCLE, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["method_style", "plot_comparison"]

COSTS = {
    "work": "gradient passes",
    "gradients": "gradient evaluations",
    "steps": "steps",
    "seconds": "seconds",
}
# In pixels: the way from a line's end to its label, by how much a label that covers something moves at a time,
# and half a marker.
ASIDE, MOVE, MARKER = 6.0, 1.5, 3.0
MOST_MOVES = 80


def plot_comparison(
    rows: Sequence[Mapping[str, Any]],
    ax: Axes | None = None,
    *,
    x: str = "work",
    order: Sequence[str] | None = None,
    reference_error: float = math.nan,
    labels: bool = True,
) -> Axes:
    """Draw error over cost, both logarithmic; `Comparison.plot` calls this.

    Methods differ in colour, dash and marker, so that a greyscale print keeps them apart; their names stand at
    the accurate ends of their lines.

    Parameters
    ----------
    rows : sequence of mapping
        With method, error and what ``x`` names; those whose error is NaN or 0 are left out.
    ax : Axes, optional
        By default a new figure is made with ``matplotlib.pyplot``.
    x : {"work", "gradients", "steps", "seconds"}
    order : sequence of str, optional
        The methods by whose places looks are given, for pictures of several comparisons. By default those of
        the rows.
    reference_error : float
        Below it errors mean nothing; drawn as a dotted line if it is in sight.
    labels : bool
        Whether to write the methods' names.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If no row has an error above 0, or ``x`` is unknown.
    """
    check_choice("x", x, COSTS)
    labels = check_flag("labels", labels)
    listed = as_sequence("rows", rows, "mappings with method, error and costs")
    for row in listed:
        if not isinstance(row, Mapping) or not {"method", "error", x} <= set(row):
            raise ValueError(f"every row must have method, error and {x}, but one is {shown(row)}.")
    drawn = [
        row for row in listed if row["error"] > 0 and math.isfinite(row["error"]) and row[x] > 0
    ]
    if not drawn:
        raise ValueError("none of the rows has an error above 0, so that there is nothing to draw.")
    present = list(dict.fromkeys(row["method"] for row in drawn))
    places = list(order) if order is not None else present
    with house_style():
        ax = one_axes(ax, (5.6, 4.0))
        # The first method, by which the others are judged, lies on top.
        for name in sorted(present, key=lambda name: -_place(name, places)):
            part = [row for row in drawn if row["method"] == name]
            style = method_style(_place(name, places))
            ax.plot([row[x] for row in part], [row["error"] for row in part], label=name, **style)
        ax.set(xscale="log", yscale="log", xlabel=COSTS[x])
        ax.set_ylabel("error / distance travelled")
        if reference_error >= 0.1 * min(row["error"] for row in drawn):
            ax.axhline(reference_error, color="0.5", linestyle=":", linewidth=1.0, zorder=0)
            ax.annotate(
                "error of the reference",
                (0.0, reference_error),
                xycoords=("axes fraction", "data"),
                xytext=(4.0, 2.0),
                textcoords="offset points",
                fontsize=7,
                color="0.4",
            )
        if labels:
            ends = {
                name: min(
                    (row for row in drawn if row["method"] == name), key=lambda row: row["error"]
                )
                for name in present
            }
            _write_labels(ax, {name: (row[x], row["error"]) for name, row in ends.items()}, places)
    return ax


def method_style(number: int) -> dict[str, Any]:
    """Return the look of the method in place ``number``; a second round of the cycle is hollow."""
    style = dict(CYCLE[number % len(CYCLE)]) | {"linewidth": 1.0, "markersize": 3.2}
    if number >= len(CYCLE):
        style["markerfacecolor"] = "white"
    if number == 0:
        style |= {"linewidth": 2.2, "markersize": 5.0}
    return style


def _place(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)


def _write_labels(ax: Axes, ends: Mapping[str, tuple[float, float]], order: Sequence[str]) -> None:
    """Write names to the right of their lines' ends, moved where one would cover a name or a marker."""
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    low, high = ax.get_xlim()
    ax.set_xlim(low, high * (high / low) ** 0.22)  # room for the longest
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom / (top / bottom) ** 0.08, top)
    ax.figure.draw_without_rendering()  # type: ignore[union-attr]
    taken: list[Any] = []
    for line in ax.get_lines():
        if str(line.get_label()) in ends:
            for place in ax.transData.transform(line.get_xydata()):
                taken.append(
                    Bbox.from_bounds(place[0] - MARKER, place[1] - MARKER, *(2 * [2 * MARKER]))
                )
    for name, end in sorted(ends.items(), key=lambda item: -item[1][1]):
        text = ax.annotate(
            name,
            end,
            xytext=(ASIDE, 0.0),
            textcoords="offset pixels",
            fontsize=8,
            va="center",
            color=method_style(_place(name, order))["color"],
            path_effects=[withStroke(linewidth=2.0, foreground="white")],
        )
        text.set_gid(f"label:{name}")
        for step in range(MOST_MOVES):
            text.xyann = (ASIDE, MOVE * ((step + 1) // 2) * (-1) ** step)
            if not any(text.get_window_extent().overlaps(box) for box in taken):
                break
        taken.append(text.get_window_extent())
