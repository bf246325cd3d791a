"""Phases by ``scipy.integrate.solve_ivp``: SciPy's methods, ours, and any ``OdeSolver`` class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.integrate import OdeSolver, solve_ivp

from maml_ode._validation import Array
from maml_ode.integrate.locate import Landing, locate
from maml_ode.integrate.methods import facts_of, solver_options
from maml_ode.integrate.norms import all_finite
from maml_ode.integrate.plan import Plan
from maml_ode.integrate.record import Record
from maml_ode.integrate.segment import Segment
from maml_ode.integrate.steppers.protocol import Look
from maml_ode.integrate.stiffness import spectral_radius
from maml_ode.integrate.tally import Tally
from maml_ode.integrate.watch.finding import Crossing, Finding, Step
from maml_ode.integrate.watch.finite import FiniteWatch
from maml_ode.integrate.watch.stationarity import stationary
from maml_ode.sizes import MATRIX_ON_A_PATH
from maml_ode.stop import Stop, StopReason

__all__ = ["ScipyStepper", "failure", "land_on"]


class ScipyStepper:
    """One call of ``solve_ivp`` a phase, and one more after every remedy.

    Parameters
    ----------
    record : Record
    tally : Tally
    """

    locates = True
    by_formula = False

    def __init__(self, record: Record, tally: Tally) -> None:
        self._record = record
        self._tally = tally

    def arrive(self, segment: Segment) -> Stop | None:
        """End a run whose field is not finite, or small enough, where the phase begins."""
        t = self._record.t
        value = segment.evaluator(t, self._record.w)
        if segment.evaluator.non_finite and not all_finite(value):  # else it was finite just now
            label = segment.leg.field.label
            detail = f"The field {label} was not finite at the start of the phase, t = {t:.6g}."
            return Stop(StopReason.NON_FINITE, detail)
        norm = segment.evaluator.norm(self._record.w, value)
        self._record.know(norm)
        return stationary(norm, segment.tol, t, segment.wanted)

    def run(self, segment: Segment, plan: Plan, look: Look) -> Finding:
        """Integrate until ``look`` finds something, the method gives up, or the horizon is reached."""
        t, w = self._record.t, np.array(self._record.w)
        value = segment.evaluator(t, w)
        finite = FiniteWatch(t, w, value)
        reporter = _Reporter(segment, self._tally, self._record, look, finite, t, w, value)
        options = self._settings(segment, plan)
        try:
            # No times are asked for: the record keeps what there is, and solve_ivp nothing.
            with np.errstate(
                over="ignore", invalid="ignore"
            ):  # a diverging run ends with a sentence
                solve_ivp(
                    segment.evaluator,
                    (t, plan.t_max),
                    w,
                    method=_reporting(plan.method, reporter),
                    t_eval=(),
                    **options,
                )
        finally:
            if reporter.solver is not None:
                self._charge(segment, reporter.solver)
        if reporter.finding is not None:
            return reporter.finding
        return Finding(Stop(StopReason.HORIZON, f"t = {self._record.t:.6g}.", asked_for=True))

    def land(self, segment: Segment, plan: Plan, crossing: Crossing) -> None:
        """Step to where the phase's rule is first met."""
        options = self._settings(segment, plan)

        def restep(t: float) -> Landing:
            return self._step_to(t, segment, plan.method, crossing, options)

        land_on(self._record, segment, crossing, restep)

    def _settings(self, segment: Segment, plan: Plan) -> dict[str, Any]:
        """Return what the method is constructed with: the user's options, and what else it takes."""
        field, tolerances = segment.leg.field, plan.tolerances
        offers: dict[str, Any] = {"rtol": tolerances.rtol, "atol": tolerances.atol}
        if field.has_jacobian:
            offers |= {"jac": segment.evaluator.jacobian, "jvp": segment.evaluator.jacobian_vector}
        if field.affine is not None:
            offers["spectral_radius"] = field.affine.spectral_radius
        elif field.descends is not None and field.has_jacobian and field.dim <= MATRIX_ON_A_PATH:
            offers["spectral_radius"] = lambda t, w: spectral_radius(field, w, self._tally)
        chosen = solver_options(plan.method, plan.step_options, offers)
        if chosen.get("first_step") is not None:
            # Chosen for the whole run, of which less than that may be left.
            chosen["first_step"] = min(chosen["first_step"], plan.t_max - self._record.t)
        return chosen

    def _charge(self, segment: Segment, solver: OdeSolver) -> None:
        """Book what a solver counts itself: our Jacobians count themselves."""
        self._tally.nlu += int(solver.nlu)
        if not segment.leg.field.has_jacobian:
            self._tally.njev += int(solver.njev)

    def _step_to(
        self,
        t: float,
        segment: Segment,
        method: type[OdeSolver],
        crossing: Crossing,
        options: dict[str, Any],
    ) -> Landing:
        """Integrate from the start of the step to ``t`` with the same method and tolerances."""
        t_old, w_old = crossing.t_old, np.array(crossing.w_old)
        if t <= t_old:
            return Landing(t_old, w_old, [], [])
        settings = dict(options)
        if "first_step" in facts_of(method).options:
            settings["first_step"] = t - t_old
        times: list[float] = []
        interpolants: list[Any] = []
        solver = method(segment.evaluator, t_old, w_old, t, vectorized=False, **settings)
        try:
            while solver.status == "running":
                with np.errstate(all="ignore"):
                    solver.step()
                if solver.status == "failed":
                    dense = crossing.interpolant
                    return Landing(
                        t, w_old if dense is None else np.asarray(dense(t)), [t], [dense]
                    )
                times.append(float(solver.t))
                interpolants.append(solver.dense_output() if self._record.keeps_solution else None)
        finally:
            self._charge(segment, solver)
        return Landing(t, solver.y.copy(), times, interpolants)


def land_on(
    record: Record, segment: Segment, crossing: Crossing, restep: Callable[[float], Landing]
) -> None:
    """Record where the phase's rule is first met, and the pieces of the path that lead there."""
    if segment.rule is None:
        raise RuntimeError("a phase without a rule has crossed it; this is a defect of maml_ode.")
    landing = locate(crossing, segment.rule, restep)
    for time, interpolant in zip(landing.times, landing.interpolants, strict=True):
        record.keep(time, interpolant)
    record.append(landing.t, landing.w, segment.number)


def failure(segment: Segment, finite: FiniteWatch, t: float, message: object) -> Finding:
    """Name the failure of a method that found no step from ``t``."""
    detail = f"At t = {t:.6g}: {message}"
    if segment.evaluator.non_finite > 0:
        return finite.failed(detail)
    return Finding(Stop(StopReason.STEP_TOO_SMALL, detail))


class _Reporter:
    """Stands between a solver's accepted steps and the driver."""

    def __init__(
        self,
        segment: Segment,
        tally: Tally,
        record: Record,
        look: Look,
        finite: FiniteWatch,
        t: float,
        w: Array,
        value: Array,
    ) -> None:
        self.segment = segment
        self.tally = tally
        self.record = record
        self.look = look
        self.finite = finite
        self.solver: OdeSolver | None = None
        self.finding: Finding | None = None
        self._before = t, w, value
        self._rejected = 0

    def accepted(self, solver: OdeSolver, evaluations: int) -> bool:
        """Show a step to the driver; return whether the phase ends here."""
        t, w = float(solver.t), solver.y
        self.count_rejected(solver, evaluations)
        value = self.segment.evaluator(t, w) if all_finite(w) else w
        norm = self.segment.evaluator.norm(w, value)
        step = Step(*self._before, t, w, value, norm, solver.dense_output)
        self.finding = self.finite.look(step) or self.look(step)
        if self.finding is None:
            self._before = t, self.record.w, value
        return self.finding is not None

    def failed(self, solver: OdeSolver, error: object) -> None:
        """Name a solver's failure."""
        if isinstance(error, Exception):
            self.finding = self.finite.failed(f"({error})")
        else:
            self.finding = failure(self.segment, self.finite, solver.t, error)

    def count_rejected(self, solver: OdeSolver, evaluations: int) -> None:
        """Count rejected trials, from what the method says of them."""
        if hasattr(solver, "n_rejected"):
            self.tally.rejected += solver.n_rejected - self._rejected
            self._rejected = solver.n_rejected
        elif hasattr(solver, "n_stages"):  # SciPy's Runge-Kutta: n_stages evaluations a trial
            self.tally.rejected += evaluations // solver.n_stages - 1


def _reporting(method: type[OdeSolver], reporter: _Reporter) -> type[OdeSolver]:
    """Return a subclass of ``method`` that shows every accepted step to ``reporter``.

    ``solve_ivp`` ends when a solver's status does, so this is how stop rules that it lacks (fresh
    stationarity, limits, non-finite states, located rules) reach every method unchanged.
    """

    class Reporting(method):  # type: ignore[misc]
        status: str

        def step(self) -> str | None:
            reporter.solver = self
            before = self.nfev
            try:
                with np.errstate(all="ignore"):
                    message: str | None = super().step()
            except (ValueError, np.linalg.LinAlgError) as error:
                # SciPy's linear algebra refuses NaN with a ValueError; anything else is a real error.
                if reporter.segment.evaluator.non_finite == 0 and "infs or NaNs" not in str(error):
                    raise
                reporter.failed(self, error)
                self.status = "failed"
                return str(error)
            if self.status == "failed":
                reporter.failed(self, message)
            elif reporter.accepted(self, self.nfev - before):
                self.status = "finished"
            return message

    Reporting.__name__ = method.__name__
    return Reporting
