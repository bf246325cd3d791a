"""The picture of Figure 4, drawn from its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode._validation import Array
from maml_ode.plotting.style import BIMAML, CYCLE, MAML
from maml_ode.reproduce.artefact import Settings, Tables
from maml_ode.reproduce.figure4.descents import MEASURES
from maml_ode.reproduce.section4 import EXPERIMENTS, TITLES
from maml_ode.runs.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "quantile"]

FOMAML, GAP, NORM = CYCLE[2], CYCLE[1], CYCLE[3]
LEVEL: dict[str, Any] = {"color": MAML["color"], "linestyle": "-", "linewidth": 1.0}
QUOTED: dict[str, Any] = {"color": "0.2", "linestyle": (0, (1, 1.5)), "linewidth": 1.0}


def quantile(values: Array, q: float) -> float:
    """Return the smallest value that at least a share ``q`` does not exceed; inf is a value.

    NaN if there are no values.
    """
    if not values.size:
        return float("nan")
    ordered = np.sort(values)
    return float(ordered[max(int(np.ceil(q * ordered.size)) - 1, 0)])


def draw(tables: Tables, settings: Settings) -> dict[str, Figure]:
    """Draw passes over eps0 for an early and a late target, and the saving over the target."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(10.4, 8.6))
    grid = figure.subplots(3, 4)
    for place, name in enumerate(EXPERIMENTS):
        for row, measure in enumerate(MEASURES):
            axis = grid[row, place]
            _draw_eps0(axis, tables["fig4_eps0"].where(experiment=name, measure=measure))
            symbol = "F gap" if row == 0 else r"$\|\nabla F\|$"
            axis.set_title(
                f"({'abcd'[place] if row == 0 else 'efgh'[place]}) {TITLES[name]}: {symbol}"
            )
        _draw_depth(grid[2, place], tables, name)
        grid[2, place].set_title(f"({'ijkl'[place]}) {TITLES[name]}")
    for row in range(2):
        grid[row, 0].set_ylabel("passes / passes of MAML")
    grid[2, 0].set_ylabel("passes saved by BI-MAML, %")
    handles = [
        Line2D([], [], label="BI-MAML (a)-(h)", **BIMAML),
        Line2D([], [], label="FO-MAML (a)-(h)", **FOMAML),
        Line2D([], [], label="MAML", **LEVEL),
        Line2D([], [], label="(i)-(l) until an F gap", **_line(GAP)),
        Line2D([], [], label=r"(i)-(l) until a norm $\|\nabla F\|$", **_line(NORM)),
        Line2D([], [], label="(i)-(l) quoted by the paper", **QUOTED),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=6)
    return {"fig4": figure}


def _line(style: Mapping[str, Any]) -> dict[str, Any]:
    return {"color": style["color"], "linestyle": style["linestyle"]}


def _draw_eps0(axis: Axes, table: Table) -> None:
    """Draw medians and quartiles of passes(BI-MAML)/passes(MAML), and of FO-MAML's, over eps0."""
    factors = np.unique(table["eps0_factor"])
    axis.axhline(1.0, **LEVEL)
    for target, look in (
        ("transient", {"linewidth": 1.8}),
        ("tail", {"linewidth": 0.9, "markerfacecolor": "white"}),
    ):
        part = table.where(target=target)
        fitted = part.where(eps0_factor=1.0)
        maml = quantile(fitted["maml"], 0.5)
        spent = f"{maml:.0f} passes" if np.isfinite(maml) else "never"
        label = f"to {100 * float(part['fraction'][0]):g} % (MAML: {spent})"
        columns = [_ratios(part.where(eps0_factor=factor), "bimaml") for factor in factors]
        median, low, high = (
            np.array([quantile(column, q) for column in columns]) for q in (0.5, 0.25, 0.75)
        )
        seen = np.isfinite(median)
        axis.plot(factors[seen], median[seen], label=label, **(BIMAML | look))
        band = seen & np.isfinite(high)
        axis.fill_between(
            factors[band], low[band], high[band], color=BIMAML["color"], alpha=0.18, linewidth=0
        )
        fomaml = quantile(_ratios(fitted, "fomaml"), 0.5)
        if np.isfinite(fomaml):
            axis.plot(factors, np.full(factors.size, fomaml), **(FOMAML | look))
    axis.set(xscale="log", yscale="log", xlabel=r"$\varepsilon_0$ / fitted $\varepsilon_0$")
    axis.set_ylim(0.035, 25.0)
    axis.set_yticks([0.05, 0.1, 0.2, 0.5, 1, 2, 5], ["0.05", "0.1", "0.2", "0.5", "1", "2", "5"])
    axis.set_xticks(factors, [f"{x:g}" if x >= 1 else f"1/{1 / x:g}" for x in factors])
    axis.minorticks_off()
    axis.legend(loc="upper left", handlelength=2.2, fontsize=7.5, borderaxespad=0.0)


def _ratios(part: Table, algorithm: str) -> Array:
    """Return passes over those of MAML, seed by seed; inf where only MAML reaches the target."""
    reached = np.isfinite(part["maml"])
    return np.asarray(part[algorithm][reached] / part["maml"][reached])


def _draw_depth(axis: Axes, tables: Tables, name: str) -> None:
    """Draw 1 - passes(BI-MAML)/passes(MAML) over the target, with the quoted saving beside it."""
    depth = tables["fig4_depth"].where(experiment=name)
    axis.axhline(0.0, **LEVEL)
    for measure, style in zip(MEASURES, (GAP, NORM), strict=True):
        part = depth.where(measure=measure)
        fractions = np.unique(part["fraction"])[::-1]
        savings = [1.0 - _ratios(part.where(fraction=fraction), "bimaml") for fraction in fractions]
        known = np.array([saving.size > 0 and np.isfinite(saving).all() for saving in savings])
        median, low, high = (
            np.array([100 * quantile(saving, q) if saving.size else np.nan for saving in savings])
            for q in (0.5, 0.25, 0.75)
        )
        axis.plot(fractions[known], median[known], **_line(style))
        axis.fill_between(
            fractions[known], low[known], high[known], color=style["color"], alpha=0.18, linewidth=0
        )
    saving = tables["fig4_saving"].where(experiment=name)
    quoted = 100 * float(saving["quoted"][0])
    counted = 100 * quantile(saving["counted"], 0.5)
    axis.axhline(quoted, **QUOTED)
    axis.annotate(
        f"over 50 iterations: paper {quoted:.0f} %,\ncounted {counted:.1f} % ($\\varepsilon_0$ fitted)",
        (0.03, 0.03),
        xycoords="axes fraction",
        fontsize=7.5,
    )
    axis.set(xscale="log", xlabel="target / value at $w_0$", ylim=(-130, 105))
    axis.set_yticks([-100, -50, 0, 50, 100])
    if min(depth["fraction"]) > 0.01:
        ticks = [1.0, 0.5, 0.2, 0.1]
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
    axis.invert_xaxis()
