"""Formulas with softplus, logistic, logsumexp and with powers of squares: enclosed wherever they are bounded.

What they are enclosed for is computed by mpmath from the formula as written, at 80 digits and more.
"""

import mpmath
import numpy as np
import pytest
import sympy as sp

import maml_ode as mo
from maml_ode.theory.intervals import power_series
from maml_ode.theory.intervals.arrays import IntervalArray
from maml_ode.theory.intervals.balls import arb, arb_series, hull, precision
from maml_ode.theory.intervals.derivatives import MAMLEnclosure
from maml_ode.theory.intervals.enclosure import Unenclosable, signed_power
from maml_ode.theory.intervals.expressions import IntervalFunction, interval
from maml_ode.theory.intervals.formulas import (
    Jump,
    SignedPower,
    signed_powers,
    stable_derivatives,
    symbols,
)
from maml_ode.theory.intervals.power_series import BallMAMLLoss

x = sp.Symbol("x", real=True)
NAMES = {
    "softplus": lambda z: mpmath.log(1 + mpmath.exp(z)),
    "logistic": lambda z: 1 / (1 + mpmath.exp(-z)),
    "logsumexp": lambda *z: mpmath.log(sum(map(mpmath.exp, z))),
    **{name: getattr(mpmath, name) for name in ("exp", "log", "cosh", "tanh", "sin", "sqrt")},
}
SMOOTH = [
    "softplus(c*w)", "logistic(w)*w", "logsumexp(w, -c*w, 1)", "c*log(exp(w/c) + exp(-w/c))", "log(cosh(w))*w",
    "tanh(w) + 0.3*softplus(0.1*w)", "exp(w)/(1 + exp(w)) + c*logistic(-w)", "sqrt(1 + exp(w))",
    "log(1 + exp(w)**2)",
]  # fmt: skip
KINKED = [
    "(w**2)**(3/2)", "(w**2)**(5/2)*c", "(w**2)**(3/2)*w", "((w - c)**2)**(3/2)", "sqrt(w**2)**3 + softplus(w)",
    "(sin(w)**2)**(3/2)", "sqrt(w**2*exp(w))*w**2", "(w**2*c)**(3/2)", "exp(3*log(w**2)/2)", "(w**4)**(7/4)",
]  # fmt: skip


def family(formula):
    uses_c = "c" in formula.replace("softplus", "").replace("logistic", "").replace("cosh", "")
    return mo.tasks.Symbolic(formula, "w", {"c": [0.75]} if uses_c else None)


def by_mpmath(formula, order):
    code = formula.replace("3/2", "mpf(3)/2").replace("5/2", "mpf(5)/2").replace("7/4", "mpf(7)/4")
    names = {**NAMES, "mpf": mpmath.mpf, "c": mpmath.mpf(0.75)}
    code = code.replace("0.3", "mpf(0.3)").replace("0.1", "mpf(0.1)")

    def derivative(w):
        with mpmath.workdps(80 + int(abs(w))):
            loss = lambda z: eval(code, names, {"w": z})  # noqa: E731
            return mpmath.diff(loss, mpmath.mpf(w), order)

    return derivative


def enclosures(tasks):
    variable, *parameters = symbols(tasks)
    values = {symbol: interval(0.75) for symbol in parameters}
    functions = [IntervalFunction([item]) for item in stable_derivatives(tasks, (1, 2, 3))]

    def at(low, high):
        return [function({**values, variable: interval(low, high)})[0] for function in functions]

    return at


@pytest.mark.parametrize("formula", [*SMOOTH, *KINKED])
def test_derivatives_contain_what_mpmath_finds(formula):
    at = enclosures(family(formula))
    exactly = [by_mpmath(formula, order) for order in (1, 2, 3)]
    rng = np.random.default_rng(len(formula))
    reach = 40.0 if formula in SMOOTH else 2.0
    for width in (0.0, 0.1, 1.0, 3.0):
        low = rng.uniform(-reach, reach)
        boxes = at(low, low + width)
        for point in (low, low + width, low + width * rng.random()):
            for box, value in zip(boxes, exactly, strict=True):
                assert box.lower <= value(point) <= box.upper
                if width == 0.0:
                    assert box.upper - box.lower <= 1e-11 * (abs(box.upper) + 1e-3)


@pytest.mark.parametrize("formula", SMOOTH[:5])
def test_nothing_overflows_and_wide_intervals_are_known_tightly(formula):
    for box in enclosures(family(formula))(-5000.0, 5000.0):
        assert box.lower > -20_000
        assert box.upper < 20_000
    (low, *_), (high, *_) = (enclosures(family(formula))(w, w) for w in (-5000.0, 5000.0))
    ends = {"softplus(c*w)": (0, 0.75), "logsumexp(w, -c*w, 1)": (-0.75, 1)}.get(formula)
    if ends:
        assert abs(low.lower - ends[0]) + abs(high.upper - ends[1]) < 1e-12


@pytest.mark.parametrize("formula", [*SMOOTH, *KINKED])
def test_balls_and_intervals_of_F_contain_what_mpmath_finds(formula):
    tasks, alpha = family(formula), 0.02
    balls, enclose = BallMAMLLoss(tasks), MAMLEnclosure(tasks)
    first = by_mpmath(formula, 1)
    loss = by_mpmath(formula, 0)
    for w in (-1.3, 0.4, 1.1):
        with mpmath.workdps(40):
            F = lambda z: loss(z - mpmath.mpf(alpha) * first(z))  # noqa: E731
            values = [
                mpmath.diff(F, mpmath.mpf(w), order, h=mpmath.mpf(10) ** -12) for order in (1, 2)
            ]
        with precision(200):
            sharp = balls.derivatives(arb(alpha), arb(w))
            wide = balls.derivatives(arb(alpha), hull(w - 0.01, w + 0.02))
        boxes = enclose(IntervalArray.of([alpha]), IntervalArray.of([w]))
        for value, ball, other, box in zip(values, sharp, wide, boxes, strict=True):
            assert abs(float(ball.mid()) - value) < 1e-8 * (1 + abs(value))
            assert ball.rad() < 1e-40
            assert float(other.lower()) - 1e-8 <= value <= float(other.upper()) + 1e-8
            assert box.lower[0] - 1e-8 <= value <= box.upper[0] + 1e-8


@pytest.mark.parametrize("formula", ["(w**2)**(3/2)", "(w**2)**(5/2)", "(w**2)**(3/2)*w"])
def test_balls_across_a_kink_contain_the_values_on_its_two_sides(formula):
    tasks = family(formula)
    balls, F = BallMAMLLoss(tasks), mo.MAMLLoss(tasks, 0.05)
    with precision(64):
        for found in (balls.derivatives, balls.sharper_derivatives):
            slope, bend = found(arb(0.05), hull(-0.5, 0.25))
            for w in (-0.5, -0.3, -1e-3, 1e-3, 0.1, 0.25):
                assert abs(float(slope.mid()) - F.gradient([w])[0]) <= float(slope.rad()) + 1e-12
                assert abs(float(bend.mid()) - F.hessian([w])[0, 0]) <= float(bend.rad()) + 1e-12
            assert float(slope.rad()) + float(bend.rad()) < 20
        slope, bend = BallMAMLLoss(family("sqrt(w**2)*w")).derivatives(arb(0.0), hull(-0.5, 0.25))
        assert slope.is_finite()
        assert not bend.is_finite() or bend.contains(arb(2))


def test_signed_powers_are_what_sympy_writes_with_absolute_values():
    rng = np.random.default_rng(0)
    for expression in (
        x**2 * sp.Abs(x), sp.Abs(x) ** sp.Rational(7, 3), sp.Abs(x) / x, sp.sign(x) * x,
        sp.sqrt(sp.Abs(x - 1)) * (x - 1),
        sp.Abs(sp.sin(x)) ** 3 * x, sp.Abs(x) ** x, sp.sign(x) ** 2 * sp.Abs(x),
        3 * sp.Abs(x) + x * sp.Abs(x) ** 3,
        1 / sp.Abs(x), sp.Abs(x) ** 2 * sp.sign(x) * sp.Abs(x - 1),
    ):  # fmt: skip
        written = signed_powers(expression)
        assert not written.has(sp.Abs, sp.sign)
        for value in (*rng.normal(size=4), -2.0, 3.0):
            right = float(expression.subs(x, value))
            # a power of the size and of the sign, by hand
            found = written.replace(SignedPower, lambda g, p, s: abs(g) ** p * sp.sign(g) ** s)
            assert float(found.subs(x, value)) == pytest.approx(right, rel=1e-12)
    assert signed_powers(sp.Abs(x) ** 3 * x) == SignedPower(x, 4, 1)
    assert signed_powers(sp.Abs(x) ** 3 / x) == SignedPower(x, 2, 1)
    assert signed_powers(sp.Abs(x) ** 3 * sp.sign(x)) == x**3
    assert sp.diff(SignedPower(x, 3, 0), x, 3) == 6 * SignedPower(x, 0, 1)
    assert sp.diff(SignedPower(x, 0, 1), x) == Jump(x)


def test_signed_powers_of_intervals():
    rng = np.random.default_rng(1)
    for p, q, s in (
        (3, 1, 0),
        (2, 1, 1),
        (1, 1, 0),
        (7, 3, 1),
        (1, 2, 0),
        (0, 1, 1),
        (-1, 2, 1),
        (-3, 1, 0),
    ):
        for low, high in (
            *np.sort(rng.normal(size=(12, 2)), axis=1).tolist(),
            (0.0, 1.0),
            (-1.0, 0.0),
        ):
            if p < 0 and low <= 0 <= high:
                with pytest.raises(Unenclosable):
                    signed_power(interval(low, high), p, q, s)
                continue
            box = signed_power(interval(low, high), p, q, s)
            for w in np.linspace(low, high, 11):
                value = abs(w) ** (p / q) * np.sign(w) ** s if w else float(p == 0 and s == 0)
                assert box.lower <= value + 1e-14 * abs(value)
                assert value - 1e-14 * abs(value) <= box.upper
            if p > 0 and s:  # it rises
                ends = [np.sign(w) * abs(w) ** (p / q) for w in (low, high)]
                assert [box.lower, box.upper] == pytest.approx(ends, rel=1e-13, abs=1e-300)
    with pytest.raises(Unenclosable, match="jump"):
        IntervalFunction([Jump(x)])({x: interval(-1.0, 0.0)})
    [nothing] = IntervalFunction([Jump(x)])({x: interval(1.0, 2.0)})
    assert nothing.low == nothing.high == 0


@pytest.mark.parametrize(
    ("formula", "interval", "count", "L", "kappa"),
    [
        ("softplus(w) - w/2 + w**2/100", (-1000.0, 1000.0), 1, 0.27, 0.09622505),
        ("log(cosh(w)) + w/3", (-2000.0, 2000.0), 1, 1.0, 0.76980036),
        ("(w**2)**(3/2) + w**2", (-2.9, 2.9), 3, 2 + 6 * 2.9, 6.0),
    ],
)  # fmt: skip
def test_counts_and_constants_where_there_were_none(formula, interval, count, L, kappa):
    """A soft step has |f'''| <= 1/(6 sqrt 3); log cosh 4/(3 sqrt 3); |w|^3 the jump 6 sign(w)."""
    tasks = mo.tasks.Symbolic(formula, "w")
    alpha = 0.06 if count == 3 else 0.05
    found = mo.theory.count_critical_points(tasks, alpha, interval, max_seconds=20)
    k = mo.theory.constants(tasks, mo.theory.Interval(*interval))
    assert found.count == count
    assert k.L.status.value == k.kappa.status.value == "bound"
    assert L <= k.L <= L * (1 + 1e-5)
    assert kappa <= k.kappa <= kappa * (1 + 1e-5)
    F = mo.MAMLLoss(tasks, alpha)
    w = np.linspace(*interval, 4000)  # not 0, where the fractional power has no derivative
    slopes = np.array([F.gradient([z])[0] for z in w])
    assert np.count_nonzero(np.diff(np.sign(slopes[slopes != 0.0]))) == count


EXACTLY = {
    "Tanh": mpmath.tanh,
    "Log1p": lambda z: mpmath.log(1 + z),
    "LogCosh": lambda z: mpmath.log(mpmath.cosh(z)),
    "Logistic": lambda z: 1 / (1 + mpmath.exp(-z)),
    "LogisticSlope": lambda z: 1 / (2 + mpmath.exp(z) + mpmath.exp(-z)),
}
PLACES = {"log": (0.3, 2.0), "acosh": (1.2, 3.0), "Log1p": (-0.4, 2.0)}


@pytest.mark.parametrize("name", sorted(set(power_series._FUNCTIONS) - {"LogAddition"}))
def test_every_power_series_has_the_coefficients_of_taylor(name):
    exactly = EXACTLY.get(name) or getattr(mpmath, name)
    for place in PLACES.get(name, (-0.6, 0.45)):
        with precision(200):
            found = power_series._FUNCTIONS[name](arb_series([arb(place), 1], 4))
            coefficients = [found[k] for k in range(4)]
        with mpmath.workdps(60):
            wanted = mpmath.taylor(exactly, mpmath.mpf(place), 3)
        for ball, value in zip(coefficients, wanted, strict=True):
            assert abs(float(ball.mid()) - float(value)) <= 1e-14 * (1 + abs(float(value)))
            assert ball.rad() < 1e-40


def test_logarithms_of_sums_and_powers_as_series():
    with precision(200):
        a, b = arb_series([arb(0.3), 2, 1], 4), arb_series([arb(-0.5), 1], 4)
        found = power_series._FUNCTIONS["LogAddition"](a, b, a - b)
        direct = (a.exp() + b.exp()).log()
        for k in range(4):
            assert abs(float((found[k] - direct[k]).mid())) < 1e-30
        base = arb_series([arb(1.5), 1], 4)
        for p, q in ((0, 1), (3, 1), (-2, 1), (1, 2), (-3, 2), (2, 3)):
            power = power_series._SERIES.rational_power(base, p, q)
            wanted = mpmath.taylor(lambda z, p=p, q=q: z ** (mpmath.mpf(p) / q), 1.5, 3)
            assert [float(power[k].mid()) for k in range(4)] == pytest.approx(
                [float(c) for c in wanted], rel=1e-12, abs=1e-12
            )
