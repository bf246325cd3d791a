"""Stop rules, applied at every accepted step of any SciPy-compatible method."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import OdeSolver

from maml_ode._validation import Array
from maml_ode.integrate.evaluation import Abort, FieldEvaluator, SwitchingFunction, vector_norm
from maml_ode.integrate.progress import Progress
from maml_ode.integrate.stiffness import largest_rate
from maml_ode.trajectory import StopReason

__all__ = ["Crossing", "Monitor", "State", "monitored"]

STALL_STEPS = 50
STALL_FLOOR = 1e3
STIFF_STEPS = 50
STABILITY_LIMIT = 2.5
ROUNDING = 8 * np.finfo(float).eps


@dataclass(frozen=True)
class State:
    """What a callback sees at every accepted step."""

    t: float
    w: Array
    phase: int
    field_norm: float
    step: int


@dataclass(frozen=True)
class Crossing:
    """A step in which a phase's ending rule was met: its start, a bracket's end, and its interpolant."""

    t_old: float
    w_old: Array
    t_new: float
    interpolant: Callable[[float], Array]


Callback = Callable[[State], Any]


class Monitor:
    """Decides after every accepted step whether a phase goes on.

    Parameters
    ----------
    evaluator : FieldEvaluator
        The phase's field.
    tol : float
        Stationarity: stop when the norm of the field, evaluated at the accepted state, is at most this.
        0 switches the test off.
    switching : SwitchingFunction, optional
        The phase's ending rule, times ``direction``: the phase ends where the product falls to 0.
    direction : {1, -1}
        -1 ends the phase where the rule's value rises to 0.
    steps_left : int
        Accepted steps until the step limit.
    tolerances : (float, float)
        rtol and atol, from which a stalled norm is recognised.
    phase : int
        The phase's number, for the callback.
    callback, progress
        As in `solve`.
    watch_stiffness : bool
        Whether to end the segment when steps stay at the stability limit of an explicit method.
    energy : callable, optional
        The objective that the phase descends; a step over which it rises beyond rounding is undone.
    """

    def __init__(
        self,
        evaluator: FieldEvaluator,
        *,
        tol: float,
        switching: SwitchingFunction | None,
        direction: int,
        steps_left: int,
        tolerances: tuple[float, float],
        phase: int,
        callback: Callback | None,
        progress: Progress,
        energy: Callable[[Array], float] | None = None,
        watch_stiffness: bool = False,
    ) -> None:
        self.evaluator = evaluator
        self.tol = tol
        self.switching = switching
        self.direction = direction
        self.steps_left = steps_left
        self.tolerances = tolerances
        self.phase = phase
        self.callback = callback
        self.progress = progress
        self.energy = energy
        self.watch_stiffness = watch_stiffness
        self.stiff: float | None = None
        self.rose = False
        self.rejected_step = 0.0
        self.steps = 0
        self.rejected = 0
        self.stop: StopReason | None = None
        self.message = ""
        self.crossing: Crossing | None = None
        self.stalled = False
        self.field_norm = math.nan
        self._target = tol
        if tol == 0 and switching is not None and switching.shares_field:
            self._target = switching.scale or 0.0
        self._previous: tuple[float, Array, Array] | None = None
        self._last_step = 0.0
        self._energy = math.inf
        self._window_start = 0.0
        self._side = math.nan
        self._armed = True
        self._best = math.inf
        self._steps_since_best = 0

    def begin(self, t: float, w: Array) -> None:
        """Record the first state of the phase (its field is finite: the phase machine checked)."""
        value = self.evaluator(t, w)
        self._previous = (t, w.copy(), value)
        self._window_start = t
        self.field_norm = vector_norm(value)
        if self.energy is not None:
            self._energy = self.energy(w)
        if self.switching is not None:
            self._side = self.direction * self.switching(t, w)
            self._armed = self._side > self.switching.arming_distance

    def accepted(self, solver: OdeSolver) -> bool:
        """Look at an accepted step; return whether the phase ends here."""
        t, w = float(solver.t), solver.y
        if not np.isfinite(w).all():
            return self._end(StopReason.NON_FINITE, f"The state was not finite at t = {t:.6g}.")
        value = self.evaluator(t, w)
        if not np.isfinite(value).all():
            return self._end(StopReason.NON_FINITE, f"The field was not finite at t = {t:.6g}.")
        self.steps += 1
        if self._previous is not None and t == self._previous[0]:
            # LSODA goes on reporting steps when its step no longer changes t.
            return self._end(StopReason.STEP_TOO_SMALL, f"At t = {t:.6g}.")
        self.field_norm = vector_norm(value)
        if self.energy is not None and self._rises(t, w):
            return True
        if self.switching is not None and self._crossed(solver, t, w):
            return True
        if self.tol > 0 and self.field_norm <= self.tol:
            return self._end(
                StopReason.STATIONARY,
                f"{self.field_norm:.3g} <= tol = {self.tol:g} at t = {t:.6g}.",
            )
        if self.watch_stiffness and self._shows_stiffness(w):
            return True
        if self._stalls(t, w, value):
            self.stalled = True
            return self._end(
                StopReason.TOLERANCE_OUT_OF_REACH,
                f"At rtol = {self.tolerances[0]:.3g}, atol = {self.tolerances[1]:.3g} it hovers near "
                f"{self._best:.3g}, above the wanted {self._target:g}; lower rtol and atol, or raise it.",
            )
        if self._previous is not None:
            self._last_step = t - self._previous[0]
        self._previous = (t, w.copy(), value)
        self.progress.update(t, self.field_norm)
        if self.callback is not None and self._called_back(t, w):
            return self._end(StopReason.INTERRUPTED, f"The callback ended it at t = {t:.6g}.")
        if self.steps >= self.steps_left:
            return self._end(StopReason.STEP_LIMIT, "Raise max_steps to go on.")
        return False

    @property
    def last_step(self) -> float:
        """The length of the last step that was accepted as finite; 0 if there was none."""
        return self._last_step

    def last_good(self, start: float) -> float | None:
        """Return the time up to which the steps are kept; None if all of them are."""
        if self.crossing is not None:
            return self.crossing.t_old
        if self.rose or self.stop is StopReason.NON_FINITE:
            return start if self._previous is None else self._previous[0]
        return None

    def _end(self, reason: StopReason, detail: str) -> bool:
        self.stop = reason
        self.message = f"{reason} {detail}"
        return True

    def _rises(self, t: float, w: Array) -> bool:
        if self.energy is None or self._previous is None:
            return False
        value = self.energy(w)
        if value > self._energy + ROUNDING * abs(self._energy):
            self.rose = True
            self.rejected_step = t - self._previous[0]
            self.steps -= 1
            return self._end(StopReason.STEP_TOO_SMALL, f"The objective rose at t = {t:.6g}.")
        self._energy = value
        return False

    def _called_back(self, t: float, w: Array) -> bool:
        state = State(t, w.copy(), self.phase, self.field_norm, self.steps)
        try:
            return bool(self.callback is not None and self.callback(state))
        except StopIteration:
            return True

    def _crossed(self, solver: OdeSolver, t: float, w: Array) -> bool:
        """Find whether the ending rule was met inside the step, or at its end."""
        if self.switching is None or self._previous is None:
            return False
        side = self.direction * self.switching(t, w)
        t_old, w_old, _ = self._previous
        if not self._armed:
            # The event that began this phase must not end it: wait until the state has moved away.
            self._armed = side > self.switching.arming_distance
            if side > -self.switching.arming_distance:
                self._side = side
                return False
            t, w = t_old, w_old
        elif side > 0:
            dip = self._dip(solver, t_old, t, self._side, side)
            if dip is None:
                self._side = side
                return False
            t = dip
        self.crossing = Crossing(t_old, w_old, t, solver.dense_output())
        self.stop = StopReason.SWITCHED
        return True

    def _dip(
        self, solver: OdeSolver, t_old: float, t: float, side_old: float, side: float
    ) -> float | None:
        """Return a time inside the step at which the rule is met although both ends are on one side.

        Only for rules other than the descent of the phase's own gradient norm, which falls monotonically
        wherever the objective is convex.
        """
        if self.switching is None or self.switching.shares_field:
            return None
        dense = solver.dense_output()
        times = np.linspace(t_old, t, 6)
        values = [side_old]
        values += [self.direction * self.switching(s, dense(s)) for s in times[1:-1]]
        values.append(side)
        low = int(np.argmin(values))
        if values[low] <= 0:
            return float(times[low])
        if low in (0, len(times) - 1):
            return None
        from scipy.optimize import minimize_scalar

        rule = self.switching
        best = minimize_scalar(
            lambda s: self.direction * rule(s, dense(s)),
            bounds=(times[low - 1], times[low + 1]),
            method="bounded",
            options={"xatol": 1e-12 * max(1.0, abs(t))},
        )
        return float(best.x) if best.fun <= 0 else None

    def _shows_stiffness(self, w: Array) -> bool:
        """Whether the last steps, times the largest rate of the field, kept to the stability limit.

        A look at the spectrum costs about as much as a step or two, so it is taken once in a while.
        """
        if self.steps < STIFF_STEPS or self.steps % STIFF_STEPS:
            return False
        rate = largest_rate(self.evaluator.field, w, self.evaluator.ledger)
        if rate is None or self._previous is None:
            return False
        span = self._previous[0] - self._window_start
        self._window_start = self._previous[0]
        if span * rate <= STABILITY_LIMIT * (STIFF_STEPS - 1):
            return False
        self.stiff = rate
        return self._end(StopReason.STEP_LIMIT, "Stiffness shows.")

    def _stalls(self, t: float, w: Array, value: Array) -> bool:
        """Recognise a norm that hovers at the floor set by the error tolerances.

        An explicit method at its stability limit keeps a residual of about lambda (atol + rtol |w|), and
        an implicit one stops its inner iteration at a similar size; lambda is read off two successive states.
        """
        if self._target <= 0 or self._previous is None:
            return False
        if self.field_norm < self._best:
            self._best, self._steps_since_best = self.field_norm, 0
            return False
        self._steps_since_best += 1
        if self._steps_since_best < STALL_STEPS:
            return False
        _, w_old, value_old = self._previous
        moved = vector_norm(w - w_old)
        curvature = vector_norm(value - value_old) / moved if moved > 0 else 0.0
        rtol, atol = self.tolerances
        floor = curvature * (atol + rtol * vector_norm(w))
        return self._best <= STALL_FLOOR * floor or moved == 0


def monitored(method: type[OdeSolver], monitor: Monitor) -> type[OdeSolver]:
    """Return a subclass of ``method`` that reports every accepted step to ``monitor``.

    ``solve_ivp`` ends when a solver's status does, so this is how stop rules that it lacks (fresh
    stationarity, step, wall-clock and callback limits, non-finite states) reach every method unchanged.
    """

    class Monitored(method):  # type: ignore[misc]
        status: str

        def step(self) -> str | None:
            before = self.nfev
            try:
                with np.errstate(all="ignore"):
                    message: str | None = super().step()
            except Abort as stop:
                return self._fail(stop.reason, stop.message)
            except KeyboardInterrupt:
                detail = f"From the keyboard at t = {self.t:.6g}."
                return self._fail(StopReason.INTERRUPTED, f"{StopReason.INTERRUPTED} {detail}")
            except (ValueError, np.linalg.LinAlgError) as error:
                # SciPy's linear algebra refuses NaN with a ValueError; anything else is a real error.
                if monitor.evaluator.non_finite == 0 and "infs or NaNs" not in str(error):
                    raise
                return self._fail(StopReason.NON_FINITE, f"{StopReason.NON_FINITE} ({error})")
            if self.status == "failed":
                reason = (
                    StopReason.NON_FINITE
                    if monitor.evaluator.non_finite
                    else StopReason.STEP_TOO_SMALL
                )
                return self._fail(reason, f"{reason} At t = {self.t:.6g}: {message}")
            if hasattr(self, "n_rejected"):
                monitor.rejected = self.n_rejected
            elif hasattr(self, "n_stages"):  # SciPy's Runge-Kutta: n_stages evaluations a trial
                monitor.rejected += (self.nfev - before) // self.n_stages - 1
            try:
                if monitor.accepted(self):
                    self.status = "finished"
            except Abort as stop:
                self._fail(stop.reason, stop.message)
                self.status = "finished"  # the step itself is good and is kept
            except KeyboardInterrupt:
                detail = f"From the keyboard at t = {self.t:.6g}."
                self._fail(StopReason.INTERRUPTED, f"{StopReason.INTERRUPTED} {detail}")
                self.status = "finished"
            return message

        def _fail(self, reason: StopReason, message: str) -> str:
            self.status = "failed"
            monitor.stop, monitor.message = reason, message
            return message

    Monitored.__name__ = method.__name__
    return Monitored
