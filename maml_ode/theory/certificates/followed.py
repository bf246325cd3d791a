"""Which gradient a run followed, by its path: a name is a label, and another flow may bear it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.flows import Flow, gradient_flow
from maml_ode.integrate import solve
from maml_ode.objectives import ExpectedLoss, MAMLLoss, Objective
from maml_ode.theory.evaluation import norm, objective_gradient
from maml_ode.trajectory import Trajectory

__all__ = ["Followed", "check_identity", "followed_gradients"]

Followed = Literal["f", "F", None]

_FITS = 0.02
"""How far one stretch may end from the path, in lengths of the stretch; runs may be of low accuracy."""


def check_identity(run: Trajectory, flow: Flow) -> None:
    """Refuse a run that was made with another flow; one without an identity is believed.

    Raises
    ------
    ValueError
        If both have an identity (fields, alpha, weights, data) and they differ.
    """
    made_with, given = getattr(run, "identity", None), getattr(flow, "identity", None)
    if made_with is not None and given is not None and made_with != given:
        raise ValueError(
            "the trajectory was made with another flow than the one given: pass the flow, with the "
            "tasks and the alpha, that the run was made with."
        )


def followed_gradients(run: Trajectory, f: ExpectedLoss, F: MAMLLoss) -> dict[int, Followed]:
    """Return per phase whether the path is that of -grad f, of -grad F, or of neither.

    The longest stretch between two saved states of each phase is run again from its beginning, by the same
    steps for a discrete algorithm. Where both gradients end within the run's accuracy it is F's.
    """
    return {int(phase): _followed(run, f, F, run.phase == phase) for phase in np.unique(run.phase)}


def _followed(
    run: Trajectory, f: ExpectedLoss, F: MAMLLoss, here: npt.NDArray[np.bool_]
) -> Followed:
    within = here[:-1] & here[1:] & (np.diff(run.t) > 0)
    if (
        not within.any() or run.z[len(run.y) :, here].any()
    ):  # it moves on a larger state, with a velocity
        return None
    lengths = np.where(within, np.linalg.norm(np.diff(run.y, axis=1), axis=0), -1.0)
    k = int(np.argmax(lengths))
    length = float(lengths[k])
    begin, end = np.ascontiguousarray(run.y[:, k]), run.y[:, k + 1]
    time = float(run.t[k + 1] - run.t[k])
    miss_F = norm(_moved(F, begin, time, run.step_size) - end)
    miss_f = norm(_moved(f, begin, time, run.step_size) - end)
    if miss_f <= _FITS * length and miss_f < 0.25 * miss_F:
        return "f"
    return "F" if miss_F <= _FITS * length else None


def _moved(objective: Objective, w: Array, time: float, step_size: float | None) -> Array:
    """Return where the gradient flow of an objective is after ``time``, or its discrete algorithm."""
    if step_size is None:
        return solve(gradient_flow(objective), w, t_max=time, tol=0.0, diagnostics=False).w
    for _ in range(round(time / step_size)):
        w = w - step_size * objective_gradient(objective, w)
    return w
