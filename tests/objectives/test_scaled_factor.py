"""The rank of a factor, decided without pivoting where it is plain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp
from scipy.linalg import lapack, qr

from maml_ode.objectives.scaled_factor import ScaledFactor, _jacobi


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    d=st.integers(1, 6),
    extra=st.integers(-2, 5),
    digits=st.floats(0.0, 18.0),
    deficient=st.integers(0, 2),
)
def test_the_rank_is_that_of_a_pivoted_factorisation(seed, d, extra, digits, deficient):
    rng = np.random.default_rng(seed)
    n = max(1, d + extra)
    U = np.linalg.qr(rng.standard_normal((n, n)))[0][:, : min(n, d)]
    V = np.linalg.qr(rng.standard_normal((d, d)))[0][:, : min(n, d)]
    values = np.logspace(0, -digits, min(n, d))
    values[max(1, values.size - deficient) :] *= 0.0 if deficient else 1.0
    columns, threshold = (U * values) @ V.T, 1e-14
    sizes = rng.uniform(0.5, 2.0, d)
    factor, Q = ScaledFactor.of_columns(columns, sizes, threshold)
    pivots = np.abs(np.diag(qr(columns, mode="r", pivoting=True)[0]))
    assert factor.rank == np.count_nonzero(pivots > threshold)
    assert sorted(factor.order) == list(range(d))
    np.testing.assert_allclose(Q @ (factor.rows / sizes), columns, rtol=0, atol=1e-12)
    np.testing.assert_allclose(Q.T @ Q, np.eye(factor.rank), rtol=0, atol=1e-14)


def test_a_coefficient_is_left_out_only_where_its_column_does_not_show_it():
    """Leading columns 1e-10 apart: their coefficients are unsure to 1e-4, what they make of 5e-5 a is not."""
    columns = np.array([[1.0, 1.0, 5e-5], [0.0, 1e-10, 0.0]])
    factor, Q = ScaledFactor.of_columns(columns, np.ones(3), 1e-14)
    assert factor.rank == 2
    np.testing.assert_allclose(Q @ factor.rows, columns, rtol=0, atol=1e-13)


def test_a_repeated_column_is_made_of_that_column_alone():
    """Coefficients that are rounding are exactly 0, so that no other coordinate takes part in a null vector."""
    columns = np.random.default_rng(0).normal(size=(6, 4))
    columns = np.column_stack([columns, columns[:, 2]]) / np.linalg.norm(columns, axis=0).max()
    factor, _ = ScaledFactor.of_columns(columns, np.ones(5), 1e-14)
    assert factor.rank == 4
    assert {factor.order[-1]} < {2, 4}
    assert np.count_nonzero(factor.coefficients) == 1
    assert abs(factor.coefficients.max() - 1.0) < 1e-14


def test_shortest_solutions_are_those_of_the_pseudoinverse():
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(7, 4))
    columns = np.column_stack([columns, columns @ rng.normal(size=(4, 2))])
    columns /= np.linalg.norm(columns, axis=0)
    factor, _ = ScaledFactor.of_columns(columns, np.array([1.0, 8.0, 0.25, 2.0, 4.0, 0.5]), 1e-14)
    assert factor.rank == 4
    targets = rng.normal(size=(4, 3))
    found = factor._shortest_solutions(targets)
    np.testing.assert_allclose(found, np.linalg.pinv(factor.rows) @ targets, rtol=1e-11)


@pytest.mark.parametrize("smallest", [1e-6, 1e-14, 1e-100, 1e-290])
@pytest.mark.parametrize("d", [3, 5])
def test_singular_values_of_columns_of_any_size_have_their_own_digits(smallest, d):
    rng = np.random.default_rng(d)
    triangle = np.triu(rng.normal(size=(3, 3)), 1) + np.diag([1.0, -1.5, 2.0])
    sizes = np.sort(np.r_[1.0, smallest, np.exp(rng.uniform(np.log(smallest), 0.0, d - 2))])[::-1]
    factor = ScaledFactor(triangle, rng.normal(size=(3, d - 3)), np.arange(d), sizes)
    V, sigma, U = factor.svd()
    with mp.workdps(650):
        R, T = mp.matrix(triangle.tolist()), mp.matrix(3, d)
        for j in range(d):
            column = R[:, j] if j < 3 else R * mp.matrix(factor.coefficients[:, j - 3].tolist())
            T[:, j] = column * mp.mpf(sizes[j])
        exact = sorted((mp.sqrt(x) for x in mp.eigsy(T * T.T, eigvals_only=True)), reverse=True)
        off = [abs(found / x - 1) for found, x in zip(sigma, exact, strict=True)]
    assert max(off) < 1e-13
    np.testing.assert_allclose(U.T @ U, np.eye(3), rtol=0, atol=1e-14)
    np.testing.assert_allclose(V.T @ V, np.eye(3), rtol=0, atol=1e-14)
    np.testing.assert_allclose((U * sigma) @ V.T, factor.rows, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("least", "order"), [(1.5e-11, [0, 1]), (0.7e-11, [1, 0])])
def test_columns_are_pivoted_only_where_the_rank_is_in_doubt(least, order):
    """A thousand times the threshold of 1e-14 above 0 nothing is in doubt."""
    factor, _ = ScaledFactor.of_columns(np.diag([least, 1.0]), np.array([1.0, 2.0]), 1e-14)
    assert factor.order.tolist() == order
    assert factor.coefficients.shape == (2, 0)


@pytest.mark.parametrize("d", [3, 5])
def test_sweeps_that_do_not_converge_leave_an_ordinary_decomposition(monkeypatch, d):
    rng, sizes = np.random.default_rng(d), 3.0 * np.logspace(0, -9, d)
    triangle = np.triu(rng.normal(size=(3, 3)), 1) + np.diag([1.0, -1.5, 2.0])
    factor = ScaledFactor(triangle, rng.normal(size=(3, d - 3)), np.arange(d), sizes)
    asked = []

    def gives_up(matrix, **how):
        asked.append(how)
        return (*[np.full(3, np.nan)] * 4, None, 1)

    monkeypatch.setattr(lapack, "dgejsv", gives_up)
    sigma, U = _jacobi(factor.rows)
    assert len(asked) == 1
    np.testing.assert_allclose(U.T @ U, np.eye(3), rtol=0, atol=1e-14)
    images = U.T @ factor.rows
    np.testing.assert_allclose(images @ images.T, np.diag(sigma**2), rtol=0, atol=1e-13)
