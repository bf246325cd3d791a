"""Draw the states of a trajectory, its path in a plane, and the band that many runs cover."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._checked_runs import checked_run, checked_runs
from maml_ode._validation import as_sequence, check_choice, check_count, check_real
from maml_ode.plotting.axes import one_axes
from maml_ode.plotting.plane import main_plane, plane_through
from maml_ode.plotting.series import QUANTITIES, axis_label, curve, is_norm
from maml_ode.plotting.style import CYCLE, house_style, log_scale
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_band", "plot_path", "plot_states"]

MOST_STATES = 12


def _runs(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    runs = checked_runs(trajectories)
    if not runs:
        raise ValueError("trajectories is empty; pass at least one Trajectory.")
    return runs


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
        axis.legend(ncols=2 if chosen.size > 6 else 1)
    return axis


def shade_phases(axis: Axes, run: Trajectory) -> None:
    """Shade every second phase of a run, and draw a line where it switched."""
    edges = [float(run.t[0]), *map(float, run.switch_times), float(run.t[-1])]
    for k, (low, high) in enumerate(pairwise(edges)):
        if k % 2:
            axis.axvspan(low, high, color="0.5", alpha=0.12, linewidth=0)
    for k, t in enumerate(run.switch_times):
        axis.axvline(
            t, color="0.3", linewidth=0.8, linestyle=":", label="switch" if k == 0 else None
        )


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
    runs = _runs(trajectories)
    dims = {run.y.shape[0] for run in runs}
    if len(dims) > 1:
        raise ValueError(f"the trajectories have states of different dimensions: {sorted(dims)}.")
    names = [run.flow_name for run in runs] if labels is None else list(labels)
    if len(names) != len(runs):
        raise ValueError(
            f"labels must have one entry per trajectory: {len(runs)}, not {len(names)}."
        )
    place = main_plane(runs) if plane is None else plane_through(plane, dims.pop())
    with house_style():
        axis = one_axes(ax)
        for k, (run, name) in enumerate(zip(runs, names, strict=True)):
            style = CYCLE[k % len(CYCLE)]
            x, y = place.coordinates(run.y.T).T
            discrete = run.step_size is not None
            axis.plot(
                x,
                y,
                color=style["color"],
                linestyle="none" if discrete else style["linestyle"],
                marker=style["marker"] if discrete else None,
                label=name + (f", step {run.step_size:g}" if discrete else ""),
            )
            axis.plot(
                x[:1], y[:1], "s", color="0.2", markersize=5, label="start" if k == 0 else None
            )
            entered = np.flatnonzero(np.diff(run.phase)) + 1
            axis.plot(
                x[entered], y[entered], "o", color="0.15", markerfacecolor="none", markersize=8
            )
        axis.set(xlabel=place.names[0], ylabel=place.names[1])
        axis.legend()
    return axis


def plot_band(
    trajectories: Sequence[Trajectory],
    ax: Axes | None = None,
    *,
    show: str = "loss",
    level: float = 0.9,
    label: str | None = None,
    n_times: int = 200,
) -> Axes:
    """Draw the median of many runs and the band that holds a share of them, over their common times.

    Parameters
    ----------
    trajectories : sequence of Trajectory
        Runs of one flow over several seeds or starts.
    ax : Axes, optional
    show : str
        A quantity of `plot_trajectories`.
    level : float
        The share of runs in the band, between 0 and 1: from the (1 - level)/2 quantile to the other one.
    label : str, optional
    n_times : int
        Runs are read at so many times, by linear interpolation.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, TypeError
        For runs without a common time, or a level outside (0, 1).

    Examples
    --------
    >>> import maml_ode as mo
    >>> problems = [mo.experiments.load("linear_regression", seed=k) for k in range(5)]
    >>> runs = [mo.solve(p.maml_flow(), p.w0, t_max=2.0) for p in problems]
    >>> ax = mo.plotting.plot_band(runs)
    """
    runs = _runs(trajectories)
    check_choice("show", show, QUANTITIES)
    share = check_real("level", level, minimum=0.0, strict=True)
    if share >= 1:
        raise ValueError(f"level must be less than 1, not {share:g}.")
    curves = [curve(run, show) for run in runs]
    first, last = max(c.x[0] for c in curves), min(c.x[-1] for c in curves)
    if not first < last:
        raise ValueError("the runs have no common interval of time; solve them to the same t_max.")
    t = np.linspace(first, last, check_count("n_times", n_times, minimum=2))
    values = np.array([np.interp(t, c.x, c.y) for c in curves])
    tail = (1 - share) / 2
    low, middle, high = np.quantile(values, [tail, 0.5, 1 - tail], axis=0)
    with house_style():
        axis = one_axes(ax)
        style = CYCLE[len(axis.get_lines()) % len(CYCLE)]
        name = runs[0].flow_name if label is None else label
        axis.plot(t, middle, color=style["color"], linestyle=style["linestyle"], label=name)
        axis.fill_between(t, low, high, color=style["color"], alpha=0.2, linewidth=0)
        axis.set(xlabel="time $t$", ylabel=axis_label(show, runs))
        if is_norm(show) and (low > 0).any():
            log_scale(axis)
        axis.legend(title=f"median and middle {share:.0%} of {len(runs)}")
    return axis
