"""``solve`` against matrix exponentials, and its stop rules against what they promise."""

import time

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

import maml_ode as mo
from maml_ode.fields import CallableField
from maml_ode.integrate import NonSmoothWarning

SCIPY = ["RK23", "RK45", scipy.integrate.DOP853, "Radau", "BDF", "LSODA"]
OURS = ["Tsit5", "DOP853", "RKC2", "Rodas4P", "Rodas5P"]
ALL = SCIPY + OURS


def test_the_list_of_our_methods_is_complete():
    assert list(mo.integrate.METHODS) == OURS


def maml_matrices(tasks, alpha):
    """G and c of F, and H and b of f, from the definition."""
    A = np.eye(tasks.dim) - alpha * tasks.H
    p = tasks.weights
    G = np.einsum("m,mij,mjk,mkl->il", p, A, tasks.H, A)
    c = np.einsum("m,mij,mjk,mk->i", p, A, A, tasks.b)
    return G, c, np.tensordot(p, tasks.H, 1), p @ tasks.b


def flow_of_affine(G, c, w0, t):
    """exp(-tG) by Pade approximation, which shares nothing with an eigendecomposition."""
    w_star = np.linalg.solve(G, c)
    return w_star + scipy.linalg.expm(-t * G) @ (w0 - w_star)


def bimaml_closed_form(tasks, alpha, eps0, w0):
    """Glue two matrix exponentials at the exact switch; return the switch time and w(t)."""
    G, c, H, b = maml_matrices(tasks, alpha)
    switch = scipy.optimize.brentq(
        lambda t: np.linalg.norm(H @ flow_of_affine(H, b, w0, t) - b) - eps0, 0, 1e3, xtol=1e-14
    )
    w_switch = flow_of_affine(H, b, w0, switch)

    def state(t):
        if t <= switch:
            return flow_of_affine(H, b, w0, t)
        return flow_of_affine(G, c, w_switch, t - switch)

    return switch, state


@pytest.mark.parametrize("method", ["exact", *ALL])
def test_bimaml_against_glued_matrix_exponentials(quadratic, method):
    w0, alpha, eps0 = np.array([1.0, -2.0, 0.5, 3.0]), 0.4, 0.3
    switch, state = bimaml_closed_form(quadratic, alpha, eps0, w0)
    times = np.array([0.0, 0.4 * switch, switch + 0.5, switch + 3.0])
    rtol = (
        1e-11 if method == "RKC2" else 1e-10
    )  # an order of 2 leaves more error at the same tolerance
    tight = {} if method == "exact" else {"rtol": rtol, "atol": rtol / 100}
    run = mo.solve(
        mo.bimaml_flow(quadratic, alpha, eps0),
        w0,
        method=method,
        t_eval=times,
        t_max=switch + 3.0,
        dense_output=True,
        **tight,
    )
    low_order = method in ("BDF", "LSODA", "RK23", "RKC2")
    accuracy = 1e-12 if method == "exact" else 2e-7 if low_order else 1e-8
    assert run.switch_times == pytest.approx([switch], abs=accuracy)
    expected = np.array([state(t) for t in times]).T
    np.testing.assert_allclose(run.y, expected, rtol=0, atol=accuracy)
    np.testing.assert_allclose(run.sol(times), expected, rtol=0, atol=accuracy)
    np.testing.assert_array_equal(run.phase, [0, 0, 1, 1])
    at_switch = np.linalg.norm(quadratic.weights @ quadratic.gradients(run.switch_states[0]))
    assert at_switch == pytest.approx(eps0, rel=1e-12)


def test_exact_times_are_roots(quadratic):
    """The stop lies where ||grad F|| = tol, and the path is that of the ODE whatever the tolerance."""
    w0 = np.ones(4)
    G, c, _, _ = maml_matrices(quadratic, 0.4)
    run = mo.solve(mo.maml_flow(quadratic, 0.4), w0, tol=1e-5)
    assert run.method.startswith("exact (auto")
    w_end = flow_of_affine(G, c, w0, run.final_time)
    assert np.linalg.norm(G @ w_end - c) == pytest.approx(1e-5, rel=1e-8)
    assert run.counts.factorizations == 1
    assert run.t[0] == 0
    assert (np.diff(run.t) > 0).all()
    assert (np.diff(run.grad_norm) < 0).all()


def test_exact_with_singular_and_growing_directions():
    flat = mo.tasks.Quadratic([np.diag([1.0, 0.0])], [[1.0, 1.0]])
    flow = mo.gradient_flow(mo.ExpectedLoss(flat))
    run = mo.solve(flow, [0.0, 0.0], t_max=3.0)
    np.testing.assert_allclose(run.w, [1 - np.exp(-3.0), 3.0], rtol=1e-14)
    assert run.stop is mo.StopReason.HORIZON
    with pytest.raises(ValueError, match="null space"):
        mo.solve(flow, [0.0, 0.0])
    saddle = mo.tasks.Quadratic([np.diag([1.0, -0.5])], [[0.0, 0.0]])
    run = mo.solve(mo.gradient_flow(mo.ExpectedLoss(saddle)), [1.0, 1.0], t_max=2.0)
    np.testing.assert_allclose(run.w, [np.exp(-2.0), np.exp(1.0)], rtol=1e-14)


@pytest.mark.parametrize("flow", ["maml", "bimaml", "fomaml", "reptile", "modified", "gradient"])
def test_methods_agree_on_a_smooth_nonquadratic_family(logistic, flow):
    w0 = np.array([1.0, -1.0, 2.0])
    F = mo.MAMLLoss(logistic, 0.5, inner_steps=2)
    flow = {
        "maml": lambda: mo.maml_flow(logistic, 0.5, inner_steps=2),
        "bimaml": lambda: mo.bimaml_flow(logistic, 0.5, 0.1),
        "fomaml": lambda: mo.fomaml_flow(logistic, 0.5, inner_steps=2),
        "reptile": lambda: mo.reptile_flow(logistic, 0.5, inner_steps=3),
        "modified": lambda: mo.modified_flow(F, 0.3),
        "gradient": lambda: mo.gradient_flow(F),
    }[flow]()
    tight = {"rtol": 1e-10, "atol": 1e-12, "t_max": 20.0, "tol": 0}
    reference = mo.solve(flow, w0, method="DOP853", **tight)
    for method in ("RK45", "Radau", "LSODA"):
        run = mo.solve(flow, w0, method=method, **tight)
        np.testing.assert_allclose(run.w, reference.w, rtol=0, atol=3e-9)
        np.testing.assert_allclose(run.switch_times, reference.switch_times, atol=1e-8)


@pytest.mark.parametrize("method", ALL)
def test_default_tolerances_reach_the_stationarity_asked_for(make_quadratic, make_logistic, method):
    """The classical stall: at rtol 1e-6 an explicit method hovers above tol = 1e-8 for ever."""
    for tasks in (make_logistic(), make_quadratic(condition=300.0)):
        w0 = np.linspace(1, 2, tasks.dim) * 100
        run = mo.solve(
            mo.bimaml_flow(tasks, 0.3, 0.5), w0, method=method, tol=1e-9, max_steps=20000
        )
        assert run.stop is mo.StopReason.STATIONARY, run.message
        F = mo.MAMLLoss(tasks, 0.3)
        assert np.linalg.norm(F.gradient(run.w)) <= 1e-9


def test_user_tolerances_that_stall_are_named(make_quadratic):
    tasks = make_quadratic(condition=300.0)
    flow = mo.maml_flow(tasks, 0.3)
    run = mo.solve(flow, 1e4 * np.ones(4), method="RK45", rtol=1e-4, atol=1e-9, tol=1e-8)
    assert run.stop is mo.StopReason.TOLERANCE_OUT_OF_REACH
    assert not run.success
    assert "lower rtol and atol" in run.message
    with pytest.raises(ValueError, match="lambda_max"):
        mo.solve(flow, np.ones(4), method="RK45", atol=1e-3, tol=1e-8)


def test_counts_equal_an_outside_counter(make_quadratic):
    family = make_quadratic(M=2)
    kinds = ("losses", "gradients", "hvps", "hessians", "thirds", "third_vectors")
    calls = dict.fromkeys(kinds, 0)

    def counted(name, function):
        def wrapped(i, *arguments):
            calls[name] += 1
            return function(*arguments)[i]

        return wrapped

    tasks = mo.tasks.from_callables(
        counted("losses", family.losses),
        counted("gradients", family.gradients),
        counted("hessians", family.hessians),
        counted("hvps", family.hvps),
        thirds=counted("thirds", family.third),
        third_vectors=counted("third_vectors", lambda w, v, q: np.zeros((2, 4))),
        n_tasks=2,
        dim=4,
    )
    for method in ALL:
        calls.update(dict.fromkeys(calls, 0))
        run = mo.solve(mo.bimaml_flow(tasks, 0.3, 0.5), np.ones(4), method=method, tol=1e-6)
        assert run.success
        apart = run.counts.diagnostics
        for name, n in calls.items():
            assert getattr(run.counts, name) + getattr(apart, name) == n / 2, (method, name)
        assert run.counts.steps >= 5


def test_t_max_and_limits(logistic):
    flow, w0 = mo.maml_flow(logistic, 0.5), np.ones(3)
    run = mo.solve(flow, w0, t_max=2.5)
    assert (run.stop, run.success, run.status) == (mo.StopReason.HORIZON, True, 0)
    assert run.final_time == 2.5
    run = mo.solve(flow, w0, max_steps=7)
    assert (run.stop, run.success, run.counts.steps) == (mo.StopReason.STEP_LIMIT, False, 7)
    seen = []
    run = mo.solve(flow, w0, callback=lambda state: seen.append(state) or len(seen) == 4)
    assert run.stop is mo.StopReason.INTERRUPTED
    np.testing.assert_array_equal(run.w, seen[-1].w)


def test_wall_clock_limit_keeps_the_path():
    def slow(w):
        time.sleep(0.002)
        return -w

    field = CallableField(slow, 1)
    objective = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))
    flow = mo.Flow([mo.Phase(field)], objective)
    run = mo.solve(flow, [1.0], tol=0, t_max=1e9, max_seconds=0.5, method="RK23")
    assert run.stop is mo.StopReason.TIME_LIMIT
    assert not run.success
    assert len(run) > 3
    assert run.elapsed >= 0.45  # some of it is kept for the diagnostics
    assert run.nfev <= 2 + run.elapsed / 0.002  # it looked at the clock before every evaluation


def test_keyboard_interrupt_keeps_the_path(logistic):
    def interrupt(state):
        if state.step == 5:
            raise KeyboardInterrupt

    run = mo.solve(mo.maml_flow(logistic, 0.5), np.ones(3), callback=interrupt)
    assert run.stop is mo.StopReason.INTERRUPTED
    assert len(run) == 6


@pytest.mark.parametrize("method", ALL)
def test_non_finite_is_named_at_once(method):
    objective = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))

    def flow(function):
        return mo.Flow([mo.Phase(CallableField(function, 1))], objective)

    def run(function, w0=1.0):
        result = mo.solve(flow(function), [w0], method=method, tol=0, t_max=10.0)
        assert result.nfev < 300_000  # it ends, whatever the speed of the machine
        assert not result.success
        return result

    assert run(lambda w: w * np.nan).stop is mo.StopReason.NON_FINITE
    wall = run(lambda w: np.where(w > 2.0, np.nan, 1.0))  # reaches 2 at t = 1
    assert wall.stop in (mo.StopReason.NON_FINITE, mo.StopReason.STEP_TOO_SMALL)
    assert 0.5 < wall.final_time <= 1.0 + 1e-6
    assert np.isfinite(wall.y).all()
    blow_up = run(lambda w: w**2)  # w = 1/(1 - t)
    late = 1e-5 if method == "RKC2" else 1e-6  # an order of 2 errs more at the same tolerance
    assert 0.99 < blow_up.final_time < 1.0 + late
    assert np.isfinite(blow_up.y).all()


@pytest.mark.parametrize("method", ["RK45", "DOP853"])
def test_nan_in_a_trial_step_is_rejected_and_shrunk(method):
    """w' = -sqrt(w) is not a number below 0, where the first guess of a step may land."""
    objective = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))
    field = CallableField(lambda w: np.where(w < 0, np.nan, -np.sqrt(np.abs(w))), 1)
    flow = mo.Flow([mo.Phase(field)], objective)
    run = mo.solve(flow, [1.0], method=method, tol=0, t_max=1.9, first_step=1.5)
    assert run.success
    assert run.w == pytest.approx([(1 - 0.95) ** 2], rel=1e-6)  # sqrt(w) = 1 - t/2


def test_switch_at_the_start_and_several_phases(quadratic):
    w0 = np.ones(4)
    f = mo.ExpectedLoss(quadratic)
    start = float(np.linalg.norm(f.gradient(w0)))
    run = mo.solve(mo.bimaml_flow(quadratic, 0.3, 2 * start), w0)
    assert run.switch_times == [0.0]
    assert (run.phase == 1).all()
    three = mo.Flow(
        [
            mo.Phase(f, until=mo.flows.GradientNormBelow(f, 0.5 * start)),
            mo.Phase(f, until=lambda t, w: 4.0 - t),
            mo.Phase(mo.MAMLLoss(quadratic, 0.3)),
        ]
    )
    run = mo.solve(three, w0, tol=1e-6)
    assert run.success
    assert run.switch_times[1] == pytest.approx(4.0, abs=1e-12)
    assert set(run.phase) == {0, 1, 2}
    assert [times.size for times in run.t_events] == [1, 1]


def test_two_roots_inside_one_step_are_not_missed():
    """The last phase ends where |w1| falls to 0.01; a large step would jump over the dip."""
    objective = mo.ExpectedLoss(mo.tasks.Quadratic([np.eye(2)], [[0.0, 0.0]]))
    rotate = CallableField(lambda w: np.array([-w[1], w[0]]), 2)
    until = lambda t, w: abs(w[0]) - 1e-4  # noqa: E731
    flow = mo.Flow([mo.Phase(rotate, until=until)], objective)
    run = mo.solve(flow, [1.0, 0.0], method="DOP853", tol=0, t_max=20.0, rtol=1e-6, first_step=2.9)
    assert run.stop is mo.StopReason.SWITCHED
    assert run.final_time == pytest.approx(np.arccos(1e-4), rel=1e-6)


def test_retest_slides_and_is_named(tug_of_war):
    run = mo.solve(mo.bimaml_flow(tug_of_war, 0.1, 0.5, rule="retest"), [10.0])
    assert run.stop is mo.StopReason.CHATTERING
    assert not run.success
    assert abs(run.task_grad_norm[-1] - 0.5) < 1e-10
    inside = mo.solve(mo.bimaml_flow(tug_of_war, 0.1, 1.0, rule="retest"), [10.0])
    assert inside.stop is mo.StopReason.STATIONARY
    assert inside.w == pytest.approx([0.4210526], abs=1e-6)
    printed = mo.solve(mo.bimaml_flow(tug_of_war, 0.1, 1.0, rule="as_printed"), [10.0])
    assert not printed.success
    assert abs(printed.w[0]) < 1e-6


def test_non_smooth_families_are_refused_or_warned_about():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(3, 12, 2)), np.sign(rng.normal(size=(3, 12)))
    flow = mo.maml_flow(mo.tasks.SVM(X, y, loss="squared_hinge"), 0.3)
    with pytest.raises(ValueError, match='loss="smooth_squared_hinge"'):
        mo.solve(flow, np.ones(2))
    with pytest.warns(NonSmoothWarning, match="discontinuous"):
        run = mo.solve(flow, np.ones(2), t_max=3.0, max_seconds=10.0)
    assert run.stop is mo.StopReason.HORIZON
    assert "RK45" in run.method
    hinge = mo.maml_flow(mo.tasks.SVM(X, y, loss="hinge"), 0.3)
    with pytest.warns(NonSmoothWarning):
        run = mo.solve(hinge, np.ones(2), t_max=1.0, method="BDF", max_seconds=10.0)
    assert run.elapsed < 12.0
    smooth = mo.maml_flow(mo.tasks.SVM(X, y, loss="smooth_squared_hinge", l2=0.1), 0.3)
    assert mo.solve(smooth, np.ones(2)).success


def test_any_odesolver_class_and_options(logistic):
    class Mine(scipy.integrate.RK45):
        pass

    flow, w0 = mo.maml_flow(logistic, 0.5), np.ones(3)
    run = mo.solve(flow, w0, method=Mine, max_step=0.05, t_max=1.0)
    assert run.method == "Mine"
    assert np.diff(run.t).max() <= 0.05 + 1e-15
    with pytest.raises(TypeError, match="Did you mean 'max_step'"):
        mo.solve(flow, w0, method="RK45", max_stepp=0.1)
    with pytest.raises(ValueError, match="Did you mean 'DOP853'"):
        mo.solve(flow, w0, method="dopri853")
    with pytest.raises(TypeError, match="OdeSolver"):
        mo.solve(flow, w0, method=dict)


def test_bad_arguments(quadratic, logistic):
    flow, w0 = mo.maml_flow(quadratic, 0.3), np.ones(4)
    with pytest.raises(ValueError, match=r"w0\[0\] is nan"):
        mo.solve(flow, [np.nan, 1, 1, 1])
    with pytest.raises(ValueError, match=r"w0 must have shape \(4,\), but it has shape \(5,\)"):
        mo.solve(flow, np.ones(5))
    with pytest.raises(ValueError, match="finite t_max"):
        mo.solve(flow, w0, tol=0)
    with pytest.raises(ValueError, match="switch_tol above 0"):
        mo.solve(mo.bimaml_flow(quadratic, 0.3, 0.0), w0)
    with pytest.raises(ValueError, match="closed form"):
        mo.solve(mo.maml_flow(logistic, 0.3), np.ones(3), method="exact")
    with pytest.raises(ValueError, match="no use for rtol"):
        mo.solve(flow, w0, method="exact", rtol=1e-3)
    with pytest.raises(ValueError, match="t_eval must lie within"):
        mo.solve(flow, w0, t_max=1.0, t_eval=[0.5, 2.0])
    with pytest.raises(ValueError, match="strictly increasing"):
        mo.solve(flow, w0, t_max=1.0, t_eval=[0.5, 0.2])
    with pytest.raises(ValueError, match="switch_tol must be at least 0"):
        mo.bimaml_flow(quadratic, 0.3, -1.0)


def test_exact_refuses_a_callback_and_auto_steps_for_it(quadratic):
    """A callback asks for steps, so auto gives it a stepping method."""
    seen = []
    run = mo.solve(mo.maml_flow(quadratic, 0.3), np.ones(4), callback=seen.append)
    assert len(seen) > 3
    assert run.success
    assert "DOP853" in run.method


@pytest.mark.parametrize("method", ["auto", "DOP853", "RK45", "Radau", "exact"])
def test_a_run_that_ends_before_the_first_reporting_time_reports_none(tug_of_war, method):
    run = mo.solve(
        mo.maml_flow(tug_of_war, 0.1), [10.0], tol=0.1, t_max=1e3, t_eval=[1e3], method=method
    )
    assert run.stop is mo.StopReason.STATIONARY
    assert (run.t.size, run.y.shape, run.loss.size) == (0, (1, 0), 0)
    assert 0 < run.final_time < 1e3
    assert run.w == pytest.approx([0.42105], abs=0.1)
