"""Products with a part of a dense matrix against NumPy's, with NaN all around what they may read or write."""

import numpy as np
import pytest
from numba import njit

from maml_ode.tasks.kernels.dense_products import add_products, combine


# They are compiled for compiled callers alone.
@njit
def products(flat, width, top, bottom, left, right, c, out):
    add_products(flat, width, top, bottom, left, right, c, out)


@njit
def combination(anew, c, flat, width, top, bottom, left, right, out):
    combine(anew, c, flat, width, top, bottom, left, right, out)


def part_of_a_matrix(rng, rows, columns):
    """Return a matrix of NaN as a flat array, its width, the limits of a part with numbers, and these."""
    top, left, width = rng.integers(0, 3), rng.integers(0, 4), columns + 5
    whole = np.full((rows + 4, width), np.nan)
    part = rng.normal(size=(rows, columns))
    limits = int(top), int(top + rows), int(left), int(left + columns)
    whole[limits[0] : limits[1], limits[2] : limits[3]] = part
    return whole.ravel(), width, limits, part


def followed(numbers, by):
    """Return the numbers with others behind them."""
    return np.append(numbers, np.full(40, by))


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 8, 11])
def test_products_are_those_of_numpy_and_leave_the_rest_alone(rows):
    rng = np.random.default_rng(rows)
    for columns in (1, 7, 8, 9, 15, 16, 23, 31, 32, 33, 48, 70):
        flat, width, limits, part = part_of_a_matrix(rng, rows, columns)
        c, r = rng.normal(size=columns), rng.normal(size=rows)
        before = rng.normal(size=rows)
        out = followed(before, 7.0)
        products(flat, width, *limits, followed(c, np.nan), out)
        expected = followed(before + part @ c, 7.0)
        np.testing.assert_allclose(out, expected, rtol=1e-13, atol=1e-13)
        before = rng.normal(size=columns)
        for anew in (False, True):
            out = followed(before, 7.0)
            combination(anew, followed(r, np.nan), flat, width, *limits, out)
            expected = followed(r @ part + (0.0 if anew else before), 7.0)
            np.testing.assert_allclose(out, expected, rtol=1e-13, atol=1e-13)


def test_what_is_no_number_comes_through():
    rng = np.random.default_rng(0)
    flat, width, limits, _ = part_of_a_matrix(rng, 5, 33)
    for bad in (np.nan, np.inf):
        c, r = np.ones(33), np.ones(5)
        c[32] = r[4] = bad
        out = np.zeros(5)
        products(flat, width, *limits, c, out)
        assert not np.isfinite(out).any()
        out = np.zeros(33)
        combination(True, r, flat, width, *limits, out)
        assert not np.isfinite(out).any()
