"""The picture of Figure 4, drawn from its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode._validation import Array
from maml_ode.plotting.bands import draw_spread
from maml_ode.plotting.style import CYCLE, MAML
from maml_ode.reproduce.artefact import Settings, Tables
from maml_ode.reproduce.quartiles import quantile
from maml_ode.reproduce.section4 import EXPERIMENTS, TITLES
from maml_ode.runs.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "draw_quartiles"]

# One look a problem, in every panel; red is MAML's in the whole package.
LOOKS: dict[str, dict[str, Any]] = dict(zip(EXPERIMENTS, CYCLE[1:], strict=False))
MEASURED = {"F gap": r"$F - F_{\rm low}$", "gradient norm": r"$\|\nabla F\|$"}
LEVEL: dict[str, Any] = {"color": MAML["color"], "linestyle": "-", "linewidth": 1.4}
FOMAML: dict[str, Any] = {"linestyle": (0, (1, 1.5)), "linewidth": 1.3, "marker": None}
RATIOS = (0.05, 0.1, 0.2, 0.5, 1, 2, 4)
# Row by row, with the same scale in both: what a row does not need is not shown.
LIMITS = ((0.045, 1.9), (0.045, 5.0))
# How far to the right targets are shown; what lies beyond is in the table, and nearly level.
DEEPEST = 1e-4


def draw_quartiles(
    axis: Axes, x: Array, columns: Sequence[Array], style: Mapping[str, Any]
) -> None:
    """Draw the finite medians of columns, and a band between their quartiles."""
    low, median, high = (
        np.array([quantile(column, q) for column in columns]) for q in (0.25, 0.5, 0.75)
    )
    seen = np.isfinite(median)
    draw_spread(axis, x[seen], low[seen], median[seen], high[seen], dict(style))


def draw(tables: Tables, settings: Settings) -> dict[str, Figure]:
    """Draw passes over those of MAML: at the fitted eps0 over the target, and over eps0 for one target."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 6.6))
    heights = [np.log(high / low) for low, high in LIMITS]
    grid = figure.subplots(2, 2, sharey="row", height_ratios=heights)
    for column, (measure, symbol) in enumerate(MEASURED.items()):
        over_target, over_eps0 = grid[:, column]
        over_target.set_title(f"({'ab'[column]}) until {symbol} is a part of its start")
        over_eps0.set_title(
            f"({'cd'[column]}) until {symbol} is {_targets(tables, measure)} of its start"
        )
        for name in EXPERIMENTS:
            depth = tables["fig4_depth"].where(experiment=name, measure=measure)
            _draw_depth(over_target, depth, LOOKS[name])
            rows = tables["fig4_eps0"].where(experiment=name, target="transient", measure=measure)
            _draw_eps0(over_eps0, rows, LOOKS[name])
        over_target.set(xscale="log", xlabel=f"{symbol} / its value at $w_0$", xlim=(1.25, DEEPEST))
        over_eps0.set(xscale="log", xlabel=r"switch tolerance $\varepsilon_0$ / the fitted one")
        factors = np.unique(tables["fig4_eps0"]["eps0_factor"])
        over_eps0.set_xticks(factors, [f"{x:g}" if x >= 1 else f"1/{1 / x:g}" for x in factors])
    for axis in grid.flat:
        axis.axhline(1.0, **LEVEL)
        axis.set(yscale="log")
        axis.set_yticks(RATIOS, [f"{ratio:g}" for ratio in RATIOS])
        axis.minorticks_off()
    for axis, limits in zip(grid[:, 0], LIMITS, strict=True):
        axis.set(ylabel="passes / passes of MAML", ylim=limits)
    figure.legend(handles=_handles(), loc="outside upper center", ncols=4)
    return {"fig4": figure}


def _handles() -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        *(
            Line2D([], [], label=f"BI-MAML, {TITLES[name]}", **_look(LOOKS[name]))
            for name in EXPERIMENTS
        ),
        Line2D([], [], label="MAML", **LEVEL),
        Line2D([], [], label="FO-MAML, same colour", color="0.3", **FOMAML),
        Patch(color="0.3", alpha=0.2, linewidth=0, label="middle half of the seeds"),
    ]


def _look(style: Mapping[str, Any]) -> dict[str, Any]:
    return dict(style) | {"markersize": 3.8, "linewidth": 1.6}


def _targets(tables: Tables, measure: str) -> str:
    """Return the targets of a measure: that of most problems, and those of others by name."""
    rows = tables["fig4_eps0"].where(target="transient", measure=measure)
    found = {name: float(rows.where(experiment=name)["fraction"][0]) for name in EXPERIMENTS}
    usual = max(found.values(), key=list(found.values()).count)
    others = [
        f"{TITLES[name].split(', ')[-1]}: {fraction:.0%}"
        for name, fraction in found.items()
        if fraction != usual
    ]
    return f"{usual:.0%}" + (f" ({', '.join(others)})" if others else "")


def _draw_eps0(axis: Axes, table: Table, style: Mapping[str, Any]) -> None:
    """Draw medians and quartiles of passes(BI-MAML)/passes(MAML), and FO-MAML's median, over eps0."""
    factors = np.unique(table["eps0_factor"])
    columns = [_ratios(table.where(eps0_factor=factor), "bimaml") for factor in factors]
    draw_quartiles(axis, factors, columns, _look(style))
    fomaml = quantile(_ratios(table.where(eps0_factor=1.0), "fomaml"), 0.5)
    if np.isfinite(fomaml):
        axis.axhline(fomaml, color=style["color"], zorder=1.5, **FOMAML)


def _ratios(part: Table, algorithm: str) -> Array:
    """Return passes over those of MAML, seed by seed; inf where only MAML reaches the target."""
    reached = np.isfinite(part["maml"])
    return np.asarray(part[algorithm][reached] / part["maml"][reached])


def _draw_depth(axis: Axes, depth: Table, style: Mapping[str, Any]) -> None:
    """Draw passes(BI-MAML)/passes(MAML) over the target."""
    fractions = np.unique(depth["fraction"])[::-1]
    shown = fractions[fractions >= 0.5 * DEEPEST]
    columns = [_ratios(depth.where(fraction=fraction), "bimaml") for fraction in shown]
    draw_quartiles(axis, shown, columns, _look(style) | {"markevery": 2})
