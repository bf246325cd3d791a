"""The picture of Figure 4, drawn from its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode._validation import Array
from maml_ode.plotting.style import CYCLE, MAML
from maml_ode.reproduce.artefact import Settings, Tables
from maml_ode.reproduce.figure4.descents import MEASURES
from maml_ode.reproduce.section4 import EXPERIMENTS, TITLES
from maml_ode.runs.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "quantile"]

# What is reached, at which everything else about the curve hangs.
GOALS: dict[str, dict[str, Any]] = {"F gap": CYCLE[1], "gradient norm": CYCLE[3]}
FOMAML: dict[str, Any] = CYCLE[2]
SYMBOLS = {"F gap": r"$F - F_{\rm low}$", "gradient norm": r"$\|\nabla F\|$"}
LEVEL: dict[str, Any] = {"color": MAML["color"], "linestyle": "-", "linewidth": 1.2}
QUOTED: dict[str, Any] = {"color": "0.2", "linestyle": (0, (1, 1.5)), "linewidth": 1.1}
RATIOS = (0.05, 0.1, 0.2, 0.5, 1, 2, 4)
# Where the quoted saving is written at the left of its line; else at the right.
EMPTY_AT_THE_LEFT = ("svm",)
# Row by row, with the same scale in both: what a row does not need is not shown.
LIMITS = ((0.045, 1.9), (0.045, 5.0))


def quantile(values: Array, q: float) -> float:
    """Return the smallest value that at least a share ``q`` does not exceed; inf is a value.

    NaN if there are no values.
    """
    if not values.size:
        return float("nan")
    ordered = np.sort(values)
    return float(ordered[max(int(np.ceil(q * ordered.size)) - 1, 0)])


def draw(tables: Tables, settings: Settings) -> dict[str, Figure]:
    """Draw passes over those of MAML: at the fitted eps0 over the target, and over eps0 for one target."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(10.4, 6.0))
    heights = [np.log(high / low) for low, high in LIMITS]
    grid = figure.subplots(2, 4, sharey="row", height_ratios=heights)
    for place, name in enumerate(EXPERIMENTS):
        depth = tables["fig4_depth"].where(experiment=name)
        over_eps0 = tables["fig4_eps0"].where(experiment=name, target="transient")
        _draw_depth(grid[0, place], depth, tables["fig4_saving"].where(experiment=name))
        grid[0, place].set_title(f"({'abcd'[place]}) {TITLES[name]}")
        _draw_eps0(grid[1, place], over_eps0)
        grid[1, place].set_title(f"({'efgh'[place]}) {TITLES[name]}, to {_targets(over_eps0)}")
    for axis, limits in zip(grid[:, 0], LIMITS, strict=True):
        axis.set(yscale="log", ylabel="passes / passes of MAML")
        axis.set_yticks(RATIOS, [f"{ratio:g}" for ratio in RATIOS])
        axis.set_ylim(limits)
    for axis in grid.flat:
        axis.minorticks_off()
    handles = [
        Line2D([], [], label="MAML", **LEVEL),
        *(
            Line2D([], [], label=f"BI-MAML, until a target for {SYMBOLS[measure]}", **_look(style))
            for measure, style in GOALS.items()
        ),
        Line2D([], [], label=f"FO-MAML, for {SYMBOLS['F gap']}", **_look(FOMAML)),
        Line2D([], [], label="time quoted by the paper", **QUOTED),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return {"fig4": figure}


def _look(style: Mapping[str, Any]) -> dict[str, Any]:
    return dict(style) | {"markersize": 3.4, "linewidth": 1.5}


def _targets(table: Table) -> str:
    """Return the targets of both measures, once if they agree."""
    found = [float(table.where(measure=measure)["fraction"][0]) for measure in MEASURES]
    return " or ".join(f"{100 * fraction:g} %" for fraction in dict.fromkeys(found))


def _draw_eps0(axis: Axes, table: Table) -> None:
    """Draw medians and quartiles of passes(BI-MAML)/passes(MAML), and FO-MAML's median, over eps0."""
    factors = np.unique(table["eps0_factor"])
    axis.axhline(1.0, **LEVEL)
    for measure, style in GOALS.items():
        part = table.where(measure=measure)
        columns = [_ratios(part.where(eps0_factor=factor), "bimaml") for factor in factors]
        _draw_quartiles(axis, factors, columns, style)
    fitted = table.where(measure="F gap", eps0_factor=1.0)
    fomaml = quantile(_ratios(fitted, "fomaml"), 0.5)
    if np.isfinite(fomaml):
        axis.plot(factors, np.full(factors.size, fomaml), **_look(FOMAML))
    spent = [quantile(table.where(measure=m, eps0_factor=1.0)["maml"], 0.5) for m in MEASURES]
    passes = ", ".join(f"{count:.0f}" if np.isfinite(count) else "never" for count in spent)
    axis.annotate(
        f"MAML: {passes} passes",
        (0.99, 0.985),
        xycoords="axes fraction",
        fontsize=8,
        color=LEVEL["color"],
        ha="right",
        va="top",
    )
    axis.set(xscale="log", xlabel=r"$\varepsilon_0$ / fitted $\varepsilon_0$")
    axis.set_xticks(factors, [f"{x:g}" if x >= 1 else f"1/{1 / x:g}" for x in factors])


def _ratios(part: Table, algorithm: str) -> Array:
    """Return passes over those of MAML, seed by seed; inf where only MAML reaches the target."""
    reached = np.isfinite(part["maml"])
    return np.asarray(part[algorithm][reached] / part["maml"][reached])


def _draw_quartiles(
    axis: Axes, x: Array, columns: list[Array], style: Mapping[str, Any], markevery: int = 1
) -> None:
    """Draw the median of every column, and a band between its quartiles; what is not finite is left out."""
    median, low, high = (
        np.array([quantile(column, q) for column in columns]) for q in (0.5, 0.25, 0.75)
    )
    seen = np.isfinite(median)
    axis.plot(x[seen], median[seen], markevery=markevery, **_look(style))
    band = seen & np.isfinite(high)
    axis.fill_between(x[band], low[band], high[band], color=style["color"], alpha=0.18, linewidth=0)


def _draw_depth(axis: Axes, depth: Table, saving: Table) -> None:
    """Draw passes(BI-MAML)/passes(MAML) over the target, with the quoted saving beside it."""
    axis.axhline(1.0, **LEVEL)
    for measure, style in GOALS.items():
        part = depth.where(measure=measure)
        fractions = np.unique(part["fraction"])[::-1]
        columns = [_ratios(part.where(fraction=fraction), "bimaml") for fraction in fractions]
        _draw_quartiles(axis, fractions, columns, style, markevery=4)
    quoted = float(saving["quoted"][0])
    axis.axhline(1.0 - quoted, **QUOTED)
    left = saving["experiment"][0] in EMPTY_AT_THE_LEFT
    axis.annotate(
        f"paper: {quoted:.0%} less",
        (0.0 if left else 1.0, 1.0 - quoted),
        xycoords=("axes fraction", "data"),
        xytext=(3.0 if left else -2.0, -3.0),
        textcoords="offset points",
        fontsize=7.5,
        color=QUOTED["color"],
        ha="left" if left else "right",
        va="top",
    )
    axis.set(xscale="log", xlabel=r"target / value at $w_0$, at the fitted $\varepsilon_0$")
    if min(depth["fraction"]) > 0.01:
        ticks = [1.0, 0.5, 0.2, 0.1]
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.invert_xaxis()
