"""Where a flow is at given times, as well as it can be known, and how well that is."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._norms import row_norms, vector_norm
from maml_ode._validation import Array, as_array
from maml_ode.flows import Flow
from maml_ode.integrate import solve
from maml_ode.integrate.exact import why_not_exact
from maml_ode.integrate.methods import STIFF_PRODUCT, resolve
from maml_ode.integrate.stiffness import largest_rate
from maml_ode.integrate.tally import Tally
from maml_ode.integrate.warnings import NonSmoothWarning
from maml_ode.sizes import MATRIX_ON_A_PATH
from maml_ode.stop import StopReason
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    from scipy.integrate import OdeSolver

__all__ = ["TIGHT", "Reference", "given_reference", "make_reference", "states_at"]

# Relative tolerances of the reference and of the method that checks it.
TIGHT = (1e-12, 1e-11)
# Where the field jumps every method is of first order, and tighter tolerances buy steps instead of digits.
ROUGH = (1e-6, 1e-5)
# Tight tolerances take many steps.
MOST_STEPS = 1_000_000


@dataclass(frozen=True, eq=False)
class Reference:
    """A flow's states at given times.

    Attributes
    ----------
    states : ndarray of shape (d, n)
    error : float
        How far an independent method is from them at most, or what rounding adds to a closed form; NaN if
        nothing is known of it.
    method : str
        "exact", the name of the method that computed them, or "given".
    how : str
        How they were made, in a sentence.
    switch_times : ndarray of shape (s,)
    """

    states: Array
    error: float
    method: str
    how: str
    switch_times: Array

    def travelled(self, w0: Array) -> float:
        """Return the distance ||w(T) - w0|| from the start to the last state."""
        return vector_norm(self.states[:, -1] - w0)


def make_reference(
    flow: Flow,
    w0: Array,
    times: Array,
    method: str | type[OdeSolver] = "auto",
    rtols: tuple[float, float] | None = None,
) -> Reference:
    """Return the flow at ``times``: in closed form where there is one, else by two tight methods.

    Parameters
    ----------
    flow : Flow
    w0 : ndarray of shape (d,)
    times : ndarray of shape (n,)
        Increasing; the last one is the horizon.
    method : str or type
        "auto": the closed form, else DOP853, or where that would take too many steps (lambda_max at w0 times
        the horizon is large) Radau, or RK45 where the field jumps; "exact"; or a method.
    rtols : tuple of float, optional
        Relative tolerances of the method and of LSODA (Radau, if the method is LSODA; RK23 where the field
        jumps), which checks it. By default 1e-12 and 1e-11; 1e-6 and 1e-5 where the field jumps.

    Raises
    ------
    ValueError
        If the method does not reach the horizon, or "exact" is asked for without a closed form.
    """
    common: dict[str, Any] = {"tol": 0.0, "t_max": float(times[-1]), "t_eval": times}
    common |= {"diagnostics": False, "max_steps": MOST_STEPS}
    if method == "exact" or (method == "auto" and why_not_exact(flow) is None):
        run = _finished(solve(flow, w0, method="exact", **common))
        states = states_at(run, times)
        # One rounding per coordinate of what is added up, as a random walk.
        size = math.sqrt(flow.dim) * float(np.finfo(np.float64).eps)
        error = size * (float(np.abs(w0).max()) + float(np.abs(states).max()))
        return Reference(states, error, "exact", "in closed form", run.switch_times)
    rough = flow.is_rough
    rtols = rtols or (ROUGH if rough else TIGHT)
    solver = _tight_method(flow, w0, float(times[-1])) if method == "auto" else resolve(method)
    run = _finished(solve(flow, w0, method=solver, rtol=rtols[0], atol=1e-2 * rtols[0], **common))
    states = states_at(run, times)
    scale = vector_norm(states[:, -1] - w0) / math.sqrt(flow.dim)
    other = _scipys("RK23" if rough else "Radau" if solver.__name__ == "LSODA" else "LSODA")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonSmoothWarning)  # the method has said it
        check = solve(
            flow, w0, method=other, rtol=rtols[1], atol=max(scale * rtols[1], 1e-300), **common
        )
    if check.stop is StopReason.INTERRUPTED:
        raise KeyboardInterrupt
    how = f"by {solver.__name__} at rtol {rtols[0]:g}, checked by {other.__name__} at {rtols[1]:g}"
    if not reached(check):
        return Reference(
            states, math.inf, run.method, f"{how}, which stopped: {check.message}", run.switch_times
        )
    difference = row_norms((states_at(check, times) - states).T).max()
    return Reference(states, float(difference), run.method, how, run.switch_times)


def given_reference(states: npt.ArrayLike, dim: int, n_times: int) -> Reference:
    """Return the reference of a user who knows where the flow is; nothing is known of its error."""
    given = np.asarray(states)
    if given.ndim == 1 and n_times == 1:
        given = given[:, None]
    known = as_array("reference", given, (dim, n_times))
    return Reference(known, math.nan, "given", "given by the caller", np.empty(0))


def states_at(run: Trajectory, times: Array) -> Array:
    """Return a run's states at its reporting times; one that its own rule has ended stays where it is."""
    missing = times.size - run.t.size
    if missing <= 0:
        return run.y
    return np.hstack([run.y, np.repeat(run.final_state[:, None], missing, axis=1)])


def reached(run: Trajectory) -> bool:
    """Whether a run came to the horizon, or to the end of the flow's last phase."""
    return run.success and run.stop in (StopReason.HORIZON, StopReason.SWITCHED)


def _finished(run: Trajectory) -> Trajectory:
    if run.stop is StopReason.INTERRUPTED:
        raise KeyboardInterrupt
    if not reached(run):
        raise ValueError(
            f"there is no reference: {run.method} did not reach the horizon ({run.message}); lower t_max, or "
            "pass the states that you know as reference=."
        )
    return run


def _tight_method(flow: Flow, w0: Array, horizon: float) -> type[OdeSolver]:
    if flow.is_rough:
        return _scipys("RK45")
    rates = (largest_rate(phase.field, w0, Tally()) for phase in flow.phases)
    stiff = max((rate for rate in rates if rate is not None), default=0.0) * horizon > STIFF_PRODUCT
    small = flow.dim <= MATRIX_ON_A_PATH and all(phase.field.has_jacobian for phase in flow.phases)
    return _scipys("Radau" if stiff and small else "DOP853")


def _scipys(name: str) -> type[OdeSolver]:
    import scipy.integrate

    method: type[OdeSolver] = getattr(scipy.integrate, name)
    return method
