"""The vectorised exp, expm1 and log1p against mpmath, to two units in the last place."""

import math

import mpmath
import numpy as np
import pytest
from numba import njit

from maml_ode.compiled import vector_math


@njit
def exp(x):
    for j in range(x.size):
        x[j] = vector_math.exp_of(x[j])


@njit
def decay(x):
    for j in range(x.size):
        x[j] = vector_math.decay_of(x[j])


@njit
def decay_beside_less(x):
    for j in range(x.size):
        x[j] = vector_math.decay_and_less_of(x[j])[0]


# They are compiled for compiled callers alone.
FUNCTIONS = {
    "exp": exp,
    "decay": decay,
    "decay beside less": decay_beside_less,
    "expm1": njit(lambda x: vector_math.expm1(x)),
    "log1p": njit(lambda x: vector_math.log1p(x, x)),
}


ORACLES = {
    "exp": mpmath.exp,
    "decay": lambda x: mpmath.exp(-abs(x)),
    "decay beside less": lambda x: mpmath.exp(-abs(x)),
    "expm1": mpmath.expm1,
    "log1p": mpmath.log1p,
}


def draw(name):
    rng = np.random.default_rng(3)
    small = 10.0 ** rng.uniform(-323, 0, 600)
    if name == "log1p":
        return np.concatenate([small, rng.uniform(0, 1, 1500), [0.0, 5e-324, 1.0]])
    ties = (np.arange(-1074, 1024) + 0.5) * math.log(2)  # where the power of 2 changes
    limits = [-745.2, -745.1332, -745.13, -708.4, 709.78271, -0.0, 0.0, -5e-324]
    x = np.concatenate([-small, rng.uniform(-746, 709.78, 1500), rng.uniform(-1, 1, 600), ties])
    x = np.concatenate([x, limits, small])
    return x[x <= 0] if name == "expm1" else x


@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_are_below_two_units_in_the_last_place(name):
    x = draw(name)
    got = x.copy()
    FUNCTIONS[name](got)
    with mpmath.workdps(400):  # exp(-5e-324) - 1 has 324 digits in common with nothing
        for argument, result in zip(x, got, strict=True):
            exact = ORACLES[name](mpmath.mpf(float(argument)))
            error = abs(mpmath.mpf(float(result)) - exact) / math.ulp(float(exact))
            assert error <= 2, (argument, float(error))


@pytest.mark.parametrize(
    ("name", "arguments", "values"),
    [
        (
            "exp",
            [np.nan, np.inf, -np.inf, 710.0, 1e300, -1e300],
            [np.nan, np.inf, 0, np.inf, np.inf, 0],
        ),
        ("decay", [np.nan, np.inf, -np.inf, 1e300, -746.0, 0.0], [np.nan, 0, 0, 0, 0, 1]),
        ("decay beside less", [np.nan, np.inf, -np.inf, 746.0, 0.0], [np.nan, 0, 0, 0, 1]),
        ("expm1", [np.nan, -np.inf, -1e300, 0.0], [np.nan, -1, -1, 0]),
        ("log1p", [np.nan, 0.0], [np.nan, 0]),
    ],
)
def test_limits_and_nan_come_through(name, arguments, values):
    got = np.array(arguments)
    FUNCTIONS[name](got)
    np.testing.assert_array_equal(got, values)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_result_does_not_depend_on_the_others(name):
    # The last entries of a vector take another loop than the first.
    x = draw(name)[:77]
    function = FUNCTIONS[name]
    together = x.copy()
    function(together)
    for size in (1, 3, 8, 9):
        for start in range(0, x.size - size, size):
            part = x[start : start + size].copy()
            function(part)
            np.testing.assert_array_equal(part, together[start : start + size])
