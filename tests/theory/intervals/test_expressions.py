"""Interval enclosures contain the true range and suprema are bounded from both sides."""

import mpmath
import numpy as np
import pytest
import sympy as sp

from maml_ode.theory.intervals.enclosure import Unenclosable
from maml_ode.theory.intervals.expressions import IntervalFunction, interval, supremum
from maml_ode.theory.intervals.work import Work

x = sp.symbols("x", real=True)

EXPRESSIONS = [
    sp.tanh(x) + sp.atan(x) * sp.sinh(x / 3),
    sp.log(1 + sp.exp(x)) ** 2,
    sp.asinh(x) + sp.cosh(x),
    (1 + x**2) ** sp.Rational(-3, 2),
    sp.tan(x / 10) + sp.pi * x - sp.E,
    sp.Float(0.505) * x**2 - sp.sin(7 * x) / 10 + 1 / (3 + x**2),
    sp.sqrt(2 + sp.sin(x)) * sp.Rational(1, 3),
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_enclosures_contain_the_values(expression):
    """40-digit values of mpmath at points of random boxes lie in the enclosures."""
    function = IntervalFunction([expression, sp.diff(expression, x)])
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = np.sort(rng.uniform(-2, 3, 2))
        boxes = function({x: interval(a, b)})
        point = a + (b - a) * rng.random()
        for box, item in zip(boxes, (expression, sp.diff(expression, x)), strict=True):
            value = mpmath.mpf(str(item.subs(x, sp.Float(point, 40)).evalf(40)))
            assert box.lower <= value <= box.upper
            (narrow, _) = function({x: interval(point)})
            assert narrow.upper - narrow.lower < 1e-12


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_suprema_are_bounded_from_both_sides(expression):
    function = IntervalFunction([expression, sp.diff(expression, x)])
    attained, bound = supremum(lambda box: tuple(function({x: box})), -2.0, 3.0)
    seen = sp.lambdify(x, expression, "numpy")(np.linspace(-2, 3, 40_001)).max()
    assert attained <= bound <= attained + 3e-6 * abs(attained)
    assert seen <= bound * (1 + 1e-15)
    assert attained <= seen + 1e-6


@pytest.mark.parametrize("shift", [-7, 0, 5])
def test_a_search_ends_as_soon_as_it_is_within_its_tolerance(shift):
    """The supremum of -x^2 + sin(5 x)/3 + shift, below, at and above 0, by a fine grid."""
    expression = shift - x**2 + sp.sin(5 * x) / 3
    function = IntervalFunction([expression, sp.diff(expression, x)])
    asked = []

    def counted(box):
        asked.append(box)
        return tuple(function({x: box}))

    attained, bound = supremum(counted, -2.0, 3.0, tolerance=1e-8)
    seen = sp.lambdify(x, expression, "numpy")(np.linspace(-2, 3, 400_001)).max()
    assert attained <= bound <= attained + 1e-8 * abs(attained)
    assert attained - 1e-9 <= seen <= bound
    assert 20 < len(asked) < 400
    for limits in ({"max_boxes": 5}, {"work": Work(0.0)}):
        asked.clear()
        attained, rough = supremum(counted, -2.0, 3.0, tolerance=0.0, **limits)
        assert attained <= seen <= rough
        assert len(asked) <= 10  # a box and its centre


def test_a_short_search_still_gives_a_bound():
    expression = x**2 - sp.sin(100 * x)
    function = IntervalFunction([expression, sp.diff(expression, x)])
    _, rough = supremum(lambda box: tuple(function({x: box})), -2.0, 2.0, max_boxes=5)
    attained, fine = supremum(lambda box: tuple(function({x: box})), -2.0, 2.0)
    assert attained <= fine <= rough


def test_what_cannot_be_enclosed_says_so():
    for expression, box in ((sp.gamma(x), (1, 2)), (1 / x, (-1, 1)), (sp.log(x), (-1, 1)),
                            (sp.sqrt(x), (-1, 1)), (sp.tan(x), (1, 2))):  # fmt: skip
        with pytest.raises(Unenclosable):
            IntervalFunction([expression])({x: interval(*box)})
