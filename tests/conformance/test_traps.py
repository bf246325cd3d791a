"""What goes wrong in neighbouring packages, one test a trap, each within seconds."""

import threading
import time

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.fields import CallableField

METHODS = [*mo.integrate.METHODS, "RK23", "RK45", "Radau", "BDF", "LSODA"]


@pytest.fixture(autouse=True)
def _time_limit():
    began = time.perf_counter()
    yield
    assert time.perf_counter() - began < 60.0


@pytest.fixture
def one_dimensional():
    return mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))


@pytest.mark.parametrize("method", METHODS)
def test_nan_at_the_start_is_a_named_stop_in_milliseconds(method, one_dimensional):
    """SciPy's Runge-Kutta loops for ever; LSODA reports success with NaN. Here: a look or two."""
    flow = mo.Flow([mo.Phase(CallableField(lambda w: w * np.nan, 1))], one_dimensional)
    run = mo.solve(flow, [1.0], method=method, t_max=1.0)
    assert run.stop is mo.StopReason.NON_FINITE
    assert not run.success
    assert run.nfev <= 4


@pytest.mark.parametrize("method", METHODS)
def test_nan_along_the_way_keeps_the_good_part(method, one_dimensional):
    field = CallableField(lambda w: np.where(w > 2, np.nan, 1.0), 1)
    run = mo.solve(mo.Flow([mo.Phase(field)], one_dimensional), [0.0], method=method, t_max=5.0)
    assert not run.success
    assert run.final_time > 1.0
    assert np.isfinite(run.y).all()
    np.testing.assert_allclose(run.y[0], run.t, atol=1e-6)


@pytest.mark.parametrize("from_the_start", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_nan_in_an_ending_rule_is_a_named_stop(method, from_the_start, one_dimensional):
    def until(t, w):
        return np.nan if from_the_start or t > 0.5 else 1.0

    field = CallableField(lambda w: -w, 1)
    flow = mo.Flow([mo.Phase(field, until=until)], one_dimensional)
    runs = [mo.solve(flow, [1.0], method=method, t_max=2.0, tol=0), mo.euler(flow, [1.0], 0.1)]
    for run in runs:
        assert run.stop is mo.StopReason.NON_FINITE
        assert "ending rule" in run.message
        assert not run.success
        assert (len(run) == 1) == from_the_start


@pytest.mark.parametrize("method", METHODS)
def test_nan_in_a_jacobian_is_a_named_stop(method, one_dimensional):
    field = CallableField(lambda w: -w, 1, jacobian=lambda w: np.full((1, 1), np.nan))
    flow = mo.Flow([mo.Phase(field)], one_dimensional)
    run = mo.solve(flow, [1.0], method=method, t_max=1.0, tol=0)
    assert np.isfinite(run.y).all()
    if method in ("Tsit5", "DOP853", "RK23", "RK45"):  # which never ask for it
        assert run.success
    elif method in ("Rodas4P", "Rodas5P", "Radau", "BDF"):  # which cannot do without
        assert run.stop is mo.StopReason.NON_FINITE
        assert not run.success


@pytest.mark.parametrize("method", METHODS)
def test_the_residual_reported_is_that_of_the_state_returned(method, logistic):
    """A stale derivative can understate the residual a hundred-thousandfold (SciML, issue 1058)."""
    flow = mo.maml_flow(logistic, 0.4)
    run = mo.solve(flow, 5 * np.ones(3), method=method, tol=1e-7)
    assert run.stop is mo.StopReason.STATIONARY
    assert np.linalg.norm(flow.objective.gradient(run.w)) <= 1e-7
    assert run.grad_norm[-1] == np.linalg.norm(flow.objective.gradient(run.w))


def test_first_order_maml_differs_from_maml_where_curvature_does(quadratic):
    """A first_order flag without effect went unnoticed elsewhere."""
    maml = mo.solve(mo.maml_flow(quadratic, 0.4), np.ones(4)).w
    fomaml = mo.solve(mo.fomaml_flow(quadratic, 0.4), np.ones(4)).w
    assert np.linalg.norm(maml - fomaml) > 1e-2


def test_losses_are_averaged_over_tasks_not_summed(make_quadratic):
    one = make_quadratic(M=1)
    twice = mo.tasks.Quadratic(np.repeat(one.H, 2, axis=0), np.repeat(one.b, 2, axis=0))
    w = np.linspace(-1, 2, 4)
    for build in (mo.ExpectedLoss, lambda tasks: mo.MAMLLoss(tasks, 0.3, inner_steps=2)):
        assert build(twice).value(w) == pytest.approx(build(one).value(w), rel=1e-14)
        np.testing.assert_allclose(build(twice).gradient(w), build(one).gradient(w), rtol=1e-13)


@pytest.mark.parametrize("method", METHODS)
def test_both_ends_of_the_trajectory_are_there(method, logistic):
    w0 = 2 * np.ones(3)
    run = mo.solve(mo.maml_flow(logistic, 0.4), w0, method=method, t_max=3.0, tol=0)
    np.testing.assert_array_equal(run.y[:, 0], w0)
    assert (run.t[0], run.t[-1]) == (0.0, 3.0)


@pytest.mark.parametrize("method", METHODS)
def test_every_limit_is_kept_by_every_method(method, logistic):
    flow, w0 = mo.maml_flow(logistic, 0.4), 5 * np.ones(3)
    run = mo.solve(flow, w0, method=method, max_steps=3)
    assert (run.stop, run.counts.steps) == (mo.StopReason.STEP_LIMIT, 3)
    assert mo.solve(flow, w0, method=method, max_evaluations=30).stop is (
        mo.StopReason.EVALUATION_LIMIT
    )
    run = mo.solve(flow, w0, method=method, callback=lambda state: state.step == 2)
    assert run.stop is mo.StopReason.INTERRUPTED
    assert mo.solve(flow, resume=run, method=method).success


def test_progress_is_shown_and_silent_by_default(logistic, capsys):
    flow = mo.maml_flow(logistic, 0.4)
    mo.solve(flow, np.ones(3))
    assert capsys.readouterr() == ("", "")
    run = mo.solve(flow, np.ones(3), progress=True)
    out = capsys.readouterr()
    shown = " ".join((out.out + out.err).split())
    assert "MAML by DOP853" in shown
    assert f"100% t = {run.t[-1]:.4g}, |field| =" in shown


@pytest.mark.parametrize("method", METHODS)
def test_two_solvers_at_once_do_not_disturb_each_other(method, logistic, make_logistic):
    """Counters at module level corrupted concurrent solvers elsewhere."""
    flows = [mo.maml_flow(logistic, 0.4), mo.bimaml_flow(make_logistic(seed=5), 0.3, 0.2)]
    alone = [mo.solve(flow, np.ones(3), method=method, tol=1e-6) for flow in flows]
    together = [None, None]

    def work(k):
        together[k] = mo.solve(flows[k], np.ones(3), method=method, tol=1e-6)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.y, other.y)
        assert one.counts == other.counts


def test_interleaved_solver_objects_keep_their_own_state():
    from scipy.integrate import OdeSolver

    for method in mo.integrate.METHODS.values():
        assert issubclass(method, OdeSolver)

        def start(rate, method=method):
            return method(lambda t, y: -rate * y, 0.0, np.ones(2), 50.0, rtol=1e-6, atol=1e-9)

        alone, a, b = start(3.0), start(3.0), start(0.5)
        for _ in range(3):
            alone.step()
        for _ in range(3):
            a.step()
            b.step()
        assert alone.t == a.t
        np.testing.assert_array_equal(alone.y, a.y)
