"""The phase machine: sliding, resuming, the energy ledger, re-entrant switches."""

import numpy as np
import pytest
import scipy.optimize

import maml_ode as mo
from maml_ode.fields import CallableField
from maml_ode.flows import GradientNormBelow


def kkt_point(tasks, alpha, eps0):
    """min F subject to f <= c as argmin F + kappa f with ||grad f|| = eps0, in closed form."""
    A = np.eye(tasks.dim) - alpha * tasks.H
    p = tasks.weights
    G = np.einsum("m,mij,mjk,mkl->il", p, A, tasks.H, A)
    c = np.einsum("m,mij,mjk,mk->i", p, A, A, tasks.b)
    H, b = np.tensordot(p, tasks.H, 1), p @ tasks.b

    def state(kappa):
        return np.linalg.solve(G + kappa * H, c + kappa * b)

    kappa = scipy.optimize.brentq(
        lambda k: np.linalg.norm(H @ state(k) - b) - eps0, 0.0, 1e6, xtol=1e-14
    )
    return state(kappa), kappa


@pytest.mark.parametrize("method", ["DOP853", "Radau", "LSODA"])
def test_sliding_ends_at_the_kkt_point(make_quadratic, method):
    tasks, alpha = make_quadratic(M=4, d=5, seed=3), 0.4
    w_F = mo.solve(mo.maml_flow(tasks, alpha), np.zeros(5)).w
    eps0 = 0.5 * np.linalg.norm(mo.ExpectedLoss(tasks).gradient(w_F))
    flow = mo.bimaml_flow(tasks, alpha, eps0, rule="retest")
    w0 = 3.0 * np.ones(5)
    stopped = mo.solve(flow, w0, method=method)
    assert stopped.stop is mo.StopReason.CHATTERING
    assert "sliding='follow'" in stopped.message
    run = mo.solve(flow, w0, method=method, sliding="follow", tol=1e-9)
    expected, kappa = kkt_point(tasks, alpha, eps0)
    assert kappa > 0
    assert run.stop is mo.StopReason.STATIONARY
    assert "KKT" in run.message
    np.testing.assert_allclose(run.w, expected, atol=1e-6)
    sliding = run.phase == 2
    assert sliding.sum() > 5
    np.testing.assert_allclose(run.task_grad_norm[sliding], eps0, rtol=1e-6)


def test_sliding_is_the_limit_of_the_chattering_iteration(make_quadratic):
    tasks, alpha = make_quadratic(M=4, d=5, seed=3), 0.4
    w_F = mo.solve(mo.maml_flow(tasks, alpha), np.zeros(5)).w
    eps0 = 0.5 * np.linalg.norm(mo.ExpectedLoss(tasks).gradient(w_F))
    flow, w0 = mo.bimaml_flow(tasks, alpha, eps0, rule="retest"), 3.0 * np.ones(5)
    gaps = []
    for beta in (0.04, 0.005):
        iterates = mo.euler(flow, w0, beta, max_iter=round(20.0 / beta), diagnostics=False)
        run = mo.solve(flow, w0, sliding="follow", t_max=20.0, tol=0, t_eval=iterates.t[:-1])
        assert (run.phase == 2).sum() > 100
        gaps.append(np.linalg.norm(iterates.y[:, :-1] - run.y, axis=0).max())
    assert gaps[0] / gaps[1] == pytest.approx(8.0, rel=0.3)


def test_sliding_can_be_left():
    """Two fields on the plane: both push to the unit circle for w1 > 0, the inner one inward after."""
    f = mo.ExpectedLoss(mo.tasks.Quadratic([np.eye(2)], [[0.0, 0.0]]))  # ||grad f|| = ||w||
    inner = CallableField(lambda w: np.array([-1.0, 0.0]) + 0.5 * w * np.tanh(20 * w[0]), 2)
    flow = mo.Flow(
        [mo.Phase(f, until=GradientNormBelow(f, 1.0)), mo.Phase(inner)],
        objective=f,
        rule="retest",
    )
    run = mo.solve(flow, [0.1, 2.0], sliding="follow", t_max=1.5, tol=0)
    assert 1 in run.phase
    assert run.stop is mo.StopReason.HORIZON


@pytest.mark.parametrize("method", ["exact", "DOP853", "LSODA"])
def test_resume_goes_on_where_a_run_stopped(quadratic, method):
    flow, w0 = mo.bimaml_flow(quadratic, 0.4, 0.3), np.array([1.0, -2.0, 0.5, 3.0])
    whole = mo.solve(flow, w0, method=method, tol=1e-7)
    switch = whole.switch_times[0]
    for t_max in (0.5 * switch, switch + 1.0):
        first = mo.solve(flow, w0, method=method, t_max=t_max, tol=1e-7)
        assert first.stop is mo.StopReason.HORIZON
        both = mo.solve(flow, resume=first, method=method, tol=1e-7)
        assert both.stop is mo.StopReason.STATIONARY
        assert (np.diff(both.t) > 0).all()
        assert both.switch_times == pytest.approx(whole.switch_times, rel=1e-6)
        np.testing.assert_allclose(both.w, whole.w, atol=1e-6)
        assert both.counts.gradients > first.counts.gradients
        assert both.energy.drop == pytest.approx(whole.energy.drop, rel=1e-6)
    with pytest.raises(TypeError, match="leave w0 out"):
        mo.solve(flow, w0, resume=first)
    with pytest.raises(ValueError, match="pass the same flow"):
        mo.solve(mo.maml_flow(quadratic, 0.4), resume=first)
    with pytest.raises(TypeError, match="needs w0"):
        mo.solve(flow)


def test_evaluation_limit_and_resume(logistic):
    flow = mo.maml_flow(logistic, 0.5)
    part = mo.solve(flow, np.ones(3), max_evaluations=100)
    assert part.stop is mo.StopReason.EVALUATION_LIMIT
    assert 100 <= part.nfev < 115  # looked at between the steps of a compiled method
    assert len(part) > 2
    whole = mo.solve(flow, resume=part)
    assert whole.success
    assert whole.t[-1] > part.t[-1]


@pytest.mark.parametrize("method", ["exact", "RK45", "DOP853", "Radau"])
def test_energy_dissipated_equals_the_drop_of_the_objective(quadratic, method):
    """F(w(0)) - F(w(t)) = int ||grad F||^2: the defect falls with the path's error."""
    flow, w0 = mo.bimaml_flow(quadratic, 0.4, 0.3), np.array([1.0, -2.0, 0.5, 3.0])
    defects = []
    for rtol in (1e-5, 1e-9):
        tolerances = {} if method == "exact" else {"rtol": rtol, "atol": rtol / 100}
        run = mo.solve(flow, w0, t_max=15.0, method=method, energy="integrate", **tolerances)
        defects.append(run.energy.defect)
        f, F = mo.ExpectedLoss(quadratic), flow.objective
        start, switch = f.value(w0), run.switch_states[0]
        drop = start - f.value(switch) + F.value(switch) - F.value(run.w)
        assert run.energy.drop == pytest.approx(drop, rel=1e-12)
    assert defects[1] < 1e-7
    if method != "exact":
        assert defects[0] > 20 * defects[1]
    assert run.energy.rises == 0


@pytest.mark.parametrize("run", [mo.solve, mo.euler])
def test_every_phase_is_held_to_its_own_objective(make_quadratic, run):
    """Phases along -grad f, -grad F_1 and -grad F_2: the ledger adds what each lost of its own."""
    tasks = make_quadratic(3, 4)
    objectives = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, 0.05), mo.MAMLLoss(tasks, 0.2)
    start = np.full(4, 2.0)
    norms = [np.linalg.norm(objective.gradient(start)) for objective in objectives]
    ends = [GradientNormBelow(objectives[0], 0.5 * norms[0])]
    ends.append(GradientNormBelow(objectives[1], 0.1 * norms[1]))
    phases = [mo.Phase(o, until=end) for o, end in zip(objectives, [*ends, None], strict=True)]
    options = {"t_max": 40.0, "energy": "integrate"} if run is mo.solve else {"max_iter": 800}
    found = run(mo.Flow(phases), start, *([] if run is mo.solve else [0.05]), **options)
    corners = [start, *found.switch_states, found.w]
    drop = sum(
        objective.value(a) - objective.value(b)
        for objective, a, b in zip(objectives, corners[:-1], corners[1:], strict=True)
    )
    assert len(found.switch_states) == 2
    assert found.energy.drop == pytest.approx(drop, rel=1e-10)
    assert found.energy.rises == 0
    if run is mo.solve:
        assert found.energy.defect < 1e-6 * drop


def test_energy_rises_are_counted_and_can_be_enforced_away(make_quadratic):
    """A loose explicit run at the stability limit lets F rise; energy="enforce" undoes such steps."""
    tasks = make_quadratic(condition=1e4, d=6)
    flow, w0 = mo.maml_flow(tasks, 0.2), 10.0 * np.ones(6)
    loose = {"method": "RK45", "rtol": 0.05, "atol": 0.05, "t_max": 300.0, "tol": 0}
    free = mo.solve(flow, w0, **loose)
    assert free.energy.rises > 0
    assert free.energy.largest_rise > 0
    kept = mo.solve(flow, w0, energy="enforce", **loose)
    assert kept.energy.rises < free.energy.rises
    assert kept.stop is mo.StopReason.HORIZON


def test_reentrant_switches_come_and_go():
    """A rule that oscillates in time re-enters both phases, each event fired once."""
    objective = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))
    flow = mo.Flow(
        [
            mo.Phase(CallableField(lambda w: -w, 1), until=lambda t, w: np.cos(t)),
            mo.Phase(CallableField(lambda w: 0.5 * w, 1)),
        ],
        objective=objective,
        rule="retest",
    )
    run = mo.solve(flow, [1.0], t_max=10.0, tol=0, method="RK45", max_step=0.3)
    np.testing.assert_allclose(run.switch_times, np.pi * np.array([0.5, 1.5, 2.5]), atol=1e-9)
    # Phase 1 from pi/2 to 3 pi/2 and from 5 pi/2 on, phase 0 otherwise.
    growing = np.pi + (10.0 - 2.5 * np.pi)
    expected = np.exp(-(10.0 - growing) + 0.5 * growing)
    assert run.w == pytest.approx([expected], rel=1e-6)
    assert run.stop is mo.StopReason.HORIZON


def test_chattering_between_callable_rules_is_bounded():
    objective = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))
    flow = mo.Flow(
        [
            mo.Phase(CallableField(lambda w: -np.ones(1), 1), until=lambda t, w: float(w[0])),
            mo.Phase(CallableField(lambda w: np.ones(1), 1)),
        ],
        objective=objective,
        rule="retest",
    )
    run = mo.solve(flow, [1.0], t_max=10.0, tol=0)
    assert run.stop is mo.StopReason.CHATTERING
    assert run.final_time == pytest.approx(1.0)
    with pytest.raises(ValueError, match="sliding='stop'"):
        mo.solve(flow, [1.0], t_max=10.0, tol=0, sliding="follow")


def test_phases_can_follow_each_other_in_a_circle():
    """Three phases of rotation, each until a third of the turn is done, round and round."""
    objective = mo.ExpectedLoss(mo.tasks.Quadratic([np.eye(2)], [[0.0, 0.0]]))

    def rotate(speed):
        return CallableField(lambda w: speed * np.array([-w[1], w[0]]), 2)

    def until(angle):
        return lambda t, w: np.cos(angle) * w[1] * -1 + np.sin(angle) * w[0]

    third = 2 * np.pi / 3
    flow = mo.Flow(
        [
            mo.Phase(rotate(1.0), until=until(third)),
            mo.Phase(rotate(2.0), until=until(2 * third)),
            mo.Phase(rotate(4.0), until=until(3 * third), then=0),
        ],
        objective=objective,
    )
    run = mo.solve(flow, [1.0, 0.0], t_max=9.0, tol=0, method="DOP853", rtol=1e-10, atol=1e-12)
    lap = third * (1 + 1 / 2 + 1 / 4)
    once = third * np.cumsum([1, 1 / 2, 1 / 4])
    expected = np.concatenate([once, lap + once, 2 * lap + once])
    expected = expected[expected < 9.0]
    np.testing.assert_allclose(run.switch_times, expected, atol=1e-8)
    assert set(run.phase) == {0, 1, 2}
    iterates = mo.euler(flow, [1.0, 0.0], 1e-3, max_iter=9000, diagnostics=False)
    np.testing.assert_allclose(iterates.switch_times, expected, atol=2e-2)
    with pytest.raises(ValueError, match="then=7"):
        mo.Flow([mo.Phase(rotate(1.0), until=until(0.0), then=7)], objective=objective)
    with pytest.raises(ValueError, match="needs until="):
        mo.Phase(rotate(1.0), then=0)
