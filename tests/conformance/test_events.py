"""Events in ``solve_ivp``: the LSODAR demonstration, restarts, and a bouncing ball."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from maml_ode.integrate.solvers import METHODS

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def lsodar(t, y):
    return ((2 * np.log(y) + 8) / t - 5) * y


def lsodar_solution(t):
    return np.exp(-(t**2) + 5 * t - 4)


def threshold(t, y):
    return np.log(y[0]) - 2.2491


ROOTS = [
    brentq(lambda t: -(t**2) + 5 * t - 4 - 2.2491, *bracket) for bracket in ((2.4, 2.5), (2.5, 2.6))
]


@every_method
def test_lsodar_demonstration(method):
    # A. C. Hindmarsh, ODEPACK: both roots lie inside one step of length 0.06, which only a bound on the step
    # shows to solve_ivp's sign test.
    assert pytest.approx([2.47, 2.53], abs=1e-9) == ROOTS
    run = solve_ivp(
        lsodar, (1, 6), [1.0], method=method, rtol=1e-9, atol=1e-9, events=threshold, max_step=0.03
    )
    assert run.success
    np.testing.assert_allclose(run.t_events[0], ROOTS, atol=1e-4)
    np.testing.assert_allclose(run.y[0], lsodar_solution(run.t), rtol=1e-5, atol=1e-7)


@every_method
def test_restart_at_an_event(method):
    # The harmonic oscillator, stopped at every zero and started again there: zeros stay pi apart.
    def zero(t, y):
        return y[0]

    zero.terminal = True
    t, y, zeros = 0.0, np.array([1.0, 0.0]), []
    for direction in (-1, 1, -1, 1, -1):
        zero.direction = direction
        run = solve_ivp(
            lambda t, y: np.array([y[1], -y[0]]), (t, t + 10), y, method=method,
            rtol=1e-7, atol=1e-9, events=zero,
        )  # fmt: skip
        assert run.status == 1
        t, y = run.t[-1], run.y[:, -1]
        assert abs(y[0]) < 1e-10
        zeros.append(t)
    np.testing.assert_allclose(zeros, np.pi * (np.arange(5) + 0.5), atol=1e-4)


@every_method
def test_bouncing_ball(method):
    # Each bounce keeps 0.7 of the speed: bounces accumulate at T = t1 (1 + 0.7) / (1 - 0.7) (Zeno).
    def ground(t, y):
        return y[0]

    ground.terminal, ground.direction = True, -1
    t, y, bounces = 0.0, np.array([0.5, 0.0]), []
    for _ in range(20):
        run = solve_ivp(
            lambda t, y: np.array([y[1], -1.0]), (t, t + 5), y, method=method, events=ground
        )
        assert run.status == 1
        t, y = run.t[-1], np.array([0.0, -0.7 * run.y[1, -1]])
        bounces.append(t)
    # The first fall takes 1, the flight after bounce k takes 2 (0.7)^k: exact for every order >= 2.
    np.testing.assert_allclose(np.diff(bounces), 2 * 0.7 ** np.arange(1, 20), rtol=1e-6)


@every_method
def test_many_events_are_found_once_each(method):
    run = solve_ivp(
        lambda t, y: np.array([y[1], -y[0]]), (0, 30), [0.0, 1.0], method=method,
        rtol=1e-6, atol=1e-8, events=lambda t, y: y[1],
    )  # fmt: skip
    np.testing.assert_allclose(run.t_events[0], np.pi * (np.arange(10) + 0.5), atol=2e-2)
