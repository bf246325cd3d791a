"""Lyapunov's direct method on one path: a candidate, its derivative, and the rates that the samples support."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maml_ode._checked_runs import checked_run
from maml_ode._norms import vector_norm
from maml_ode._validation import Array, as_array, as_point, check_callable, shown
from maml_ode.flows import Flow
from maml_ode.trajectory import Trajectory

__all__ = ["LyapunovReading", "lyapunov"]

EPS = float(np.finfo(float).eps)
# Derivatives of polynomials of degree 4 through five values, in the middle and at the first of them.
CENTRAL = np.array([1.0, -8.0, 0.0, 8.0, -1.0]) / 12.0
ONE_SIDED = np.array([-25.0, 48.0, -36.0, 16.0, -3.0]) / 12.0

TELLING = 100.0  # a value of so many times its rounding has two digits

Function = Callable[[Array], float]


@dataclass(frozen=True, eq=False)
class LyapunovReading:
    """What one path says about a candidate E; evidence along this path, and no proof.

    Attributes
    ----------
    t : ndarray of shape (n,)
    value : ndarray of shape (n,)
        E at the states.
    derivative : ndarray of shape (n,)
        dE/dt; at a switch that of the new phase.
    rises : ndarray
        The times of ``t`` at which dE/dt is positive beyond its own error; empty where E falls all along.
    exponential_rate : float
        The largest c with dE/dt <= -c E at all samples where E is more than its own rounding; negative if E
        rises, NaN if E is negative somewhere.
    inverse_time_constant : float
        The smallest C with E <= C/t at all samples; NaN if E is negative somewhere.
    derivative_error : ndarray of shape (n,)
        An estimate of what differences and rounding leave of the derivative.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> flow = mo.maml_flow(tasks, alpha=0.1)
    >>> run = mo.solve(flow, [10.0], t_max=5.0)
    >>> reading = mo.theory.lyapunov(flow.objective.value, run, gradient=flow.objective.gradient, flow=flow)
    >>> reading.rises.size, bool((reading.derivative <= 0).all())
    (0, True)
    """

    t: Array
    value: Array
    derivative: Array
    rises: Array
    exponential_rate: float
    inverse_time_constant: float
    derivative_error: Array

    def __str__(self) -> str:
        fall = (
            "falls"
            if not self.rises.size
            else f"rises at {self.rises.size} of the {self.t.size} samples"
        )
        return (
            f"Along this path the candidate {fall}; its samples support dE/dt <= {-self.exponential_rate:.6g} E "
            f"and E <= {self.inverse_time_constant:.6g}/t. This is evidence, not a proof."
        )


def lyapunov(
    candidate: Callable[[Array], float],
    trajectory: Trajectory,
    gradient: Callable[[Array], npt.ArrayLike] | None = None,
    flow: Flow | None = None,
) -> LyapunovReading:
    """Look at a Lyapunov candidate E along a path.

    dE/dt = grad E . w', where w' is the flow's field if ``flow`` is given and else the derivative of the dense
    output. Without ``gradient`` it is found by differences of E along w'.

    Parameters
    ----------
    candidate : callable
        ``candidate(w)`` -> E, at least 0 and 0 at the equilibrium: subtract its value there. Of a lifted flow it
        is given the whole state z, of which ``F + |v|^2/2`` is a function, and so is ``gradient``.
    trajectory : Trajectory
    gradient : callable, optional
        ``gradient(w)`` -> grad E, shape (d,).
    flow : Flow, optional
        The flow of the trajectory; its field in the phase that is in force is followed.

    Returns
    -------
    LyapunovReading

    Raises
    ------
    ValueError
        For a trajectory without dense output if no flow is given, another flow than the trajectory's, or a
        candidate that is not finite.
    TypeError
        For arguments of other kinds.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[2.0]]], [[0.0]])
    >>> flow = mo.gradient_flow(mo.ExpectedLoss(tasks))
    >>> run = mo.solve(flow, [1.0], t_max=5.0, tol=0.0)
    >>> found = mo.theory.lyapunov(lambda w: float(w @ w), run, flow=flow)
    >>> found.rises.size, round(found.exponential_rate, 9)
    (0, 4.0)
    """
    check_callable("candidate", candidate, "candidate(w) -> float")
    if gradient is not None:
        check_callable("gradient", gradient, "gradient(w) -> an array of shape (d,)")
    checked_run(trajectory)
    # What falls along a lifted flow is a function of its whole state.
    states = np.ascontiguousarray(trajectory.z.T)
    d = states.shape[1]

    def value(w: Array) -> float:
        return float(as_array("candidate(w)", np.ravel(candidate(w.copy())), (1,))[0])

    values = np.array([value(w) for w in states])
    noise = _quantum(values)
    if flow is not None:
        _check_flow(flow, trajectory)
        fields = [phase.field for phase in flow.phases]
        slopes = np.zeros_like(states)
        for row, w, k in zip(slopes, states, trajectory.phase, strict=True):
            m = fields[k].state_dim
            row[:m] = fields[k](w[:m])
    elif trajectory.sol is None:
        raise ValueError(
            "dE/dt needs flow=, whose field is then followed, or a trajectory solved with dense_output=True."
        )
    else:
        slopes = np.empty_like(states)
    derivative, error = np.empty(len(states)), np.empty(len(states))
    extent = vector_norm(states.max(axis=0) - states.min(axis=0)) or EPS
    for k, w in enumerate(states):
        if flow is None:
            times, step = _times(trajectory, k)
            near = [np.ascontiguousarray(point) for point in _dense(trajectory, times)]
            slopes[k] = ONE_SIDED @ np.array(near) / step
        if gradient is not None:
            g = as_point("gradient(w)", gradient(w.copy()), d)
            derivative[k] = g @ slopes[k]
            error[k] = 64.0 * EPS * vector_norm(g) * vector_norm(slopes[k])
        elif flow is not None:
            reach = 1e-3 * max(vector_norm(w), extent)
            derivative[k], error[k] = _along(value, w, slopes[k], reach, noise)
        else:
            nearby = np.array([value(point) for point in near])
            derivative[k] = ONE_SIDED @ nearby / step
            error[k] = 64.0 * (EPS * np.abs(nearby).max() + noise) / abs(step)
    rises = trajectory.t[derivative > error]
    rate, constant = _rates(trajectory.t, values, derivative, noise, error)
    return LyapunovReading(
        trajectory.t.copy(), values, derivative, rises.copy(), rate, constant, error
    )


def _check_flow(flow: Flow, trajectory: Trajectory) -> None:
    if not isinstance(flow, Flow):
        raise TypeError(
            f"flow must be a Flow such as mo.maml_flow(tasks, alpha), not {shown(flow)}."
        )
    if flow.dim != trajectory.y.shape[0] or trajectory.phase.max(initial=0) >= len(flow.phases):
        raise ValueError(
            "flow must be the one of the trajectory; its dimension or number of phases differs."
        )
    known = None not in (flow.identity, trajectory.identity)
    if known and flow.identity != trajectory.identity:
        raise ValueError(
            "flow must be the one of the trajectory; its tasks, alpha or rules differ."
        )


def _times(trajectory: Trajectory, k: int) -> tuple[Array, float]:
    """Return five times from the k-th on towards a neighbour in the same phase, and their spacing."""
    t, phase = trajectory.t, trajectory.phase
    if t.size < 2:
        raise ValueError("a trajectory of a single point has no derivative; give flow=.")
    ahead = k + 1 < t.size
    other = k + 1 if ahead else k - 1
    if not ahead and phase[k] != phase[other]:
        # The run ended as a phase began: what is left is the path that led there.
        other = k - 1
    step = 0.02 * float(t[other] - t[k])
    return t[k] + step * np.arange(5.0), step


def _dense(trajectory: Trajectory, times: Array) -> Array:
    if trajectory.sol is None:
        raise ValueError("the trajectory has no dense output.")
    return np.asarray(trajectory.sol(times), dtype=np.float64).T


def _along(
    value: Function, w: Array, slope: Array, reach: float, noise: float
) -> tuple[float, float]:
    """Return the derivative of E at w along ``slope`` by differences over ``reach``, and its error."""
    speed = vector_norm(slope)
    if speed == 0.0:
        return 0.0, 0.0
    unit, estimates, size = slope / speed, [], 0.0
    for h in (reach, 0.5 * reach):
        near = np.array([value(w + j * h * unit) for j in (-2.0, -1.0, 0.0, 1.0, 2.0)])
        size = max(size, float(np.abs(near).max()))
        estimates.append(float(CENTRAL @ near) / h)
    error = abs(estimates[1] - estimates[0]) + 8.0 * (EPS * size + noise) / reach
    return estimates[1] * speed, error * speed


def _rates(
    t: Array, values: Array, derivative: Array, noise: float, error: Array
) -> tuple[float, float]:
    """Return the exponential rate and the constant of 1/t that the samples support."""
    if (values < -TELLING * noise).any():
        return math.nan, math.nan
    counted = values > TELLING * noise
    ratios, errors = -derivative[counted] / values[counted], error[counted] / values[counted]
    if ratios.size:
        ratios = ratios[TELLING * errors <= np.median(np.abs(ratios))]
    return float(ratios.min(initial=math.inf)), float((t * values).max(initial=0.0))


def _quantum(values: Array) -> float:
    """Return the power of 2 of which all values are multiples: the rounding of E where it is a difference."""
    quanta = []
    for value in values[values != 0.0].tolist():
        mantissa, exponent = math.frexp(value)
        digits = int(abs(mantissa) * 2**53)
        quanta.append(math.ldexp(digits & -digits, exponent - 53))
    return min(quanta) if len(quanta) > 2 else 0.0
