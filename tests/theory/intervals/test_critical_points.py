"""Certified critical points against mpmath, dense sampling, published digits and closed forms."""

import itertools

import mpmath
import numpy as np
import pytest

import maml_ode as mo
from maml_ode.theory.intervals.arrays import IntervalArray, cos, sin, sqrt
from maml_ode.theory.intervals.derivatives import MAMLEnclosure

FIGURE_1 = {"a": [0.505, 0.505], "b": [1.0, 1e-4], "omega": [1.0, 100.0]}
ROOTS = [0.288088, 0.311261, 0.344866, 0.381652, 0.402744, 0.449469, 0.460737]


@pytest.fixture(scope="module")
def figure_1():
    return mo.tasks.Sinusoid(**FIGURE_1)


def exact_slope(w, alpha, context=mpmath.mp):
    """Return F' of Figure 1 from the double-precision data, in the arithmetic of ``context``."""
    total = context.mpf(0)
    alpha = context.mpf(alpha)
    for a, b, omega in zip(*FIGURE_1.values(), strict=True):
        a, b, omega = map(context.mpf, (a, b, omega))

        def first(x, a=a, b=b, omega=omega):
            return 2 * a * x - b * omega * context.cos(omega * x)

        second = 2 * a + b * omega**2 * context.sin(omega * w)
        total += (1 - alpha * second) * first(w - alpha * first(w)) / 2
    return total


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
        "sqrt": (sqrt(X.square()), lambda p, q: abs(p)), "max": (X.maximum(Y), max), "min": (X.minimum(Y), min),
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


def test_division_through_zero_is_unbounded():
    found = IntervalArray.of([1.0, 1.0, 0.0]) / IntervalArray.of([-1.0, 0.0, 0.0], [1.0, 2.0, 0.0])
    assert np.isinf(found.lower).all()
    assert np.isinf(found.upper).all()


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


def test_figure_1_has_seven_critical_points(figure_1):
    found = mo.theory.count_critical_points(figure_1, 0.4)
    assert (found.count, found.certified, found.everywhere, found.unique) == (7, True, True, False)
    assert found.points.round(6).tolist() == ROOTS
    assert found.kinds == ("minimum", "maximum") * 3 + ("minimum",)
    assert max(high - low for low, high in found.enclosures) < 1e-14
    for (low, high), kind in zip(found.enclosures, found.kinds, strict=True):
        rise = 1 if kind == "minimum" else -1
        assert rise * exact_slope(low, 0.4) < 0 < rise * exact_slope(high, 0.4)


def test_signs_between_the_critical_points_by_mpmath():
    """The published certificate: F' alternates at eight points, in mpmath's interval arithmetic."""
    points = (0.268088, 0.299674, 0.328063, 0.363259, 0.392198, 0.426107, 0.455103, 0.480737)
    context = mpmath.iv
    signs = [exact_slope(context.mpf(w), 0.4, context) for w in points]
    assert all((s < 0) is True for s in signs[::2])
    assert all((s > 0) is True for s in signs[1::2])


def test_count_over_alpha_and_the_narrow_window(figure_1):
    alphas = [0.0, 0.0367, 0.038, 0.03948, 0.1464, 0.15, 0.2, 0.2488, 0.33, 0.4, 0.45, 0.4975]
    table = mo.theory.bifurcation_table(figure_1, alphas)
    assert [item.count for item in table] == [1, 1, 3, 1, 1, 3, 5, 3, 7, 7, 11, 17]
    assert all(item.everywhere for item in table)
    assert table[0].unique
    # dense sampling of F' with the compiled derivatives
    for item in table[2:]:
        F = mo.MAMLLoss(figure_1, item.alpha[0])
        grid = np.linspace(*item.interval, 6001)
        slopes = np.array([F.gradient([w])[0] for w in grid])
        assert np.count_nonzero(np.diff(np.sign(slopes))) == item.count


def test_the_number_is_proved_for_whole_ranges_of_alpha(figure_1):
    found = mo.theory.count_by_alpha(figure_1, 0.16, width=0.002, narrowest=1e-4)
    assert [item.count for item in found] == [1, None, 3, None, 1, None, 3]
    assert found[0].alpha[0] == 0
    assert found[-1].alpha[1] == 0.16
    assert all(left.alpha[1] == right.alpha[0] for left, right in itertools.pairwise(found))
    changes = [item for item in found if item.count is None]
    for item, published in zip(changes, (0.036726, 0.03945, 0.1465), strict=True):
        assert item.alpha[0] - 3e-4 < published < item.alpha[1] + 3e-4
        assert item.alpha[1] - item.alpha[0] < 6e-4
        assert "not separated" in item.note


def test_random_sinusoids_agree_with_sampling_and_weights_of_zero_do_not_count():
    rng = np.random.default_rng(12)
    counts = set()
    for _ in range(12):
        omega = np.array([rng.uniform(0.5, 2), rng.uniform(15, 50), 3.0])
        bend = rng.uniform(0.5, 2.0, 3)
        a = 0.5 * bend + 0.03
        tasks = mo.tasks.Sinusoid(a, bend / omega**2, omega, [0.25, 0.75, 0.0])
        L = (2 * a + bend)[:2].max()
        found = mo.theory.count_critical_points(tasks, 0.9 / L)
        assert found.certified
        F = mo.MAMLLoss(tasks, 0.9 / L)
        grid = np.linspace(*found.interval, 8001)
        slopes = np.array([F.gradient([w])[0] for w in grid])
        assert np.count_nonzero(np.diff(np.sign(slopes))) == found.count
        counts.add(found.count)
    assert len(counts) > 2


def test_quadratic_family_at_any_alpha(tug_of_war):
    found = mo.theory.count_critical_points(tug_of_war, 0.1)
    ((low, high),) = found.enclosures
    assert low <= 8 / 19 <= high < low + 1e-13
    assert found.unique
    large = mo.theory.count_critical_points(tug_of_war, 5.0)
    G, c = 0.5 * (16 + 3 * 14**2), 0.5 * (3 * 16 - 3 * 14**2)
    assert large.points == pytest.approx([c / G], rel=1e-14)
    part = mo.theory.count_critical_points(tug_of_war, 0.1, (-3.0, 0.2))
    assert (part.count, part.everywhere, part.unique) == (0, False, None)
    # one task and alpha = 1/h: F is constant, every point is critical
    flat = mo.tasks.Quadratic([[[2.0]]], [[1.0]])
    found = mo.theory.count_critical_points(flat, 0.5, (-1.0, 1.0))
    assert (found.count, found.certified, found.unique) == (None, False, None)


def test_symbolic_family_counts_the_same_points():
    tasks = mo.tasks.Symbolic("a*w**2 - b*sin(omega*w)", "w", FIGURE_1)
    found = mo.theory.count_critical_points(tasks, 0.4, mo.theory.Interval(0.25, 0.5))
    assert found.points.round(6).tolist() == ROOTS
    assert (found.certified, found.everywhere) == (True, False)
    assert found.unique is False  # seven are too many wherever the others are


def test_open_ends_and_bad_arguments(figure_1):
    low, high = mo.theory.count_critical_points(figure_1, 0.4).enclosures[0]
    found = mo.theory.count_critical_points(figure_1, 0.4, (0.5 * (low + high), 0.5))
    assert not found.certified
    assert "end" in found.note
    # alpha above 1/L: only the interval given is covered
    found = mo.theory.count_critical_points(figure_1, 0.6, (-1.0, 1.0))
    assert not found.everywhere
    with pytest.raises(ValueError, match="interval must be given"):
        mo.theory.count_critical_points(figure_1, 0.6)
    with pytest.raises(ValueError, match="at least 0"):
        mo.theory.bifurcation_table(figure_1, [0.1, -0.1])
    with pytest.raises(ValueError, match="d = 1"):
        mo.theory.count_critical_points(mo.tasks.Quadratic([np.eye(2)], [[0.0, 0.0]]), 0.1)
    with pytest.raises(TypeError, match="Sinusoid, Quadratic or Symbolic"):
        mo.theory.count_critical_points(
            mo.tasks.LogisticRegression([[[1.0]]], [[1.0]]), 0.1, (-1.0, 1.0)
        )
