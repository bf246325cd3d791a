"""Draw the band that many runs cover: their median, and a share of them around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode._checked_runs import some_runs
from maml_ode._validation import Array, check_choice, check_count, check_real
from maml_ode.plotting.axes import one_axes
from maml_ode.plotting.series import QUANTITIES, Curve, axis_label, curve, is_norm
from maml_ode.plotting.style import CYCLE, house_style, log_scale
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

__all__ = ["checked_share", "draw_band", "draw_spread", "plot_band"]

N_TIMES = 200


def plot_band(
    trajectories: Sequence[Trajectory],
    ax: Axes | None = None,
    *,
    show: str = "loss",
    level: float = 0.9,
    label: str | None = None,
    n_times: int = N_TIMES,
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
    runs = some_runs(trajectories)
    check_choice("show", show, QUANTITIES)
    share = checked_share("level", level)
    curves = [curve(run, show) for run in runs]
    with house_style():
        axis = one_axes(ax)
        style = CYCLE[len(axis.get_lines()) % len(CYCLE)]
        look = {"color": style["color"], "linestyle": style["linestyle"]}
        name = runs[0].flow_name if label is None else label
        lowest = draw_band(axis, curves, share, name, look, n_times)
        axis.set(xlabel="time $t$", ylabel=axis_label(show, runs))
        if is_norm(show) and (lowest > 0).any():
            log_scale(axis)
        axis.legend(title=band_title(share, len(runs)))
    return axis


def checked_share(name: str, value: Any) -> float:
    """Return a share strictly between 0 and 1."""
    share = check_real(name, value, minimum=0.0, strict=True)
    if share >= 1:
        raise ValueError(f"{name} must be less than 1, not {share:g}.")
    return share


def band_title(share: float, n_runs: int) -> str:
    """Return what a legend says of a band."""
    return f"median and middle {share:.0%} of {n_runs}"


def draw_band(
    axis: Axes,
    curves: Sequence[Curve],
    share: float,
    label: str,
    style: dict[str, Any],
    n_times: int = N_TIMES,
) -> Array:
    """Draw the median of curves and the band around it; return the band's lower edge.

    Raises
    ------
    ValueError
        For curves that have no interval in common.
    """
    first, last = max(c.x[0] for c in curves), min(c.x[-1] for c in curves)
    if not first < last:
        raise ValueError("the runs have no common interval of time; solve them to the same t_max.")
    t = np.linspace(first, last, check_count("n_times", n_times, minimum=2))
    values = np.array([np.interp(t, c.x, c.y) for c in curves])
    tail = (1 - share) / 2
    low, middle, high = np.quantile(values, [tail, 0.5, 1 - tail], axis=0)
    draw_spread(axis, t, low, middle, high, style, label)
    lowest: Array = low
    return lowest


def draw_spread(
    axis: Axes,
    x: Array,
    low: Array,
    middle: Array,
    high: Array,
    style: dict[str, Any],
    label: str | None = None,
    band_label: str | None = None,
) -> Line2D:
    """Draw a line and, where both are finite, the band between two edges around it; return the line."""
    (drawn,) = axis.plot(x, middle, label=label, **style)
    if (np.isfinite(low) & np.isfinite(high)).any():
        # Thin edges tell bands that overlap apart, in a greyscale print too.
        axis.fill_between(
            x, low, high, color=drawn.get_color(), alpha=0.2, linewidth=0.6, label=band_label
        )
    return drawn
