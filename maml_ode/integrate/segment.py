"""One phase, run to its end: ``solve_ivp`` calls with the remedies that a stalled or broken one needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.integrate import OdeSolution, OdeSolver, solve_ivp

from maml_ode._validation import Array, check_real
from maml_ode.flows import Flow
from maml_ode.flows.fields import GradientField
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
from maml_ode.integrate.stiffness import DENSE_LIMIT, spectral_radius
from maml_ode.trajectory import StopReason

__all__ = ["Outcome", "Segment", "Settings", "Tape", "Tolerances"]

SMALLEST_RTOL = 1e-13
SHORTEST_BOUND = 1e-4
MOST_ENERGY_RETRIES = 12


@dataclass(frozen=True)
class Tolerances:
    """rtol and atol of the step control, and which of them the user fixed."""

    rtol: float
    atol: float
    fixed_rtol: bool
    fixed_atol: bool

    @classmethod
    def choose(cls, flow: Flow, tol: float, rtol: float | None, atol: float | None) -> Tolerances:
        """Take what the user gave; derive the rest from ``tol`` (loosely where the field jumps).

        An explicit method at its stability limit keeps a residual of up to 15 lambda_max atol, so atol is
        kept below what ``tol`` asks for where lambda_max is known beforehand.
        """
        rough = any(phase.field.smoothness < 0 for phase in flow.phases)
        default = 1e-4 if rough else min(max(tol if tol > 0 else 1e-8, 1e-12), 1e-6)
        default_atol = default / 100
        last = flow.phases[-1].field.affine
        if tol > 0 and last is not None and last.largest_eigenvalue > 0:
            default_atol = min(default_atol, tol / (15 * last.largest_eigenvalue))
        chosen_rtol = default if rtol is None else check_real("rtol", rtol, minimum=0.0)
        chosen_atol = (
            default_atol if atol is None else check_real("atol", atol, minimum=0.0, strict=True)
        )
        return cls(chosen_rtol, chosen_atol, rtol is not None, atol is not None)

    def tightened(self) -> Tolerances | None:
        """Return tolerances 100 times smaller where they are ours, or None if they cannot be."""
        rtol = self.rtol if self.fixed_rtol else max(self.rtol / 100, SMALLEST_RTOL)
        atol = self.atol if self.fixed_atol else self.atol / 100
        if rtol == self.rtol and (self.fixed_atol or atol < 1e-30):
            return None
        return replace(self, rtol=rtol, atol=atol)


@dataclass
class Settings:
    """What a run was asked for, and what was changed on the way.

    ``tolerances`` are lowered when a norm stalls because of them; ``method`` becomes ``stiff_method``, if there
    is one, when stiffness shows, and ``changed_method`` says so.
    """

    method: type[OdeSolver]
    t_max: float
    tolerances: Tolerances
    max_steps: int
    callback: Callback | None
    progress: Progress
    options: Mapping[str, Any]
    dense: bool
    enforce_energy: bool
    stiff_method: type[OdeSolver] | None = None
    changed_method: str = ""


@dataclass
class Tape:
    """The continuous solution as it grows."""

    times: list[float] = field(default_factory=list)
    interpolants: list[Any] = field(default_factory=list)

    def extend(self, times: list[float], interpolants: list[Any]) -> None:
        """Add steps that end at ``times``."""
        self.times.extend(times)
        self.interpolants.extend(interpolants)

    def solution(self) -> Callable[[npt.ArrayLike], Array] | None:
        """Return ``sol(t)``, or None if no interpolants were kept."""
        return OdeSolution(self.times, self.interpolants) if self.interpolants else None


@dataclass(frozen=True)
class Outcome:
    """Where and why a phase ended."""

    t: float
    w: Array
    stop: StopReason
    message: str


class Segment:
    """Runs one phase from a state to its end, writing its points to a path and a tape.

    Parameters
    ----------
    number : int
        The phase's number in the path.
    evaluator : FieldEvaluator
    rule : SwitchingFunction, optional
        The phase's ending rule; ``direction`` -1 ends it where the rule rises to 0.
    tol : float
        Stationarity of this phase; 0 for no test.
    """

    def __init__(
        self,
        number: int,
        evaluator: FieldEvaluator,
        rule: SwitchingFunction | None,
        direction: int,
        tol: float,
        settings: Settings,
        ledger: Ledger,
        path: Path,
        tape: Tape,
    ) -> None:
        self.number = number
        self.evaluator = evaluator
        self.rule = rule
        self.direction = direction
        self.tol = tol
        self.settings = settings
        self.ledger = ledger
        self.path = path
        self.tape = tape
        self._options = dict(settings.options)
        self._energy_retries = 0

    def run(self, t: float, w: Array) -> Outcome:
        """Run the phase; ``stop`` is SWITCHED where its ending rule was met."""
        value = self.evaluator(t, w)
        if not np.isfinite(value).all():
            label = self.evaluator.field.label
            detail = f"The field {label} was not finite at the start of the phase, t = {t:.6g}."
            return Outcome(t, w, StopReason.NON_FINITE, f"{StopReason.NON_FINITE} {detail}")
        size = vector_norm(value)
        if self.tol > 0 and size <= self.tol:
            detail = f"{size:.3g} <= tol = {self.tol:g} at t = {t:.6g}."
            return Outcome(t, w, StopReason.STATIONARY, f"{StopReason.STATIONARY} {detail}")
        while True:
            monitor = self._monitor()
            solver_settings = self._solver_settings(t)
            t, w = self._integrate(t, w, monitor, solver_settings)
            if monitor.crossing is not None:
                t, w = self._land(monitor, solver_settings)
                return Outcome(t, w, StopReason.SWITCHED, str(StopReason.SWITCHED))
            if not self._remedy(monitor, t, w, size):
                break
        stop = monitor.stop or StopReason.HORIZON
        return Outcome(t, w, stop, monitor.message or f"{StopReason.HORIZON} t = {t:.6g}.")

    def _monitor(self) -> Monitor:
        field = self.evaluator.field
        energy = None
        if self.settings.enforce_energy and isinstance(field, GradientField):
            objective = field.objective

            def energy(w: Array) -> float:
                self.ledger.add(objective.value_cost)
                return objective.value(w)

        return Monitor(
            self.evaluator,
            tol=self.tol,
            switching=self.rule,
            direction=self.direction,
            steps_left=self.settings.max_steps - self.ledger.steps,
            tolerances=(self.settings.tolerances.rtol, self.settings.tolerances.atol),
            phase=self.number,
            callback=self.settings.callback,
            progress=self.settings.progress,
            energy=energy if self._energy_retries < MOST_ENERGY_RETRIES else None,
            watch_stiffness=self.settings.stiff_method is not None,
        )

    def _solver_settings(self, t: float) -> dict[str, Any]:
        field, offers = self.evaluator.field, dict[str, Any]()
        if field.has_jacobian:
            offers = {"jac": self.evaluator.jacobian, "jvp": self.evaluator.jacobian_vector}
        if field.affine is not None:
            offers["spectral_radius"] = field.affine.spectral_radius
        elif isinstance(field, GradientField) and field.has_jacobian and field.dim <= DENSE_LIMIT:
            offers["spectral_radius"] = lambda t, w: spectral_radius(field, w, self.ledger)
        chosen = solver_options(self.settings.method, self._options, offers)
        if "first_step" in chosen:  # chosen for the whole run, of which less than that may be left
            chosen["first_step"] = min(chosen["first_step"], self.settings.t_max - t)
        tolerances = self.settings.tolerances
        return {**chosen, "rtol": tolerances.rtol, "atol": tolerances.atol}

    def _remedy(self, monitor: Monitor, t: float, w: Array, size: float) -> bool:
        """Change what stopped the run before its time; return whether to go on."""
        if monitor.stiff is not None and self.settings.stiff_method is not None:
            before, after = self.settings.method, self.settings.stiff_method
            self.settings.method, self.settings.stiff_method = after, None
            self.settings.changed_method = (
                f"; {after.__name__} from t = {t:.4g} on, where {before.__name__}'s steps times lambda_max = "
                f"{monitor.stiff:.3g} stayed at its stability limit"
            )
            self._options.pop("first_step", None)
            return True
        if monitor.stalled:
            tighter = self.settings.tolerances.tightened()
            if tighter is None:
                return False
            self.settings.tolerances = tighter
            return True
        if monitor.rose:
            self._energy_retries += 1
            self._options["first_step"] = max(0.25 * monitor.rejected_step, 16 * np.spacing(t))
            self.ledger.rejected += 1
            return True
        return monitor.stop is StopReason.NON_FINITE and self._shorten(monitor, t, w, size)

    def _shorten(self, monitor: Monitor, t: float, w: Array, size: float) -> bool:
        """Shorten the steps after a non-finite one; return whether there is a point in going on.

        SciPy's explicit methods shrink such a step themselves. Its implicit ones and LSODA give up, or
        return NaN, so they are started again from the last good state with a bound on the step.
        """
        if monitor.steps == 0 and "max_step" not in self._options:
            if "first_step" in self._options:
                return False
            # The method's own guess of a first step ran out of the field's domain.
            self._options["first_step"] = 1e-8 * (1.0 + vector_norm(w)) / max(size, 1e-300)
            return True
        bound = self._options.get("max_step", math.inf)
        bound = 10.0 * monitor.last_step if math.isinf(bound) else 0.1 * bound
        if bound < SHORTEST_BOUND * t:
            return False
        self._options["max_step"] = bound
        self._options["first_step"] = 0.1 * bound
        return True

    def _integrate(
        self, t: float, w: Array, monitor: Monitor, solver_settings: dict[str, Any]
    ) -> tuple[float, Array]:
        """Integrate until the monitor ends it; keep the good points; return the last one."""
        monitor.begin(t, w)
        try:
            result = solve_ivp(
                self.evaluator,
                (t, self.settings.t_max),
                w,
                method=monitored(self.settings.method, monitor),
                dense_output=self.settings.dense,
                **solver_settings,
            )
        except Abort as stop:  # raised while the solver was being set up
            monitor.stop, monitor.message = stop.reason, stop.message
            return t, w
        self.ledger.steps += monitor.steps
        self.ledger.rejected += monitor.rejected
        self._charge(result)
        times, states = result.t[1:], result.y.T[1:]
        interpolants = [] if result.sol is None else list(result.sol.interpolants)
        last_good = monitor.last_good(t)
        if last_good is not None:
            # The last step ends beyond the switch, in a higher energy, or in a state that is not one.
            kept = int(np.searchsorted(times, last_good, side="right"))
            times, states, interpolants = times[:kept], states[:kept], interpolants[:kept]
        for time, state in zip(times, states, strict=True):
            self.path.append(float(time), state, self.number)
        self.tape.extend([float(time) for time in times], interpolants)
        return (float(times[-1]), states[-1].copy()) if times.size else (t, w)

    def _charge(self, solver: Any) -> None:
        """Book what a solver, or ``solve_ivp`` of one, counts itself: our Jacobians count themselves."""
        self.ledger.nlu += int(solver.nlu)
        if not self.evaluator.field.has_jacobian:
            self.ledger.njev += int(solver.njev)

    def _land(self, monitor: Monitor, solver_settings: Mapping[str, Any]) -> tuple[float, Array]:
        rule, crossing = self.rule, monitor.crossing
        if rule is None or crossing is None:
            raise RuntimeError("no crossing to land on; this is a defect of maml_ode.")
        landing = locate(
            crossing,
            lambda t, w: self.direction * rule(t, w),
            rule.scale,
            self.settings.method,
            self.evaluator,
            solver_settings,
            self._charge,
        )
        self.tape.extend(landing.times, landing.interpolants if self.settings.dense else [])
        self.path.append(landing.t, landing.w, self.number)
        return landing.t, landing.w
