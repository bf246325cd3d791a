"""The phase machine: one ``solve_ivp`` call after another, with switches located in between."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.integrate import OdeSolution, OdeSolver, solve_ivp

from maml_ode._validation import Array, check_real
from maml_ode.flows import Flow, GradientNormBelow, SwitchRule
from maml_ode.integrate.assemble import Path
from maml_ode.integrate.evaluation import (
    Abort,
    FieldEvaluator,
    Ledger,
    SwitchingFunction,
    vector_norm,
)
from maml_ode.integrate.locate import locate
from maml_ode.integrate.methods import solver_options
from maml_ode.integrate.monitor import Callback, Monitor, monitored
from maml_ode.integrate.progress import Progress
from maml_ode.trajectory import StopReason

__all__ = ["PhaseMachine", "Tolerances"]

SMALLEST_RTOL = 1e-13
MOST_SWITCHES = 1000
SHORTEST_BOUND = 1e-4


@dataclass(frozen=True)
class Tolerances:
    """rtol and atol of the step control, and which of them the user fixed."""

    rtol: float
    atol: float
    fixed_rtol: bool
    fixed_atol: bool

    @classmethod
    def choose(cls, flow: Flow, tol: float, rtol: float | None, atol: float | None) -> Tolerances:
        """Take what the user gave; derive the rest from ``tol`` (loosely where the field jumps)."""
        rough = any(phase.field.smoothness < 0 for phase in flow.phases)
        default = 1e-4 if rough else min(max(tol if tol > 0 else 1e-8, 1e-12), 1e-6)
        chosen_rtol = default if rtol is None else check_real("rtol", rtol, minimum=0.0)
        chosen_atol = (
            default / 100 if atol is None else check_real("atol", atol, minimum=0.0, strict=True)
        )
        return cls(chosen_rtol, chosen_atol, rtol is not None, atol is not None)

    def tightened(self) -> Tolerances | None:
        """Return tolerances 100 times smaller where they are ours, or None if they cannot be."""
        rtol = self.rtol if self.fixed_rtol else max(self.rtol / 100, SMALLEST_RTOL)
        atol = self.atol if self.fixed_atol else self.atol / 100
        if rtol == self.rtol and (self.fixed_atol or atol < 1e-30):
            return None
        return replace(self, rtol=rtol, atol=atol)


class PhaseMachine:
    """Runs a flow through its phases with one method.

    One-way flows follow their phases in order. Under ``rule="retest"`` and ``"as_printed"`` the phase is
    chosen by the sign of phase 0's ending rule s, again and again: retest takes field 0 where s > 0 and
    field 1 elsewhere, as_printed the other way round. Where both fields then push towards {s = 0} the
    path slides along it (Filippov), which is recognised at the switch and named.
    """

    def __init__(
        self,
        flow: Flow,
        method: type[OdeSolver],
        ledger: Ledger,
        *,
        tol: float,
        t_max: float,
        tolerances: Tolerances,
        max_steps: int,
        callback: Callback | None,
        progress: Progress,
        options: Mapping[str, Any],
        dense: bool,
    ) -> None:
        self.flow = flow
        self.method = method
        self.ledger = ledger
        self.tol = tol
        self.t_max = t_max
        self.tolerances = tolerances
        self.max_steps = max_steps
        self.callback = callback
        self.progress = progress
        self.options = options
        self.dense = dense
        self.path = Path(len(flow.phases))
        self._times: list[float] = []
        self._interpolants: list[Any] = []
        self._evaluators = [FieldEvaluator(phase.field, ledger) for phase in flow.phases]

    def run(self, start: Array) -> tuple[Path, Callable[[npt.ArrayLike], Array] | None]:
        """Follow the flow from ``start``; return its path and, if asked for, its continuous solution."""
        t, w = 0.0, start
        self._times.append(t)
        number = self._first_phase(w)
        self.path.append(t, w, max(number, 0))
        while True:
            number = self._skip_ended_phases(number, t, w)
            if number >= len(self.flow.phases):
                self._end(t, w, StopReason.SWITCHED, str(StopReason.SWITCHED), True)
                break
            self.path.append(t, w, number)
            landed = self._follow(number, t, w)
            if landed is None:
                break
            t, w, following = landed
            self.path.switch(t, w, number)
            if self._slides(following, t, w) or len(self.path.switches) > MOST_SWITCHES:
                self.path.append(t, w, following)
                self._end(
                    t,
                    w,
                    StopReason.CHATTERING,
                    f"{StopReason.CHATTERING} At t = {t:.6g}, on the switching surface.",
                    False,
                )
                break
            number = following
        sol = OdeSolution(self._times, self._interpolants) if self._interpolants else None
        return self.path, sol

    def _end(self, t: float, w: Array, stop: StopReason, message: str, asked_for: bool) -> None:
        self.path.end(t, w, stop, message, asked_for)

    def _first_phase(self, w: Array) -> int:
        if self.flow.rule is SwitchRule.ONE_WAY:
            return 0
        inside = self._rule(0)(0.0, w) <= 0
        return int(inside) if self.flow.rule is SwitchRule.RETEST else int(not inside)

    def _rule(self, number: int) -> SwitchingFunction:
        until = self.flow.phases[number].until
        if until is None:
            raise RuntimeError("a phase without ending rule was asked for it.")
        return SwitchingFunction(until, self._evaluators[number])

    def _skip_ended_phases(self, number: int, t: float, w: Array) -> int:
        """One-way flows: pass over phases whose ending rule is already met."""
        if self.flow.rule is not SwitchRule.ONE_WAY:
            return number
        while number < len(self.flow.phases) and self.flow.phases[number].until is not None:
            if self._rule(number)(t, w) > 0:
                break
            self.path.switch(t, w, number)
            number += 1
        return number

    def _switching(self, number: int) -> tuple[SwitchingFunction | None, int, int]:
        """Return the phase's ending rule, the direction of its crossing, and the phase after it."""
        if self.flow.rule is SwitchRule.ONE_WAY:
            if self.flow.phases[number].until is None:
                return None, 1, number
            return self._rule(number), 1, number + 1
        outer = 0 if self.flow.rule is SwitchRule.RETEST else 1
        return self._rule(0), 1 if number == outer else -1, 1 - number

    def _is_final(self, number: int) -> bool:
        """Whether a vanishing field in this phase ends the run."""
        if self.flow.rule is SwitchRule.AS_PRINTED:
            return True
        return number == len(self.flow.phases) - 1

    def _follow(self, number: int, t: float, w: Array) -> tuple[float, Array, int] | None:
        """Run one phase; return the switch it ended in, or None if the run is over."""
        evaluator = self._evaluators[number]
        rule, direction, following = self._switching(number)
        tol = self.tol if self._is_final(number) else 0.0
        if not np.isfinite(evaluator(t, w)).all():
            self._end(
                t,
                w,
                StopReason.NON_FINITE,
                f"{StopReason.NON_FINITE} The field {evaluator.field.label} was not finite at the "
                f"start of the phase, t = {t:.6g}.",
                False,
            )
            return None
        norm = vector_norm(evaluator(t, w))
        if tol > 0 and norm <= tol:
            message = f"{StopReason.STATIONARY} {norm:.3g} <= tol = {tol:g} at t = {t:.6g}."
            self._end(t, w, StopReason.STATIONARY, message, self._reached(number))
            return None
        options: dict[str, Any] = dict(self.options)
        while True:
            monitor = Monitor(
                evaluator,
                tol=tol,
                switching=rule,
                direction=direction,
                steps_left=self.max_steps - self.ledger.steps,
                tolerances=(self.tolerances.rtol, self.tolerances.atol),
                phase=number,
                callback=self.callback,
                progress=self.progress,
            )
            settings = self._settings(evaluator, options)
            t, w = self._segment(number, t, w, monitor, settings)
            if monitor.crossing is not None and rule is not None:
                return self._land(monitor, rule, direction, number, settings, following)
            if monitor.stalled:
                tighter = self.tolerances.tightened()
                if tighter is not None:
                    self.tolerances = tighter
                    continue
            if monitor.stop is StopReason.NON_FINITE and self._shorten(options, monitor, t, w, norm):
                continue
            break
        stop = monitor.stop or StopReason.HORIZON
        message = monitor.message or f"{StopReason.HORIZON} t = {t:.6g}."
        reached = stop is StopReason.HORIZON or (
            stop is StopReason.STATIONARY and self._reached(number)
        )
        self._end(t, w, stop, message, reached)
        return None

    def _shorten(
        self, options: dict[str, Any], monitor: Monitor, t: float, w: Array, norm: float
    ) -> bool:
        """Shorten the steps after a non-finite one; return whether there is a point in going on.

        SciPy's explicit methods shrink such a step themselves. Its implicit ones and LSODA give up, or
        return NaN, so they are started again from the last good state with a bound on the step.
        """
        if monitor.steps == 0 and "max_step" not in options:
            if "first_step" in options:
                return False
            # The method's own guess of a first step ran out of the field's domain.
            options["first_step"] = 1e-8 * (1.0 + vector_norm(w)) / max(norm, 1e-300)
            return True
        bound = options.get("max_step", math.inf)
        bound = 10.0 * monitor.last_step if math.isinf(bound) else 0.1 * bound
        if bound < SHORTEST_BOUND * t:
            return False
        options["max_step"] = bound
        options["first_step"] = 0.1 * bound
        return True

    def _reached(self, number: int) -> bool:
        """Whether stationarity in this phase is what the flow is for, not a point where it is stuck."""
        return self.flow.rule is not SwitchRule.AS_PRINTED or number == 1

    def _settings(self, evaluator: FieldEvaluator, options: Mapping[str, Any]) -> dict[str, Any]:
        jacobian = evaluator.jacobian if evaluator.field.has_jacobian else None
        settings = solver_options(self.method, options, jacobian)
        settings.update(rtol=self.tolerances.rtol, atol=self.tolerances.atol)
        return settings

    def _segment(
        self, number: int, t: float, w: Array, monitor: Monitor, settings: dict[str, Any]
    ) -> tuple[float, Array]:
        """Integrate until the monitor ends the phase; keep the points; return the last one."""
        monitor.begin(t, w)
        try:
            result = solve_ivp(
                monitor.evaluator,
                (t, self.t_max),
                w,
                method=monitored(self.method, monitor),
                dense_output=self.dense,
                **settings,
            )
        except Abort as stop:  # raised while the solver was being set up
            monitor.stop, monitor.message = stop.reason, stop.message
            return t, w
        self.ledger.steps += monitor.steps
        self.ledger.rejected += monitor.rejected
        self.ledger.nlu += int(result.nlu)
        if not monitor.evaluator.field.has_jacobian:
            self.ledger.njev += int(result.njev)
        times, states = result.t[1:], result.y.T[1:]
        interpolants = [] if result.sol is None else list(result.sol.interpolants)
        if monitor.crossing is not None or monitor.stop is StopReason.NON_FINITE:
            # The last step ends beyond the switch, or in a state that is not one.
            kept = int(np.searchsorted(times, self._last_good(monitor, t), side="right"))
            times, states, interpolants = times[:kept], states[:kept], interpolants[:kept]
        for time, state in zip(times, states, strict=True):
            self.path.append(float(time), state, number)
        self._times.extend(float(time) for time in times)
        self._interpolants.extend(interpolants)
        return (float(times[-1]), states[-1].copy()) if times.size else (t, w)

    @staticmethod
    def _last_good(monitor: Monitor, t: float) -> float:
        if monitor.crossing is not None:
            return monitor.crossing.t_old
        return monitor.last_time(t)

    def _land(
        self,
        monitor: Monitor,
        rule: SwitchingFunction,
        direction: int,
        number: int,
        settings: dict[str, Any],
        following: int,
    ) -> tuple[float, Array, int]:
        if monitor.crossing is None:
            raise RuntimeError("no crossing to land on; this is a defect of maml_ode.")
        landing = locate(
            monitor.crossing,
            lambda t, w: direction * rule(t, w),
            rule.scale if rule.scale > 0 else 1.0,
            self.method,
            monitor.evaluator,
            settings,
        )
        if landing.times:
            self._times.extend(landing.times)
            if self.dense:
                self._interpolants.extend(landing.interpolants)
        self.path.append(landing.t, landing.w, number)
        return landing.t, landing.w, following

    def _slides(self, following: int, t: float, w: Array) -> bool:
        """Whether the phase being entered pushes back to the surface that the last one pushed to."""
        if self.flow.rule is SwitchRule.ONE_WAY:
            return False
        rule, direction, _ = self._switching(following)
        if rule is None:
            return False
        velocity = self._evaluators[following](t, w)
        return direction * self._surface_speed(rule, t, w, velocity) < 0

    def _surface_speed(self, rule: SwitchingFunction, t: float, w: Array, velocity: Array) -> float:
        """Return ds/dt along ``velocity``: grad||g|| . v = g'Hv/||g||, or a difference quotient."""
        if isinstance(rule.until, GradientNormBelow):
            objective = rule.until.objective
            gradient = objective.gradient(w)
            self.ledger.add(objective.gradient_cost)
            self.ledger.add(objective.hvp_cost)
            norm = vector_norm(gradient)
            return float(gradient @ objective.hvp(w, velocity)) / norm if norm > 0 else 0.0
        speed = vector_norm(velocity)
        if speed == 0 or not math.isfinite(speed):
            return 0.0
        h = 1e-6 * (1.0 + vector_norm(w)) / speed
        return (rule(t, w + h * velocity) - rule(t, w)) / h
