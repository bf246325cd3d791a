"""DETEST (Enright, Hull and Lindberg; Hull et al. 1972): nonstiff classes A and C, and stiff A4.

Closed forms where they exist; for C3 the digits published with the set.
"""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from maml_ode.integrate.solvers import METHODS

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
C3_AT_20 = [
    0.00294812, 0.00563538, 0.00782907, 0.00934826, 0.01007944,
    0.00998267, 0.00908869, 0.00748912, 0.00532296, 0.00276243,
]  # fmt: skip


def heat(n):
    return np.diag(np.full(n, -2.0)) + np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)


@every_method
@pytest.mark.parametrize(
    ("field", "start", "solution"),
    [
        (lambda t, y: -y, [1.0], lambda t: np.exp(-t)),
        (lambda t, y: -(y**3) / 2, [1.0], lambda t: 1 / np.sqrt(1 + t)),
        (lambda t, y: y / 4 * (1 - y / 20), [1.0], lambda t: 20 / (1 + 19 * np.exp(-t / 4))),
    ],
    ids=["A1", "A2", "A4"],
)
def test_class_A(method, field, start, solution):
    for tol in (1e-3, 1e-5):
        run = solve_ivp(field, (0, 20), start, method=method, rtol=tol, atol=tol, dense_output=True)
        times = np.linspace(0, 20, 201)
        # Errors add up where the flow does not contract: A4 grows e^5-fold.
        assert np.abs(run.sol(times)[0] - solution(times)).max() < 400 * tol


@every_method
def test_class_C3(method):
    A = heat(10)
    run = solve_ivp(lambda t, y: A @ y, (0, 20), np.eye(10)[0], method=method, rtol=1e-6, atol=1e-9)
    # The published digits end at 5e-9.
    np.testing.assert_allclose(run.y[:, -1], C3_AT_20, atol=1e-6)
    sharp = {} if method.__name__ == "RKC2" else {"rtol": 1e-9, "atol": 1e-11}
    if sharp:
        run = solve_ivp(lambda t, y: A @ y, (0, 20), np.eye(10)[0], method=method, **sharp)
        np.testing.assert_allclose(run.y[:, -1], C3_AT_20, atol=6e-9)


@pytest.mark.parametrize("name", ["RKC2", "Rodas4P", "Rodas5P"])
def test_stiff_A4(name):
    # y_i' = -i^5 y_i, rates from 1 to 1e5.
    rates = np.arange(1.0, 11.0) ** 5
    run = solve_ivp(
        lambda t, y: -rates * y, (0, 1), np.ones(10), method=METHODS[name], rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(run.y, np.exp(-rates[:, None] * run.t), atol=2e-4)
    assert run.nfev < 10_000  # an explicit method of order 5 needs more than 150,000


@pytest.mark.parametrize("name", ["Tsit5", "DOP853"])
def test_stiff_A4_costs_explicit_methods_their_stability_limit(name):
    rates = np.arange(1.0, 11.0) ** 5
    run = solve_ivp(
        lambda t, y: -rates * y, (0, 0.02), np.ones(10), method=METHODS[name], rtol=1e-5, atol=1e-7
    )
    assert run.success
    np.testing.assert_allclose(run.y[:, -1], np.exp(-0.02 * rates), atol=1e-4)
    assert np.diff(run.t)[-20:-1].mean() * 1e5 < 10  # h lambda inside the stability region
