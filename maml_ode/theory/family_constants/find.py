"""The constants of Assumptions 3.2 to 3.5 for a task family, each with its status."""

from __future__ import annotations

import numpy as np

from maml_ode.tasks.base import TaskFamily, checked_family
from maml_ode.theory.family_constants import (  # noqa: F401  (each registers its families)
    linear_models,
    quadratic,
    sampling,
    sinusoid,
    symbolic,
)
from maml_ode.theory.family_constants.model import Constants, find_by_class
from maml_ode.theory.regions import Ball, Interval, Region, Sublevel

__all__ = ["constants"]


@np.errstate(all="ignore")  # what is not finite decides nothing
def constants(tasks: TaskFamily, region: Region | None = None) -> Constants:
    """Return mu, L, kappa, mu_f, L_f, sigma and the affine pair (sigma0, nu) of a family.

    Quadratic families by eigenvalues; `Sinusoid` in closed form; logistic and smoothed hinge losses
    by proved bounds; `Symbolic` in one variable by interval arithmetic on ``region``; everything
    else by sampling on ``region``, inflated by 1.2 and tagged ``estimate``: sampling underestimates
    L, kappa, sigma and overestimates mu.

    Parameters
    ----------
    tasks : TaskFamily
    region : Ball, Interval or Sublevel, optional
        Where the constants are to hold; everywhere by default, which sampling cannot offer.

    Returns
    -------
    Constants

    Raises
    ------
    ValueError
        For the plain hinge (no Hessian at the kinks), and for a family that needs a ``region`` when
        none is given.
    TypeError
        If ``tasks`` is not a task family.

    Examples
    --------
    >>> import maml_ode as mo
    >>> figure1 = mo.tasks.Sinusoid([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0])
    >>> k = mo.theory.constants(figure1)
    >>> round(k.L, 12), round(k.mu, 12), round(k.kappa, 9), k.kappa.status.value
    (2.01, 0.01, 100.0, 'exact')
    """
    checked_family(tasks)
    if region is not None and not isinstance(region, (Ball, Interval, Sublevel)):
        raise TypeError(
            "region must be a Ball, an Interval or a Sublevel of maml_ode.theory, "
            f"not {type(region).__name__}."
        )
    dim = tasks.dim
    if isinstance(region, Interval) and dim != 1:
        raise ValueError(f"region is an Interval, which needs d = 1, but the tasks have d = {dim}.")
    if isinstance(region, Ball) and region.center.shape != (dim,):
        raise ValueError(
            f"region.center must have shape ({dim},), but it has shape {region.center.shape}."
        )
    return find_by_class(tasks, region)
