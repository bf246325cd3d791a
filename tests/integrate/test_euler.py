"""The discrete algorithms are Euler on their flows: against loops written from the paper alone."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.integrate import StepSizeWarning


def maml_step(tasks, alpha, w):
    """grad F by its definition, with explicit Hessians."""
    g = tasks.gradients(w)
    u = w - alpha * g
    A = np.eye(tasks.dim) - alpha * tasks.hessians(w)
    return tasks.weights @ np.einsum("mij,mj->mi", A, tasks.gradients(u))


def maml_loop(tasks, alpha, w, beta, n):
    path = [w]
    for _ in range(n):
        path.append(path[-1] - beta * maml_step(tasks, alpha, path[-1]))
    return np.array(path).T


def fomaml_loop(tasks, alpha, w, beta, n):
    path = [w]
    for _ in range(n):
        u = path[-1] - alpha * tasks.gradients(path[-1])
        path.append(path[-1] - beta * (tasks.weights @ tasks.gradients(u)))
    return np.array(path).T


def bimaml_loop(tasks, alpha, w, beta, n, eps0, latch=True, inverted=False):
    """Algorithm 1 with the text's order and a latch, or as printed, or re-tested."""
    path, second = [w], False
    for _ in range(n):
        w = path[-1]
        small = np.linalg.norm(tasks.weights @ tasks.gradients(w)) <= eps0
        second = (second or small) if latch else small
        use_F = not small if inverted else second
        step = maml_step(tasks, alpha, w) if use_F else tasks.weights @ tasks.gradients(w)
        path.append(w - beta * step)
    return np.array(path).T


def reptile_loop(tasks, alpha, w, beta, n, k):
    path = [w]
    for _ in range(n):
        u = np.tile(path[-1], (tasks.n_tasks, 1))
        for _ in range(k):
            u = u - alpha * tasks.gradients(u)
        path.append(path[-1] + beta * (tasks.weights @ (u - path[-1]) / alpha))
    return np.array(path).T


@pytest.fixture(params=["quadratic", "logistic"])
def problem(request, make_quadratic, make_logistic):
    tasks = make_quadratic() if request.param == "quadratic" else make_logistic()
    return tasks, np.linspace(1.0, 2.0, tasks.dim), 0.3, 0.25


def test_euler_is_maml(problem):
    tasks, w0, alpha, beta = problem
    run = mo.euler(mo.maml_flow(tasks, alpha), w0, beta, max_iter=60)
    np.testing.assert_allclose(run.y, maml_loop(tasks, alpha, w0, beta, 60), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(run.t, beta * np.arange(61))


def test_euler_is_bimaml(problem):
    tasks, w0, alpha, beta = problem
    eps0 = 0.5 * np.linalg.norm(tasks.weights @ tasks.gradients(w0))
    run = mo.euler(mo.bimaml_flow(tasks, alpha, eps0), w0, beta, max_iter=60)
    loop = bimaml_loop(tasks, alpha, w0, beta, 60, eps0)
    np.testing.assert_allclose(run.y, loop, rtol=0, atol=1e-13)
    k = int(np.argmax(run.phase == 1))
    assert 0 < k < 60
    assert run.switch_times == pytest.approx([k * beta])
    assert run.task_grad_norm[k] <= eps0 < run.task_grad_norm[k - 1]


def test_euler_is_fomaml_and_reptile(problem):
    tasks, w0, alpha, beta = problem
    run = mo.euler(mo.fomaml_flow(tasks, alpha), w0, beta, max_iter=40)
    np.testing.assert_allclose(run.y, fomaml_loop(tasks, alpha, w0, beta, 40), rtol=0, atol=1e-13)
    run = mo.euler(mo.reptile_flow(tasks, alpha, inner_steps=3), w0, beta, max_iter=40)
    loop = reptile_loop(tasks, alpha, w0, beta, 40, 3)
    np.testing.assert_allclose(run.y, loop, rtol=0, atol=2e-13)


@pytest.mark.parametrize("eps0", [1.0, 0.5])
@pytest.mark.parametrize("rule", ["one_way", "as_printed", "retest"])
def test_the_three_readings_of_algorithm_1(tug_of_war, rule, eps0):
    flow = mo.bimaml_flow(tug_of_war, 0.1, eps0)
    run = mo.euler(flow, [10.0], 0.1, max_iter=300, rule=rule)
    loop = bimaml_loop(
        tug_of_war, 0.1, np.array([10.0]), 0.1, 300, eps0, rule == "one_way", rule == "as_printed"
    )
    np.testing.assert_allclose(run.y, loop, rtol=0, atol=1e-13)


def test_where_each_reading_ends(tug_of_war):
    """Printed ends at argmin f for eps0 above |f'(w_F)| = .842; re-tested chatters below it."""

    def run(rule, eps0):
        flow = mo.bimaml_flow(tug_of_war, 0.1, eps0, rule=rule)
        return mo.euler(flow, [10.0], 0.1, tol=1e-6, max_iter=3000)

    assert [len(run("one_way", e)) - 1 for e in (1.0, 0.5)] == [97, 119]
    stuck = run("as_printed", 1.0)
    assert not stuck.success
    assert abs(stuck.w[0]) < 1e-12
    assert stuck.grad_norm[-1] == pytest.approx(0.48)
    assert len(run("as_printed", 0.5)) - 1 == 134
    assert len(run("retest", 1.0)) - 1 == 97
    chattering = run("retest", 0.5)
    assert not chattering.success
    assert chattering.switch_times.size == pytest.approx(1790, abs=1)
    assert "1791 times" in chattering.message


def test_stops_at_the_tested_iterate(problem):
    tasks, w0, alpha, beta = problem
    run = mo.euler(mo.maml_flow(tasks, alpha), w0, beta, tol=1e-5, max_iter=5000)
    assert run.stop is mo.StopReason.STATIONARY
    assert run.success
    assert run.grad_norm[-1] <= 1e-5 < run.grad_norm[-2]
    np.testing.assert_array_equal(run.w, run.y[:, -1])


def test_error_against_the_flow_and_the_modified_flow(problem):
    """w_k - w(k beta) falls like beta; measured against the modified flow it falls like beta^2."""
    tasks, w0, alpha, _ = problem
    F = mo.MAMLLoss(tasks, alpha)
    horizon, plain, modified = 2.0, [], []
    betas = [0.1, 0.05, 0.025, 0.0125]
    exact = mo.solve(mo.gradient_flow(F), w0, t_max=horizon, tol=0, rtol=1e-12, atol=1e-13,
                     method="DOP853").w  # fmt: skip
    for beta in betas:
        end = mo.euler(mo.gradient_flow(F), w0, beta, max_iter=round(horizon / beta)).w
        follow = mo.solve(mo.modified_flow(F, beta), w0, t_max=horizon, tol=0, rtol=1e-12,
                          atol=1e-13, method="DOP853").w  # fmt: skip
        plain.append(np.linalg.norm(end - exact))
        modified.append(np.linalg.norm(end - follow))
    slope = np.polyfit(np.log(betas), np.log(plain), 1)[0]
    assert slope == pytest.approx(1.0, abs=0.05)
    slope = np.polyfit(np.log(betas), np.log(modified), 1)[0]
    assert slope == pytest.approx(2.0, abs=0.1)


def test_step_size_beyond_the_stability_limit_is_named(quadratic):
    flow = mo.maml_flow(quadratic, 0.3)
    limit = 2.0 / np.linalg.eigvalsh(flow.objective.hessian(np.zeros(4)))[-1]
    mo.euler(flow, np.ones(4), 0.99 * limit, max_iter=5)
    with pytest.warns(StepSizeWarning, match=f"2/lambda_max = {limit:.6g}"):
        run = mo.euler(flow, np.ones(4), 3.0 * limit, max_iter=100_000)
    assert run.stop is mo.StopReason.NON_FINITE
    assert not run.success
    assert "lower step_size" in run.message
    assert np.isfinite(run.y).all()
    assert len(run) > 50


def test_divergence_keeps_the_finite_part():
    tasks = mo.tasks.from_callables([lambda w: w[0] ** 4], [lambda w: 4 * w**3], n_tasks=1, dim=1)
    run = mo.euler(mo.gradient_flow(mo.ExpectedLoss(tasks)), [10.0], 1.0, max_iter=100)
    assert run.stop is mo.StopReason.NON_FINITE
    assert np.isfinite(run.y).all()
    assert 2 < len(run) < 20


def test_a_loss_that_overflows_is_not_success():
    """Linear regression with the sum over the samples diverges; after 50 steps w is still finite."""
    problem = mo.experiments.load("linear_regression", reduction="sum")
    with pytest.warns(StepSizeWarning):
        run = mo.euler(problem.maml_flow(), problem.w0, problem.beta, max_iter=50)
    assert np.isfinite(run.y).all()
    assert run.stop is mo.StopReason.NON_FINITE
    assert not run.success


def test_record_every_keeps_both_ends(quadratic):
    flow = mo.maml_flow(quadratic, 0.3)
    everything = mo.euler(flow, np.ones(4), 0.5, max_iter=23)
    some = mo.euler(flow, np.ones(4), 0.5, max_iter=23, record_every=5)
    np.testing.assert_array_equal(some.t, 0.5 * np.array([0, 5, 10, 15, 20, 23]))
    np.testing.assert_array_equal(some.y, everything.y[:, [0, 5, 10, 15, 20, 23]])


def test_counts_equal_an_outside_counter(make_quadratic):
    """Every pass is counted, diagnostics apart; phase 1 never evaluates grad F."""
    family = make_quadratic(M=3)
    calls = dict.fromkeys(("losses", "gradients", "hvps"), 0)

    def losses(i, w):
        calls["losses"] += 1
        return float(family.losses(w)[i])

    def gradients(i, w):
        calls["gradients"] += 1
        return family.gradients(w)[i]

    def hvps(i, w, v):
        calls["hvps"] += 1
        return family.hvps(w, v)[i]

    tasks = mo.tasks.from_callables(losses, gradients, hvps=hvps, n_tasks=3, dim=4)
    w0 = np.ones(4)
    eps0 = 0.5 * np.linalg.norm(family.weights @ family.gradients(w0))
    calls.update(dict.fromkeys(calls, 0))
    run = mo.euler(mo.bimaml_flow(tasks, 0.3, eps0), w0, 0.5, max_iter=30)
    apart = run.counts.diagnostics
    for name, n in calls.items():
        assert getattr(run.counts, name) + getattr(apart, name) == n / 3
    k = round(float(run.switch_times[0]) / 0.5)
    assert run.counts.steps == 30
    # k + 1 gradients of f, the last of which shows the switch; then one grad F for each of 30 - k steps.
    assert run.counts.gradients == (k + 1) + 2 * (30 - k)
    assert run.counts.hvps == 30 - k
    run = mo.euler(mo.bimaml_flow(tasks, 0.3, eps0), w0, 0.5, max_iter=30, diagnostics=False)
    assert run.counts.diagnostics is None
    assert np.isnan(run.loss).all()


def test_callback_sees_states_and_can_end_the_run(quadratic):
    seen = []
    flow = mo.maml_flow(quadratic, 0.3)

    def callback(state):
        seen.append(state)
        return state.step == 7

    run = mo.euler(flow, np.ones(4), 0.5, callback=callback)
    assert run.stop is mo.StopReason.INTERRUPTED
    assert [state.step for state in seen] == list(range(1, 8))
    np.testing.assert_array_equal(run.w, seen[-1].w)
    for state in seen:
        norm = np.linalg.norm(flow.objective.gradient(state.w))
        assert state.field_norm == pytest.approx(norm, rel=1e-13)
        assert state.t == 0.5 * state.step
    seen.clear()
    run = mo.euler(flow, np.ones(4), 0.5, max_iter=3, callback=seen.append)
    assert [state.step for state in seen] == [1, 2, 3]
    assert np.isnan(seen[-1].field_norm)
    np.testing.assert_array_equal(seen[-1].w, run.w)


def test_bad_arguments(quadratic):
    flow = mo.maml_flow(quadratic, 0.3)
    w0 = np.ones(4)
    with pytest.raises(ValueError, match="step_size must be greater than 0"):
        mo.euler(flow, w0, 0.0)
    with pytest.raises(ValueError, match=r"w0 must have shape \(4,\), but it has shape \(3,\)"):
        mo.euler(flow, np.ones(3), 0.1)
    with pytest.raises(ValueError, match=r"w0\[2\] is nan"):
        mo.euler(flow, [1, 2, np.nan, 4], 0.1)
    with pytest.raises(ValueError, match="Did you mean 'retest'"):
        mo.euler(mo.bimaml_flow(quadratic, 0.3, 0.1), w0, 0.1, rule="retests")
    with pytest.raises(ValueError, match="two phases"):
        mo.euler(flow, w0, 0.1, rule="retest")
    with pytest.raises(TypeError, match="max_iter must be an integer"):
        mo.euler(flow, w0, 0.1, max_iter=1e3)
    with pytest.raises(TypeError, match="flow must be a Flow"):
        mo.euler(quadratic, w0, 0.1)


def test_reptile_on_python_functions_costs_what_it_counts():
    calls = []

    def gradient(i, w):
        calls.append(i)
        return (i + 1.0) * w

    tasks = mo.tasks.from_callables(
        lambda i, w: 0.5 * (i + 1.0) * w @ w, gradient, n_tasks=2, dim=3
    )
    flow = mo.reptile_flow(tasks, 0.1, inner_steps=3)
    run = mo.euler(flow, np.ones(3), 0.1, max_iter=10, diagnostics=False)
    assert len(calls) == 2 * run.counts.gradients == 60
    inner = np.array([1.0, 2.0])
    rate = np.mean((1.0 - (1.0 - 0.1 * inner) ** 3) / 0.1)
    np.testing.assert_allclose(run.w, (1.0 - 0.1 * rate) ** 10, rtol=1e-12)


def test_a_phase_that_is_followed_by_itself_changes_once_an_iterate():
    """w = 2, 1, 1/2, ...: the rule |w| <= 1 is met at every iterate from the first on."""
    f = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))
    flow = mo.Flow([mo.Phase(f, until=lambda t, w: abs(w[0]) - 1.0, then=0)])
    run = mo.euler(flow, [2.0], 0.5, max_iter=5)
    np.testing.assert_array_equal(run.y[0], 2.0 * 0.5 ** np.arange(6))
    np.testing.assert_array_equal(run.switch_times, 0.5 * np.arange(1, 6))
    # In a circle of two, each that is met at an iterate is passed over there once.
    circle = mo.Flow([mo.Phase(f, flow.phases[0].until, then=k) for k in (1, 0)])
    run = mo.euler(circle, [2.0], 0.5, max_iter=3)
    np.testing.assert_array_equal(run.y[0], [2.0, 1.0, 0.5, 0.25])
    np.testing.assert_array_equal(run.switch_times, [0.5, 0.5, 1.0, 1.0, 1.5, 1.5])
    assert run.phase.tolist() == [0, 0, 0, 0]
    # A run that begins where its rules are met goes once around as well.
    start = mo.euler(circle, [1.0], 0.5, max_iter=1)
    np.testing.assert_array_equal(start.switch_times, [0.0, 0.0, 0.5, 0.5])


def test_a_norm_that_equals_tol_is_small_enough():
    """w = 1, 1/2, 1/4 exactly."""
    f = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))
    run = mo.euler(mo.gradient_flow(f), [1.0], 0.5, tol=0.25, max_iter=9)
    assert (run.stop, run.t.tolist()) == (mo.StopReason.STATIONARY, [0.0, 0.5, 1.0])


@pytest.mark.parametrize(("max_iter", "changes"), [(1, 1), (2, 2), (3, 3)])
def test_a_test_that_is_repeated_is_named_from_the_second_change_on(tug_of_war, max_iter, changes):
    """||grad f|| is just above eps0, then hardly below it: the phase changes at every iterate."""
    f = mo.ExpectedLoss(tug_of_war)
    flow = mo.bimaml_flow(
        tug_of_war, 0.1, float(np.linalg.norm(f.gradient([0.1]))) * 0.999, rule="retest"
    )
    run = mo.euler(flow, [0.1], 0.05, max_iter=max_iter)
    assert run.switch_times.size == changes
    assert (f"The phase changed {changes} times" in run.message) == (changes >= 2)


def test_a_repeated_test_of_the_last_phase_looks_at_its_field_once(quadratic):
    """In the last phase the field that is followed is the one that is tested: one hvp for F at every iterate."""
    flow = mo.bimaml_flow(quadratic, 0.1, 1e6, rule="retest")
    run = mo.euler(flow, np.ones(4), 0.1, tol=1e-30, max_iter=3)
    assert run.phase.tolist() == [1, 1, 1, 1]
    assert run.counts.hvps == 4
