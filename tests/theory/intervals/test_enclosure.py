"""Intervals with Arb's ends: they contain what mpmath finds at 40 digits, or say that they cannot."""

import math
import time
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy as sp

import maml_ode as mo
from maml_ode.theory.intervals.balls import arb, hull, precision
from maml_ode.theory.intervals.enclosure import (
    FUNCTIONS,
    Enclosure,
    Unenclosable,
    power,
    rational_power,
)
from maml_ode.theory.intervals.expressions import IntervalFunction, interval
from maml_ode.theory.intervals.formulas import exact

x = sp.Symbol("x")


def members(low, high, count=200):
    rng = np.random.default_rng(0)
    inside = low + (high - low) * rng.random(count - 2)
    return [low, high, *np.clip(inside, low, high).tolist()]


def assert_contains(box, function, low, high):
    with mpmath.workdps(40):
        for point in members(low, high):
            value = function(mpmath.mpf(point))
            assert box.lower <= value <= box.upper, (point, value)


def assert_tight(box, values):
    """The box is hardly larger than the range of values on a fine grid."""
    slack = 3e-3 * (max(values) - min(values)) + 1e-14 * max(map(abs, values)) + 1e-300
    assert box.lower >= min(values) - slack
    assert box.upper <= max(values) + slack


DOMAINS = {
    "log": (0.01, 9.0),
    "asin": (-1.0, 1.0),
    "acos": (-1.0, 1.0),
    "acosh": (1.0, 9.0),
    "atanh": (-0.99, 0.99),
    "Log1p": (-0.9, 9.0),
}


EXACTLY = {
    "Abs": abs,
    "Tanh": mpmath.tanh,
    "Log1p": lambda z: mpmath.log(1 + z),
    "LogCosh": lambda z: mpmath.log(mpmath.cosh(z)),
    "Logistic": lambda z: 1 / (1 + mpmath.exp(-z)),
    "LogisticSlope": lambda z: 1 / (2 + mpmath.exp(z) + mpmath.exp(-z)),
}
OF_MORE_THAN_ONE_KIND = {"LogAddition", "Jump"}  # in test_formulas


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - OF_MORE_THAN_ONE_KIND))
def test_every_function_contains_its_values_tightly(name):
    exactly = EXACTLY.get(name) or getattr(mpmath, name)
    rng = np.random.default_rng(1)
    enclosed = 0
    for width in (0.0, 1e-6, 0.3, 1.0):
        for _ in range(4):
            least, most = DOMAINS.get(name, (-7.0, 7.0))
            low = rng.uniform(least, most)
            high = min(low + width, most)
            try:
                box = FUNCTIONS[name](interval(low, high))
            except Unenclosable:
                assert name == "tan"
                assert math.floor(high / math.pi - 0.5) > math.floor(low / math.pi - 0.5)
                continue
            enclosed += 1
            assert_contains(box, exactly, low, high)
            with mpmath.workdps(40):
                values = [exactly(mpmath.mpf(p)) for p in np.linspace(low, high, 400)]
            assert_tight(box, values)
    assert enclosed >= 10


@pytest.mark.parametrize(
    ("name", "box"),
    [("log", (0.0, 1.0)), ("log", (-1.0, 1.0)), ("asin", (0.5, 1.1)), ("acos", (-1.1, 0.0)),
     ("acosh", (0.9, 2.0)), ("atanh", (0.0, 1.0)), ("tan", (1.0, 2.0)), ("tan", (-2.0, -1.0)),
     ("exp", (0.0, 710.0)), ("cosh", (-711.0, 0.0))],
)  # fmt: skip
def test_leaving_a_domain_or_the_range_of_doubles_is_unenclosable(name, box):
    with pytest.raises(Unenclosable):
        FUNCTIONS[name](interval(*box))


@pytest.mark.parametrize(
    "exponent", ["0", "1", "2", "3", "-1", "-2", "-3", "1/2", "3/2", "-1/2", "-5/3"]
)
@pytest.mark.parametrize(
    "ends", [(0.25, 3.0), (0.0, 2.0), (-3.0, -0.5), (-2.0, 1.5), (0.1, 0.7), (0.0, 0.0)]
)
def test_powers(exponent, ends):
    p, q = Fraction(exponent).as_integer_ratio()
    zero_inside, negative = ends[0] <= 0 <= ends[1], ends[0] < 0
    if (q > 1 and negative) or (p < 0 and zero_inside):
        with pytest.raises(Unenclosable):
            rational_power(interval(*ends), p, q)
        return
    box = rational_power(interval(*ends), p, q)
    assert_contains(box, lambda w: w**p if q == 1 else w ** (mpmath.mpf(p) / q), *ends)
    values = [float(w) ** (p / q) for w in np.linspace(*ends, 301)]
    assert_tight(box, values)


@pytest.mark.parametrize("exponent", [(0.4, 0.9), (-1.5, 0.5), (-2.0, -1.0)])
@pytest.mark.parametrize("base", [(0.2, 0.8), (0.5, 3.0), (1.5, 4.0)])
def test_powers_whose_exponent_varies(base, exponent):
    box = power(interval(*base), interval(*exponent))
    values = [b**e for b in np.linspace(*base, 60) for e in np.linspace(*exponent, 60)]
    assert_tight(box, values)
    assert box.lower <= min(values) * (1 + 1e-15)
    assert box.upper >= max(values) * (1 - 1e-15)
    with pytest.raises(Unenclosable):
        power(interval(0.0, 1.0), interval(*exponent))


def test_arithmetic_at_points_is_a_few_roundings_wide():
    rng = np.random.default_rng(3)
    for a, b in rng.normal(size=(50, 2)):
        X, Y = interval(a), interval(b)
        with mpmath.workdps(40):
            p, q = mpmath.mpf(a), mpmath.mpf(b)
            for box, value in (
                (X + Y, p + q), (X - Y, p - q), (X * Y, p * q), (X / Y, p / q), (-X, -p), (abs(X), abs(p)),
                (X + 0.1, p + mpmath.mpf(0.1)), (0.1 - X, mpmath.mpf(0.1) - p), (3 * X, 3 * p),
                (2 / X, 2 / p), (X**3, p**3),
            ):  # fmt: skip
                assert box.lower <= value <= box.upper
                assert box.upper - box.lower <= 2e-15 * abs(value)


def test_arithmetic_of_intervals_keeps_what_the_ends_know():
    assert abs(interval(-2.0, 1.0)).upper == pytest.approx(2.0)
    assert abs(interval(-2.0, 1.0)).low == 0
    product = interval(-1.0, 2.0) * interval(-3.0, 0.5)
    assert (product.low, product.high) == (arb(-6), arb(3))
    quotient = interval(1.0, 2.0) / interval(-4.0, -0.5)
    assert (quotient.low, quotient.high) == (arb(-4), arb(-0.25))
    for ends in ((0.0, 1.0), (-1.0, 0.0), (0.0, 0.0)):
        with pytest.raises(Unenclosable, match="contains 0"):
            interval(1.0) / interval(*ends)
    with pytest.raises(Unenclosable, match="unbounded"):
        interval(1e300) * interval(1e10)
    with pytest.raises(Unenclosable, match="unbounded"):
        Enclosure.around(arb("nan"))


def test_smaller_and_larger_values_squares_and_roots_member_by_member():
    rng = np.random.default_rng(9)
    for _ in range(40):
        ends = np.sort(rng.normal(size=(2, 2)), axis=1)
        X, Y = (interval(*row) for row in ends.tolist())
        (a, b), (c, d) = ends
        for box, low, high in (
            (X.minimum(Y), min(a, c), min(b, d)), (X.maximum(Y), max(a, c), max(b, d)),
            (X.minimum(0.25), min(a, 0.25), min(b, 0.25)), (X.clip_lower(0.1), max(a, 0.1), max(b, 0.1)),
        ):  # fmt: skip
            assert (box.low, box.high) == (arb(low), arb(high))
        assert_contains(X.square(), lambda x: x * x, a, b)
        assert_contains(abs(X).sqrt(), lambda x: mpmath.sqrt(abs(x)), a, b)
        assert X.square().lower >= -5e-324
        if a < 0:
            with pytest.raises(Unenclosable):
                X.sqrt()


def test_balls_contain_their_ends_and_leave_no_settings_behind():
    with precision(30):
        ball = hull(0.1, 0.3)
        assert ball.contains(arb(0.1))
        assert ball.contains(arb(0.3))
        assert hull(0.1, 0.1).is_exact()
        with pytest.raises(ZeroDivisionError), precision(200):
            raise ZeroDivisionError
        assert hull(1.0, 2.0).rad() > 0.4
        assert (arb(1) / 3).rad() > 1e-10  # 30 bits again
    assert (arb(1) / 3).rad() < 1e-15


def test_decimal_numbers_are_differentiated_exactly():
    """3 x 0.1 is not 0.3 in doubles: SymPy's derivative of 0.1 w^3 would be off by a rounding."""
    derivative = sp.diff(exact(sp.Float(0.1) * x**3), x)
    (box,) = IntervalFunction([derivative])({x: interval(1.0)})
    with mpmath.workdps(40):
        assert box.lower <= 3 * mpmath.mpf(0.1) <= box.upper
    assert derivative == 3 * sp.Rational(0.1) * x**2


# --- random compositions, always in bounded time --------------------------------------------


def random_formula(rng, depth):
    if depth == 0:
        return "w"
    inner = random_formula(rng, depth - 1)
    kind = rng.integers(8)
    if kind < 4:
        return f"{('exp', 'sin', 'cosh', 'tan')[kind]}({inner})"
    if kind == 4:
        return f"({inner})**{rng.integers(2, 6)}"
    if kind == 5:
        return f"({inner} + {rng.uniform(0.1, 2):.2f}*{random_formula(rng, depth - 1)})"
    if kind == 6:
        return f"({inner})*{random_formula(rng, depth - 1)}"
    return f"1/(1 + ({inner})**2)"


FORMULAS = [(seed, random_formula(np.random.default_rng(seed), 2 + seed % 3)) for seed in range(40)]


@pytest.mark.parametrize(("seed", "formula"), FORMULAS)
def test_random_compositions_are_enclosed_or_refused_at_once(seed, formula):
    rng = np.random.default_rng(1000 + seed)
    expression = sp.sympify(formula, locals={"w": x})
    function = IntervalFunction([expression, sp.diff(exact(expression), x)])
    exactly = sp.lambdify(x, exact(expression), "mpmath")
    for size in (1e-3, 0.2, 3.0, 40.0):
        low = rng.uniform(-size, size)
        high = low + rng.random() * size
        begin = time.process_time()
        try:
            box, _ = function({x: interval(low, high)})
        except Unenclosable:
            continue
        finally:
            assert time.process_time() - begin < 0.5
        assert_contains(box, exactly, low, high)


@pytest.mark.parametrize(("seed", "formula"), FORMULAS[::4])
def test_random_compositions_are_counted_or_given_up_in_time(seed, formula):
    tasks = mo.tasks.Symbolic(formula, "w")
    reach = (0.7, 3.0, 30.0)[seed % 3]
    begin = time.process_time()
    found = mo.theory.count_critical_points(tasks, 0.01, (-reach, reach), max_seconds=0.4)
    assert time.process_time() - begin < 3.0
    assert found.certified == (found.count is not None)
    assert found.certified or found.note.startswith("not proved: ")
    if not found.certified:
        return
    assert all(a < b for a, b in found.enclosures)
    for (low, high), kind in zip(found.enclosures, found.kinds, strict=True):
        F = mo.MAMLLoss(tasks, 0.01)
        out = 1e-4 * reach
        rise = 1 if kind == "minimum" else -1
        assert rise * F.gradient([low - out])[0] < 0 < rise * F.gradient([high + out])[0]
