"""Draw the states of a trajectory, and its path in a plane."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._checked_runs import checked_run, some_runs
from maml_ode._validation import as_sequence, check_count
from maml_ode.plotting.axes import one_axes
from maml_ode.plotting.curves import draw_switches
from maml_ode.plotting.looks import look_of, name_of
from maml_ode.plotting.plane import main_plane, plane_through
from maml_ode.plotting.style import CYCLE, house_style, legend_above
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_path", "plot_states", "shade_phases"]

MOST_STATES = 12


def plot_states(
    trajectory: Trajectory,
    ax: Axes | None = None,
    *,
    components: Sequence[int] | None = None,
    names: Sequence[Any] | None = None,
) -> Axes:
    """Draw components of the state over time, phases shaded and switches marked.

    Parameters
    ----------
    trajectory : Trajectory
    ax : Axes, optional
    components : sequence of int, optional
        Which w_j; by default all up to twelve, and of more those that move furthest.
    names : sequence of length d, optional
        What the legend calls the coordinates, such as the ``feature_names`` of a family out of a table.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, TypeError
        For components that the state does not have, or not one name for each.

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("diabetes")
    >>> run = mo.solve(problem.bimaml_flow(), problem.w0, t_max=5.0)
    >>> ax = mo.plotting.plot_states(run)
    >>> len([line for line in ax.get_lines() if line.get_label().startswith("$w")])
    8
    """
    run = checked_run(trajectory)
    d = run.y.shape[0]
    if components is None:
        moved = np.ptp(np.nan_to_num(run.y), axis=1)
        chosen = np.sort(np.argsort(moved, kind="stable")[::-1][:MOST_STATES])
    else:
        chosen = np.array(
            [
                check_count("components", j, minimum=0)
                for j in as_sequence("components", components, "ints")
            ],
            dtype=int,
        )
        if chosen.size == 0 or (chosen >= d).any():
            raise ValueError(f"components must be numbers from 0 to {d - 1}.")
    labels = [f"$w_{{{j + 1}}}$" for j in range(d)]
    if names is not None:
        labels = [str(name) for name in as_sequence("names", names, "texts")]
        if len(labels) != d:
            raise ValueError(f"names must have one entry per coordinate: {d}, not {len(labels)}.")
    with house_style():
        axis = one_axes(ax)
        for k, j in enumerate(chosen):
            style = CYCLE[k % len(CYCLE)]
            axis.plot(
                run.t,
                run.y[j],
                color=style["color"],
                linestyle=style["linestyle"],
                label=labels[j],
            )
        shade_phases(axis, run)
        axis.set(xlabel="time $t$", ylabel="state $w$")
        legend_above(axis, 5)
    return axis


def shade_phases(axis: Axes, run: Trajectory, scale: float = 1.0, lines: bool = True) -> None:
    """Shade every second phase of a run over t / scale, and draw a line where it switched."""
    switches = run.switch_times / scale
    edges = [float(run.t[0]) / scale, *map(float, switches), float(run.t[-1]) / scale]
    for k, (low, high) in enumerate(pairwise(edges)):
        if k % 2:
            axis.axvspan(low, high, color="0.5", alpha=0.12, linewidth=0)
    draw_switches(axis, switches if lines else ())


def plot_path(
    trajectories: Sequence[Trajectory],
    ax: Axes | None = None,
    *,
    plane: Sequence[npt.ArrayLike] | None = None,
    labels: Sequence[str] | None = None,
) -> Axes:
    """Draw paths in a plane: that of two parameters, one through three points, or their main plane.

    Parameters
    ----------
    trajectories : sequence of Trajectory
        Continuous ones as lines, iterates as markers; rings where a phase changed, a square at the start.
    ax : Axes, optional
    plane : sequence of three points of shape (d,), optional
    labels : sequence of str, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, TypeError
        For states of one dimension or of different ones, or a plane that is none.

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("diabetes")
    >>> flow = problem.maml_flow()
    >>> run = mo.solve(flow, problem.w0, t_max=5.0)
    >>> steps = mo.euler(flow, problem.w0, problem.beta, max_iter=50)
    >>> ax = mo.plotting.plot_path([run, steps])
    """
    runs = some_runs(trajectories)
    dims = {run.y.shape[0] for run in runs}
    if len(dims) > 1:
        raise ValueError(f"the trajectories have states of different dimensions: {sorted(dims)}.")
    names = [name_of(run) for run in runs] if labels is None else list(labels)
    if len(names) != len(runs):
        raise ValueError(
            f"labels must have one entry per trajectory: {len(runs)}, not {len(names)}."
        )
    place = main_plane(runs) if plane is None else plane_through(plane, dims.pop())
    with house_style():
        axis = one_axes(ax)
        taken: list[str] = []
        switched = False
        for k, (run, name) in enumerate(zip(runs, names, strict=True)):
            x, y = place.coordinates(run.y.T).T
            axis.plot(x, y, label=name, **look_of(run, taken))
            axis.plot(
                x[:1], y[:1], "s", color="0.2", markersize=5, label="start" if k == 0 else None
            )
            entered = np.flatnonzero(np.diff(run.phase)) + 1
            axis.plot(
                x[entered], y[entered], "o", color="0.15", markerfacecolor="none", markersize=8,
                label="switch" if entered.size and not switched else None,
            )  # fmt: skip
            switched = switched or bool(entered.size)
        axis.set(xlabel=place.names[0], ylabel=place.names[1])
        axis.legend()
    return axis
