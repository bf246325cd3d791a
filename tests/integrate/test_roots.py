"""Brent's method against SciPy's: the same evaluations, and the same root to the last bit."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from maml_ode.integrate.roots import brent

SHAPES = [
    math.tanh,
    lambda x: x**3,
    lambda x: math.expm1(min(x, 50.0)),
    lambda x: math.copysign(1.0, x),
    lambda x: x / (1.0 + abs(x)),
    lambda x: 1e-200 * x**9,
    lambda x: x + 0.5 * math.sin(5.0 * x),
]


def test_every_evaluation_is_scipys():
    rng = np.random.default_rng(0)
    rtol = 4 * np.finfo(float).eps
    for _ in range(700):
        shape, (at, low, high) = SHAPES[rng.integers(len(SHAPES))], rng.uniform(-30.0, 30.0, 3)
        sign, xtol = rng.choice([1, -3]), rng.choice([1e-300, 1e-12, 1e-3])

        def recorded(find, shape=shape, at=at, sign=sign):
            seen = []

            def watched(x):
                seen.append(float(x))
                return float(sign) * shape(x - at)

            try:
                found = find(watched)
            except ValueError:
                found = None
            return found, seen

        def scipys(f, low=low, high=high, xtol=xtol):
            options = {"xtol": xtol, "rtol": rtol, "full_output": True, "disp": False}
            root, report = brentq(f, low, high, **options)
            return root, report.converged

        def ours(f, low=low, high=high, xtol=xtol):
            return brent(f, low, high, xtol=xtol, rtol=rtol)

        assert recorded(ours) == recorded(scipys)


def test_a_function_that_is_nan_has_no_root():
    with pytest.raises(ValueError, match="NaN at 0"):
        brent(lambda x: math.sqrt(x) if x else math.nan, 1.0, 0.0, xtol=1e-9, rtol=1e-9)


def test_a_bracket_without_a_root_is_refused():
    with pytest.raises(ValueError, match="different signs"):
        brent(lambda x: 1.0 + x * x, -1.0, 1.0, xtol=1e-9, rtol=1e-9)
