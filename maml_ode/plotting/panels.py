"""What a panel of trajectories can show beside its lines: states, a path, shaded phases, a bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode._validation import shown
from maml_ode.plotting.states import plot_path, plot_states, shade_phases
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from maml_ode.theory import Monitor

__all__ = [
    "BOUNDED",
    "PLANES",
    "check_bound",
    "draw_bound",
    "draw_states_or_path",
    "shade_first",
]

# Panels that show no quantity over time, and those on which a bound of ||grad F|| belongs.
PLANES = ("states", "path")
BOUNDED = ("grad_norm", "phase_norm")


def draw_states_or_path(
    axis: Axes, quantity: str, runs: list[Trajectory], labels: Sequence[str] | None
) -> None:
    """Draw the panel of `plot_states` or `plot_path`."""
    if quantity == "path":
        plot_path(runs, axis, labels=labels)
        return
    if len(runs) != 1:
        raise ValueError(
            f'show="states" has room for one trajectory, not {len(runs)}; call plot_states for each, or show '
            '"path".'
        )
    plot_states(runs[0], axis)


def shade_first(axis: Axes, runs: list[Trajectory], scale: float | None) -> None:
    """Shade the phases of the first run that has more than one."""
    changing = next((run for run in runs if run.switch_times.size), None)
    if changing is not None:
        shade_phases(axis, changing, 1.0 if scale is None else scale, lines=False)


def check_bound(bound: Any, quantities: Sequence[str]) -> None:
    """Refuse what is no Monitor, or a bound that no panel would show."""
    from maml_ode.theory import Monitor

    if bound is None:
        return
    if not isinstance(bound, Monitor):
        raise TypeError(
            f"bound must be a Monitor, as mo.theory.monitor(run, tasks, alpha) returns it, not {shown(bound)}."
        )
    if not set(quantities) & set(BOUNDED):
        raise ValueError(
            'a bound of ||grad F|| belongs on a panel of that norm; add "grad_norm" to show.'
        )


def draw_bound(axis: Axes, monitor: Monitor, scale: float | None = None, **style: Any) -> None:
    """Draw the bound of ||grad F|| where it is positive and finite."""
    from maml_ode.theory import Status

    estimated = ", estimated" if monitor.status is Status.ESTIMATE else ""
    look = {"color": "0.35", "linestyle": (0, (1, 1)), "label": f"bound{estimated}", **style}
    seen = np.isfinite(monitor.grad_bound) & (monitor.grad_bound > 0)
    axis.plot(monitor.t[seen] / (1.0 if scale is None else scale), monitor.grad_bound[seen], **look)
