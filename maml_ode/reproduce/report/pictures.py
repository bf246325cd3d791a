"""The picture of the report, drawn from its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maml_ode._validation import Array
from maml_ode.plotting.style import BIMAML, CYCLE
from maml_ode.reproduce.artefact import Settings, Tables
from maml_ode.reproduce.report.statements import JUMP_HEIGHT, JUMPING, PROBLEMS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]


def draw(tables: Tables, settings: Settings) -> dict[str, Figure]:
    """Draw the departures at the switch, and the ratios of BI-MAML to MAML after 50 steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.6))
    left, middle, right = figure.subplots(1, 3, width_ratios=(8, 4, 4))
    measures = tables["report_measures"].where(reading="ours")
    printed = tables["report_measures"].where(reading="as printed", experiment="svm")
    panels = sorted((panel, name) for name, two in PROBLEMS.items() for panel in two[:2])
    columns = [
        (panel, measures.where(experiment=name), "loss" if panel in "2a2b2c2d" else "norm")
        for panel, name in panels
    ]
    columns.append(("2g,\nhinge", printed, "norm"))
    for place, (panel, part, kind) in enumerate(columns):
        _dots(left, place, 100 * part[f"jump_{kind}"], panel in JUMPING)
    left.axhline(100 * JUMP_HEIGHT, color="0.3", linewidth=0.9, linestyle=(0, (4, 2)))
    left.set_xticks(range(len(columns)), [panel for panel, _, _ in columns])
    left.set(
        yscale="log",
        ylabel="departure at the switch,\n% of the panel's height",
        title="(a) jumps: dark where the paper sees one",
    )
    names = list(PROBLEMS)
    short = ["linear\nregr.", "Dia-\nbetes", "SVM", "digits"]
    for axis, column, title in (
        (middle, "gap_ratio", r"(b) $F - F_{\rm low}$ at step 50"),
        (right, "norm_ratio", r"(c) $\|\nabla F\|$ at step 50"),
    ):
        for place, name in enumerate(names):
            _dots(axis, place, measures.where(experiment=name)[column], dark=True)
        axis.axhline(1.0, color="0.3", linewidth=0.9, linestyle=(0, (4, 2)))
        axis.set_xticks(range(4), short)
        axis.set(ylim=(0, None), title=title)
    middle.set_ylabel("BI-MAML / MAML")
    return {"report": figure}


def _dots(axis: Axes, place: int, values: Array, dark: bool) -> None:
    """Draw one dot a seed, side by side, and a bar at the median."""
    known = np.sort(values[np.isfinite(values)])
    spread = np.linspace(-0.28, 0.28, known.size) if known.size > 1 else np.zeros(1)
    color = BIMAML["color"] if dark else CYCLE[6]["color"]
    axis.plot(
        place + spread[: known.size],
        known,
        linestyle="none",
        marker="o" if dark else "^",
        markersize=3.0,
        color=color,
        markerfacecolor=color if dark else "white",
    )
    if known.size:
        median = float(np.median(known))
        axis.plot([place - 0.38, place + 0.38], [median, median], color="0.1", linewidth=1.6)
