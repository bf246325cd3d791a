"""Draw an objective: a curve with its critical points, or contours with the flow lines over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from maml_ode._checked_runs import checked_runs
from maml_ode._validation import Array, as_array, check_count, check_flag
from maml_ode.objectives import Objective, checked_objective
from maml_ode.plotting.axes import one_axes
from maml_ode.plotting.basins import draw_basins
from maml_ode.plotting.looks import look_of, name_of
from maml_ode.plotting.plane import Plane, main_plane, plane_through
from maml_ode.plotting.profile import NO_POINTS, draw_profile
from maml_ode.plotting.style import house_style, legend_above
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from maml_ode.theory.intervals.result import CriticalPoints

__all__ = ["plot_landscape"]

LEVELS = 24
MARGIN = 0.15  # of the span that trajectories cover, around them


def plot_landscape(
    objective: Objective,
    ax: Axes | None = None,
    *,
    bounds: npt.ArrayLike | None = None,
    trajectories: Sequence[Trajectory] = (),
    plane: Sequence[npt.ArrayLike] | None = None,
    critical_points: CriticalPoints | None = None,
    n_points: int | None = None,
    flow_lines: bool = True,
    basins: bool = False,
) -> Axes:
    """Draw an objective over its one parameter, over its two, or over a plane of its many.

    One parameter: the curve, its critical points (filled: minima, open: maxima) and, as bands, which
    minimum a gradient flow from each start ends in; the borders are the maxima. Critical points are found by
    signs of the derivative on the grid and refined, so that pairs closer than the grid are missed; hand
    over ``critical_points`` from `maml_ode.theory.count_critical_points` to mark proved ones. Two
    parameters: contours, the lines that -grad follows, and on demand the borders between the starts from which
    the gradient flow ends in different minima. More: the same in a plane, with the gradient's projection onto it;
    the flow from its points goes its own way in all dimensions.

    Parameters
    ----------
    objective : Objective
    ax : Axes, optional
        By default a new figure is made with ``matplotlib.pyplot``.
    bounds : array_like of shape (2,) or (2, 2), optional
        (low, high) for one parameter, ((low, high), (low, high)) for two or for the plane's coordinates. By
        default what the trajectories cover, with a margin.
    trajectories : sequence of Trajectory
        Laid over the landscape: continuous ones as lines, iterates as markers.
    plane : sequence of three points of shape (d,), optional
        For d > 2, the plane through them. By default the main plane of the trajectories.
    critical_points : CriticalPoints, optional
        For one parameter.
    n_points : int, optional
        Points per axis: 801 by default for one parameter, 61 for two.
    flow_lines : bool
        Whether to draw the lines that -grad follows.
    basins : bool
        For d >= 2, whether to solve the gradient flow from every point of the grid, as one `maml_ode.ensemble`,
        and to draw the borders of the basins and the minima. Runs that do not end belong to none.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, TypeError
        For bounds that are no box or missing without trajectories, trajectories of another dimension, or a
        plane that is none.

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("figure1")
    >>> F = mo.MAMLLoss(problem.tasks, problem.alpha)
    >>> ax = mo.plotting.plot_landscape(F, bounds=(-3, 3))
    >>> ax.get_xlabel()
    '$w$'
    """
    checked_objective(objective)
    runs = _checked_runs(trajectories, objective.dim)
    check_flag("flow_lines", flow_lines)
    check_flag("basins", basins)
    taken: list[str] = []
    if objective.dim == 1:
        low, high = _interval(bounds, runs)
        n = check_count("n_points", 801 if n_points is None else n_points, minimum=3)
        with house_style():
            axis = one_axes(ax)
            _curve(axis, objective, np.linspace(low, high, n), critical_points)
            for run in runs:
                _lay_over(axis, run, taken, run.y[0], run.loss if run.loss.size else run.y[0])
            axis.legend()
        return axis
    place = _plane(objective.dim, plane, runs)
    box = _box(bounds, place, runs)
    n = check_count("n_points", 61 if n_points is None else n_points, minimum=3)
    with house_style():
        axis = one_axes(ax)
        largest = _contours(axis, objective, place, box, n, flow_lines)
        if basins:
            draw_basins(axis, objective, place, box, n, largest)
        for run in runs:
            seen = place.coordinates(run.y.T)
            _lay_over(axis, run, taken, seen[:, 0], seen[:, 1])
        axis.set(xlim=box[0], ylim=box[1])
        if runs or basins:
            legend_above(axis, columns=2)
    return axis


def _curve(axis: Axes, F: Objective, w: Array, known: CriticalPoints | None) -> None:
    minima, maxima = _extrema(F, w) if known is None else _proved(known, w)
    word = "" if known is None or not known.certified else "proved "
    values = F.values(w[:, None])
    points = (_on_curve(F, minima), _on_curve(F, maxima))
    draw_profile(axis, w, values, *points, word, label="objective")
    axis.set_ylabel("objective")


def _on_curve(F: Objective, w: list[float]) -> Array:
    return np.column_stack([w, F.values(np.array(w)[:, None])]) if w else NO_POINTS


def _extrema(F: Objective, w: Array) -> tuple[list[float], list[float]]:
    """Return minima and maxima at which the derivative changes its sign between grid points."""
    from scipy.optimize import brentq

    slopes = F.gradients(w[:, None])[:, 0]
    minima: list[float] = []
    maxima: list[float] = []
    for k in np.flatnonzero(slopes[:-1] * slopes[1:] < 0):
        root = float(brentq(lambda x: float(F.gradient([x])[0]), w[k], w[k + 1], xtol=1e-14))
        (minima if slopes[k] < 0 else maxima).append(root)
    return minima, maxima


def _proved(known: CriticalPoints, w: Array) -> tuple[list[float], list[float]]:
    inside = [
        (float(point), kind)
        for point, kind in zip(known.points, known.kinds, strict=True)
        if w[0] <= point <= w[-1]
    ]
    minima = [point for point, kind in inside if kind == "minimum"]
    return minima, [point for point, kind in inside if kind == "maximum"]


def _contours(
    axis: Axes, F: Objective, place: Plane, box: Array, n: int, flow_lines: bool
) -> float:
    """Draw contours and flow lines; return the largest gradient norm on the grid."""
    x, y = np.linspace(box[0, 0], box[0, 1], n), np.linspace(box[1, 0], box[1, 1], n)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    points = place.points(grid)
    values = F.values(points).reshape(n, n)
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise ValueError("the objective is finite nowhere in bounds; choose others.")
    # Levels by quantiles show flat valleys and steep walls in one picture.
    levels = np.unique(np.quantile(finite, np.linspace(0, 1, LEVELS)))
    if levels.size < 2:
        levels = np.array([levels[0] - 1.0, levels[0] + 1.0])
    filled = axis.contourf(x, y, values, levels=levels, cmap="Greys_r", alpha=0.75)
    axis.contour(x, y, values, levels=levels, colors="0.35", linewidths=0.3)
    bar = axis.figure.colorbar(filled, ax=axis, label="objective")
    shown_levels = levels[:: max(1, (len(levels) - 1) // 7)]
    bar.set_ticks(shown_levels.tolist(), labels=_told_apart(shown_levels))
    bar.ax.tick_params(labelsize=7)
    gradients = F.gradients(points)
    if flow_lines:
        descent = -gradients @ place.basis.T
        u, v = descent[:, 0].reshape(n, n), descent[:, 1].reshape(n, n)
        axis.streamplot(
            x, y, u, v, color="0.2", linewidth=0.5, density=0.9, arrowsize=0.7, zorder=2
        )
    axis.grid(False)
    axis.set(xlabel=place.names[0], ylabel=place.names[1])
    return float(np.nanmax(np.linalg.norm(gradients, axis=1)))


def _told_apart(values: Array) -> list[str]:
    """Return numbers to as few digits as tell them from each other."""
    for digits in range(3, 17):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(texts):
            break
    return texts


def _lay_over(axis: Axes, run: Trajectory, taken: list[str], x: Array, y: Array) -> None:
    from matplotlib.patheffects import withStroke

    style = look_of(run, taken)
    if run.step_size is not None:
        style |= {"markeredgecolor": "white", "markeredgewidth": 0.3}
    else:  # a light rim keeps thin lines off dark ground
        style |= {"path_effects": [withStroke(linewidth=3.5, foreground="white")]}
    axis.plot(x, y, label=name_of(run), zorder=5, **style)
    entered = np.flatnonzero(np.diff(run.phase)) + 1
    if entered.size:
        axis.plot(
            x[entered],
            y[entered],
            linestyle="none",
            marker="o",
            markersize=8,
            markerfacecolor="none",
            markeredgecolor=style["color"],
            zorder=6,
        )


def _checked_runs(trajectories: Sequence[Trajectory], dim: int) -> list[Trajectory]:
    runs = checked_runs(trajectories)
    for k, run in enumerate(runs):
        if run.y.shape[0] != dim:
            raise ValueError(
                f"trajectories[{k}] has states of dimension {run.y.shape[0]}, but the objective has "
                f"dimension {dim}."
            )
    return runs


def _interval(bounds: npt.ArrayLike | None, runs: list[Trajectory]) -> tuple[float, float]:
    if bounds is None:
        if not runs:
            raise ValueError("bounds is needed where no trajectories are given: pass (low, high).")
        low, high = _span(np.concatenate([run.y[0] for run in runs]))
        return low, high
    low, high = as_array("bounds", bounds, (2,))
    if not low < high:
        raise ValueError(f"bounds must be (low, high) with low < high, not ({low:g}, {high:g}).")
    return float(low), float(high)


def _span(values: Array) -> tuple[float, float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = MARGIN * (high - low) or 1.0
    return low - margin, high + margin


def _plane(dim: int, plane: Sequence[npt.ArrayLike] | None, runs: list[Trajectory]) -> Plane:
    if dim == 2 and plane is None:
        return Plane(np.zeros(2), np.eye(2), ("$w_1$", "$w_2$"))
    if plane is not None:
        return plane_through(plane, dim)
    if not runs:
        raise ValueError(
            f"an objective of {dim} parameters is shown in a plane: pass plane=, three points of "
            f"shape ({dim},), or trajectories=, whose main plane is taken."
        )
    return main_plane(runs)


def _box(bounds: npt.ArrayLike | None, place: Plane, runs: list[Trajectory]) -> Array:
    if bounds is not None:
        box = as_array("bounds", bounds, (2, 2))
        if not (box[:, 0] < box[:, 1]).all():
            raise ValueError("bounds must be ((low, high), (low, high)) with low < high in both.")
        return box
    if not runs:
        raise ValueError(
            "bounds is needed where no trajectories are given: pass ((low, high), (low, high))."
        )
    seen = np.concatenate([place.coordinates(run.y.T) for run in runs])
    return np.array([_span(seen[:, 0]), _span(seen[:, 1])])
