"""How many critical points the MAML loss of one variable has: a count that is a proof.

An interval of w is divided into cells, on each of which interval arithmetic shows that F' does not
vanish, or that F'' does not; a cell on which it shows neither is halved. Neighbouring cells without
a sign of F' share the sign of F'' (they share a point), so a run of them holds one critical point
if F' has opposite signs on its two sides and none if it has not. The count stays open if F' and F''
cannot be separated from 0 on some narrow cell, as at the values of alpha at which two critical
points merge. It holds for every alpha of an interval at once where alpha is an interval. Every sign that
the search finds is confirmed by Arb (python-flint) before a count is called proved.

For strongly convex sinusoidal tasks and |alpha| < 1/L all critical points lie in a known interval, so
that the count is that of the whole line. It settles uniqueness in either direction, where Theorem
3.10 of Xu, Chen and Karbasi (AISTATS 2021) and its corrected form are sufficient conditions only.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_array, check_real
from maml_ode.tasks.base import TaskFamily, checked_family
from maml_ode.theory.intervals.result import CriticalPoints
from maml_ode.theory.regions import Interval
from maml_ode.theory.step_size import one_step_alpha, outside_theory

__all__ = ["CriticalPoints", "bifurcation_table", "count_by_alpha", "count_critical_points"]

_TOGETHER = 64
_MOST_INTERVALS = 100_000

Ends = Interval | tuple[float, float]


def count_critical_points(
    tasks: TaskFamily,
    alpha: npt.ArrayLike,
    interval: Ends | None = None,
    *,
    max_seconds: float | None = 2.0,
) -> CriticalPoints:
    """Return the critical points of F with enclosures, certified by interval arithmetic.

    Parameters
    ----------
    tasks : Sinusoid, Quadratic or Symbolic
        With d = 1.
    alpha : float or array_like
        Inner step size, of either sign. For an array (of one inner step, as `MAMLLoss` takes it) nothing is
        proved.
    interval : Interval or (float, float), optional
        The w to consider. It may be left out for sinusoids with a_i > 0 and ``|alpha| < 1/L``, whose
        critical points are all within ``|w| <= max |b_i omega_i|/(2 a_i)``, and for quadratic tasks.
    max_seconds : float or None
        After so long the count is given up as not proved; None for no limit. The number of cells is
        limited too.

    Returns
    -------
    CriticalPoints

    Raises
    ------
    ValueError
        For d > 1, a bad alpha or interval, or no interval where one is needed.
    TypeError
        For a family without formulas.
    ImportError
        Without python-flint.

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
    step = one_step_alpha(checked_family(tasks), alpha)
    if isinstance(step, np.ndarray):
        ends = _ends(interval) or (-np.inf, np.inf)
        note = f"not proved: {outside_theory(step)}"
        bounds = float(step.min()), float(step.max())
        return CriticalPoints(bounds, ends, None, (), (), False, False, note)
    return bifurcation_table(tasks, [step], interval, max_seconds=max_seconds)[0]


def bifurcation_table(
    tasks: TaskFamily,
    alphas: npt.ArrayLike,
    interval: Ends | None = None,
    *,
    max_seconds: float | None = 2.0,
) -> list[CriticalPoints]:
    """Return ``count_critical_points`` for each of the given values of alpha, shape (n,).

    Without ``interval`` one is taken that confines the critical points for all values of alpha for which
    such an interval is known. ``max_seconds`` is allowed for each value of alpha.

    Parameters
    ----------
    tasks : Sinusoid, Quadratic or Symbolic
        With d = 1.
    alphas : array_like of shape (n,)
    interval : Interval or (float, float), optional
        As for `count_critical_points`.
    max_seconds : float, optional
        For each value of alpha.

    Returns
    -------
    list of CriticalPoints

    Raises
    ------
    ValueError, TypeError
        As `count_critical_points`.

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("figure1")
    >>> [found.count for found in mo.theory.bifurcation_table(problem.tasks, [0.1, 0.4])]
    [1, 7]
    """
    from maml_ode.theory.intervals.search import Search

    values = as_array("alphas", alphas, (None,))
    search = Search(tasks, values, values, _ends(interval))
    seconds = _seconds(max_seconds)
    return [item for some in _chunks(values) for item in search.points(some, seconds * some.size)]


def count_by_alpha(
    tasks: TaskFamily,
    alpha_max: float,
    *,
    alpha_min: float = 0.0,
    width: float | None = None,
    narrowest: float | None = None,
    interval: Ends | None = None,
    max_seconds: float | None = 300.0,
) -> list[CriticalPoints]:
    """Return the number of critical points for every alpha in [alpha_min, alpha_max].

    Intervals of alpha are halved until the count is proved for all their members at once.
    Neighbours with the same count are merged, so what is returned covers the range in ascending
    order; around each value at which the number changes an interval of about ``narrowest`` with
    ``count`` None remains.

    Parameters
    ----------
    tasks, interval
        As for ``bifurcation_table``.
    alpha_max, alpha_min : float
        alpha_min < alpha_max.
    width, narrowest : float, optional
        Widths of the first and of the narrowest intervals of alpha; by default 1/256 and 1/32768 of
        the range.
    max_seconds : float or None
        After so long, in all, what is left is given back as not proved.

    Returns
    -------
    list of CriticalPoints
        In ascending order of alpha.

    Raises
    ------
    ValueError, TypeError
        For a range of alpha that is none, or as `count_critical_points`.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Sinusoid([1.0], [0.5], [1.0])
    >>> [(found.alpha, found.count) for found in mo.theory.count_by_alpha(tasks, 0.2)]
    [((0.0, 0.2), 1)]
    """
    from maml_ode.theory.intervals.search import Search
    from maml_ode.theory.intervals.work import Work

    low, high = check_real("alpha_min", alpha_min), check_real("alpha_max", alpha_max)
    if not low < high:
        raise ValueError(f"alpha_max must be greater than alpha_min = {low:g}, not {high:g}.")
    first = _width("width", width, (high - low) / 256)
    last = _width("narrowest", narrowest, (high - low) / 32768)
    if (high - low) / first > _MOST_INTERVALS:
        raise ValueError(
            f"width must be at least {(high - low) / _MOST_INTERVALS:.3g}, a hundred-thousandth of the range, "
            f"not {first:g}."
        )
    edges = np.linspace(low, high, max(1, round((high - low) / first)) + 1)
    lows, highs = edges[:-1], edges[1:]
    search = Search(tasks, lows, highs, _ends(interval))
    work = Work(_seconds(max_seconds))
    done: list[CriticalPoints] = []
    while lows.size:
        ends = _chunks(np.stack([lows, highs]))
        found = [item for low, high in ends for item in search.counts(low, high, work)]
        middles = 0.5 * (lows + highs)
        final = np.array([item.certified for item in found]) | (highs - lows <= last) | work.over
        final |= ~((lows < middles) & (middles < highs)) | bool(search.hopeless)
        done += [found[k] for k in np.flatnonzero(final)]
        lows, middles, highs = lows[~final], middles[~final], highs[~final]
        lows, highs = np.concatenate([lows, middles]), np.concatenate([middles, highs])
    return _merged(sorted(done, key=lambda item: item.alpha))


def _width(name: str, given: float | None, default: float) -> float:
    return default if given is None else check_real(name, given, minimum=0.0, strict=True)


def _seconds(max_seconds: float | None) -> float:
    if max_seconds is None:
        return np.inf
    return check_real("max_seconds", max_seconds, minimum=0.0, strict=True)


def _chunks(values: Array) -> list[Array]:
    return [values[..., k : k + _TOGETHER] for k in range(0, values.shape[-1], _TOGETHER)]


def _merged(items: list[CriticalPoints]) -> list[CriticalPoints]:
    merged: list[CriticalPoints] = []
    for item in items:
        start, everywhere = item.alpha[0], item.everywhere
        if merged and merged[-1].count == item.count:
            before = merged.pop()
            start, everywhere = before.alpha[0], everywhere and before.everywhere
        merged.append(
            replace(
                item,
                alpha=(start, item.alpha[1]),
                enclosures=(),
                kinds=(),
                everywhere=everywhere,
                note="" if item.certified else item.note,
            )
        )
    return merged


def _ends(interval: Ends | None) -> tuple[float, float] | None:
    if interval is not None and not isinstance(interval, Interval):
        interval = Interval(*(float(x) for x in as_array("interval", interval, (2,))))
    return None if interval is None else (float(interval.lower), float(interval.upper))
