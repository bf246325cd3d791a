"""Interval enclosures hold what they promise, and the counts agree with other ways of counting."""

import itertools

import mpmath
import numpy as np
import pytest

import maml_ode as mo
from maml_ode.reproduce import intervals
from maml_ode.reproduce.critical_points import (
    count_critical_points,
    count_over_range,
    enclose_derivatives,
)
from maml_ode.reproduce.intervals import Interval

FIGURE1 = ([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0])


@pytest.fixture(scope="module")
def tasks():
    return mo.tasks.Sinusoid(*FIGURE1)


def random_boxes(rng, n):
    """Intervals of all widths, about a third of them points."""
    low = rng.uniform(-200, 200, n)
    width = np.where(rng.random(n) < 0.3, 0.0, 10.0 ** rng.uniform(-17, 1.5, n))
    return Interval.of(low, low + width)


def test_every_operation_encloses_the_exact_result():
    rng = np.random.default_rng(0)
    x, y = random_boxes(rng, 400), random_boxes(rng, 400)
    results = {
        "sum": (x + y, lambda a, b: a + b),
        "difference": (x - y, lambda a, b: a - b),
        "product": (x * y, lambda a, b: a * b),
        "square": (x.square(), lambda a, b: a * a),
        "sine": (intervals.sin(x), lambda a, b: mpmath.sin(a)),
        "cosine": (intervals.cos(x), lambda a, b: mpmath.cos(a)),
    }
    with mpmath.workdps(50):
        for k in range(400):
            # Both ends, and a point in between.
            for s, t in ((0, 0), (1, 1), (0, 1), (0.37, 0.81)):
                a = mpmath.mpf(x.low[k]) * (1 - s) + mpmath.mpf(x.high[k]) * s
                b = mpmath.mpf(y.low[k]) * (1 - t) + mpmath.mpf(y.high[k]) * t
                for name, (enclosure, exact) in results.items():
                    value = exact(a, b)
                    assert enclosure.low[k] <= value <= enclosure.high[k], (name, k)


def test_enclosures_are_narrow_where_they_can_be():
    point = Interval.of([0.3, -2.0])
    for enclosure in (point * point, intervals.sin(point), point + point):
        assert (enclosure.high - enclosure.low < 1e-14).all()
    whole = intervals.sin(Interval.of([1.0], [8.0]))
    assert (whole.low[0], whole.high[0]) == (-1.0, 1.0)
    crest = intervals.cos(Interval.of([-0.1], [0.2]))
    assert crest.high[0] == 1.0
    assert crest.low[0] == pytest.approx(np.cos(0.2), abs=1e-14)
    assert Interval.of([-1.0], [2.0]).square().low[0] == 0.0


def test_signs_are_claimed_only_where_they_hold():
    assert Interval.of([1.0, -2.0, -1.0, 0.0], [2.0, -1.0, 1.0, 1.0]).sign.tolist() == [1, -1, 0, 0]


def test_derivatives_are_enclosed(tasks):
    rng = np.random.default_rng(1)
    for alpha in (0.0, 0.1, 0.4, 0.49):
        F = mo.MAMLLoss(tasks, alpha)
        low = rng.uniform(-1, 1, 50)
        width = 10.0 ** rng.uniform(-9, -2, 50)
        first, second = enclose_derivatives(
            tasks, Interval.of(alpha), Interval.of(low, low + width)
        )
        for k, w in enumerate(low + 0.6 * width):
            # The reference is a double itself.
            assert first.low[k] - 1e-13 <= F.gradient([w])[0] <= first.high[k] + 1e-13
            assert second.low[k] - 1e-11 <= F.hessian([w])[0, 0] <= second.high[k] + 1e-11
        assert (first.high - first.low <= 100 * width + 1e-13).all()


def test_figure_1_has_seven_critical_points(tasks):
    (count,) = count_critical_points(tasks, np.array([0.4]))
    assert count.number == 7
    assert count.rising == (True, False, True, False, True, False, True)
    published = [0.288088, 0.311261, 0.344866, 0.381652, 0.402744, 0.449469, 0.460737]
    for (low, high), w in zip(count.brackets, published, strict=True):
        assert low < w < high
    # Points between the critical points, with the signs of F' there.
    between = [0.268088, 0.299674, 0.328063, 0.363259, 0.392198, 0.426107, 0.455103, 0.480737]
    first, _ = enclose_derivatives(tasks, Interval.of(0.4), Interval.of(between))
    assert first.sign.tolist() == [-1, 1] * 4


def test_the_counts_over_alpha_agree_with_a_dense_scan(tasks):
    alphas = np.array([0.0, 0.036, 0.038, 0.1, 0.15, 0.2, 0.2488, 0.33, 0.4, 0.45, 0.4975])
    counts = [count.number for count in count_critical_points(tasks, alphas)]
    assert counts == [1, 1, 3, 1, 3, 5, 3, 7, 7, 11, 17]
    w = np.linspace(-0.5, 1.5, 20001)
    a, b, omega = (np.array(part)[:, None] for part in FIGURE1)
    for alpha, number in zip(alphas, counts, strict=True):
        u = w - alpha * (2 * a * w - b * omega * np.cos(omega * w))
        slope = (1 - alpha * (2 * a + b * omega**2 * np.sin(omega * w))) * (
            2 * a * u - b * omega * np.cos(omega * u)
        )
        assert np.count_nonzero(np.diff(np.sign(slope.mean(axis=0)))) == number


def test_the_narrow_window_of_three_critical_points_is_found(tasks):
    counts = count_over_range(tasks, 0.05, 2e-3, 1e-5)
    assert [count.number for count in counts] == [1, None, 3, None, 1]
    assert counts[0].alpha_low == 0.0
    assert counts[-1].alpha_high == 0.05
    for left, right in itertools.pairwise(counts):
        assert left.alpha_high == right.alpha_low
    assert counts[1].alpha_low < 0.036726 < counts[1].alpha_high
    assert counts[1].alpha_high - counts[1].alpha_low < 1e-4


def test_nothing_is_claimed_where_two_critical_points_merge(tasks):
    (count,) = count_critical_points(tasks, np.array([0.0367]), np.array([0.0368]))
    assert count.number is None


def test_parabolas_have_one_critical_point_whatever_alpha():
    tasks = mo.tasks.Sinusoid([0.5, 1.0], [0.0, 0.0], [1.0, 1.0])
    counts = count_over_range(tasks, 0.49, 0.49, 1e-3)
    assert [(count.number, count.alpha_low, count.alpha_high) for count in counts] == [
        (1, 0.0, 0.49)
    ]


def test_what_the_argument_does_not_cover_is_refused(tasks):
    with pytest.raises(ValueError, match=r"\[0, 0.497512\)"):
        count_critical_points(tasks, np.array([0.5]))
    with pytest.raises(ValueError, match="strongly convex"):
        count_critical_points(mo.tasks.Sinusoid([0.1], [1.0], [1.0]), np.array([0.1]))
