"""Observed orders: of the state, of the interpolant, and uniformly in the stiffness."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import ellipj

from maml_ode.integrate.solvers import METHODS

MODULUS = 0.51


def clock(t):
    return t + 0.3 * np.sin(t)


def rigid_body(t):
    """Jacobi's sn, cn, dn: Euler's equations of a rigid body, here with a clock that runs unevenly."""
    return np.array(ellipj(clock(t), MODULUS)[:3])


def rigid_body_field(t, y):
    return (1 + 0.3 * np.cos(t)) * np.array([y[1] * y[2], -y[0] * y[2], -MODULUS * y[0] * y[1]])


def logistic(t):
    return np.array([1 / (1 + 3 * np.exp(-t))])


# The leading error term of Tsit5 is so small that on the rigid body its order shows only below rounding.
CASES = {
    "Tsit5": (logistic, lambda t, y: y * (1 - y), 5.0, [80, 113, 160], 5, 5),
    "DOP853": (rigid_body, rigid_body_field, 3.0, [11, 16, 22, 32], 8, None),
    "RKC2": (rigid_body, rigid_body_field, 3.0, [200, 400, 800], 2, None),
    "Rodas4P": (rigid_body, rigid_body_field, 3.0, [56, 80, 113, 160], 4, 4),
    "Rodas5P": (rigid_body, rigid_body_field, 3.0, [56, 80, 113], 5, 5),
}


def fixed_steps(method, field, y0, length, n, **options):
    """n equal steps: with these tolerances every step is accepted and max_step is its size."""
    h = length / n
    run = solve_ivp(
        field, (0, length), y0, method=method, rtol=1e10, atol=1e10, first_step=h, max_step=h,
        dense_output=True, **options,
    )  # fmt: skip
    assert run.success
    assert len(run.t) - 1 in (n, n + 1)  # a sliver of rounding may remain at the end
    return run


def slope(numbers, errors):
    return -np.polyfit(np.log(numbers), np.log(errors), 1)[0]


@pytest.mark.parametrize("name", METHODS)
def test_observed_order_with_fixed_steps(name):
    solution, field, length, numbers, order, _ = CASES[name]
    errors = []
    for n in numbers:
        run = fixed_steps(METHODS[name], field, solution(0.0), length, n)
        errors.append(np.abs(run.y[:, -1] - solution(length)).max())
    assert slope(numbers, errors) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[5]])
def test_observed_order_of_the_interpolant(name):
    solution, field, length, numbers, _, order = CASES[name]
    times = np.linspace(0, length, 777)
    errors = []
    for n in numbers:
        run = fixed_steps(METHODS[name], field, solution(0.0), length, n)
        errors.append(np.abs(run.sol(times) - solution(times)).max())
    assert slope(numbers, errors) == pytest.approx(order, abs=0.1)


def test_observed_local_order_of_the_interpolants_of_dop853_and_rkc2():
    # Within one step, from an exact state: DOP853's is of order 7. That of RKC2 is cubic, so its error over
    # one step is what the method leaves, h^3.
    for name, sizes, order in (("DOP853", [0.3, 0.4, 0.55], 8), ("RKC2", [0.01, 0.02, 0.04], 3)):
        errors = []
        for h in sizes:
            run = fixed_steps(METHODS[name], rigid_body_field, rigid_body(0.0), h, 1)
            times = h * np.linspace(0.05, 0.95, 19)
            errors.append(np.abs(run.sol(times) - rigid_body(times)).max())
        assert -slope(sizes, errors) == pytest.approx(order, abs=0.2)


def test_chebyshev_method_keeps_its_order_with_many_stages():
    numbers, errors = [200, 400, 800], []
    for n in numbers:  # 60/h: ten stages at every step size
        run = fixed_steps(
            METHODS["RKC2"], rigid_body_field, rigid_body(0.0), 3.0, n, spectral_radius=60 * n / 3.0
        )
        assert run.nfev == pytest.approx(10 * n, rel=0.1)
        errors.append(np.abs(run.y[:, -1] - rigid_body(3.0)).max())
    assert slope(numbers, errors) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("name", ["Rodas4P", "Rodas5P"])
def test_no_order_reduction_on_prothero_robinson(name):
    # y' = lambda (y - phi) + phi', y = phi: the worst error over lambda in [-1e7, -1] falls as h^4, where a
    # method that only satisfies the classical conditions falls to order 1 or 2.
    def phi(t):
        return np.sin(t + 0.5)

    numbers, worst = [8, 16, 32, 64], []
    for n in numbers:
        errors = []
        for rate in -np.logspace(0, 7, 15):
            run = fixed_steps(
                METHODS[name],
                lambda t, y, rate=rate: rate * (y - phi(t)) + np.cos(t + 0.5),
                [phi(0.0)],
                2.0,
                n,
                jac=[[rate]],
            )
            errors.append(np.abs(run.y[0] - phi(run.t)).max())
        worst.append(max(errors))
    assert slope(numbers, worst) == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize("name", METHODS)
def test_error_follows_the_tolerance(name):
    # Shampine and Thompson's check of a controller: the log-log slope of the error against the tolerance.
    tolerances, errors = [1e-4, 1e-5, 1e-6, 1e-7], []
    for tol in tolerances:
        run = solve_ivp(
            rigid_body_field, (0, 10), rigid_body(0.0), method=METHODS[name], rtol=tol, atol=tol
        )
        errors.append(np.abs(run.y - rigid_body(run.t)).max())
    expected = {"RKC2": 2 / 3}.get(name, 1.0)
    assert np.polyfit(np.log(tolerances), np.log(errors), 1)[0] == pytest.approx(expected, abs=0.25)
    assert errors[-1] < 1e4 * tolerances[-1]
