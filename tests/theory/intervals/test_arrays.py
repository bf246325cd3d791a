"""Interval arrays and the derivatives made of them contain exact values, and nothing overflows aloud."""

import mpmath
import numpy as np
import pytest

import maml_ode as mo
from maml_ode.theory.intervals import arrays
from maml_ode.theory.intervals.arrays import IntervalArray, cos, sin
from maml_ode.theory.intervals.derivatives import MAMLEnclosure


def test_interval_operations_enclose_exact_results():
    """Against 40-digit arithmetic at random members; a hair narrower and the test would fail."""
    rng = np.random.default_rng(7)
    n = 300
    x = np.sort(rng.normal(size=(2, n)) * 10.0 ** rng.uniform(-3, 3, n), axis=0)
    y = np.sort(rng.normal(size=(2, n)) * 10.0 ** rng.uniform(-3, 3, n), axis=0)
    x[:, :40] = x[0, :40]  # points: nothing but rounding separates the bounds
    y[:, :40] = y[0, :40]
    X, Y = IntervalArray(*x), IntervalArray(*y)
    results = {
        "+": (X + Y, lambda p, q: p + q), "-": (X - Y, lambda p, q: p - q),
        "*": (X * Y, lambda p, q: p * q), "/": (X / Y, lambda p, q: p / q),
        "square": (X.square(), lambda p, q: p * p), "-3x": (X * -3.1, lambda p, q: p * -mpmath.mpf(3.1)),
        "sin": (sin(X), lambda p, q: mpmath.sin(p)), "cos": (cos(X), lambda p, q: mpmath.cos(p)),
        "sqrt": (X.square().sqrt(), lambda p, q: abs(p)), "max": (X.maximum(Y), max), "min": (X.minimum(Y), min),
    }  # fmt: skip
    with mpmath.workdps(40):
        for name, (found, function) in results.items():
            for t, s in ((0, 0), (1, 1), (0, 1), (1, 0), (0.37, 0.81)):
                for k in range(n):
                    p = mpmath.mpf(x[0, k]) + mpmath.mpf(t) * (
                        mpmath.mpf(x[1, k]) - mpmath.mpf(x[0, k])
                    )
                    q = mpmath.mpf(y[0, k]) + mpmath.mpf(s) * (
                        mpmath.mpf(y[1, k]) - mpmath.mpf(y[0, k])
                    )
                    value = function(p, q)
                    assert found.lower[k] <= value <= found.upper[k], (name, k)
            # on points the bounds are a few units of rounding apart
            width = (found.upper - found.lower)[:40]
            assert (width <= 1e-13 * (1 + np.abs(found.upper[:40]))).all(), name


def test_waves_of_intervals_attain_their_extremes():
    x = IntervalArray.of([0.0, 1.5, -1.6, 2.0, -20.0, 1e9], [1.0, 1.6, -1.5, 4.0, 20.0, 1e9])
    found = sin(x)
    assert found.upper[[1, 4, 5]].tolist() == [1, 1, 1]
    assert found.lower[[2, 4, 5]].tolist() == [-1, -1, -1]
    assert found.upper[0] == pytest.approx(np.sin(1.0), abs=1e-14)
    assert found.upper[0] >= np.sin(1.0) > found.lower[0]
    assert cos(IntervalArray.of(3.0, 3.3)).lower == -1
    # so near a crest that rounding could lead beyond it
    for near in (0.5 * np.pi - 2e-8, 0.5 * np.pi + 2e-8):
        assert sin(IntervalArray.of(near)).upper == 1
        assert sin(IntervalArray.of(-near)).lower == -1


def test_division_through_zero_is_unbounded():
    found = IntervalArray.of([1.0, 1.0, 0.0, 1.0, 1.0]) / IntervalArray.of(
        [-1.0, 0.0, 0.0, -1.0, -0.5], [1.0, 2.0, 0.0, 0.5, 1.0]
    )
    assert np.isinf(found.lower).all()
    assert np.isinf(found.upper).all()


def test_division_by_what_keeps_its_sign_has_bounds():
    found = IntervalArray.of([1.0, 1.0, -3.0]) / IntervalArray.of(
        [0.5, -2.0, 0.25], [2.0, -0.5, 0.75]
    )
    assert found.lower == pytest.approx([0.5, -2.0, -12.0], rel=1e-15)
    assert found.upper == pytest.approx([2.0, -0.5, -4.0], rel=1e-15)


@pytest.mark.parametrize("kind", ["sinusoid", "quadratic", "symbolic"])
def test_enclosures_of_both_derivatives_hold_sampled_values(kind):
    rng = np.random.default_rng(3)
    weights = [0.2, 0.5, 0.3]
    tasks = {
        "sinusoid": mo.tasks.Sinusoid([1, 2, 0.7], [0.3, -1, 2], [2, 1.1, 0.7], weights),
        "quadratic": mo.tasks.Quadratic([[[1.0]], [[3]], [[-2]]], [[1.0], [2], [-1]], None, weights),
        "symbolic": mo.tasks.Symbolic("c*w**2 + exp(-w) + log(1 + w**2)", "w", {"c": [1, 2, 3]}, weights),
    }[kind]  # fmt: skip
    F = mo.MAMLLoss(tasks, 0.13)
    low = rng.uniform(-3, 3, 12)
    high = low + 10.0 ** rng.uniform(-4, -0.5, 12)
    slope, bend = MAMLEnclosure(tasks)(
        IntervalArray.of(np.full(12, 0.129), np.full(12, 0.131)), IntervalArray(low, high)
    )
    for k in range(12):
        for w in np.linspace(low[k], high[k], 7):
            assert slope.lower[k] <= F.gradient([w])[0] <= slope.upper[k]
            assert bend.lower[k] <= F.hessian([w])[0, 0] <= bend.upper[k]
    assert np.isfinite(slope.lower).all()


def test_overflow_gives_infinite_bounds_without_a_warning():
    big = IntervalArray.of([-1.7e308, 1.0, 1.6e308], [-1.6e308, 1.7e308, np.inf])
    for found in (big + big, big - -big, big * 3.0, big * big, big.square(), big / 1e-300):
        assert (found.lower <= found.upper).all()
        assert found.upper[2] == np.inf
        assert np.isfinite(found.lower[2])
        assert np.isinf(found.lower[0]) or np.isinf(found.upper[0])
    everything = IntervalArray.of(-np.inf, np.inf)
    assert everything.centre().lower == 0
    assert big.centre().lower[2] >= 1.6e308
    for found in (everything - everything, everything * 0.0, everything.sqrt(), sin(everything)):
        assert not np.isnan(found.lower)
        assert not np.isnan(found.upper)
    assert (everything * 0.0).lower == -np.inf


def test_meets_signs_and_ordered_values_by_hand():
    x, y = IntervalArray.of([-1.0, 2.0, -4.0], [3.0, 5.0, -2.0]), IntervalArray.of(0.0, 2.5)
    assert x.meet(y).lower.tolist()[:2] == [0.0, 2.0]
    assert x.meet(y).upper.tolist()[:2] == [2.5, 2.5]
    assert x.sign.tolist() == [0, 1, -1]
    assert IntervalArray.of([0.0, -1.0], [1.0, 0.0]).sign.tolist() == [0, 0]
    assert IntervalArray.of([1e-300, -0.5], [0.5, -1e-300]).sign.tolist() == [1, -1]
    assert x.maximum(y).lower.tolist() == [0.0, 2.0, 0.0]
    assert x.minimum(y).upper.tolist() == [2.5, 2.5, -2.0]
    assert x.clip_lower(0.5).lower.tolist() == [0.5, 2.0, 0.5]
    assert x.centre().lower.tolist() == x.centre().upper.tolist() == [1.0, 3.5, -3.0]


def test_a_crest_counts_as_met_a_billionth_of_a_turn_away():
    turn = 2.0 * np.pi
    low = np.array([5e-10, 2e-9, -0.2, -0.2, 0.3]) * turn
    high = np.array([0.3, 0.3, -5e-10, -2e-9, 0.4]) * turn
    met = arrays._meets_integer(IntervalArray(low, high), 0.0)
    assert met.tolist() == [True, False, True, False, False]
    shifted = arrays._meets_integer(IntervalArray(low + 0.25 * turn, high + 0.25 * turn), 0.25)
    assert shifted.tolist() == met.tolist()
