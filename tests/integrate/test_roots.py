"""Brent's method against SciPy's: the same evaluations, and the same root to the last bit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from maml_ode.integrate.roots import brent

numbers = st.floats(-30.0, 30.0)


def functions():
    shape = st.sampled_from(
        [
            math.tanh,
            lambda x: x**3,
            lambda x: math.expm1(min(x, 50.0)),
            lambda x: math.copysign(1.0, x),
            lambda x: x / (1.0 + abs(x)),
            lambda x: 1e-200 * x**9,
            lambda x: x + 0.5 * math.sin(5.0 * x),
        ]
    )
    return st.builds(
        lambda f, at, s: lambda x: s * f(x - at), shape, numbers, st.sampled_from([1, -3])
    )


@settings(deadline=None)
@given(functions(), numbers, numbers, st.sampled_from([1e-300, 1e-12, 1e-3]))
def test_every_evaluation_is_scipys(function, low, high, xtol):
    rtol = 4 * np.finfo(float).eps

    def recorded(find):
        seen = []

        def watched(x):
            seen.append(float(x))
            return function(x)

        try:
            found = find(watched)
        except ValueError:
            found = None
        return found, seen

    def scipys(f):
        root, report = brentq(f, low, high, xtol=xtol, rtol=rtol, full_output=True, disp=False)
        return root, report.converged

    ours = recorded(lambda f: brent(f, low, high, xtol=xtol, rtol=rtol))
    assert ours == recorded(scipys)


def test_a_function_that_is_nan_has_no_root():
    with pytest.raises(ValueError, match="NaN at 0"):
        brent(lambda x: math.sqrt(x) if x else math.nan, 1.0, 0.0, xtol=1e-9, rtol=1e-9)


def test_a_bracket_without_a_root_is_refused():
    with pytest.raises(ValueError, match="different signs"):
        brent(lambda x: 1.0 + x * x, -1.0, 1.0, xtol=1e-9, rtol=1e-9)
