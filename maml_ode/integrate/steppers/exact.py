"""Affine phases by their closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

import numpy as np

from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.flows.fields import VectorField
from maml_ode.flows.second_order_fields import MomentumField
from maml_ode.integrate.exact import (
    AIMED_BELOW,
    GROWTH,
    LAST_SHARES,
    LEAST_EXCESS,
    POINTS,
    ExactPhase,
)
from maml_ode.integrate.exact_momentum import MomentumPhase
from maml_ode.integrate.plan import NO_METHOD, Plan, Tolerances
from maml_ode.integrate.record import Record
from maml_ode.integrate.segment import Segment
from maml_ode.integrate.steppers.protocol import Look
from maml_ode.integrate.tally import Tally
from maml_ode.integrate.watch.finding import Crossing, Finding
from maml_ode.stop import Stop, StopReason

__all__ = ["ONE_HESSIAN", "SMALL", "ExactStepper", "exact_plan"]

Exact = ExactPhase | MomentumPhase
ONE_HESSIAN = Counts(hessians=1)
MOST_POINTS = 2 * POINTS + 1
NO_AMPLITUDES = np.empty(0)
# Beyond this dimension a BLAS is as fast, and what is left to gain is nothing beside it.
SMALL = 100
NO_TOLERANCES = Tolerances(0.0, 0.0, True, True)


@lru_cache(maxsize=16)
def exact_plan(t_max: float) -> Plan:
    """Return the plan of a closed form: no solver and no tolerances to choose, only the horizon is read."""
    return Plan(NO_METHOD, NO_TOLERANCES, t_max, max_steps=1)


class ExactStepper:
    """One eigendecomposition a phase; the times at which norms are reached are roots of its formula.

    Parameters
    ----------
    record : Record
    tally : Tally
    t_max : float
    compiled : bool
        Whether phases in which everything decays are followed in compiled code, which imports Numba.
    """

    locates = True
    by_formula = True

    def __init__(self, record: Record, tally: Tally, t_max: float, compiled: bool) -> None:
        self._record = record
        self._tally = tally
        self._t_max = t_max
        self._compiled = compiled and not record.keeps_solution

    def arrive(self, segment: Segment) -> Stop | None:
        """Leave everything to the formula."""
        return None

    def land(self, segment: Segment, plan: Plan, crossing: Crossing) -> None:
        """Do nothing: the phase was followed to its very end."""

    def run(self, segment: Segment, plan: Plan, look: Look) -> Finding:
        """Follow the phase to its end, and say what ended it."""
        self._tally.check_limits()
        stop = self._run_phase(segment)
        if stop is not None:
            return Finding(stop)
        t = self._record.t
        return Finding(Stop(StopReason.SWITCHED), crossing=Crossing(t, self._record.w, t, t))

    def _run_phase(self, segment: Segment) -> Stop | None:
        """Follow a phase to its end; return what ends the run there, or None where its rule is met."""
        field, tol, rule = segment.leg.field, segment.tol, segment.leg.rule
        own = -math.inf if rule is None else rule.scale or 0.0
        if self._compiled:
            stop, plain = self._run_compiled(segment.number, field, own, tol)
            if plain:
                return stop
        exact = self._begin(field)
        threshold, duration, switches = _ending(exact, own, rule is not None, tol)
        end, stop, norm = exact.start + duration, None, math.nan
        if not math.isfinite(end) and math.isinf(self._t_max):
            raise ValueError(
                f"phase {segment.number} never reaches a field norm of {max(threshold, 0.0):g}: a part of the "
                "field lies in the null space or in a growing direction of its matrix; pass t_max."
            )
        if end <= self._t_max and not switches:
            end, norm, stop = self._stationarity(field, exact, threshold, end)
        overflow = self._follow_path(exact, min(end, self._t_max), segment.number)
        if overflow is not None:
            return overflow
        if stop is not None:
            self._record.know(norm)
            return stop
        return None if switches and end <= self._t_max else self._at_horizon()

    def _run_compiled(
        self, number: int, field: VectorField, own: float, tol: float
    ) -> tuple[Stop | None, bool]:
        """Follow a plain phase in one compiled call; of any other, nothing is recorded, and False returned."""
        record = self._record
        if field.dim > SMALL or record.dim != field.dim or field.affine is None:
            return None, False
        form = field.closed_form
        if form is None:
            return None, False
        w = record.w
        handle, finds_amplitudes = form
        follow, irregular, at_rest, cut_off = _compiled()
        code, points, norm, evaluations = follow(
            handle, w, NO_AMPLITUDES if finds_amplitudes else field.affine.amplitudes(w),
            record.t, own, tol, self._t_max, *record.room(MOST_POINTS),
        )  # fmt: skip
        if code == irregular:
            return None, False
        self._charge(field, 1 + evaluations)
        record.filled(points, number)
        if code == at_rest:
            record.know(norm)
            return _at_rest(norm, tol, record.t), True
        return self._at_horizon() if code == cut_off else None, True

    def _at_horizon(self) -> Stop:
        return Stop(StopReason.HORIZON, f"t = {self._record.t:.6g}.", asked_for=True)

    def _charge(self, field: VectorField, evaluations: int) -> None:
        """Count what a closed form is made of."""
        tally = self._tally
        tally.nfev += evaluations
        tally.njev += 1
        tally.nlu += 1
        tally.add(field.cost, evaluations)
        tally.add(ONE_HESSIAN)

    def _begin(self, field: VectorField) -> Exact:
        self._charge(field, 1)
        if isinstance(field, MomentumField):
            return MomentumPhase.begin(field, self._record.t, self._record.w, self._t_max)
        if field.affine is None:
            raise RuntimeError("an affine field lost its matrix; this is a defect of maml_ode.")
        return ExactPhase.begin(field.affine, self._record.t, np.array(self._record.w))

    def _follow_path(self, exact: Exact, end: float, number: int) -> Stop | None:
        """Record the phase up to ``end``; return the stop of a state that overflows before it."""
        last = end
        times, states = _sampled(exact, last)
        if times.size and not np.isfinite(states[-1]).all():
            last = exact.last_finite_time(end)
            times, states = _sampled(exact, last)
        if last > exact.start:
            self._record.extend(times, states, number)
            self._record.keep(last, _Piece(exact))
        if last == end:
            return None
        detail = f"The state grows beyond the largest number after t = {last:.6g}; pass a t_max below that."
        return Stop(StopReason.NON_FINITE, detail)

    def _stationarity(
        self, field: VectorField, exact: Exact, tol: float, t: float
    ) -> tuple[float, float, Stop | None]:
        """Return when the field evaluated at the state, not its formula, is at most ``tol``, and its norm then.

        Rounding of the state may keep the one above the other. Then later times are tried, at which the formula
        is a little and at last far below; if none will do, the run goes on to its horizon or, without one, ends
        here.
        """
        first, later = math.nan, t
        shares: Iterator[float] | None = None
        while math.isfinite(later) and later <= self._t_max:
            size, _ = exact.norm(later)
            self._tally.nfev += 1
            self._tally.add(field.cost)
            if size <= tol:
                return later, size, _at_rest(size, tol, later)
            if shares is None:
                first, shares = size, _shares(size / tol - 1.0)
            share = next(shares, None)
            if share is None:
                break
            later = exact.start + exact.time_to_norm(share * tol)
        if math.isfinite(self._t_max):
            return self._t_max, math.nan, None
        detail = (
            f"Rounding leaves {first:.6g} at tol = {tol:g}, t = {t:.6g}, the time at which the exact norm is tol; "
            "raise tol."
        )
        return t, first, Stop(StopReason.TOLERANCE_OUT_OF_REACH, detail)


def _ending(exact: Exact, own: float, has_rule: bool, tol: float) -> tuple[float, float, bool]:
    """Return the norm at which the phase ends, how long that takes, and whether its rule ends it."""
    if isinstance(exact, MomentumPhase):  # its rule looks at the gradient alone
        met = exact.time_to_gradient_norm(own) if has_rule else math.inf
        rest = exact.time_to_norm(tol) if tol > 0 else math.inf
        return (own, met, True) if met <= rest and has_rule else (tol, rest, False)
    threshold = max(tol, own) if tol > 0 or has_rule else -math.inf
    duration = exact.time_to_norm(threshold) if threshold >= 0 else math.inf
    return threshold, duration, has_rule and own >= tol


def _sampled(exact: Exact, last: float) -> tuple[Array, Array]:
    """Return times from the phase's start, without it, up to ``last``, and the states then."""
    if last <= exact.start:
        return np.empty(0), np.empty((0, exact.state.size))
    times = exact.sample_times(last - exact.start)
    times[-1] = last  # start + (last - start) may miss it by a rounding error
    # A duration of a few units in the last place has no room for all of them.
    times = times[(times > exact.start) & (times <= last)]
    times = times[np.append(times[1:] != times[:-1], True)]
    return times, np.ascontiguousarray(exact.states(times).T)


def _at_rest(norm: float, tol: float, t: float) -> Stop:
    detail = f"{norm:.6g} at tol = {tol:g}, t = {t:.6g}."
    return Stop(StopReason.STATIONARY, detail, True)


@cache
def _compiled() -> tuple[Any, int, int, int]:
    """Return the compiled function and the codes that it returns; late, because that imports Numba."""
    from maml_ode.compiled.unasked import unasked
    from maml_ode.integrate.solvers.kernels.closed_form import exact_phase
    from maml_ode.integrate.solvers.member_codes import AT_REST, CUT_OFF, IRREGULAR

    return unasked(exact_phase.compiled), IRREGULAR, AT_REST, CUT_OFF


def _shares(excess: float) -> Iterator[float]:
    """Yield the parts of tol that are aimed at where the norm at the state exceeds it by that share."""
    below = AIMED_BELOW * max(excess, LEAST_EXCESS)
    while below < 1.0 - LAST_SHARES[0]:
        yield 1.0 - below
        below *= GROWTH
    yield from LAST_SHARES


class _Piece:
    """A phase as a piece of the continuous solution: called as SciPy's interpolants are."""

    def __init__(self, exact: Exact) -> None:
        self._exact = exact

    def __call__(self, t: float | Array) -> Array:
        states = self._exact.states(np.atleast_1d(np.asarray(t, dtype=np.float64)))
        return states[:, 0] if np.ndim(t) == 0 else states
