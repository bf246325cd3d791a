"""Draw how the critical points of F move, appear and merge as the inner step grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from maml_ode._validation import as_sequence, shown
from maml_ode.plotting.axes import one_axes
from maml_ode.plotting.branches import draw_branches
from maml_ode.plotting.style import house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from maml_ode.theory.intervals.result import CriticalPoints

__all__ = ["plot_bifurcation"]


def plot_bifurcation(table: Sequence[CriticalPoints], ax: Axes | None = None) -> Axes:
    """Draw the critical points of F over alpha: minima filled, maxima open, joined to branches.

    Neighbouring values of alpha with the same number of minima and maxima in the same order are joined, so that a
    branch ends where the number changes; what happens between two neighbours is not seen. Values of alpha whose
    count is not proved are marked at the bottom.

    Parameters
    ----------
    table : sequence of CriticalPoints
        From `maml_ode.theory.bifurcation_table`.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, TypeError
        For an empty table, or entries that are no CriticalPoints.

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("figure1")
    >>> table = mo.theory.bifurcation_table(problem.tasks, [0.1, 0.3, 0.4])
    >>> ax = mo.plotting.plot_bifurcation(table)
    >>> ax.get_ylabel()
    'critical points of $F$'
    """
    from maml_ode.theory.intervals.result import CriticalPoints

    entries = as_sequence("table", table, "CriticalPoints")
    if not entries:
        raise ValueError("table is empty; pass what bifurcation_table returned.")
    for k, entry in enumerate(entries):
        if not isinstance(entry, CriticalPoints):
            raise TypeError(f"table[{k}] must be a CriticalPoints, not {shown(entry)}.")
    entries = sorted(entries, key=lambda entry: entry.alpha)
    with house_style():
        axis = one_axes(ax)
        draw_branches(
            axis,
            np.array([np.mean(entry.alpha) for entry in entries]),
            [np.array(entry.points) for entry in entries],
            [np.array([kind == "minimum" for kind in entry.kinds]) for entry in entries],
        )
        open_ones = [np.mean(entry.alpha) for entry in entries if not entry.certified]
        if open_ones:
            axis.plot(
                open_ones,
                np.zeros(len(open_ones)),
                "x",
                color="#d9503c",
                transform=axis.get_xaxis_transform(),
                clip_on=False,
                label="not proved",
            )
        axis.set(xlabel="inner step size $\\alpha$", ylabel="critical points of $F$")
        axis.legend()
    return axis
