"""Draw the two parts of the MAML field along a path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from maml_ode._norms import row_norms
from maml_ode._validation import as_array, shown
from maml_ode.plotting.style import BIMAML, CYCLE, MAML, house_style, log_scale
from maml_ode.plotting.trajectories import checked_axes, new_axes
from maml_ode.theory.task_split import Decomposition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_split"]


def plot_split(
    split: Decomposition,
    t: npt.ArrayLike | None = None,
    ax: Sequence[Axes] | None = None,
) -> tuple[Axes, ...]:
    """Draw the sizes of -grad f, E[B_i grad f_i] and -grad F along a path, and the angle between the first two.

    Parameters
    ----------
    split : Decomposition
        Along a path: ``mo.theory.decompose(F, run.y)``.
    t : array_like of shape (n,), optional
        The path's times; its numbers by default.
    ax : two Axes, optional
        For the sizes and for the angle. By default a new figure is made.

    Returns
    -------
    tuple of Axes

    Raises
    ------
    ValueError, TypeError
        For the decomposition of a single point, or times or axes whose number does not fit.

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("diabetes")
    >>> run = mo.solve(problem.maml_flow(), problem.w0, t_max=5.0)
    >>> F = mo.MAMLLoss(problem.tasks, problem.alpha)
    >>> sizes, angle = mo.plotting.plot_split(mo.theory.decompose(F, run.y), run.t)
    >>> sizes.get_ylabel()
    'norm'
    """
    if not isinstance(split, Decomposition):
        raise TypeError(
            f"split must be a Decomposition, as mo.theory.decompose(F, run.y) returns it, not {shown(split)}."
        )
    if split.field.ndim != 2:
        raise ValueError("split must be one along a path; pass mo.theory.decompose(F, run.y).")
    n = split.field.shape[1]
    times = np.arange(n, dtype=float) if t is None else as_array("t", t, (n,))
    lines = (
        (split.task_part, r"$-\nabla f$", BIMAML),
        (split.correction, r"$\mathrm{E}\,B_i\nabla f_i$", CYCLE[2]),
        (split.field, r"$-\nabla F$", MAML),
    )
    with house_style():
        axes = new_axes(2) if ax is None else checked_axes(ax, 2)
        for part, label, style in lines:
            look = {key: style[key] for key in ("color", "linestyle")}
            axes[0].plot(times, row_norms(part.T), label=label, **look)
        if (split.task_part != 0.0).any():
            log_scale(axes[0])
        axes[0].set_ylabel("norm")
        axes[0].legend()
        axes[1].plot(times, np.degrees(split.angle), color="0.2")
        axes[1].axhline(90.0, color="0.6", linewidth=0.8, linestyle=":")
        axes[1].set_ylabel("angle between the parts (degrees)")
        axes[1].set_ylim(-5.0, 185.0)
        for axis in axes:
            axis.set_xlabel("step" if t is None else "time $t$")
    return axes
