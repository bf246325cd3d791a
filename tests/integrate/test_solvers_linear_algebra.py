"""Jacobians, factorisations and spectral radii inside the methods that need them."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.sparse import csr_array

from maml_ode.integrate.solvers import RKC2, Rodas4P, Rodas5P
from maml_ode.integrate.solvers.kernels import rosenbrock
from maml_ode.integrate.solvers.linear_algebra import difference_increments, factorize, is_symmetric
from maml_ode.integrate.solvers.spectral_radius import ArnoldiEstimate


def symmetric(eigenvalues, seed=0):
    rng = np.random.default_rng(seed)
    n = len(eigenvalues)
    Q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    J = Q @ np.diag(eigenvalues) @ Q.T
    return 0.5 * (J + J.T)


@pytest.mark.parametrize("n", [1, 2, 7, 30, 80])
def test_both_factorisations_solve_the_system(n):
    rng = np.random.default_rng(n)
    x = rng.normal(size=n)
    definite = symmetric(-np.geomspace(1e-3, 1e3, n))
    general = rng.normal(size=(n, n)) - n * np.eye(n)
    general[0] *= -100  # forces row interchanges where there is a row to interchange with
    indefinite = symmetric(np.linspace(-3, 50, n) if n > 1 else [50.0])
    for J, cholesky, tried in ((definite, True, 1), (general, n == 1, 1), (indefinite, False, 2)):
        by, count = factorize(J, 0.1, is_symmetric(J))
        if J is general and n == 1:
            assert count in (1, 2)
        else:
            assert count == tried
            assert (by.pivots.size == 0) == cholesky
        matrix = np.eye(n) - 0.1 * J
        right = matrix @ x
        rosenbrock.solve(by.factor, by.pivots, right)
        np.testing.assert_allclose(right, x, rtol=1e-9)


def test_a_singular_system_is_reported():
    by, tried = factorize(np.diag([2.0, -1.0]), 0.5, True)
    assert by is None
    assert tried == 2


def test_symmetry_is_decided_relative_to_the_largest_entry():
    J = symmetric(-np.geomspace(1, 1e6, 5))
    assert is_symmetric(J)
    J[0, 1] += 1e-8
    assert is_symmetric(J)  # 1e-14 of the largest entry
    J[0, 1] += 1e-3
    assert not is_symmetric(J)


@pytest.mark.parametrize("method", [Rodas4P, Rodas5P])
def test_gradient_flow_is_factorised_by_cholesky_and_any_other_by_lu(method):
    decay = symmetric(-np.geomspace(1, 1e4, 6))
    solver = method(lambda t, y: decay @ y, 0.0, np.ones(6), 1.0, jac=decay)
    solver.step()
    assert solver._factorization.pivots.size == 0
    solver = method(lambda t, y: decay @ y, 0.0, np.ones(6), 1.0, jac=lambda t, y: decay)
    while solver.status == "running":
        solver.step()
    assert solver.nlu == solver.njev + solver.n_rejected  # one a trial: none was repeated as LU
    turning = np.array([[-1.0, 5.0], [-5.0, -1.0]])
    solver = method(lambda t, y: turning @ y, 0.0, np.ones(2), 1.0, jac=turning)
    solver.step()
    assert solver._factorization.pivots.size == 2
    # Growth: Cholesky's factorisation breaks down once gamma h lambda > 1, and LU takes over.
    growth = np.array([[1.0]])
    solver = method(lambda t, y: growth @ y, 0.0, [1.0], 100.0, jac=growth, rtol=1e10, atol=1e10)
    while solver.status == "running":
        solver.step()
    assert solver.nlu > 0


@pytest.mark.parametrize("method", [Rodas4P, Rodas5P])
def test_jacobian_may_be_given_in_every_form(method):
    matrix = np.array([[-100.0, 1.0], [2.0, -3.0]])

    def fun(t, y):
        return matrix @ y + np.array([np.sin(t), 1.0])

    def batch(t, y):
        return matrix @ y + np.array([np.sin(t), 1.0]).reshape((2,) + (1,) * (y.ndim - 1))

    runs = [
        solve_ivp(fun, (0, 3), [1.0, 2.0], method=method, rtol=1e-7, atol=1e-9, jac=jac)
        for jac in (matrix, csr_array(matrix), lambda t, y: matrix, None)
    ]
    runs.append(
        solve_ivp(batch, (0, 3), [1.0, 2.0], method=method, rtol=1e-7, atol=1e-9, vectorized=True)
    )
    for run in runs[1:]:
        assert len(run.t) == len(runs[0].t)
        np.testing.assert_allclose(run.y[:, -1], runs[0].y[:, -1], rtol=1e-6)
    assert runs[0].njev == runs[1].njev == 0
    assert runs[2].njev >= len(runs[2].t) - 1
    assert runs[3].nfev == runs[2].nfev + 2 * runs[3].njev  # two differences a Jacobian
    assert runs[4].nfev == runs[3].nfev


def test_difference_jacobian_is_accurate_at_wild_scales():
    y = np.array([1.0, 1e-8, 0.0, -1e6])

    def f(y):
        return np.array([y[0] * y[1], y[1] ** 2 * 1e12, y[2] + y[0], np.sin(1e-6 * y[3])])

    exact = np.zeros((4, 4))
    exact[0, 0], exact[0, 1] = y[1], y[0]
    exact[1, 1] = 2e12 * y[1]
    exact[2, 2] = exact[2, 0] = 1.0
    exact[3, 3] = 1e-6 * np.cos(1e-6 * y[3])
    steps = difference_increments(y, f(y), 0.01, np.full(4, 1e-6), np.full(4, 1e-12))
    J = np.column_stack([(f(y + d) - f(y)) / (y + d - y)[k] for k, d in enumerate(np.diag(steps))])
    np.testing.assert_allclose(J, exact, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("n", [1, 2, 5, 40, 300])
def test_spectral_radius_of_symmetric_matrices_is_met_from_above(n):
    for seed in range(5):
        rates = -np.random.default_rng(seed).uniform(0, 100, n)
        rates[0] = -100.0
        J = symmetric(rates, seed)
        products = []
        estimate = ArnoldiEstimate(n)

        def product(v, J=J, products=products):
            products.append(v)
            return J @ v

        assert 100 <= estimate(product) <= 118
        first = len(products)
        assert first <= min(n, 50)
        assert 100 <= estimate(product) <= 118
        assert len(products) - first <= min(n, 12)  # the last vector is a good start


def test_spectral_radius_of_other_matrices():
    turning = np.array([[-1.0, 5.0], [-5.0, -1.0]])
    assert ArnoldiEstimate(2)(lambda v: turning @ v) == pytest.approx(1.1 * np.sqrt(26))
    assert ArnoldiEstimate(3)(lambda v: 0 * v) == 0.0
    assert np.isnan(ArnoldiEstimate(3)(lambda v: np.nan * v))


def test_rkc_takes_the_radius_from_every_source():
    J = symmetric(-np.geomspace(1e-1, 1e4, 12))
    start = np.ones(12)
    rates, Q = np.linalg.eigh(J)
    exact = Q @ (np.exp(2 * rates) * (Q.T @ start))
    runs = {}
    products = []

    def jvp(t, y, v):
        products.append(v)
        return J @ v

    for name, options in {
        "number": {"spectral_radius": 1e4},
        "function": {"spectral_radius": lambda t, y: 1e4 + 0 * t},
        "differences": {},
        "products": {"jvp": jvp},
    }.items():
        run = solve_ivp(
            lambda t, y: J @ y, (0, 2), start, method=RKC2, rtol=1e-5, atol=1e-7, **options
        )
        assert run.success
        np.testing.assert_allclose(run.y[:, -1], exact, atol=1e-4)
        runs[name] = run
    assert runs["number"].nfev == runs["function"].nfev
    solver = RKC2(lambda t, y: J @ y, 0.0, start, 2.0, jvp=jvp)
    products.clear()
    while solver.status == "running":
        solver.step()
    assert solver.njvp == len(products) > 0
    assert 1e4 <= solver.spectral_radius <= 1.18e4
    # The estimate costs a few evaluations and a few more stages.
    assert runs["differences"].nfev < 1.3 * runs["number"].nfev


def test_rkc_finds_a_radius_that_grows():
    # The rate grows from 1 to 1e5 within the run; a radius kept from the start would blow up.
    def fun(t, y):
        return -(10.0 ** (5 * t)) * (y - np.cos(t))

    run = solve_ivp(fun, (0, 1), [1.0], method=RKC2, rtol=1e-5, atol=1e-7)
    assert run.success
    assert run.y[0, -1] == pytest.approx(np.cos(1), abs=1e-4)
    assert run.nfev < 5000


def test_rkc_limits_its_stages_where_rounding_would_show():
    solver = RKC2(
        lambda t, y: -1e8 * (y - 1.0), 0.0, [1.0 + 1e-7], 1.0, rtol=1e-12, atol=1e-12,
        spectral_radius=1e8,
    )  # fmt: skip
    for _ in range(50):
        solver.step()
        assert solver.n_stages_last <= 22  # sqrt(1e-12 / (10 eps)), and one by rounding up
        assert 1e8 * solver.step_size <= 0.67 * (solver.n_stages_last**2 - 1)
