"""States and what is observed of them: the one place where a run goes from w to z and back."""

from __future__ import annotations

import numpy as np

from maml_ode._validation import Array
from maml_ode.flows import Flow
from maml_ode.flows.fields import VectorField
from maml_ode.flows.lifted_fields import LiftedField
from maml_ode.integrate.record import Points

__all__ = ["entered", "final_parameters", "observed"]


def entered(left: VectorField, following: VectorField, z: Array, lasted: float) -> Array:
    """Return the state in which a phase begins where another one ended in ``z``.

    It starts from w; the velocity is kept where both have one, and with it the time.

    Parameters
    ----------
    left, following : VectorField
        What the two phases follow.
    z : ndarray
        The state in which the first one ended.
    lasted : float
        How long the run has lasted.
    """
    w = np.array(left.observe(z))
    if not isinstance(following, LiftedField):
        return w
    if not isinstance(left, LiftedField):
        return following.lift(w)
    time = lasted if left.clock is None else float(z[left.clock])
    return following.enter(w, left.velocity(z), time)


def observed(flow: Flow, points: Points) -> Points:
    """Return the points with w for states, shape (n, d), and the whole states beside it if they are more."""
    if not flow.is_lifted:
        return points
    rows = np.empty((len(points.states), flow.dim))
    for number, leg in enumerate(flow.legs):
        here = np.flatnonzero(points.phase == number)
        for k in here:
            rows[k] = leg.field.observe(points.states[k, : leg.field.state_dim])
    return points._replace(states=rows, whole=points.states)


def final_parameters(flow: Flow, z: Array, phase: int) -> Array:
    """Return w in the state in which a run ended."""
    if not flow.is_lifted:
        return z
    return flow.legs[min(phase, len(flow.legs) - 1)].field.observe(z)
