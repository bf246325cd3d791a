"""How a run looks in every picture: colour by its flow, line or marker by its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maml_ode.plotting.style import BIMAML, CYCLE, MAML
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["kind_of", "look_of", "name_of", "taken_on"]

MOST_MARKERS = 60
OWN_STYLES = {"MAML": MAML, "BI-MAML": BIMAML}


def kind_of(run: Trajectory) -> str:
    """Return whether a run is a flow or iterates."""
    return "flow" if run.step_size is None else "iterates"


def taken_on(axis: Axes) -> list[str]:
    """Return kinds and flows that an axes shows already."""
    return [str(line.get_gid()) for line in axis.get_lines() if line.get_gid()]


def look_of(run: Trajectory, taken: list[str]) -> dict[str, Any]:
    """Return colour by flow, line or marker by kind; ``taken`` grows by this run."""
    flows = list(dict.fromkeys(entry.partition(":")[2] for entry in taken))
    if run.flow_name not in flows:
        flows.append(run.flow_name)
    others = [name for name in flows if name not in OWN_STYLES]
    if run.flow_name in OWN_STYLES:
        base = OWN_STYLES[run.flow_name]
    else:
        base = CYCLE[len(OWN_STYLES) :][others.index(run.flow_name) % (len(CYCLE) - 2)]
    entry = f"{kind_of(run)}:{run.flow_name}"
    repeated = taken.count(entry)
    taken.append(entry)
    varied = base if repeated == 0 else CYCLE[(CYCLE.index(base) + repeated) % len(CYCLE)]
    if kind_of(run) == "flow":
        return {"color": base["color"], "linestyle": varied["linestyle"], "linewidth": 1.5}
    return {
        "color": base["color"],
        "linestyle": "none",
        "marker": varied["marker"],
        "markersize": 3.5,
        "markerfacecolor": base["color"] if repeated == 0 else "white",
        "markevery": max(1, len(run) // MOST_MARKERS),
    }


def name_of(run: Trajectory) -> str:
    """Return what a legend calls a run."""
    if run.step_size is not None:
        return f"{run.flow_name}, step {run.step_size:g}"
    return run.flow_name if run.flow_name.endswith("flow") else f"{run.flow_name} flow"
