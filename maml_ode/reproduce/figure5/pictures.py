"""The picture of Figure 5, drawn from its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode.plotting.curves import draw_curve
from maml_ode.plotting.looks import as_line, as_marks, styles_of
from maml_ode.plotting.series import Curve
from maml_ode.reproduce.artefact import Settings, Tables
from maml_ode.reproduce.figure4.pictures import draw_quartiles
from maml_ode.reproduce.figure5.methods import COMPARED, spelt
from maml_ode.reproduce.section4 import EXPERIMENTS, TITLES
from maml_ode.runs.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["STYLES", "draw"]

STYLES = styles_of(COMPARED)
NAMES = {"heavy ball": "heavy-ball MAML", "Nesterov": "Nesterov MAML"}
GREY = "0.35"
EVERY = 5


def draw(tables: Tables, settings: Settings) -> dict[str, Figure]:
    """Draw the gap along algorithms and flows and, below, the passes until a target is reached."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 6.0))
    grid = figure.subplots(2, len(EXPERIMENTS))
    for place, name in enumerate(EXPERIMENTS):
        above, below = grid[:, place]
        _draw_paths(
            above,
            tables["fig5_iterates"].where(experiment=name),
            tables["fig5_flows"].where(experiment=name),
        )
        above.set_title(f"({'abcd'[place]}) {TITLES[name]}")
        _draw_passes(below, tables["fig5_depth"].where(experiment=name))
        below.set_title(f"({'efgh'[place]}) {TITLES[name]}")
    grid[0, 0].set_ylabel(r"gap $F - F_{\rm low}$, parts of that at $w_0$")
    grid[1, 0].set_ylabel("passes over the data")
    figure.legend(handles=_handles(), loc="outside upper center", ncols=len(COMPARED) + 3)
    return {"fig5": figure}


def _handles() -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        *(Line2D([], [], label=NAMES.get(key, key), **STYLES[key]) for key in COMPARED),
        Line2D([], [], color=GREY, label="top: flow"),
        Line2D([], [], color=GREY, linestyle="none", marker="o", label="top: algorithm"),
        Patch(color=GREY, alpha=0.2, linewidth=0, label="bottom: quartiles"),
    ]


def _draw_paths(axis: Axes, iterates: Table, flows: Table) -> None:
    """Draw the gap over k: lines for the flows, marks for the algorithms."""
    for number, algorithm in enumerate(COMPARED):
        style = STYLES[algorithm]
        path, steps = flows.where(algorithm=algorithm), iterates.where(algorithm=algorithm)
        draw_curve(axis, Curve(path["k"], path["gap"]), None, as_line(style))
        # Marks of curves that run together do not cover each other.
        marks = as_marks(style, len(steps), hollow=True) | {"markevery": (number, EVERY)}
        draw_curve(axis, Curve(steps["k"], steps["gap"]), None, marks | {"markersize": 4.2})
    axis.set(yscale="log", xlabel="iteration $k$")
    _plain(axis.yaxis)


def _draw_passes(axis: Axes, depth: Table) -> None:
    """Draw medians and quartiles of the passes over the target."""
    fractions = np.unique(depth["fraction"])[::-1]
    for algorithm in COMPARED:
        columns = [depth.where(fraction=part)[spelt(algorithm)] for part in fractions]
        draw_quartiles(axis, fractions, columns, STYLES[algorithm] | {"markevery": 4})
    axis.set(xscale="log", yscale="log", xlabel="target, parts of the gap at $w_0$")
    _plain(axis.yaxis)
    _plain(axis.xaxis)
    axis.invert_xaxis()


def _plain(axis: Any) -> None:
    """Put plain numbers at the ticks where an axis spans little more than three decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    decades = abs(np.log10(high / low))
    axis.set_minor_formatter(NullFormatter())
    if decades > 3.5:
        return
    # As many numbers as there is room for beside each other.
    room = ((0.5, range(1, 10)), (2.0, (1, 2, 5)), (2.7, (1, 3)), (np.inf, (1,)))
    subs = next(subs for most, subs in room if decades < most)
    axis.set_major_locator(LogLocator(subs=[float(digit) for digit in subs]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
