"""What every class of METHODS does with tolerances, limits, bad input and non-finite numbers."""

import time

import numpy as np
import pytest
from scipy.integrate import OdeSolver, solve_ivp

from maml_ode.integrate.solvers import DOP853, METHODS, RKC2, Rodas5P
from maml_ode.integrate.solvers.control import StepController, first_step_size

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def test_registry_holds_solver_classes():
    assert set(METHODS) == {"Tsit5", "DOP853", "RKC2", "Rodas4P", "Rodas5P"}
    for name, method in METHODS.items():
        assert issubclass(method, OdeSolver)
        assert method.__name__ == name


@pytest.mark.parametrize("tol", [1e-5, 1e-7, 1e-10])
def test_dop853_takes_the_steps_of_scipys(tol):
    def van_der_pol(t, y):
        return np.array([y[1], 3 * (1 - y[0] ** 2) * y[1] - y[0]])

    ours, theirs = (
        solve_ivp(
            van_der_pol, (0, 20), [2.0, 0.0], method=m, rtol=tol, atol=tol / 10, dense_output=True
        )
        for m in (DOP853, "DOP853")
    )
    assert (len(ours.t), ours.nfev) == (len(theirs.t), theirs.nfev)
    # Rounding differs, and a step size comes from a small difference of large numbers.
    np.testing.assert_allclose(ours.t, theirs.t, rtol=1e-6)
    times = np.linspace(0, 20, 101)
    np.testing.assert_allclose(ours.sol(times), theirs.sol(times), atol=0.1 * tol)


@every_method
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_right_hand_side_not_finite_at_the_start_fails_at_once(method, bad):
    calls = []

    def fun(t, y):
        calls.append(t)
        return np.array([bad, 1.0])

    run = solve_ivp(fun, (0, 1), [0.0, 0.0], method=method)
    assert run.status == -1
    assert "not finite at t = 0" in run.message
    assert len(calls) == 1


@every_method
def test_trial_steps_that_are_not_finite_are_shortened(method):
    # y' = -sqrt(y) reaches 0 at t = 2; beyond lies NaN, and the way there is integrated.
    def fun(t, y):
        with np.errstate(invalid="ignore"):
            return -np.sqrt(y)

    run = solve_ivp(fun, (0, 1.9), [1.0], method=method, first_step=1.8, rtol=1e-6, atol=1e-9)
    assert run.success
    np.testing.assert_allclose(run.y[0], (1 - run.t / 2) ** 2, atol=1e-5)


@every_method
def test_a_wall_of_nan_ends_the_run_with_the_good_part(method):
    started = time.perf_counter()

    def fun(t, y):
        return np.array([1.0 if t < 0.5 else np.nan])

    run = solve_ivp(fun, (0, 1), [0.0], method=method)
    assert run.status == -1
    assert "finite" in run.message
    assert run.t[-1] == pytest.approx(0.5, abs=1e-3)
    assert np.isfinite(run.y).all()
    assert time.perf_counter() - started < 1.0


@every_method
def test_finite_escape_time_ends_the_run(method):
    with np.errstate(over="ignore", invalid="ignore"):
        run = solve_ivp(lambda t, y: y**2, (0, 2), [1.0], method=method)
    assert run.status == -1
    assert run.t[-1] == pytest.approx(1.0, abs=0.02)  # y = 1/(1 - t)
    assert len(run.t) < 5000


@every_method
def test_infinite_horizon_at_rest_ends(method):
    solver = method(lambda t, y: 0.0 * y, 0.0, [1.0], np.inf)
    for _ in range(1000):
        if solver.status != "running":
            break
        message = solver.step()
    assert solver.status == "failed"
    assert "give a finite one" in message
    assert solver.y[0] == 1.0


@every_method
def test_bad_arguments_are_refused(method):
    def decay(t, y):
        return -y

    for options, words in (
        ({"rtol": -1.0}, "rtol must be positive"),
        ({"atol": -1e-6}, "atol must be positive"),
        ({"atol": [1e-6, 1e-6, 1e-6]}, "wrong shape"),
        ({"max_step": 0.0}, "max_step must be positive"),
        ({"max_step": -1.0}, "max_step must be positive"),
        ({"first_step": 0.0}, "first_step must be positive"),
        ({"first_step": 2.0}, "exceeds the interval"),
    ):
        with pytest.raises(ValueError, match=words):
            method(decay, 0.0, [1.0, 2.0], 1.0, **options)
    with pytest.raises(ValueError, match="complex"):
        method(decay, 0.0, [1.0 + 1j], 1.0)
    with pytest.raises(ValueError, match="finite"):
        method(decay, 0.0, [np.nan], 1.0)
    with pytest.raises(ValueError, match=r"shape \(2,\).*shape \(1,\)"):
        method(lambda t, y: y[:1], 0.0, [1.0, 2.0], 1.0)
    with pytest.warns(UserWarning, match="does not use.*lband"):
        method(decay, 0.0, [1.0], 1.0, lband=1)
    with pytest.warns(UserWarning, match="rtol is below"):
        method(decay, 0.0, [1.0], 1.0, rtol=1e-20)


def test_bad_arguments_of_single_methods_are_refused():
    def decay(t, y):
        return -y

    with pytest.raises(ValueError, match="spectral_radius must be at least 0"):
        RKC2(decay, 0.0, [1.0], 1.0, spectral_radius=-1.0)
    with pytest.raises(ValueError, match=r"spectral_radius.* returned nan"):
        solve_ivp(decay, (0, 1), [1.0], method=RKC2, spectral_radius=lambda t, y: np.nan)
    with pytest.raises(TypeError, match="jvp must be callable"):
        RKC2(decay, 0.0, [1.0], 1.0, jvp=3.0)
    with pytest.raises(ValueError, match=r"jac must have shape \(1, 1\).*\(2, 2\)"):
        Rodas5P(decay, 0.0, [1.0], 1.0, jac=np.eye(2))
    run = solve_ivp(decay, (0, 1), [1.0], method=Rodas5P, jac=lambda t, y: [[np.nan]])
    assert run.status == -1
    assert "Jacobian is not finite at t = 0" in run.message


@every_method
def test_the_users_arrays_are_left_alone(method):
    start = np.array([1.0, 2.0])
    seen = []

    def fun(t, y):
        seen.append((y, y.copy()))
        return -y

    run = solve_ivp(fun, (0, 1), start, method=method, dense_output=True)
    assert (start == [1.0, 2.0]).all()
    assert all((kept == copy).all() for kept, copy in seen)
    assert len({run.y[0, k] for k in range(run.t.size)}) == run.t.size


@every_method
def test_two_solvers_do_not_share_state(method):
    def run(other):
        first = method(lambda t, y: -y, 0.0, [1.0], 2.0)
        second = method(lambda t, y: -30 * y**3, 0.0, [2.0, 3.0], 2.0) if other else None
        while first.status == "running":
            first.step()
            if second is not None and second.status == "running":
                second.step()
        return first.y.copy(), first.nfev

    assert run(True) == run(False)


def test_controller_factors():
    standard = StepController(order=4)
    assert standard.after_acceptance(0.0, 1.0, False) == 10.0
    assert standard.after_acceptance(1e-8, 1.0, True) == 1.0
    assert standard.after_acceptance(0.5, 1.0, False) == pytest.approx(0.9 * 2**0.25)
    assert standard.after_rejection(np.inf) == 0.2
    assert standard.after_rejection(16.0) == pytest.approx(0.45)
    # PI control: a factor below the standard one when the error has just grown.
    growing = StepController(order=5, integral=0.14, proportional=0.08)
    growing.after_acceptance(0.1, 1.0, False)
    falling = StepController(order=5, integral=0.14, proportional=0.08)
    falling.after_acceptance(1.0, 1.0, False)
    assert growing.after_acceptance(0.5, 1.0, False) < falling.after_acceptance(0.5, 1.0, False)
    # Predictive: errors that double at every step of constant size ask for a step shorter than the standard.
    predictive = StepController(order=4, predictive=True)
    predictive.after_acceptance(0.25, 1.0, False)
    assert predictive.after_acceptance(0.5, 1.0, False) == pytest.approx(
        0.9 * (0.25 / 0.5**2) ** 0.25
    )


def test_first_step_shrinks_into_the_domain():
    # log y is defined for y > 0 only; an Euler step of the usual first guess would leave it.
    def fun(t, y):
        with np.errstate(invalid="ignore", divide="ignore"):
            return -1e3 * np.sqrt(1e-9 + y) + 0 * np.log(y)

    y0 = np.array([1e-3])
    one = np.ones(1)
    h = first_step_size(fun, 0.0, y0, fun(0.0, y0), 1.0, 1.0, np.inf, 4, 0.1 * one, 1e3 * one)
    assert 0 < h < 1
    assert np.isfinite(fun(0.0, y0 + 0.01 * h * fun(0.0, y0))).all()


@pytest.mark.parametrize("steepness", [60.0, 6000.0])
def test_a_spectral_radius_that_grows_within_a_step_costs_steps_and_not_accuracy(steepness):
    """x' = 1, y' = -k(x) y with k from 1 to 1e5 around x = 1: stable where a step begins, and not where it ends.

    An instability that is large enough to matter is an error like any other, and the step is refused.
    """

    def k(x):
        return 1.0 + 0.5e5 * (1.0 + np.tanh(0.5 * steepness * (x - 1.0)))

    runs = {
        y: solve_ivp(
            lambda t, w: np.array([1.0, -k(w[0]) * w[1]]), (0.0, 2.0), [0.0, y], method=RKC2,
            rtol=1e-4, atol=1e-6, spectral_radius=lambda t, w: 1.05 * k(w[0]),
        )
        for y in (1.0, 1e-8, 1e-12)
    }  # fmt: skip
    for y, run in runs.items():
        assert run.success
        assert run.nfev < 4000
        assert (np.abs(run.y[1]) <= max(y, 1e-6)).all()
        np.testing.assert_allclose(run.y[0], run.t, rtol=1e-12)
        assert np.abs(run.y[1, run.t > 1.2]).max() < 1e-6
    before = runs[1.0].t < 0.6  # where the rate is 1 but for 1e-5
    np.testing.assert_allclose(runs[1.0].y[1, before], np.exp(-runs[1.0].t[before]), atol=2e-3)
