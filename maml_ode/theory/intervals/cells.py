"""Cells of an interval of w on which F' or F'' does not vanish: their search and their proof.

The search is vectorised and rounds outwards, but rests on NumPy's accuracy and on formulas written
by hand; every sign that it finds is found once more with Arb before anything is called proved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.theory.intervals.arrays import IntervalArray
from maml_ode.theory.intervals.balls import arb, hull, precision
from maml_ode.theory.intervals.derivatives import MAMLEnclosure
from maml_ode.theory.intervals.power_series import BallMAMLLoss
from maml_ode.theory.intervals.work import Work

__all__ = ["Cells", "divide", "narrowed", "unconfirmed"]

Signs = npt.NDArray[np.int64]
Pair = tuple[float, float]

_FIRST_CELLS = 64
_NARROWEST = 2.0**-36  # relative to the interval
_MOST_CELLS = 200_000
# Cells much narrower than the interval of alpha gain nothing: the enclosures do not shrink with
# them.
_CELL_PER_ALPHA = 0.02
_BITS = 64
_BITS_AT_POINTS = 192
_MOST_PARTS = 4096  # of one cell, where balls need narrower ones than the search did
_NEWTON_STEPS = 100


@dataclass(frozen=True, eq=False)
class Cells:
    """What the search found for one alpha (or one interval of alpha).

    Attributes
    ----------
    alpha : (float, float)
    low, high : ndarray of shape (n,)
        The decided cells in ascending order; without trouble they cover the interval, and its two
        ends come again as cells of width 0.
    slope, bend : ndarray of shape (n,)
        The signs of F' and F'' on them, 0 where the sign is not known; one of them is.
    trouble : str
        Why the search found no cover, or "".
    """

    alpha: tuple[float, float]
    low: Array
    high: Array
    slope: Signs
    bend: Signs
    trouble: str

    def brackets(self) -> tuple[tuple[tuple[float, float], ...], tuple[int, ...]]:
        """Return where F' changes its sign, and whether it rises (1) or falls (-1) there."""
        signed = np.flatnonzero(self.slope)
        before, after = signed[:-1], signed[1:]
        crossing = self.slope[before] != self.slope[after]
        before, after = before[crossing], after[crossing]
        ends = np.stack([self.high[before], self.low[after]], axis=1)
        return tuple((a, b) for a, b in ends.tolist()), tuple(self.slope[after].tolist())


def divide(
    enclose: MAMLEnclosure,
    interval: tuple[float, float],
    alpha_low: Array,
    alpha_high: Array,
    work: Work,
) -> list[Cells]:
    """Halve cells until each is decided; a cell belongs to one alpha."""
    n = alpha_low.size
    lower, upper = interval
    share = np.linspace(0.0, 1.0, _FIRST_CELLS + 1)
    edges = (1.0 - share) * lower + share * upper
    # the ends count as cells of width 0: a run of open cells there needs a sign beyond it
    first_low, first_high = np.append(edges[:-1], interval), np.append(edges[1:], interval)
    owner = np.repeat(np.arange(n), first_low.size)
    low, high = np.tile(first_low, n), np.tile(first_high, n)
    narrowest = np.maximum(
        _NARROWEST * upper - _NARROWEST * lower, _CELL_PER_ALPHA * (alpha_high - alpha_low)
    )
    trouble = [""] * n
    parts = []
    total = 0
    while low.size:
        slope, bend, bounded = _signs(enclose, alpha_low[owner], alpha_high[owner], low, high, work)
        total += low.size
        is_end = low == high
        known = (slope != 0) | ((bend != 0) & ~is_end)
        parts.append((owner[known], low[known], high[known], slope[known], bend[known]))
        spent = total > _MOST_CELLS * n or work.over
        narrow = 0.5 * high - 0.5 * low < 0.5 * narrowest[owner]
        stuck = ~known & (narrow | is_end | spent)
        for j in np.flatnonzero(stuck):
            trouble[owner[j]] = _trouble(float(low[j]), bool(is_end[j]), bool(bounded[j]), work)
        is_open = ~known & np.array([not trouble[i] for i in owner], dtype=bool)
        owner, low, high = owner[is_open], low[is_open], high[is_open]
        middle = 0.5 * low + 0.5 * high
        owner = np.concatenate([owner, owner])
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
    owners, *columns = (np.concatenate(x) for x in zip(*parts, strict=True))
    found = []
    for k in range(n):
        mine = np.flatnonzero(owners == k)
        mine = mine[np.lexsort((columns[1][mine], columns[0][mine]))]
        low, high, slope, bend = (column[mine] for column in columns)
        alpha = float(alpha_low[k]), float(alpha_high[k])
        found.append(Cells(alpha, low, high, slope, bend, trouble[k]))
    return found


def _trouble(w: float, is_end: bool, bounded: bool, work: Work) -> str:
    if work.over:
        return f"the search was ended after {work.max_seconds:g} s; max_seconds allows more"
    if not bounded:
        return f"F' has no bounds near w = {w:.10g}"
    if is_end:
        return f"at the end w = {w:.10g} of the interval F' is not separated from 0; move it"
    return f"F' and F'' are not separated from 0 near w = {w:.10g}"


def _signs(
    enclose: MAMLEnclosure,
    alpha_low: Array,
    alpha_high: Array,
    low: Array,
    high: Array,
    work: Work,
) -> tuple[Signs, Signs, npt.NDArray[np.bool_]]:
    """Return the signs of F' and F'' on cells and whether F' is bounded there.

    Nothing is known of those that the time did not suffice for.
    """
    slope, bend = (np.zeros(low.size, dtype=np.int64) for _ in range(2))
    bounded = np.ones(low.size, dtype=bool)
    for some in _batches(low.size, enclose.batch):
        if work.over:
            break
        alpha = IntervalArray(alpha_low[some], alpha_high[some])
        first, second = enclose(alpha, IntervalArray(low[some], high[some]))
        slope[some], bend[some] = first.sign, second.sign
        bounded[some] = np.isfinite(first.lower) & np.isfinite(first.upper)
    return slope, bend, bounded


def _batches(size: int, batch: int) -> Iterator[slice]:
    for start in range(0, size, batch):
        yield slice(start, start + batch)


def unconfirmed(loss: BallMAMLLoss, cells: Cells, interval: tuple[float, float], work: Work) -> str:
    """Return "" if the cells cover the interval and Arb finds their signs too, else what is missing."""
    reached = np.maximum.accumulate(cells.high)
    if (
        cells.low[0] != interval[0]
        or reached[-1] != interval[1]
        or (cells.low[1:] > reached[:-1]).any()
    ):
        return "the cells do not cover the interval"
    with precision(_BITS):
        alpha = hull(*cells.alpha)
        for low, high, slope, bend in np.stack(
            [cells.low, cells.high, cells.slope, cells.bend], axis=1
        ).tolist():
            if work.over:
                return f"the proof was ended after {work.max_seconds:g} s; max_seconds allows more"
            if low == high:
                with precision(_BITS_AT_POINTS):
                    holds = _sign(loss.derivatives(alpha, arb(low))[0]) == slope
            else:
                holds = _holds(loss, cells.alpha, (low, high), slope, bend, work)
            if not holds:
                name = "F'" if slope else "F''"
                return f"ball arithmetic does not confirm the sign of {name} near w = {low:.10g}"
    return ""


def _holds(
    loss: BallMAMLLoss, alpha: Pair, cell: Pair, slope: float, bend: float, work: Work
) -> bool:
    """Return whether F' has the sign ``slope`` on a cell, or F'' has ``bend`` if that is 0."""
    parts = [(alpha, cell)]
    examined = 0
    while parts:
        alphas, ends = parts.pop()
        examined += 1
        a, w = hull(*alphas), hull(*ends)
        which = 0 if slope else 1
        claim = slope or bend
        if _sign(loss.derivatives(a, w)[which]) == claim:
            continue
        if _sign(loss.sharper_derivatives(a, w)[which]) == claim:
            continue
        pieces = [(x, y) for x in _halves(alphas) for y in _halves(ends)]
        if examined >= _MOST_PARTS or len(pieces) == 1 or work.over:
            return False
        parts += pieces
    return True


def _halves(pair: Pair) -> list[Pair]:
    low, high = pair
    middle = 0.5 * low + 0.5 * high
    return [(low, middle), (middle, high)] if low < middle < high else [pair]


def _sign(ball: arb) -> int:
    return int(ball > 0) - int(ball < 0)


def narrowed(
    enclose: MAMLEnclosure,
    loss: BallMAMLLoss,
    alpha: Array,
    brackets: npt.NDArray[np.float64],
    rises: Signs,
    work: Work,
) -> npt.NDArray[np.float64]:
    """Narrow brackets of shape (n, 2), in which F' rises or falls through 0, each at its alpha.

    By the interval Newton method, or by bisection where F'' has no sign; the signs of F' at the new ends
    are confirmed by Arb.
    """
    low, high = brackets.T.copy()
    active = np.arange(low.size)
    for _ in range(_NEWTON_STEPS):
        step, box = IntervalArray.of(alpha[active]), IntervalArray(low[active], high[active])
        centre = box.centre()
        slope = enclose.slope(step, centre)
        _, bend = enclose(step, box)
        newton = box.meet(centre - slope / bend)
        side = slope.sign * rises[active]
        low[active] = np.where(side < 0, centre.lower, newton.lower)
        high[active] = np.where(side > 0, centre.lower, newton.upper)
        low[active] = np.maximum(low[active], newton.lower)
        high[active] = np.minimum(high[active], newton.upper)
        shrinks = 0.5 * high[active] - 0.5 * low[active] < 0.375 * box.upper - 0.375 * box.lower
        active = active[shrinks]
        if not active.size or work.over:
            break
    with precision(_BITS_AT_POINTS):
        for k in range(low.size):
            at, ends = arb(float(alpha[k])), (float(low[k]), float(high[k]))
            size, (first, last), rise = ends[1] - ends[0], brackets[k].tolist(), int(rises[k])
            low[k] = _confirmed_end(loss, at, ends[0], size, first, -rise)
            high[k] = _confirmed_end(loss, at, ends[1], size, last, rise)
    return np.stack([low, high], axis=1)


def _confirmed_end(
    loss: BallMAMLLoss, alpha: arb, end: float, size: float, bracket: float, sign: int
) -> float:
    """Return the first of the points ``end``, ``end`` +- ``size``, ... at which F' has ``sign``.

    They move towards ``bracket``, where it is known to have it.
    """
    step = math.copysign(max(size, math.ulp(end)), bracket - end)
    while (end < bracket) if step > 0 else (end > bracket):
        if _sign(loss.derivatives(alpha, arb(end))[0]) == sign:
            return end
        end, step = end + step, 2.0 * step
    return bracket
