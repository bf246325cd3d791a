"""How many critical points the MAML loss of one variable has: a count that is a proof.

An interval of w is divided into cells, on each of which interval arithmetic shows that F' does not
vanish, or that F'' does not; a cell on which it shows neither is halved. Neighbouring cells without
a sign of F' share the sign of F'' (they share a point), so a run of them holds one critical point
if F' has opposite signs on its two sides and none if it has not. The count stays open if F' and F''
cannot be separated from 0 on some narrow cell, as at the values of alpha at which two critical
points merge. It holds for every alpha of an interval at once where alpha is an interval.

For strongly convex sinusoidal tasks and alpha < 1/L all critical points lie in a known interval, so
that the count is that of the whole line. It settles uniqueness in either direction, where Theorem
3.10 of Xu, Chen and Karbasi (AISTATS 2021) and its corrected form are sufficient conditions only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_array, check_real
from maml_ode.tasks.base import TaskFamily, checked_family
from maml_ode.theory.enclosed_derivatives import MAMLEnclosure, confining_interval
from maml_ode.theory.interval_arrays import IntervalArray
from maml_ode.theory.regions import Interval

__all__ = ["CriticalPoints", "bifurcation_table", "count_by_alpha", "count_critical_points"]

_FIRST_CELLS = 64
_NARROWEST = 2.0**-36  # relative to the interval
_MOST_CELLS = 200_000
_TOGETHER = 64
# Cells much narrower than the interval of alpha gain nothing: the enclosures do not shrink with
# them.
_CELL_PER_ALPHA = 0.02


@dataclass(frozen=True)
class CriticalPoints:
    """The critical points of F on an interval.

    Attributes
    ----------
    alpha : tuple of float
        The statement holds for every alpha in [alpha[0], alpha[1]].
    interval : tuple of float
        The w considered.
    count : int or None
        The number of critical points in ``interval``; None where it is not proved.
    enclosures : tuple of (float, float)
        Disjoint intervals in ascending order, each with exactly one of them (for every alpha).
    kinds : tuple of str
        "minimum" where F'' > 0 is proved, "maximum" where F'' < 0 is.
    certified : bool
        Whether ``count`` is proved.
    everywhere : bool
        Whether there are proved to be no critical points outside ``interval``.
    note : str
    """

    alpha: tuple[float, float]
    interval: tuple[float, float]
    count: int | None
    enclosures: tuple[tuple[float, float], ...]
    kinds: tuple[str, ...]
    certified: bool
    everywhere: bool
    note: str

    @property
    def unique(self) -> bool | None:
        """Whether F has exactly one critical point on the whole line; None if that is not proved."""
        if self.count is None or (self.count == 1 and not self.everywhere):
            return None
        if self.count == 0 and not self.everywhere:
            return None
        return self.count == 1

    @property
    def points(self) -> Array:
        """The middles of the enclosures, shape (count,)."""
        return np.array([0.5 * (low + high) for low, high in self.enclosures])


def count_critical_points(
    tasks: TaskFamily, alpha: float, interval: Interval | tuple[float, float] | None = None
) -> CriticalPoints:
    """Return the critical points of F with enclosures, certified by interval arithmetic.

    Parameters
    ----------
    tasks : Sinusoid, Quadratic or Symbolic
        With d = 1.
    alpha : float
        Inner step size, at least 0.
    interval : Interval or (float, float), optional
        The w to consider. It may be left out for sinusoids with a_i > 0 and alpha < 1/L, whose
        critical points are all within |w| <= max |b_i omega_i|/(2 a_i), and for quadratic tasks.

    Raises
    ------
    ValueError
        For d > 1, a bad alpha or interval, or no interval where one is needed.
    TypeError
        For a family without formulas.

    Examples
    --------
    The problem of Figure 1 of the paper, which says that its critical point is unique:

    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Sinusoid([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0])
    >>> found = mo.theory.count_critical_points(tasks, 0.4)
    >>> found.count, found.certified, found.everywhere
    (7, True, True)
    >>> found.points.round(6).tolist()
    [0.288088, 0.311261, 0.344866, 0.381652, 0.402744, 0.449469, 0.460737]
    """
    checked_family(tasks)
    step = check_real("alpha", alpha, minimum=0.0)
    return bifurcation_table(tasks, [step], interval)[0]


def bifurcation_table(
    tasks: TaskFamily,
    alphas: npt.ArrayLike,
    interval: Interval | tuple[float, float] | None = None,
) -> list[CriticalPoints]:
    """Return ``count_critical_points`` for each of the given values of alpha, shape (n,)."""
    checked_family(tasks)
    values = as_array("alphas", alphas, (None,))
    found, scope = _count(tasks, values, values, interval)
    return _with_narrow_enclosures(scope, found)


def count_by_alpha(
    tasks: TaskFamily,
    alpha_max: float,
    *,
    alpha_min: float = 0.0,
    width: float | None = None,
    narrowest: float | None = None,
    interval: Interval | tuple[float, float] | None = None,
) -> list[CriticalPoints]:
    """Return the number of critical points for every alpha in [alpha_min, alpha_max].

    Intervals of alpha are halved until the count is proved for all their members at once.
    Neighbours with the same count are merged, so what is returned covers the range in ascending
    order; around each value at which the number changes an interval of about ``narrowest`` with
    ``count`` None remains.

    Parameters
    ----------
    tasks, interval
        As for ``count_critical_points``.
    alpha_max, alpha_min : float
        0 <= alpha_min < alpha_max.
    width, narrowest : float, optional
        Widths of the first and of the narrowest intervals of alpha; by default 1/256 and 1/32768 of
        the range.
    """
    checked_family(tasks)
    low, high = check_real("alpha_min", alpha_min, minimum=0.0), check_real("alpha_max", alpha_max)
    if not low < high:
        raise ValueError(f"alpha_max must be greater than alpha_min = {low:g}, not {high:g}.")
    first = (
        (high - low) / 256 if width is None else check_real("width", width, minimum=0, strict=True)
    )
    last = (
        (high - low) / 32768
        if narrowest is None
        else check_real("narrowest", narrowest, minimum=0, strict=True)
    )
    edges = np.linspace(low, high, max(1, round((high - low) / first)) + 1)
    lows, highs = edges[:-1], edges[1:]
    done: list[CriticalPoints] = []
    while lows.size:
        found, _ = _count(tasks, lows, highs, interval)
        final = np.array([item.certified for item in found]) | (highs - lows <= last)
        done += [item for item, is_final in zip(found, final, strict=True) if is_final]
        lows, highs = lows[~final], highs[~final]
        middles = 0.5 * (lows + highs)
        lows, highs = np.concatenate([lows, middles]), np.concatenate([middles, highs])
    return _merged(sorted(done, key=lambda item: item.alpha))


def _merged(items: list[CriticalPoints]) -> list[CriticalPoints]:
    merged: list[CriticalPoints] = []
    for item in items:
        same = bool(merged) and merged[-1].count == item.count
        start = merged.pop().alpha[0] if same else item.alpha[0]
        everywhere = item.everywhere
        note = "" if item.certified else item.note
        merged.append(
            CriticalPoints(
                (start, item.alpha[1]), item.interval, item.count, (), (), item.certified,
                everywhere, note,
            )
        )  # fmt: skip
    return merged


@dataclass(frozen=True, eq=False)
class _Scope:
    enclose: MAMLEnclosure
    lower: float
    upper: float
    everywhere: bool


def _scope(
    tasks: TaskFamily, alpha: float, interval: Interval | tuple[float, float] | None
) -> _Scope:
    enclose = MAMLEnclosure(tasks)
    confined = _quadratic_reach(tasks, alpha) or confining_interval(tasks, alpha)
    if interval is None:
        if confined is None:
            raise ValueError(
                "interval must be given: the critical points of F are confined to a known interval only "
                "for sinusoids with a_i > 0 and alpha < 1/L, and for quadratic tasks."
            )
        return _Scope(enclose, *confined, True)
    ends = (
        interval
        if isinstance(interval, Interval)
        else Interval(*as_array("interval", interval, (2,)))
    )
    everywhere = confined is not None and ends.lower <= confined[0] and confined[1] <= ends.upper
    return _Scope(enclose, float(ends.lower), float(ends.upper), everywhere)


def _quadratic_reach(tasks: TaskFamily, alpha: float) -> tuple[float, float] | None:
    """Return an interval about the root of F' = G w - c where G > 0 or G < 0 is proved."""
    terms = tasks.quadratic
    if terms is None or tasks.dim != 1:
        return None
    h, b = (IntervalArray.of(x.reshape(tasks.n_tasks)) for x in (terms.H, terms.b))
    factor = (1.0 - h * alpha).square() * IntervalArray.of(tasks.weights)
    G, c = _sum(h * factor), _sum(b * factor)
    root = c / G
    if not (np.isfinite(root.lower) and np.isfinite(root.upper)):
        return None
    pad = 1.0 + abs(float(root.lower))
    return float(root.lower) - pad, float(root.upper) + pad


def _sum(x: IntervalArray) -> IntervalArray:
    total = IntervalArray.of(0.0)
    for low, high in zip(x.lower, x.upper, strict=True):
        total = total + IntervalArray.of(low, high)
    return total


def _count(
    tasks: TaskFamily,
    alpha_low: Array,
    alpha_high: Array,
    interval: Interval | tuple[float, float] | None,
) -> tuple[list[CriticalPoints], _Scope]:
    if (alpha_low < 0).any():
        raise ValueError(f"alpha must be at least 0, not {float(alpha_low.min()):g}.")
    if alpha_low.size == 0:
        raise ValueError("alphas must hold at least one value.")
    scope = _scope(tasks, float(alpha_high.max()), interval)
    found: list[CriticalPoints] = []
    for start in range(0, alpha_low.size, _TOGETHER):
        some = slice(start, start + _TOGETHER)
        found += _divide(scope, alpha_low[some], alpha_high[some])
    return found, scope


def _divide(scope: _Scope, alpha_low: Array, alpha_high: Array) -> list[CriticalPoints]:
    """Halve cells until each is decided; a cell belongs to one alpha."""
    n = alpha_low.size
    edges = np.linspace(scope.lower, scope.upper, _FIRST_CELLS + 1)
    owner = np.repeat(np.arange(n), _FIRST_CELLS)
    low, high = np.tile(edges[:-1], n), np.tile(edges[1:], n)
    narrowest = np.maximum(
        _NARROWEST * (scope.upper - scope.lower), _CELL_PER_ALPHA * (alpha_high - alpha_low)
    )
    trouble: list[tuple[float, float] | None] = [None] * n
    # the ends count as cells of width 0: a run of open cells there needs a sign beyond it
    ends = np.tile([scope.lower, scope.upper], n)
    owner, low, high = (
        np.concatenate(pair)
        for pair in ((owner, np.repeat(np.arange(n), 2)), (low, ends), (high, ends))
    )
    parts = []
    total = 0
    while low.size:
        alpha = IntervalArray(alpha_low[owner], alpha_high[owner])
        slope, bend = scope.enclose(alpha, IntervalArray(low, high))
        total += low.size
        is_end = low == high
        known = (slope.sign != 0) | ((bend.sign != 0) & ~is_end)
        parts.append((owner[known], low[known], high[known], slope.sign[known], bend.sign[known]))
        stuck = ~known & ((high - low < narrowest[owner]) | is_end | (total > _MOST_CELLS * n))
        for j in np.flatnonzero(stuck):
            trouble[owner[j]] = float(low[j]), float(high[j])
        is_open = ~known & np.array([trouble[i] is None for i in owner])
        owner, low, high = owner[is_open], low[is_open], high[is_open]
        middle = 0.5 * (low + high)
        owner = np.concatenate([owner, owner])
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
    owners, lows, highs, slopes, bends = (np.concatenate(x) for x in zip(*parts, strict=True))
    results = []
    for k in range(n):
        mine = np.flatnonzero(owners == k)
        mine = mine[np.lexsort((highs[mine], lows[mine]))]
        arrays = (lows[mine], highs[mine], slopes[mine], bends[mine])
        results.append(
            _read_off(scope, (float(alpha_low[k]), float(alpha_high[k])), trouble[k], *arrays)
        )
    return results


def _read_off(
    scope: _Scope,
    alpha: tuple[float, float],
    trouble: tuple[float, float] | None,
    low: Array,
    high: Array,
    slope: npt.NDArray[np.int64],
    bend: npt.NDArray[np.int64],
) -> CriticalPoints:
    """Count the changes of sign of F' along the cells; between them F'' has one sign."""
    where = scope.lower, scope.upper
    if trouble is not None:
        place = (
            f"at the end w = {trouble[0]:.10g} of the interval F' is not separated from 0; move it"
            if trouble[0] == trouble[1]
            else f"F' and F'' are not separated from 0 near w = {trouble[0]:.10g}"
        )
        note = f"not proved: {place}"
        return CriticalPoints(alpha, where, None, (), (), False, scope.everywhere, note)
    signed = np.flatnonzero(slope)
    before, after = signed[:-1], signed[1:]
    crossing = slope[before] != slope[after]
    before, after = before[crossing], after[crossing]
    kinds = tuple("minimum" if slope[j] > 0 else "maximum" for j in after)
    pairs = zip(before, after, strict=True)
    brackets = tuple((float(high[i]), float(low[j])) for i, j in pairs)
    note = (
        "all critical points of F lie in the interval"
        if scope.everywhere
        else "nothing is said about w outside the interval"
    )
    return CriticalPoints(
        alpha, where, len(brackets), brackets, kinds, True, scope.everywhere, note
    )


def _with_narrow_enclosures(scope: _Scope, found: list[CriticalPoints]) -> list[CriticalPoints]:
    """Narrow the enclosures by the interval Newton method, or by bisection where F'' has no sign."""
    rows = [
        (k, item.alpha[0], low, high, 1 if kind == "minimum" else -1)
        for k, item in enumerate(found)
        for (low, high), kind in zip(item.enclosures, item.kinds, strict=True)
    ]
    if not rows:
        return found
    owner, alpha, low, high, rise = (np.array(column) for column in zip(*rows, strict=True))
    active = np.arange(low.size)
    for _ in range(100):
        step, box = IntervalArray.of(alpha[active]), IntervalArray(low[active], high[active])
        centre = box.centre()
        slope = scope.enclose.slope(step, centre)
        _, bend = scope.enclose(step, box)
        newton = box.meet(centre - slope / bend)
        side = slope.sign * rise[active]
        low[active] = np.where(side < 0, centre.lower, newton.lower)
        high[active] = np.where(side > 0, centre.lower, newton.upper)
        low[active] = np.maximum(low[active], newton.lower)
        high[active] = np.minimum(high[active], newton.upper)
        shrinks = high[active] - low[active] < 0.75 * (box.upper - box.lower)
        active = active[shrinks]
        if not active.size:
            break
    return [
        replace(
            item,
            enclosures=tuple((float(low[j]), float(high[j])) for j in np.flatnonzero(owner == k)),
        )
        for k, item in enumerate(found)
    ]
