"""Certified critical points against mpmath, dense sampling, published digits and closed forms."""

import inspect
import itertools
import math
import time

import mpmath
import numpy as np
import pytest

import maml_ode as mo
from maml_ode.theory.intervals import critical_points
from maml_ode.theory.intervals.result import CriticalPoints

from ..in_mpmath import FIGURE_1, exact_slope, roots

ROOTS = [0.288088, 0.311261, 0.344866, 0.381652, 0.402744, 0.449469, 0.460737]


@pytest.fixture(scope="module")
def figure_1():
    return mo.tasks.Sinusoid(**FIGURE_1)


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
    with pytest.raises(ValueError, match="interval must be given"):
        mo.theory.count_critical_points(figure_1, -0.6)
    with pytest.raises(ValueError, match=r"alphas must be finite, but alphas\[1\] is nan"):
        mo.theory.bifurcation_table(figure_1, [0.1, math.nan])
    with pytest.raises(ValueError, match="d = 1"):
        mo.theory.count_critical_points(mo.tasks.Quadratic([np.eye(2)], [[0.0, 0.0]]), 0.1)
    with pytest.raises(TypeError, match="Sinusoid, Quadratic or Symbolic"):
        mo.theory.count_critical_points(
            mo.tasks.LogisticRegression([[[1.0]]], [[1.0]]), 0.1, (-1.0, 1.0)
        )


@pytest.mark.parametrize("alpha", [-0.1, -0.4, -0.49])
def test_negative_alpha_is_counted_as_well(figure_1, alpha):
    """Dense sampling of the formula of F', far beyond the interval that is said to hold every point."""
    (found,) = mo.theory.bifurcation_table(figure_1, [alpha])
    assert found.certified
    assert found.everywhere
    assert found.interval[0] > -3.0
    assert found.interval[1] < 3.0
    grid = np.linspace(-9.0, 9.0, 60_001)
    slopes = np.zeros_like(grid)
    for a, b, omega in zip(*FIGURE_1.values(), strict=True):
        moved = grid - alpha * (2 * a * grid - b * omega * np.cos(omega * grid))
        first = 2 * a * moved - b * omega * np.cos(omega * moved)
        slopes += (1 - alpha * (2 * a + b * omega**2 * np.sin(omega * grid))) * first / 2
    changes = np.flatnonzero(np.diff(np.sign(slopes)))
    assert found.count == changes.size
    for root, k in zip(found.points, changes, strict=True):
        assert grid[k] <= root <= grid[k + 1]


# --- every alpha has its own reach -----------------------------------------------------------


def test_each_alpha_is_counted_where_its_own_critical_points_lie():
    """At alpha = 1 the first task does not count and F's minimiser is 0; at alpha = 0 it is 25."""
    tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[100.0], [0.0]])
    for alphas in ([0.0, 1.0], [1.0, 0.0]):
        found = mo.theory.bifurcation_table(tasks, alphas)
        assert [item.count for item in found] == [1, 1]
        assert [item.unique for item in found] == [True, True]
        assert [float(item.points[0]) for item in found] == pytest.approx(
            [25.0 * (1 - a) for a in alphas], abs=1e-12
        )
    (whole,) = mo.theory.count_by_alpha(tasks, 1.0)
    assert (whole.count, whole.everywhere, whole.alpha) == (1, True, (0.0, 1.0))
    # beyond 1/L nothing is known of the rest of the line, for that alpha only
    figure_1 = mo.tasks.Sinusoid(**FIGURE_1)
    inside, beyond = mo.theory.bifurcation_table(figure_1, [0.4, 0.6])
    assert (inside.everywhere, beyond.everywhere) == (True, False)
    assert inside.count == 7
    ranges = mo.theory.count_by_alpha(figure_1, 0.52, alpha_min=0.48, width=0.004, narrowest=0.004)
    assert ranges[0].everywhere
    assert not any(item.everywhere for item in ranges if item.alpha[1] > 1 / 2.01)


def test_the_default_widths_follow_the_range_of_alpha(figure_1):
    """The range is 1.5e-3 wide: first intervals of 6e-6, narrowest ones of 5e-8."""
    found = mo.theory.count_by_alpha(figure_1, 0.0375, alpha_min=0.036)
    assert [item.count for item in found] == [1, None, 3]
    assert found[1].alpha[0] - 1e-6 < 0.036726 < found[1].alpha[1] + 1e-6
    assert 2e-8 < found[1].alpha[1] - found[1].alpha[0] < 1e-6


def test_neighbours_are_merged_only_as_far_as_both_are_known(figure_1):
    near, far = (
        mo.theory.count_by_alpha(figure_1, 0.02 + 1e-3, alpha_min=0.02, interval=ends)
        for ends in ((-2.0, 2.0), (0.2, 0.5))
    )
    assert [(item.count, item.everywhere) for item in near] == [(1, True)]
    assert [(item.count, item.everywhere) for item in far] == [(1, False)]
    assert near[0].unique
    assert far[0].unique is None


# --- against mpmath --------------------------------------------------------------------------


def test_random_trigonometric_polynomials_against_root_finding_by_mpmath():
    rng = np.random.default_rng(21)
    counts = []
    for _ in range(6):
        degree = rng.integers(1, 5)
        c, s = rng.normal(size=(2, degree)).round(3) / np.arange(1, degree + 1) ** 2
        alpha = 0.3 / sum(k * k * (abs(c[k - 1]) + abs(s[k - 1])) for k in range(1, degree + 1))
        formula = " + ".join(
            f"({float(c[k - 1])!r})*cos({k}*w) + ({float(s[k - 1])!r})*sin({k}*w)"
            for k in range(1, degree + 1)
        )
        numbers = [
            (k, mpmath.mpf(float(c[k - 1])), mpmath.mpf(float(s[k - 1])))
            for k in range(1, degree + 1)
        ]

        def first(w, numbers=numbers):
            return sum(k * (q * mpmath.cos(k * w) - p * mpmath.sin(k * w)) for k, p, q in numbers)

        def second(w, numbers=numbers):
            return -sum(
                k * k * (p * mpmath.cos(k * w) + q * mpmath.sin(k * w)) for k, p, q in numbers
            )

        low, high = -3.1, 3.2
        found = mo.theory.count_critical_points(
            mo.tasks.Symbolic(formula, "w"), alpha, (low, high), max_seconds=None
        )
        with mpmath.workdps(30):
            step = mpmath.mpf(alpha)
            expected = roots(
                lambda w, step=step: (1 - step * second(w)) * first(w - step * first(w)),
                low, high, 601,
            )  # fmt: skip
        assert found.count == len(expected)
        for root, (a, b) in zip(expected, found.enclosures, strict=True):
            assert a <= root <= b
            assert b - a < 1e-12
        counts.append(found.count)
    assert max(counts) >= 4


# --- bounded work ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "alpha", "interval"),
    [
        ("exp(exp(exp(exp(w))))", 0.1, (-10, 10)),
        ("sin(exp(w))", 0.1, (-50, 700)),
        ("sin(exp(exp(w)))", 0.1, (-1, 8)),
        ("tan(tan(tan(w)))", 0.1, (-1, 1)),
        ("cosh(cosh(cosh(w)))", 0.01, (-6, 6)),
    ],
)
def test_nested_exponentials_are_given_up_in_time(formula, alpha, interval):
    tasks = mo.tasks.Symbolic(formula, "w")
    begin = time.process_time()
    found = mo.theory.count_critical_points(tasks, alpha, interval)
    assert time.process_time() - begin < 5.0  # 2 s are allowed; the machine may be busy
    assert (found.count, found.certified, found.enclosures) == (None, False, ())
    assert "has no bounds near" in found.note or "ended after 2 s" in found.note


def test_where_the_same_formulas_are_tame_they_are_counted():
    for formula, alpha, interval, root in (
        ("cosh(cosh(cosh(w)))", 1e-3, (-0.6, 0.7), 0.0),
        ("sin(exp(w))", 0.1, (0.0, 1.0), np.log(np.pi / 2)),
        ("tan(tan(w)) - 2*w", 0.01, (0.3, 0.8), None),
    ):
        found = mo.theory.count_critical_points(mo.tasks.Symbolic(formula, "w"), alpha, interval)
        assert found.count == 1, found.note
        if root is not None:
            assert found.points[0] == pytest.approx(root, abs=1e-12)


def test_more_time_is_the_remedy_where_time_ran_out(figure_1):
    short = mo.theory.count_critical_points(figure_1, 0.4, max_seconds=1e-6)
    assert (short.count, short.certified) == (None, False)
    assert short.note == "not proved: the search was ended after 1e-06 s; max_seconds allows more"
    assert mo.theory.count_critical_points(figure_1, 0.4, max_seconds=60).count == 7
    assert mo.theory.count_critical_points(figure_1, 0.4, max_seconds=None).count == 7
    for item in mo.theory.count_by_alpha(figure_1, 0.4, max_seconds=1e-6):
        assert item.count is None
        assert "ended after 1e-06 s" in item.note
    with pytest.raises(ValueError, match="max_seconds"):
        mo.theory.count_critical_points(figure_1, 0.4, max_seconds=0)
    for verb, seconds in (
        ("count_critical_points", 2),
        ("bifurcation_table", 2),
        ("count_by_alpha", 300),
    ):
        default = inspect.signature(getattr(mo.theory, verb)).parameters["max_seconds"].default
        assert default == seconds


def test_huge_intervals_and_curvatures_are_answered_without_warnings():
    parabola = mo.tasks.Symbolic("w**2", "w")
    found = mo.theory.count_critical_points(parabola, 0.1, (-1e308, 1.5e308))
    assert (found.count, found.note) == (None, "not proved: F' has no bounds near w = 1.5e+308")
    steep = mo.tasks.Quadratic([[[1e300]]], [[1.0]])
    assert mo.theory.count_critical_points(steep, 1e10).count is None
    assert mo.theory.count_critical_points(steep, 0.0).count == 1


def test_arguments_that_would_never_end_are_refused(figure_1):
    for name in ("width", "narrowest"):
        for value in (0.0, -1.0):
            with pytest.raises(ValueError, match=name):
                mo.theory.count_by_alpha(figure_1, 0.1, **{name: value})
    with pytest.raises(ValueError, match="width must be at least 1e-06"):
        mo.theory.count_by_alpha(figure_1, 0.1, width=1e-12)
    # F is constant at alpha = 1/2; the halving ends with neighbouring doubles
    flat = mo.tasks.Quadratic([[[2.0]]], [[1.0]])
    found = mo.theory.count_by_alpha(
        flat, 0.5 + 4 * math.ulp(0.5), alpha_min=0.5, narrowest=1e-300, interval=(-1.0, 1.0)
    )
    assert [item.count for item in found] == [None]
    with pytest.raises(ValueError, match="alpha_max must be greater"):
        mo.theory.count_by_alpha(figure_1, 0.1, alpha_min=0.1)
    for count in (
        lambda tasks: mo.theory.count_critical_points(tasks, 0.1),
        lambda tasks: mo.theory.bifurcation_table(tasks, [0.1]),
        lambda tasks: mo.theory.count_by_alpha(tasks, 0.1, interval=(-1.0, 1.0)),
    ):
        with pytest.raises(TypeError, match=r"tasks must be a task family such as .*, not None"):
            count(None)
    with pytest.raises(ValueError, match="interval must have shape"):
        mo.theory.count_critical_points(figure_1, 0.1, (1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match="at least one value"):
        mo.theory.bifurcation_table(figure_1, [])


def test_nothing_is_proved_of_an_array_alpha():
    tasks = mo.tasks.Sinusoid([1.0, 1.0], [0.5, 0.2], [1.0, 2.0])
    alpha = np.array([[0.1], [0.3]])  # of each task
    for interval, ends in ((None, (-np.inf, np.inf)), ((-1.0, 2.0), (-1.0, 2.0))):
        found = mo.theory.count_critical_points(tasks, alpha, interval)
        assert (found.alpha, found.interval, found.count) == ((0.1, 0.3), ends, None)
        assert (found.certified, found.everywhere, found.unique) == (False, False, None)
        assert found.note.startswith("not proved: ")


def test_what_is_merged_holds_of_both_parts():
    def part(low, high, count, everywhere):
        return CriticalPoints(
            (low, high), (-1.0, 1.0), count, (), (), count is not None, everywhere, "why"
        )

    rows = [(0.0, 0.1, 3, True), (0.1, 0.2, 3, False), (0.2, 0.3, 3, True), (0.3, 0.4, None, True),
            (0.4, 0.5, None, True), (0.5, 0.6, 3, True)]  # fmt: skip
    found = critical_points._merged([part(*row) for row in rows])
    assert [(x.alpha, x.count, x.everywhere, x.note) for x in found] == [
        ((0.0, 0.3), 3, False, ""), ((0.3, 0.5), None, True, "why"), ((0.5, 0.6), 3, True, ""),
    ]  # fmt: skip


def test_how_wide_the_first_intervals_are_and_what_time_each_has(figure_1, monkeypatch):
    """One 256th of the range, or what is asked for, but all of the range at most."""
    table = mo.theory.bifurcation_table(figure_1, [0.1, 0.2, 0.3, 0.4], max_seconds=1e-6)
    assert {item.note for item in table} == {
        "not proved: the search was ended after 4e-06 s; max_seconds allows more"
    }
    monkeypatch.setattr(critical_points, "_merged", lambda items: items)
    tasks = mo.tasks.Quadratic([[[2.0]]], [[1.0]])
    for width, count in ((None, 256), (0.25, 8), (0.3, 7), (5.0, 1)):
        found = mo.theory.count_by_alpha(
            tasks, 2.0, width=width, interval=(-1.0, 1.0), max_seconds=1e-9
        )
        assert [item.alpha[0] for item in found] == pytest.approx(2.0 * np.arange(count) / count)


def test_all_critical_points_lie_in_an_interval_only_if_it_holds_the_known_one():
    """Those of w^2 - sin(w)/2 have |w| <= 1/4."""
    tasks = mo.tasks.Sinusoid([1.0], [0.5], [1.0])
    for interval, everywhere in (
        ((-0.25, 0.26), False), ((-0.3, 0.3), True), ((0.1, 1.0), False), ((-1.0, 0.1), False),
    ):  # fmt: skip
        found = mo.theory.count_critical_points(tasks, 0.1, interval)
        assert found.everywhere is everywhere, interval


def test_a_table_looks_wherever_one_of_its_alphas_may_have_a_critical_point():
    tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    alphas = [0.01, 0.2, -0.2]
    alone = [mo.theory.count_critical_points(tasks, alpha).interval for alpha in alphas]
    assert len(set(alone)) == 3
    wanted = min(low for low, _ in alone), max(high for _, high in alone)
    assert {row.interval for row in mo.theory.bifurcation_table(tasks, alphas)} == {wanted}
