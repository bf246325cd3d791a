"""How a run looks in every picture: colour by its flow, line or marker by its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from maml_ode.plotting.style import BIMAML, CYCLE, MAML
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["as_line", "as_marks", "kind_of", "look_of", "name_of", "styles_of", "taken_on"]

MOST_MARKERS = 60
OWN_STYLES: dict[str, dict[str, Any]] = {"MAML": MAML, "BI-MAML": BIMAML}


def kind_of(run: Trajectory) -> str:
    """Return whether a run is a flow or iterates."""
    return "flow" if run.step_size is None else "iterates"


def taken_on(axis: Axes) -> list[str]:
    """Return kinds and flows that an axes shows already."""
    return [str(line.get_gid()) for line in axis.get_lines() if line.get_gid()]


def styles_of(flow_names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the colour, dash and marker of flows in one picture: the paper's for its two, others in order."""
    others = [name for name in dict.fromkeys(flow_names) if name not in OWN_STYLES]
    free = CYCLE[len(OWN_STYLES) :]
    return OWN_STYLES | {name: free[k % len(free)] for k, name in enumerate(others)}


def as_line(style: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a flow of a style is drawn."""
    return {"color": style["color"], "linestyle": style["linestyle"], "linewidth": 1.5}


def as_marks(style: Mapping[str, Any], n_points: int, hollow: bool = False) -> dict[str, Any]:
    """Return how iterates of a style are drawn, of very many only some."""
    return {
        "color": style["color"],
        "linestyle": "none",
        "marker": style["marker"],
        "markersize": 3.5,
        "markerfacecolor": "white" if hollow else style["color"],
        "markevery": max(1, n_points // MOST_MARKERS),
    }


def look_of(run: Trajectory, taken: list[str]) -> dict[str, Any]:
    """Return colour by flow, line or marker by kind; ``taken`` grows by this run."""
    flows = [entry.partition(":")[2] for entry in taken]
    base = styles_of([*flows, run.flow_name])[run.flow_name]
    entry = f"{kind_of(run)}:{run.flow_name}"
    repeated = taken.count(entry)
    taken.append(entry)
    varied = base if repeated == 0 else CYCLE[(CYCLE.index(base) + repeated) % len(CYCLE)]
    style = varied | {"color": base["color"]}
    return as_line(style) if kind_of(run) == "flow" else as_marks(style, len(run), repeated > 0)


def name_of(run: Trajectory) -> str:
    """Return what a legend calls a run."""
    if run.step_size is not None:
        return f"{run.flow_name}, step {run.step_size:g}"
    return run.flow_name if run.flow_name.endswith("flow") else f"{run.flow_name} flow"
