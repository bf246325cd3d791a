"""Affine phases by their closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.flows.second_order_fields import MomentumField
from maml_ode.integrate.exact import ExactPhase
from maml_ode.integrate.exact_momentum import MomentumPhase
from maml_ode.integrate.plan import Plan
from maml_ode.integrate.record import Record
from maml_ode.integrate.segment import Segment
from maml_ode.integrate.steppers.protocol import Look
from maml_ode.integrate.tally import Tally
from maml_ode.integrate.watch.finding import Crossing, Finding
from maml_ode.stop import Stop, StopReason

__all__ = ["ExactStepper"]

Exact = ExactPhase | MomentumPhase
ONE_HESSIAN = Counts(hessians=1)
# What is left of tol when later times are tried at last; before that twice the excess is aimed below it, then
# so many times more.
LAST_SHARES = (1e-2, 1e-4, 1e-8)
LEAST_EXCESS, AIMED_BELOW, GROWTH = 1e-15, 2.0, 100.0


class ExactStepper:
    """One eigendecomposition a phase; the times at which norms are reached are roots of its formula.

    Parameters
    ----------
    record : Record
    tally : Tally
    t_max : float
    """

    locates = True
    by_formula = True

    def __init__(self, record: Record, tally: Tally, t_max: float) -> None:
        self._record = record
        self._tally = tally
        self._t_max = t_max

    def arrive(self, segment: Segment) -> Stop | None:
        """Leave everything to the formula."""
        return None

    def land(self, segment: Segment, plan: Plan, crossing: Crossing) -> None:
        """Do nothing: the phase was followed to its very end."""

    def run(self, segment: Segment, plan: Plan, look: Look) -> Finding:
        """Follow the phase to its end, and say what ended it."""
        exact = self._begin(segment)
        threshold, duration, switches = self._ending(segment, exact)
        end = exact.start + duration
        if not math.isfinite(end) and math.isinf(self._t_max):
            raise ValueError(
                f"phase {segment.number} never reaches a field norm of {max(threshold, 0.0):g}: a part of the "
                "field lies in the null space or in a growing direction of its matrix; pass t_max."
            )
        stop, norm = None, math.nan
        if end <= self._t_max and not switches:
            end, norm, stop = self._stationarity(segment, exact, threshold, end)
        overflow = self._follow(exact, min(end, self._t_max), segment.number)
        if overflow is not None:
            return Finding(overflow)
        t = self._record.t
        if stop is not None:
            self._record.know(norm)
            return Finding(stop)
        if end > self._t_max or not switches:
            return Finding(Stop(StopReason.HORIZON, f"t = {t:.6g}.", asked_for=True))
        crossing = Crossing(t, self._record.w, t, t)
        return Finding(Stop(StopReason.SWITCHED), crossing=crossing)

    @staticmethod
    def _ending(segment: Segment, exact: Exact) -> tuple[float, float, bool]:
        """Return the norm at which the phase ends, how long that takes, and whether its rule ends it."""
        rule, tol = segment.rule, segment.tol
        own = -1.0 if rule is None else rule.rule.scale or 0.0
        if isinstance(exact, MomentumPhase):  # its rule looks at the gradient alone
            met = math.inf if rule is None else exact.time_to_gradient_norm(own)
            rest = exact.time_to_norm(tol) if tol > 0 else math.inf
            return (own, met, True) if met <= rest and rule is not None else (tol, rest, False)
        threshold = max(tol, own) if tol > 0 or rule is not None else -1.0
        duration = exact.time_to_norm(threshold) if threshold >= 0 else math.inf
        return threshold, duration, rule is not None and own >= tol

    def _begin(self, segment: Segment) -> Exact:
        field = segment.leg.field
        self._tally.check_limits()
        self._tally.nfev += 1
        self._tally.njev += 1
        self._tally.nlu += 1
        self._tally.add(field.cost)
        self._tally.add(ONE_HESSIAN)
        if isinstance(field, MomentumField):
            return MomentumPhase.begin(field, self._record.t, self._record.w, self._t_max)
        if field.affine is None:
            raise RuntimeError("an affine field lost its matrix; this is a defect of maml_ode.")
        return ExactPhase.begin(field.affine, self._record.t, np.array(self._record.w))

    def _follow(self, exact: Exact, end: float, number: int) -> Stop | None:
        """Record the phase up to ``end``; return the stop of a state that overflows before it."""
        last = end
        times, states = self._sampled(exact, last)
        if times.size and not np.isfinite(states[-1]).all():
            last = exact.last_finite_time(end)
            times, states = self._sampled(exact, last)
        if last > exact.start:
            self._record.extend(times, states, number)
            self._record.keep(last, _Piece(exact))
        if last == end:
            return None
        detail = f"The state grows beyond the largest number after t = {last:.6g}; pass a t_max below that."
        return Stop(StopReason.NON_FINITE, detail)

    @staticmethod
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

    def _stationarity(
        self, segment: Segment, exact: Exact, tol: float, t: float
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
            self._tally.add(segment.leg.field.cost)
            if size <= tol:
                detail = f"{size:.6g} at tol = {tol:g}, t = {later:.6g}."
                return later, size, Stop(StopReason.STATIONARY, detail, asked_for=True)
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
