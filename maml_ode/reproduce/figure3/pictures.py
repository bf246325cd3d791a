"""The picture of Figure 3, drawn from its tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode.plotting.comparison import label_ends, make_room, plot_comparison
from maml_ode.plotting.style import CYCLE
from maml_ode.reproduce.artefact import Settings, Tables
from maml_ode.reproduce.figure3.work_precision import FLOWS
from maml_ode.reproduce.section4 import EXPERIMENTS, TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

# The part of a panel's width that is left to the names, and their size.
ROOM, FONTSIZE = 0.3, 7.0
TO_FLOW: dict[str, Any] = CYCLE[0]
TO_MODIFIED: dict[str, Any] = {
    "color": "0.2",
    "linestyle": (0, (1, 1)),
    "marker": "d",
    "markerfacecolor": "white",
}


def draw(tables: Tables, settings: Settings) -> dict[str, Figure]:
    """Draw error over passes for both flows, and Euler's distances over beta."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 9.2))
    grid = figure.subplots(3, 4, height_ratios=(6, 6, 5))
    runs = tables["fig3_work_precision"]
    labels = [label for label in dict.fromkeys(runs["method"].tolist()) if "(own)" not in label]
    for place, name in enumerate(EXPERIMENTS):
        for row, flow in enumerate(FLOWS):
            axis = grid[row, place]
            part = runs.where(experiment=name, flow=flow)
            drawn = [
                {"method": method, "work": work, "error": error}
                for method, work, error in zip(
                    part["method"].tolist(), part["work"], part["error"], strict=True
                )
                if method in labels
            ]
            plot_comparison(drawn, axis, order=labels, labels=False)
            axis.set_ylabel("")
            letter = "abcdefgh"[4 * row + place]
            axis.set_title(f"({letter}) {TITLES[name]}, {flow} flow")
        _draw_order(grid[2, place], tables, name)
        grid[2, place].set_title(f"({'ijkl'[place]}) {TITLES[name]}, MAML flow")
    for axis in grid[:2].flat:
        make_room(axis, ROOM)
    for row in range(3):
        _share_limits(grid[row])
    for axis in grid.flat:
        _plain_ticks(axis)
    for row in range(2):
        grid[row, 0].set_ylabel("error / distance travelled")
    grid[2, 0].set_ylabel("distance / distance travelled")
    for letter, axis in zip("abcdefgh", grid[:2].flat, strict=True):
        label_ends(axis, labels, FONTSIZE)
        for text in axis.texts:
            # Ids of an SVG file are those of one element each.
            if (gid := text.get_gid()) is not None:
                text.set_gid(f"{gid}:{letter}")
    return {"fig3": figure}


def _draw_order(axis: Axes, tables: Tables, name: str) -> None:
    part = tables["fig3_order"].where(experiment=name)
    slopes = tables["fig3_slopes"].where(experiment=name)
    above: dict[str, Any] = {"xytext": (-4, 4), "ha": "right", "va": "bottom"}
    below: dict[str, Any] = {"xytext": (4, -4), "ha": "left", "va": "top"}
    for column, flow, style, where in (
        ("to_flow", "flow", TO_FLOW, above),
        ("to_modified_flow", "modified flow", TO_MODIFIED, below),
    ):
        (slope,) = slopes.where(distance_from=flow)["slope"]
        axis.plot(part["beta"], part[column], **style)
        middle = len(part) // 2
        axis.annotate(
            f"to the {flow}:\nslope {slope:.3f}",
            (part["beta"][middle], part[column][middle]),
            textcoords="offset points",
            fontsize=7.5,
            **where,
        )
    axis.set(xscale="log", yscale="log", xlabel=r"Euler's step size $\beta$")


def _share_limits(axes: Sequence[Axes]) -> None:
    """Give the axes the same vertical limits, so that panels compare."""
    low = min(axis.get_ylim()[0] for axis in axes)
    high = max(axis.get_ylim()[1] for axis in axes)
    for axis in axes:
        axis.set_ylim(low, high)


def _plain_ticks(axis: Axes) -> None:
    """Write 20 and 0.05 at the ticks of a logarithmic horizontal axis, no more than have room."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    # Over many decades the small ticks of the vertical axis only take time to draw.
    axis.yaxis.set_minor_locator(NullLocator())
    low, high = axis.get_xlim()
    decades = np.log10(high / low)
    steps = (1.0, 2.0, 5.0) if decades < 1.3 else (1.0, 3.0) if decades < 2.2 else (1.0,)
    axis.xaxis.set_major_locator(LogLocator(subs=steps))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
