"""The phase machine: sliding, resuming, the energy ledger, re-entrant switches."""

import numpy as np
import pytest
import scipy.integrate
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


@pytest.mark.parametrize("rule", ["retest", "as_printed"])
@pytest.mark.parametrize("inward", [True, False])
def test_sliding_is_left_at_its_time_to_its_side(inward, rule):
    """On the unit circle w = (cos a, sin a) both pairs of fields slide by a' = tan(a/2), from cos a = 0.6 on.

    So cos a = 0, where one field ceases to push, is reached after log 2.5. Inward the inner field's own path
    follows, outward the outer one's.
    """
    f = mo.ExpectedLoss(mo.tasks.Quadratic([np.eye(2)], [[0.0, 0.0]]))  # ||grad f|| = ||w||
    left = np.array([-1.0, 0.0])
    if inward:  # n.v0 = -1, n.v1 = w1 on the circle
        outer, inner = (lambda w: -w), (lambda w: left + 2 * w[0] * w)
        start, arrival = [1.2, 1.6], np.log(2.0)
    else:  # n.v0 = -w1, n.v1 = 1
        outer, inner = (lambda w: left), (lambda w: w)
        start, arrival = [1.6, 0.8], 1.0
    fields = [CallableField(outer, 2), CallableField(inner, 2)]
    outside, inside = (0, 1) if rule == "retest" else (1, 0)
    first, second = fields[outside], fields[inside]
    flow = mo.Flow([mo.Phase(first, until=GradientNormBelow(f, 1.0)), mo.Phase(second)], f, rule)
    left_at = arrival + np.log(2.5)
    run = mo.solve(flow, start, sliding="follow", t_max=left_at + 0.7, tol=0, rtol=1e-9, atol=1e-11)
    assert run.stop is mo.StopReason.HORIZON
    np.testing.assert_allclose(run.switch_times, [arrival, left_at], rtol=1e-7)
    np.testing.assert_allclose(run.switch_states, [[0.6, 0.8], [0.0, 1.0]], atol=1e-7)
    for low, high, phase in (
        (0.0, arrival, outside),
        (arrival, left_at, 2),
        (left_at, left_at + 0.7, inside if inward else outside),
    ):
        within = (run.t > low + 1e-6) & (run.t < high - 1e-6)
        assert set(run.phase[within]) == {phase}
    assert run.t[run.phase == 2][0] == run.switch_times[0]
    s = 0.7 * np.sqrt(2.0)
    end = [-np.tanh(s) / np.sqrt(2.0), 1 / np.cosh(s)] if inward else [-0.7, 1.0]
    np.testing.assert_allclose(run.w, end, atol=1e-7)


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


def test_a_run_that_ended_while_it_slid_goes_on_where_it_was(make_quadratic):
    tasks, alpha = make_quadratic(M=4, d=5, seed=3), 0.4
    w_F = mo.solve(mo.maml_flow(tasks, alpha), np.zeros(5)).w
    eps0 = 0.5 * np.linalg.norm(mo.ExpectedLoss(tasks).gradient(w_F))
    flow = mo.bimaml_flow(tasks, alpha, eps0, rule="retest")
    options = {"sliding": "follow", "method": "DOP853", "tol": 1e-9}
    whole = mo.solve(flow, 3.0 * np.ones(5), **options)
    first = mo.solve(flow, 3.0 * np.ones(5), t_max=whole.t[whole.phase == 2][3], **options)
    assert first.final_phase == len(flow.legs)
    both = mo.solve(flow, resume=first, **options)
    assert both.stop is whole.stop is mo.StopReason.STATIONARY
    assert "KKT" in both.message
    np.testing.assert_allclose(both.w, whole.w, atol=1e-7)


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
    assert (kept.energy.rises, kept.energy.largest_rise) == (0, 0.0)
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


@pytest.mark.parametrize("method", ["exact", "DOP853"])
def test_a_run_with_chosen_times_resumes_in_the_phase_where_it_ended(quadratic, method):
    flow, w0 = mo.bimaml_flow(quadratic, 0.4, 0.3), np.array([1.0, -2.0, 0.5, 3.0])
    whole = mo.solve(flow, w0, t_max=15.0, method=method)
    (switch,) = whole.switch_times
    part = mo.solve(flow, w0, t_max=switch + 1, method=method, t_eval=[0.0, 0.5 * switch])
    assert (part.phase == 0).all()
    assert part.final_phase == 1
    rest = mo.solve(flow, resume=part, t_max=15.0, method=method)
    assert rest.switch_times == pytest.approx(whole.switch_times)
    np.testing.assert_allclose(rest.w, whole.w, atol=1e-8)


@pytest.mark.parametrize("verb", ["solve", "euler"])
def test_a_phase_that_is_over_at_once_names_its_successor(quadratic, verb):
    f, F = mo.ExpectedLoss(quadratic), mo.MAMLLoss(quadratic, 0.3)
    phases = [
        mo.Phase(f, until=lambda t, w: -1.0, then=2),
        mo.Phase(f, until=lambda t, w: 0.5 - t),
        mo.Phase(F),
    ]
    flow = mo.Flow(phases)
    if verb == "solve":
        run = mo.solve(flow, np.ones(4), t_max=1.0, tol=0)
    else:
        run = mo.euler(flow, np.ones(4), 0.1, max_iter=10)
    assert set(run.phase) == {2}


def test_a_gradient_norm_that_dips_and_rises_is_seen_by_the_closed_form():
    saddle = mo.ExpectedLoss(mo.tasks.Quadratic([np.diag([1.0, -1.0])], [[0.0, 0.0]]))
    phases = [mo.Phase(saddle, until=GradientNormBelow(saddle, 0.45)), mo.Phase(saddle)]
    for w0, dips in (([1.0, 0.1], True), ([1.0, 0.11], False), ([0.5, 0.1], True)):
        run = mo.solve(mo.Flow(phases), w0, t_max=3.0, tol=0, method="exact")
        assert run.switch_times.size == dips
        if dips:  # ||grad f||^2 = w1^2 exp(-2t) + w2^2 exp(2t)
            t = run.switch_times[0]
            norm = np.hypot(w0[0] * np.exp(-t), w0[1] * np.exp(t))
            assert norm == pytest.approx(0.45, rel=1e-9)
            assert w0[0] * np.exp(-t) > w0[1] * np.exp(t)  # the first of the two times


def test_what_ends_the_last_phase_is_named_alike_by_all(quadratic):
    F = mo.MAMLLoss(quadratic, 0.3)
    flow = mo.Flow([mo.Phase(F, until=GradientNormBelow(F, 0.1))])
    runs = [mo.solve(flow, np.ones(4), method=method) for method in ("exact", "DOP853")]
    runs.append(mo.euler(flow, np.ones(4), 0.01, max_iter=100_000))
    for run in runs:
        assert run.stop is mo.StopReason.SWITCHED
        assert run.switch_times == pytest.approx(runs[0].switch_times, abs=0.02)
        assert set(run.phase) == {run.final_phase} == {0}


def test_a_first_step_longer_than_what_is_left_is_cut(quadratic):
    flow, w0 = mo.bimaml_flow(quadratic, 0.4, 0.3), np.array([1.0, -2.0, 0.5, 3.0])
    (switch,) = mo.solve(flow, w0, t_max=15.0, method="exact").switch_times
    run = mo.solve(flow, w0, t_max=switch + 0.1, method="RK45", first_step=0.5)
    assert run.final_time == pytest.approx(switch + 0.1)


@pytest.mark.parametrize("size", [1e-10, 1.0, 1e10])
def test_a_rule_may_have_any_scale(size):
    decay = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))
    phases = [mo.Phase(decay, until=lambda t, w: size * (w[0] - 5.0)), mo.Phase(decay)]
    run = mo.solve(mo.Flow(phases), [10.0], t_max=3.0, tol=0, method="DOP853")
    assert run.switch_times == pytest.approx([np.log(2.0)], rel=1e-8)


def test_sparsely_recorded_iterates_keep_the_energy_ledger(quadratic):
    flow, w0 = mo.bimaml_flow(quadratic, 0.4, 0.3), np.array([1.0, -2.0, 0.5, 3.0])
    dense, sparse = (mo.euler(flow, w0, 0.05, max_iter=400, record_every=k) for k in (1, 31))
    assert sparse.energy.rises == dense.energy.rises == 0
    assert sparse.energy.drop == pytest.approx(dense.energy.drop)
    assert sparse.switch_times[0] in sparse.t


@pytest.mark.parametrize("name", ["Radau", "BDF", "Rodas5P"])
def test_factorisations_on_the_way_to_a_switch_are_counted(logistic, name):
    base = mo.integrate.METHODS.get(name) or getattr(scipy.integrate, name)
    solvers = []

    class Recorded(base):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            solvers.append(self)

    run = mo.solve(mo.bimaml_flow(logistic, 0.2, 0.05), np.ones(3), method=Recorded, tol=1e-6)
    assert run.switch_times.size == 1
    assert len(solvers) > 2
    assert run.nlu == sum(solver.nlu for solver in solvers)
