"""The two pictures of Figure 1, drawn from its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maml_ode.plotting.branches import draw_branches
from maml_ode.plotting.profile import draw_profile
from maml_ode.plotting.style import BIMAML, MAML
from maml_ode.reproduce.artefact import Settings, Tables
from maml_ode.runs.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "key_numbers"]

INK = "#123c8c"
LIPSCHITZ = 2.01
PAPER_ALPHA = 0.4


def draw(tables: Tables, settings: Settings) -> dict[str, Figure]:
    """Draw the paper's figure and its companion."""
    return {"fig1": _derivatives(tables), "fig1_landscape": _landscape(tables)}


def _derivatives(tables: Tables) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 5.0))
    axes = figure.subplots(2, 2, height_ratios=[1.6, 1.0])
    panels = (("first", r"$F'(w)$", "(a)"), ("second", r"$F''(w)$", "(b)"))
    for column, (key, label, letter) in enumerate(panels):
        for row, view in enumerate(("near", "far")):
            axis, table = axes[row, column], tables["fig1_derivatives"].where(view=view)
            thin = 1.0 if view == "near" else 0.5
            draw_profile(axis, table["w"], table[key], color=INK, linewidth=thin)
            axis.axhline(0.0, color="0.2", linewidth=0.8, zorder=1)
            axis.set_ylabel(label)
        axes[0, column].set_title(f"{letter} {label}")
        axes[1, column].set_title("the same from $-5$ to $5$")
    negative = tables["fig1_negative_curvature"]
    for k, (low, high) in enumerate(zip(negative["w_low"], negative["w_high"], strict=True)):
        axes[0, 1].axvspan(
            low, high, color="0.5", alpha=0.3, linewidth=0, label="$F'' < 0$" if k == 0 else None
        )
    axes[0, 1].legend(loc="upper center", frameon=True, framealpha=1.0, edgecolor="none")
    return figure


def _landscape(tables: Tables) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 6.4))
    axes = figure.subplots(2, 2)
    _basins(axes[0, 0], tables)
    _switch_tolerance(axes[0, 1], tables)
    _branches(axes[1, 0], tables["fig1_branches"])
    _counts(axes[1, 1], tables["fig1_counts"])
    return figure


def _basins(axis: Axes, tables: Tables) -> None:
    near = tables["fig1_derivatives"].where(view="near")
    points = tables["fig1_critical_points"]
    minima, maxima = (
        np.column_stack([part["w"], part["value"]])
        for part in (points.where(minimum=True), points.where(minimum=False))
    )
    shown = (near["w"] >= 0.24) & (near["w"] <= 0.51)
    w, values = near["w"][shown], near["value"][shown]
    basins = draw_profile(axis, w, values, minima, maxima, color=INK)
    best = minima[np.argmin(minima[:, 1])]
    axis.plot(
        *best, "*", color=MAML["color"], markersize=11, markeredgecolor="black", markeredgewidth=0.6,
        label="global minimum", zorder=5,
    )  # fmt: skip
    for k, ((low, high), (end, _)) in enumerate(zip(basins, minima, strict=True)):
        arrow = r"$\leftarrow$ " if k == 0 else ""
        ending = r" $\rightarrow$" if k == len(minima) - 1 else ""
        axis.text(
            0.5 * (low + high), 1.0, f"{arrow}{end:.4f}{ending}", fontsize=7.5, ha="center", va="bottom",
            transform=axis.get_xaxis_transform(),
        )  # fmt: skip
    axis.set(ylabel="$F(w)$", ylim=(None, values.max()))
    axis.set_title("(a) basins of the MAML flow, by the minimum they end in", pad=16)
    axis.legend(loc="lower right")


def _switch_tolerance(axis: Axes, tables: Tables) -> None:
    table, points = tables["fig1_switch_tolerance"], tables["fig1_critical_points"]
    for w in points.where(minimum=True)["w"]:
        axis.axhline(w, color="0.45", linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    axis.plot(
        table["switch_tol"], table["switch_w"], color="0.45", linewidth=1.2, label="switches at"
    )
    axis.plot(
        table["switch_tol"], table["end"], color=BIMAML["color"], marker="s", markersize=3.2,
        linestyle="none", label="ends at",
    )  # fmt: skip
    axis.set(
        xscale="log",
        xlabel=r"switch tolerance $\varepsilon_0$",
        ylabel="$w$",
        ylim=(0.2, 0.5),
    )
    axis.set_title(r"(b) BI-MAML from $w_0 = -5$ (dotted: the minima)", pad=16)
    axis.legend(loc="upper right", frameon=True, framealpha=1.0, edgecolor="none")


def _branches(axis: Axes, table: Table) -> None:
    alphas, first = np.unique(table["alpha"], return_index=True)
    points, minimum = (np.split(table[key], first[1:]) for key in ("w", "minimum"))
    draw_branches(axis, alphas, points, minimum, ("minima of $F$", "maxima of $F$"))
    axis.set(xlabel=r"$\alpha$", ylabel="$w$", xlim=(0, 0.5))
    axis.set_title(r"(c) critical points of $F$ over $\alpha$")
    axis.axvline(
        PAPER_ALPHA,
        color=MAML["color"],
        linewidth=1.0,
        linestyle=(0, (5, 2)),
        label=r"the paper's $\alpha$",
    )
    axis.legend(loc="upper left")


def _counts(axis: Axes, table: Table) -> None:
    proved = table.where(proved=True)
    x = np.column_stack([proved["alpha_low"], proved["alpha_high"]]).ravel()
    y = np.repeat(proved["critical_points"], 2)
    axis.plot(x, y, color="black")
    for times, height in ((4, 16.8), (2, 16.8), (1, 3.0)):
        where = 1.0 / (times * LIPSCHITZ)
        text = "$1/L$" if times == 1 else f"$1/({times}L)$"
        axis.axvline(where, color="0.45", linewidth=0.8, linestyle=(0, (1, 2)))
        axis.text(where - 0.006, height, text, fontsize=8, ha="right", va="top")
    axis.axvline(PAPER_ALPHA, color=MAML["color"], linewidth=1.0, linestyle=(0, (5, 2)))
    axis.text(
        PAPER_ALPHA - 0.005, 13.6, "the paper's\n$\\alpha = 0.4$", fontsize=8, ha="right", va="top"
    )
    axis.set(
        xlabel=r"$\alpha$", ylabel="number", xlim=(0, 0.5), ylim=(0, 18), yticks=range(1, 18, 2)
    )
    axis.set_title("(d) number of critical points, proved")


def key_numbers(tables: Tables) -> dict[str, str]:
    """Return what the closing table shows."""
    points, negative = tables["fig1_critical_points"], tables["fig1_negative_curvature"]
    share = (negative["w_high"] - negative["w_low"]).sum() / 2.0
    deepest = int(np.argmin(negative["least"]))
    counts = tables["fig1_counts"]
    first = float(counts["alpha_high"][counts["critical_points"] == 1].min())
    ends = sorted({f"{w:.5f}" for w in tables["fig1_switch_tolerance"]["end"]})
    return {
        "critical points at alpha = 0.4": str(len(points)),
        "uniqueness is lost at alpha": f"{first:.5f}",
        "min F'' on [-1, 1]": f"{negative['least'][deepest]:.6f} at {negative['w_least'][deepest]:.6f}",
        "F'' < 0 on": f"{len(negative)} intervals, {share:.0%} of [-1, 1]",
        "BI-MAML ends, by eps0, at": ", ".join(ends),
    }
