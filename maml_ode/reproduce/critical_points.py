"""How many critical points the MAML loss of parabolas less sines has: a proof, for whole ranges of alpha.

For f_i(w) = a_i w^2 - b_i sin(omega_i w) with L_i = 2 a_i + |b_i| omega_i^2, mu_i > 0 and alpha < 1/L,
every critical point of F lies between the smallest and the largest minimiser of the f_i: outside, all
f_i'(w) have one sign, a gradient step with alpha < 1/L keeps it, and F' = sum p_i (1 - alpha f_i''(w))
f_i'(u_i) has it too. The range between is divided into cells, on each of which interval arithmetic shows
that F' does not vanish, or that F'' does not, or else the cell is halved. A run of neighbouring cells on
which F is strictly convex or concave then holds one critical point if F' has different signs on either
side of it, and none if it has not.

The same holds when alpha is an interval: F' and F'' are enclosed for all of its members at once. Where
the proof fails, near the values of alpha at which two critical points merge, alpha is halved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from maml_ode._validation import Array
from maml_ode.reproduce.intervals import Interval, cos, sin
from maml_ode.tasks.sinusoid import Sinusoid

__all__ = ["Count", "count_critical_points", "count_over_range", "enclose_derivatives"]

Indices = npt.NDArray[np.int64]

FIRST_CELLS = 64
NARROWEST_CELL = 1e-9
# Cells much narrower than the interval of alpha gain nothing: the enclosures do not shrink with them.
CELL_PER_ALPHA = 0.02


@dataclass(frozen=True)
class Count:
    """The number of critical points of F for every alpha in [alpha_low, alpha_high].

    ``brackets`` are disjoint intervals of w that hold one critical point each; ``rising`` says where F'
    rises through 0, which is a minimum. ``number`` is None where nothing was proved.
    """

    alpha_low: float
    alpha_high: float
    number: int | None
    brackets: tuple[tuple[float, float], ...] = ()
    rising: tuple[bool, ...] = ()


def enclose_derivatives(tasks: Sinusoid, alpha: Interval, w: Interval) -> tuple[Interval, Interval]:
    """Return enclosures of F' and F'', element by element over ``alpha`` and ``w``."""
    one = Interval.of(1.0)
    first, second = Interval.of(0.0), Interval.of(0.0)
    for weight, a, b, omega in zip(tasks.weights, tasks.a, tasks.b, tasks.omega, strict=True):
        p, doubled, frequency = Interval.of(weight), Interval.of(2 * a), Interval.of(omega)
        slope = Interval.of(b) * frequency
        bend = slope * frequency
        u = (one - alpha * doubled) * w + alpha * slope * cos(frequency * w)
        gradient = doubled * u - slope * cos(frequency * u)
        contraction = one - alpha * (doubled + bend * sin(frequency * w))
        first += p * contraction * gradient
        second += p * (
            contraction.square() * (doubled + bend * sin(frequency * u))
            - alpha * bend * frequency * cos(frequency * w) * gradient
        )
    return first, second


def count_critical_points(
    tasks: Sinusoid, alpha_low: Array, alpha_high: Array | None = None
) -> list[Count]:
    """Count the critical points of F for every alpha in each of the given intervals.

    Parameters
    ----------
    tasks : Sinusoid
        With every mu_i = 2 a_i - |b_i| omega_i^2 > 0.
    alpha_low, alpha_high : ndarray of shape (n,)
        Ends of the intervals, within [0, 1/L); single values if ``alpha_high`` is left out.

    Raises
    ------
    ValueError
        If a task loss is not strongly convex or an alpha lies outside [0, 1/L).
    """
    low = np.asarray(alpha_low, dtype=np.float64)
    high = low if alpha_high is None else np.asarray(alpha_high, dtype=np.float64)
    curvature = np.abs(tasks.b) * tasks.omega**2
    if not (2 * tasks.a > curvature).all():
        raise ValueError("every task loss must be strongly convex: 2 a_i > |b_i| omega_i^2.")
    largest = float((2 * tasks.a + curvature).max())
    if (low < 0).any() or (high * largest >= 1).any() or (low > high).any():
        raise ValueError(f"alpha must lie in [0, 1/L) = [0, {1 / largest:.6g}).")
    left, right = _hull(tasks)
    counts = []
    for chunk in range(0, low.size, 64):
        ends = slice(chunk, chunk + 64)
        counts += _count_chunk(tasks, low[ends], high[ends], left, right)
    return counts


def count_over_range(
    tasks: Sinusoid, alpha_max: float, width: float, narrowest: float
) -> list[Count]:
    """Count the critical points of F for every alpha in [0, alpha_max], as far as the proof goes.

    Intervals of alpha of about ``width`` are halved where the proof fails, down to ``narrowest``.
    Neighbouring intervals with the same number are merged; what remains unproved, around the values at
    which the number changes, has ``number`` None.
    """
    edges = np.linspace(0.0, alpha_max, max(1, round(alpha_max / width)) + 1)
    low, high = edges[:-1], edges[1:]
    done: list[Count] = []
    while low.size:
        counts = count_critical_points(tasks, low, high)
        proved = [count.number is not None for count in counts]
        final = np.array(proved) | (high - low <= narrowest)
        done += [count for count, is_final in zip(counts, final, strict=True) if is_final]
        low, high = low[~final], high[~final]
        middle = 0.5 * (low + high)
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
    return _merged(sorted(done, key=lambda count: count.alpha_low))


def _merged(counts: list[Count]) -> list[Count]:
    merged = [Count(counts[0].alpha_low, counts[0].alpha_high, counts[0].number)]
    for count in counts[1:]:
        last = merged[-1]
        if count.number == last.number:
            merged[-1] = Count(last.alpha_low, count.alpha_high, last.number)
        else:
            merged.append(Count(count.alpha_low, count.alpha_high, count.number))
    return merged


def _hull(tasks: Sinusoid) -> tuple[float, float]:
    """Return points left and right of the minimisers of all tasks, the signs of f_i' proved."""
    minimisers = []
    for a, b, omega in zip(tasks.a, tasks.b, tasks.omega, strict=True):
        reach = (abs(b * omega) + 1.0) / (2 * a)
        slope = lambda w, a=a, b=b, omega=omega: 2 * a * w - b * omega * np.cos(omega * w)  # noqa: E731
        minimisers.append(brentq(slope, -reach, reach))
    left, right = min(minimisers) - 1e-6, max(minimisers) + 1e-6
    for a, b, omega in zip(tasks.a, tasks.b, tasks.omega, strict=True):
        ends = Interval.of([left, right])
        slope_at = Interval.of(2 * a) * ends - Interval.of(b) * Interval.of(omega) * cos(
            Interval.of(omega) * ends
        )
        if slope_at.sign.tolist() != [-1, 1]:
            raise RuntimeError("a task's minimiser was not enclosed; this is a defect of maml_ode.")
    return left, right


def _count_chunk(
    tasks: Sinusoid, alpha_low: Array, alpha_high: Array, left: float, right: float
) -> list[Count]:
    """Divide [left, right] into cells until each is decided; a cell belongs to one alpha."""
    edges = np.linspace(left, right, FIRST_CELLS + 1)
    owner = np.repeat(np.arange(alpha_low.size), FIRST_CELLS)
    low, high = np.tile(edges[:-1], alpha_low.size), np.tile(edges[1:], alpha_low.size)
    decided: list[tuple[Indices, Array, Array, Indices, Indices]] = []
    failed = np.zeros(alpha_low.size, dtype=bool)
    narrowest = np.maximum(NARROWEST_CELL, CELL_PER_ALPHA * (alpha_high - alpha_low))
    while low.size:
        alpha = Interval(alpha_low[owner], alpha_high[owner])
        cells = Interval(low, high)
        value, slope = enclose_derivatives(tasks, alpha, cells)
        centre = cells.middle()
        at_centre, _ = enclose_derivatives(tasks, alpha, centre)
        value = value.meet(at_centre + slope * (cells - centre))
        known = (value.sign != 0) | (slope.sign != 0)
        decided.append(
            (owner[known], low[known], high[known], value.sign[known], slope.sign[known])
        )
        open_, too_narrow = ~known, ~known & (high - low < narrowest[owner])
        failed[owner[too_narrow]] = True
        open_ &= ~failed[owner]
        owner, low, high = owner[open_], low[open_], high[open_]
        middle = 0.5 * (low + high)
        owner = np.concatenate([owner, owner])
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
    owners, lows, highs, signs, slopes = (
        np.concatenate(parts) for parts in zip(*decided, strict=True)
    )
    counts = []
    for k in range(alpha_low.size):
        mine = np.flatnonzero(owners == k)
        order = mine[np.argsort(lows[mine])]
        ends = float(alpha_low[k]), float(alpha_high[k])
        if failed[k]:
            counts.append(Count(*ends, None))
        else:
            counts.append(_read_off(*ends, lows[order], highs[order], signs[order], slopes[order]))
    return counts


def _read_off(
    alpha_low: float, alpha_high: float, low: Array, high: Array, sign: Indices, slope: Indices
) -> Count:
    """Count sign changes of F' along the cells; where its sign is open, F'' has one."""
    signed = np.flatnonzero(sign)
    before, after = signed[:-1], signed[1:]
    crossing = sign[before] != sign[after]
    if (
        sign[signed[0]] != -1
        or sign[signed[-1]] != 1
        or signed[0] != 0
        or signed[-1] != sign.size - 1
    ):
        return Count(alpha_low, alpha_high, None)
    brackets = tuple(
        (float(high[i]), float(low[j]))
        for i, j in zip(before[crossing], after[crossing], strict=True)
    )
    rising = tuple(bool(sign[j] > 0) for j in after[crossing])
    return Count(alpha_low, alpha_high, len(brackets), brackets, rising)
