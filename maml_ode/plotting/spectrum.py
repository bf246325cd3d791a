"""Draw the eigenvalues of a Hessian along a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maml_ode._checked_runs import checked_run
from maml_ode._validation import Array, check_count, check_real
from maml_ode.objectives import Objective, checked_objective
from maml_ode.plotting.axes import one_axes
from maml_ode.plotting.style import MAML, house_style
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_spectrum"]

DENSE_UP_TO = 300  # beyond, a few eigenvalues by Lanczos' method, with Hessian-vector products only
EXTREMES = 5


def plot_spectrum(
    objective: Objective,
    trajectory: Trajectory,
    ax: Axes | None = None,
    *,
    n_times: int = 40,
    step_size: float | None = None,
) -> Axes:
    """Draw the eigenvalues of Hess(objective) at states of a trajectory, over time.

    All of them up to d = 300, by a dense decomposition; beyond, the five largest and the five smallest by
    Lanczos' method on Hessian-vector products. The line at 2/step_size is where Euler's steps begin to grow.

    Parameters
    ----------
    objective : Objective
    trajectory : Trajectory
    ax : Axes, optional
    n_times : int
        At how many of the recorded states, spread over the run.
    step_size : float, optional
        By default that of the trajectory, if it is a discrete one.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, TypeError
        For a trajectory of another dimension.

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("diabetes")
    >>> run = mo.euler(problem.maml_flow(), problem.w0, problem.beta, max_iter=20)
    >>> F = mo.MAMLLoss(problem.tasks, problem.alpha)
    >>> ax = mo.plotting.plot_spectrum(F, run)
    >>> ax.get_ylabel()
    'eigenvalues of the Hessian'
    """
    checked_objective(objective)
    checked_run(trajectory)
    if trajectory.y.shape[0] != objective.dim:
        raise ValueError(
            f"the trajectory has states of dimension {trajectory.y.shape[0]}, but the objective has "
            f"dimension {objective.dim}."
        )
    count = min(check_count("n_times", n_times, minimum=1), trajectory.t.size)
    chosen = np.unique(np.linspace(0, trajectory.t.size - 1, count).round().astype(int))
    times = trajectory.t[chosen]
    spectra = np.array([_eigenvalues(objective, w) for w in trajectory.y.T[chosen]])
    beta = trajectory.step_size
    if step_size is not None:
        beta = check_real("step_size", step_size, minimum=0.0, strict=True)
    with house_style():
        axis = one_axes(ax)
        shades = np.linspace(0.0, 0.65, spectra.shape[1])[::-1]
        for shade, row in zip(shades, spectra.T, strict=True):
            axis.plot(times, row, color=str(shade), linewidth=1.0)
        size = float(np.abs(spectra).max())
        smallest = np.abs(spectra[spectra != 0]).min(initial=size) if size else 1.0
        if spectra.min() > 0:
            axis.set_yscale("log")
        elif size > 0:
            axis.set_yscale("symlog", linthresh=max(float(smallest), 1e-3 * size))
            axis.axhline(0.0, color="0.3", linewidth=0.8)
        if beta is not None:
            name = f"$2/\\beta$, $\\beta$ = {beta:g}"
            axis.axhline(2 / beta, color=MAML["color"], linestyle="--", label=name)
            axis.annotate(
                name, (1.0, 2 / beta), xycoords=("axes fraction", "data"), xytext=(-2, -3),
                textcoords="offset points", ha="right", va="top", fontsize=8, color=MAML["color"],
            )  # fmt: skip
        axis.set(xlabel="time $t$", ylabel="eigenvalues of the Hessian")
    return axis


def _eigenvalues(objective: Objective, w: Array) -> Array:
    """Return all eigenvalues in ascending order, or those at the ends where d is large."""
    d = objective.dim
    if d <= DENSE_UP_TO:
        return np.asarray(np.linalg.eigvalsh(objective.hessian(w)), dtype=float)
    from scipy.sparse.linalg import LinearOperator, eigsh

    product = LinearOperator((d, d), matvec=lambda v: objective.hvp(w, v.ravel()), dtype=float)
    start = np.random.default_rng(0).standard_normal(d)
    ends = eigsh(product, k=2 * EXTREMES, which="BE", v0=start, return_eigenvectors=False)
    return np.sort(ends)
