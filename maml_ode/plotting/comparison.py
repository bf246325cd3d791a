"""The work-precision picture: what accuracy costs, one line a method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode._validation import Array, as_sequence, check_choice, check_flag, shown
from maml_ode.plotting.axes import one_axes
from maml_ode.plotting.style import CYCLE, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["label_ends", "make_room", "method_style", "plot_comparison"]

COSTS = {
    "work": "gradient passes",
    "gradients": "gradient evaluations",
    "steps": "steps",
    "seconds": "seconds",
}
# From the farthest point to the column of names in points, and from name to name in units of their size.
ASIDE, LINE_HEIGHT = 9.0, 1.3


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

    Methods differ in colour, dash and marker, so that a greyscale print keeps them apart; their names stand
    right of the lines, tied to the accurate ends of these.

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

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("diabetes")
    >>> found = mo.compare(problem.maml_flow(), problem.w0, t_max=1.0, methods=["RK45"], rtols=[1e-3, 1e-6])
    >>> mo.plotting.plot_comparison(found.rows).get_xscale()
    'log'
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
            make_room(ax)
            label_ends(ax, places)
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


def make_room(ax: Axes, share: float = 0.3) -> None:
    """Widen a logarithmic axis by ``share`` of its width, for names right of the lines."""
    low, high = ax.get_xlim()
    ax.set_xlim(low, high * (high / low) ** share)


def label_ends(ax: Axes, order: Sequence[str], fontsize: float = 8.0) -> None:
    """Write methods' names in a column right of the lines, each tied to its line's accurate end by a thin line.

    The names stand in the order of the ends, as near to their heights as none covers another. To be called
    after `make_room`, when the layout and the limits of the axes are final.

    Parameters
    ----------
    ax : Axes
        With one line a method, called after it.
    order : sequence of str
        The methods by whose places looks are given.
    fontsize : float
    """
    figure = ax.figure
    figure.draw_without_rendering()  # type: ignore[union-attr]
    ends = {
        str(line.get_label()): min(np.asarray(line.get_xydata()).tolist(), key=lambda end: end[1])
        for line in ax.get_lines()
        if str(line.get_label()) in order
    }
    ends = dict(sorted(ends.items(), key=lambda item: -item[1][1]))
    heights = ax.transData.transform(list(ends.values()))[:, 1]
    farthest = ax.transData.transform(np.concatenate([x.get_xydata() for x in ax.get_lines()]))[
        :, 0
    ].max()
    pixels = figure.dpi / 72
    column = farthest + ASIDE * pixels
    low, high = ax.bbox.y0, ax.bbox.y1
    line_height = LINE_HEIGHT * fontsize * pixels
    apart = _spread(heights, line_height, low + line_height / 2, high - line_height / 2)
    for (name, end), height in zip(ends.items(), apart, strict=True):
        style = method_style(_place(name, order))
        text = ax.annotate(
            name,
            end,
            xytext=tuple(ax.transAxes.inverted().transform((column, height)).tolist()),
            textcoords="axes fraction",
            fontsize=fontsize,
            va="center",
            color=style["color"],
            arrowprops={
                "arrowstyle": "-",
                "color": style["color"],
                "linewidth": 0.5,
                "alpha": 0.7,
                "shrinkA": 0.0,
                "shrinkB": style["markersize"] / 2 + 1.0,
                "relpos": (0.0, 0.5),
            },
        )
        text.set_gid(f"label:{name}")


def _spread(heights: Array, gap: float, low: float, high: float) -> Array:
    """Return falling heights moved as little as leaves ``gap`` between neighbours, from ``low`` to ``high``.

    The least squares under x_k - x_(k+1) >= gap is an isotonic regression of h_k + k gap: neighbours out of
    order are pooled at their mean.
    """
    steps = gap * np.arange(heights.size)
    pools: list[tuple[float, int]] = []
    for value in heights + steps:
        pools.append((float(value), 1))
        while len(pools) > 1 and pools[-1][0] > pools[-2][0]:
            (a, m), (b, n) = pools.pop(-2), pools.pop()
            pools.append(((a * m + b * n) / (m + n), m + n))
    level = np.concatenate([np.full(count, value) for value, count in pools])
    # The same shift of both ends keeps the gaps; where there is no room for all, the top gives way.
    level = np.minimum(level, high)
    spread: Array = np.maximum(level, low + steps[-1]) - steps
    return spread
