"""Closed forms in compiled code, beside matrix exponentials and beside the same formula in NumPy."""

import math

import numpy as np
import pytest
from scipy.linalg import expm

import maml_ode as mo
from maml_ode.integrate.steppers.exact import ExactStepper


@pytest.fixture
def plain(monkeypatch):
    """Whether each phase that was offered to compiled code was taken."""
    taken = []
    offer = ExactStepper._run_compiled

    def noted(self, *arguments):
        found = offer(self, *arguments)
        taken.append(found[1])
        return found

    monkeypatch.setattr(ExactStepper, "_run_compiled", noted)
    return taken


def regressions(seed, d=4, n=9, duplicate=False):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(3, n, d)) * 10.0 ** rng.uniform(-0.5, 0.3, d)
    if duplicate:
        X[:, :, -1] = X[:, :, 0]
    return mo.tasks.LinearRegression(X, rng.normal(size=(3, n)), weights=rng.dirichlet([5.0] * 3))


def quadratics(seed, d=3):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(2, d, d))
    return mo.tasks.Quadratic(root @ root.transpose(0, 2, 1) / d, rng.normal(size=(2, d)))


def compiled(flow, w0, **how):
    return mo.solve(flow, w0, method="exact", diagnostics=False, **how)


def in_numpy(flow, w0, **how):
    return mo.solve(flow, w0, method="exact", **how)


@pytest.mark.parametrize("make", [regressions, quadratics])
def test_paths_of_two_phases_are_those_of_matrix_exponentials(plain, make):
    for seed, d in ((0, 3), (1, 4), (2, 13)):  # sums go four terms at a time
        tasks = make(seed, d)
        f, F = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, 0.01)
        w0 = 3.0 * np.random.default_rng(seed).normal(size=tasks.dim)
        switch = 0.05 * np.linalg.norm(f.gradient(w0))
        tol = 1e-6 * switch
        run = compiled(mo.bimaml_flow(tasks, 0.01, switch), w0, tol=tol)
        assert run.stop is mo.StopReason.STATIONARY
        assert run.success
        (switched,) = run.switch_times
        assert np.linalg.norm(f.gradient(run.switch_states[0])) == pytest.approx(switch, rel=1e-9)
        assert np.linalg.norm(F.gradient(run.w)) == pytest.approx(tol, rel=1e-6)
        start, since = w0, 0.0
        for phase, objective in enumerate((f, F)):
            G = objective.hessian(w0)
            rest = np.linalg.solve(G, G @ w0 - objective.gradient(w0))
            here = run.phase == phase
            assert here.sum() > 90
            for t, w in zip(run.t[here], run.y.T[here], strict=True):
                exact = rest + expm(-(t - since) * G) @ (start - rest)
                np.testing.assert_allclose(w, exact, rtol=1e-9, atol=1e-10 * np.abs(w0).max())
            start, since = run.switch_states[0], switched
    assert all(plain)
    assert len(plain) == 6


@pytest.mark.parametrize("make", [regressions, quadratics])
def test_runs_are_those_of_the_formula_in_numpy(plain, make):
    """Where rounding decides how often a later time is tried, as it does at a stop, one may try more often."""
    for seed in range(4):
        tasks = make(seed, **({"duplicate": True} if make is regressions and seed % 2 else {}))
        w0 = np.random.default_rng(seed).normal(size=tasks.dim)
        flows = [
            mo.maml_flow(tasks, 0.01),
            mo.bimaml_flow(tasks, 0.01, 0.2),
            mo.fomaml_flow(tasks, 0.01),
        ]
        horizons = [{"t_max": 0.7}, {"tol": 0.0, "t_max": 30.0}, {"tol": 1e-3}, {"tol": 1e9}]
        for flow in flows:
            for how in horizons:
                one, other = compiled(flow, w0, **how), in_numpy(flow, w0, **how)
                assert one.stop is other.stop
                assert one.success is other.success
                assert one.counts.factorizations == other.counts.factorizations
                assert one.counts.hessians == other.counts.hessians
                np.testing.assert_allclose(one.switch_times, other.switch_times, rtol=1e-12)
                if one.stop is mo.StopReason.HORIZON:
                    assert (one.message, one.nfev) == (other.message, other.nfev)
                    np.testing.assert_allclose(one.t, other.t, rtol=1e-13)
                    np.testing.assert_array_equal(one.phase, other.phase)
                    np.testing.assert_allclose(one.y, other.y, rtol=1e-12, atol=1e-12)
                else:
                    np.testing.assert_allclose(one.final_time, other.final_time, rtol=1e-6)
                    np.testing.assert_allclose(one.w, other.w, rtol=1e-6, atol=1e-9)
                    assert abs(one.t.size - other.t.size) <= 1
    assert all(plain)


def test_what_is_not_plain_is_left_to_numpy(plain):
    """Growth, a null space that moves, overflow, a norm out of reach, and fields in another eigenbasis."""
    rng = np.random.default_rng(0)
    grows = mo.tasks.Quadratic([np.diag([1.0, -0.1])], [[1.0, 1.0]])
    drifts = mo.tasks.Quadratic([np.diag([1.0, 0.0])], [[1.0, 1.0]])
    ill = mo.tasks.Quadratic([np.diag([3.0, 7e9])], [[0.7, 1e9]])
    f = mo.ExpectedLoss(quadratics(3))
    cases = [
        (mo.gradient_flow(mo.ExpectedLoss(grows)), {"t_max": 5.0}),
        (mo.gradient_flow(mo.ExpectedLoss(grows)), {"t_max": 1e5}),
        (mo.gradient_flow(mo.ExpectedLoss(drifts)), {"t_max": 5.0}),
        (mo.gradient_flow(mo.ExpectedLoss(ill)), {"tol": 1e-12}),
        (mo.modified_flow(f, 0.1), {}),
        (mo.momentum_flow(f, 1.0), {}),
    ]
    for flow, how in cases:
        w0 = rng.normal(size=flow.dim)
        one, other = compiled(flow, w0, **how), in_numpy(flow, w0, **how)
        assert (one.message, one.counts.gradients) == (other.message, other.counts.gradients)
        np.testing.assert_array_equal(one.t, other.t)
        np.testing.assert_array_equal(one.y, other.y)
    assert not any(plain)
    assert len(plain) == len(cases)


def test_a_start_at_rest_and_the_shortest_duration(plain):
    flow = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([[[2.0]]], [[3.0]])))
    still = compiled(flow, [1.5])
    assert (still.stop, still.t.tolist(), still.w.tolist()) == (
        mo.StopReason.STATIONARY,
        [0.0],
        [1.5],
    )
    short = compiled(flow, [1.0], t_max=5e-324)
    assert short.stop is mo.StopReason.HORIZON
    assert short.final_time == 5e-324
    later = compiled(
        flow, None, resume=compiled(flow, [1.0], t_max=0.25), t_max=np.nextafter(0.25, 1)
    )
    assert later.final_time == np.nextafter(0.25, 1)
    assert np.all(np.diff(later.t) > 0)
    assert plain[0]
    assert not plain[1]
    # The first of 100 points in even distances is 1e-150 after the start, a little less or more.
    for duration in (0.99e-148, 1.01e-148):
        assert compiled(flow, [1.0], t_max=duration).final_time == duration
    assert plain[-2:] == [False, True]


def test_a_start_whose_norm_is_tol_to_the_last_bit_is_at_rest():
    """Of f = w^2/2 + v^2/2 it is (3, 4)/16, by either code."""
    flow = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([np.eye(2)], [np.zeros(2)])))
    for run in (compiled, in_numpy):
        found = run(flow, [3.0 / 16.0, 0.25], tol=5.0 / 16.0)
        assert (found.stop, found.final_time) == (mo.StopReason.STATIONARY, 0.0)
        assert found.w.tolist() == [3.0 / 16.0, 0.25]


def test_a_norm_of_0_is_come_to_only_by_a_rule_that_waits_for_it():
    """At rest from the start: without tol the horizon ends a run, or a rule whose norm is 0 its phase."""
    f = mo.ExpectedLoss(mo.tasks.Quadratic([[[2.0]]], [[3.0]]))
    still = mo.gradient_flow(f)
    phases = [mo.Phase(f, until=mo.flows.GradientNormBelow(f, 0.0)), mo.Phase(f)]
    for run in (compiled, in_numpy):
        found = run(still, [1.5], tol=0.0, t_max=2.0)
        assert (found.stop, found.final_time) == (mo.StopReason.HORIZON, 2.0)
        found = run(mo.Flow(phases), [1.5], tol=0.0, t_max=2.0)
        assert found.switch_times.tolist() == [0.0]
        assert (found.stop, found.final_phase) == (mo.StopReason.HORIZON, 1)
        found = run(mo.Flow(phases), [2.5], tol=0.0, t_max=2.0)
        assert (found.switch_times.size, found.final_time) == (0, 2.0)


@pytest.mark.parametrize("run", [compiled, in_numpy])
def test_a_rest_that_rounding_hides_is_found_by_a_few_looks(run):
    """Near a minimiser of size 1e6 the field is rounded to 1e-8, to 1e-7 of tol: so much below is looked next."""
    looks = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        Q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        H, best = (Q * [1.0, 10.0, 100.0]) @ Q.T, 1e6 * rng.normal(size=3)
        H = 0.5 * (H + H.T)
        flow = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([H], [H @ best])))
        found = run(flow, best + rng.normal(size=3), tol=0.1)
        assert found.stop is mo.StopReason.STATIONARY
        looks.append(found.nfev - 1)
    assert 1 < max(looks) <= 3
    assert min(looks) == 1


def test_limits_and_the_continuous_solution(plain):
    flow = mo.maml_flow(regressions(1), 0.01)
    w0 = np.ones(flow.dim)
    assert compiled(flow, w0, max_seconds=1e-9).stop is mo.StopReason.TIME_LIMIT
    assert not plain
    run = compiled(flow, w0, dense_output=True)
    np.testing.assert_allclose(run.sol(run.t[5]), run.y[:, 5], rtol=1e-12)
    assert not plain
    assert math.isnan(compiled(flow, w0).loss[-1])
    assert plain == [True]


def test_a_last_phase_with_a_rule_ends_at_the_larger_norm(plain):
    f = mo.ExpectedLoss(quadratics(1))
    w0 = 5.0 * np.ones(f.dim)
    flow = mo.Flow([mo.Phase(f, until=mo.flows.GradientNormBelow(f, 0.1))], f)
    for tol, stop in (
        (1e-3, "SWITCHED"),
        (0.1, "SWITCHED"),
        (0.2, "STATIONARY"),
        (0.0, "SWITCHED"),
    ):
        run, other = compiled(flow, w0, tol=tol), in_numpy(flow, w0, tol=tol)
        assert run.stop.name == other.stop.name == stop
        assert (run.success, other.success) == (True, True)
        assert (run.final_phase, run.phase[-1], other.phase[-1]) == (0, 0, 0)
        assert np.linalg.norm(f.gradient(run.w)) == pytest.approx(max(tol, 0.1), rel=1e-9)
        assert run.switch_times.size == (stop == "SWITCHED")
    assert all(plain)
    assert len(plain) == 4
