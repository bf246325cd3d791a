"""The closed form of momentum on quadratics, against matrix exponentials and dense looks at the path."""

import math

import numpy as np
import pytest
from mpmath import mp
from scipy.linalg import expm
from scipy.optimize import brentq

import maml_ode as mo
from maml_ode.integrate.exact_momentum import MomentumPhase, fundamental
from maml_ode.objectives.affine_field import AffineField


def problem(seed, spread=3.0, null=False):
    """A quadratic with eigenvalues within exp(+-spread), its minimiser, and a start."""
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 6))
    values = np.exp(rng.uniform(-spread, spread, size=d))
    if null:
        values[0] = 0.0
    Q = np.linalg.qr(rng.normal(size=(d, d)))[0]
    G = (Q * values) @ Q.T
    best, w0 = rng.normal(size=(2, d))
    return mo.ExpectedLoss(mo.tasks.Quadratic([0.5 * (G + G.T)], [G @ best])), G, values, best, w0


FRICTIONS = {
    "none": lambda values: 0.0,
    "little": lambda values: 0.1 * np.sqrt(values[-1]),
    "critical": lambda values: 2 * np.sqrt(values[-1]),
    "nearly critical": lambda values: 2 * np.sqrt(values[-1]) * (1 + 1e-9),
    "much": lambda values: 20 * np.sqrt(values[-1]),
}


@pytest.mark.parametrize("friction", FRICTIONS.values(), ids=FRICTIONS)
@pytest.mark.parametrize("null", [False, True])
def test_states_are_those_of_the_matrix_exponential(friction, null):
    times = np.array([0.0, 1e-4, 1e-2, 0.3, 1.0, 3.0, 10.0])
    for seed in range(8):
        objective, G, values, best, w0 = problem(seed, null=null)
        c, d = friction(values) or 0.0, values.size
        run = mo.solve(
            mo.momentum_flow(objective, c), w0, tol=0, t_max=10.0, t_eval=times, method="exact"
        )
        A = np.block([[np.zeros((d, d)), np.eye(d)], [-G, -c * np.eye(d)]])
        wanted = np.array([expm(A * t) @ np.r_[w0 - best, np.zeros(d)] for t in times]).T
        wanted[:d] += best[:, None]
        np.testing.assert_allclose(run.z, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


@pytest.mark.parametrize("friction", ["little", "critical", "much"])
def test_it_stops_at_the_first_time_at_which_both_norms_are_small(friction):
    for seed in range(4):
        objective, _, values, _, w0 = problem(seed, spread=1.0)
        flow = mo.momentum_flow(objective, FRICTIONS[friction](values))
        run = mo.solve(flow, w0, tol=1e-4, dense_output=True)
        assert run.method.startswith("exact")
        assert run.stop.name == "STATIONARY"
        z = run.sol(np.linspace(0.0, run.final_time, 20_001)[:-1])
        d = values.size
        norms = [np.linalg.norm(objective.gradient(w)) for w in z[:d].T]
        largest = np.maximum(norms, np.linalg.norm(z[d:], axis=0))
        assert largest.min() > 1e-4 * (1 - 1e-6)
        last = max(np.linalg.norm(objective.gradient(run.w)), np.linalg.norm(run.final_z[d:]))
        np.testing.assert_allclose(last, 1e-4, rtol=1e-8)


@pytest.mark.parametrize("first", ["plain", "momentum"])
def test_phases_follow_each_other_in_closed_form(first):
    rng = np.random.default_rng(2)
    A = rng.normal(size=(4, 3, 3))
    tasks = mo.tasks.Quadratic(A @ A.transpose(0, 2, 1) + 0.3 * np.eye(3), rng.normal(size=(4, 3)))
    F, f, w0 = mo.MAMLLoss(tasks, 0.05), mo.ExpectedLoss(tasks), 3 * rng.normal(size=3)
    field = f if first == "plain" else mo.fields.MomentumField(f, 1.0)
    rule = mo.flows.GradientNormBelow(f, 0.3)
    flow = mo.Flow(
        [mo.Phase(field, until=rule), mo.Phase(mo.fields.MomentumField(F, 0.5))], objective=F
    )
    exact = mo.solve(flow, w0, tol=0, t_max=9.0, dense_output=True)
    stepped = mo.solve(
        flow, w0, tol=0, t_max=9.0, method="DOP853", rtol=1e-11, atol=1e-13, dense_output=True
    )
    assert exact.method.startswith("exact")
    np.testing.assert_allclose(exact.switch_times, stepped.switch_times, rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(f.gradient(exact.switch_states[0])), 0.3, rtol=1e-12)
    times = np.linspace(0.0, 9.0, 50)
    np.testing.assert_allclose(exact.sol(times), stepped.sol(times), rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("tol", "own", "stop"),
    [
        (0.1, 1e-4, "STATIONARY"),
        (1e-6, 0.01, "SWITCHED"),
        (0, 0.01, "SWITCHED"),
        (0.01, 0.01, "SWITCHED"),
    ],
)
def test_a_last_phase_ends_by_its_rule_or_at_rest_by_what_comes_first(tol, own, stop):
    """With f = w^2/2 and friction 2 from 1: w = (1 + t) exp(-t), v = -t exp(-t)."""
    f = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))
    until = mo.flows.GradientNormBelow(f, own)
    flow = mo.Flow([mo.Phase(mo.fields.MomentumField(f, 2.0), until=until)])
    run = mo.solve(flow, [1.0], tol=tol, method="exact")
    norm = tol if stop == "STATIONARY" else own
    expected = brentq(lambda t: (1 + t) * np.exp(-t) - norm, 1.0, 30.0)
    assert run.stop.name == stop
    assert run.final_time == pytest.approx(expected, rel=1e-8)


def test_what_never_comes_to_rest_needs_a_horizon():
    objective, _, _, _, w0 = problem(1)
    with pytest.raises(ValueError, match="pass t_max"):
        mo.solve(mo.momentum_flow(objective, 0.0), w0, method="exact")
    saddle = mo.ExpectedLoss(mo.tasks.Quadratic([np.diag([1.0, -2.0])], [[0.0, 0.0]]))
    flow = mo.momentum_flow(saddle, 0.5)
    run = mo.solve(flow, [1.0, 0.1], tol=1e-8, t_max=5.0, method="exact")
    step = mo.solve(flow, [1.0, 0.1], tol=1e-8, t_max=5.0, method="DOP853", rtol=1e-11, atol=1e-13)
    assert run.stop.name == "HORIZON"
    np.testing.assert_allclose(run.final_z, step.final_z, rtol=1e-8)


def phase_of(values, w, v=None, friction=0.0, start=0.0, horizon=np.inf):
    """A phase in the eigenbasis: w'' + c w' + diag(values) w = 0."""
    v = np.zeros(len(w)) if v is None else v
    field = AffineField(np.diag(values), np.zeros(len(w)))
    return MomentumPhase(field, friction, start, np.r_[w, v].astype(float), horizon)


def test_without_friction_it_rests_where_the_energy_is_mostly_speed():
    """With f = a cos(s t), v = -(a/s) sin(s t) and a = 1.1 tol that is when cos(s t) = 1/1.1, for a/s < tol."""
    f = mo.ExpectedLoss(mo.tasks.Quadratic([[[4.0]]], [[0.0]]))
    how = {"tol": 0.1, "t_max": 10.0, "method": "exact"}
    run = mo.solve(mo.momentum_flow(f, 0.0), [0.0275], **how)
    assert run.stop is mo.StopReason.STATIONARY
    assert run.final_time == pytest.approx(math.acos(1 / 1.1) / 2, rel=1e-12)
    assert mo.solve(mo.momentum_flow(f, 0.0), [0.1], **how).stop is mo.StopReason.HORIZON


@pytest.mark.parametrize("seed", range(40))
def test_whether_energies_leave_room_for_rest_is_a_linear_programme(seed):
    """The least |v|^2 at |f|^2 <= tol^2 over all shares of the energies, by SciPy's simplex method."""
    from scipy.optimize import linprog

    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 5))
    values = np.sort(np.exp(rng.uniform(-2, 2, d)))
    w, v = rng.normal(size=(2, d))
    energies = v**2 + values * w**2
    tol = math.sqrt(energies.sum()) * math.exp(rng.uniform(-1.0, 0.5))
    # Shares s of speed: minimise sum s e with sum (1 - s) lambda e <= tol^2.
    least = linprog(
        energies, [-values * energies], [tol**2 - (values * energies).sum()], bounds=[(0, 1)] * d
    )
    assert phase_of(values, w, v)._may_rest(tol) is (least.fun <= tol**2)


def test_a_time_that_never_comes_is_not_looked_for(monkeypatch):
    """Forces in null directions last, and without friction energies do: no step is taken to see that."""
    phases = [
        phase_of([1.0, 0.0], [1.0, 0.0], friction=2.0),
        phase_of([1.0, 4.0], [1.0, 1.0]),
    ]
    phases[0].field.k[1] = 0.1
    monkeypatch.setattr(MomentumPhase, "_march", lambda self, step: 0.0)
    assert [phase.time_to_norm(0.09) for phase in phases] == [math.inf, math.inf]
    assert phases[0].time_to_gradient_norm(0.09) == math.inf
    assert phases[0].time_to_norm(0.11) == phases[0].time_to_gradient_norm(0.11) == 0.0
    assert phases[1].time_to_norm(2.1) == 0.0


@pytest.mark.parametrize("threshold", [0.9, 0.1, 1e-8])
def test_critical_damping_of_one_coordinate(threshold):
    """w = (1 + t) exp(-t) is the gradient and -t exp(-t) the speed, which is the smaller one."""
    phase = phase_of([1.0], [1.0], friction=2.0, start=3.0)
    exact = brentq(lambda t: math.log1p(t) - t - math.log(threshold), 1e-3, 50.0, xtol=1e-14)
    assert phase.time_to_norm(threshold) == pytest.approx(exact, rel=1e-11)
    assert phase.time_to_gradient_norm(threshold) == pytest.approx(exact, rel=1e-11)
    hopeless = phase_of([1.0], [1.0], friction=2.0, start=3.0, horizon=3.0 + 0.5 * exact)
    assert hopeless.time_to_norm(threshold) == math.inf
    # Friction of 1 leaves exp(-t/2) cos(sqrt(3)/2 t) and a part in the sine.
    assert math.isfinite(phase_of([1.0], [1.0], friction=1.0).time_to_norm(threshold))


@pytest.mark.parametrize("friction", [0.0, 0.3, 2.0, 9.0])
def test_no_norm_falls_faster_than_its_bound(friction):
    """What `_gaps` says of norms and of their falls, beside the matrix exponential."""
    rng = np.random.default_rng(int(10 * friction))
    several = [[-0.2, 0.0, *np.exp(rng.uniform(-2, 2, 2))] for _ in range(4)]
    for values in map(np.array, ([0.05], [20.0], *several)):
        d = values.size
        w, v = rng.normal(size=(2, d)) if d > 1 else (np.ones(1), np.zeros(1))
        phase = phase_of(values, w, v, friction)
        A = np.block([[np.zeros((d, d)), np.eye(d)], [-np.diag(values), -friction * np.eye(d)]])
        # Bounds on growing coordinates reach as far as one step.
        later = np.linspace(0.0, min(phase._longest_step, 2.0 / np.sqrt(abs(values[0]))), 9)
        for tau in (0.0, 0.7, 2.0):
            gradient, speed, steepest, hardest = phase._gaps(tau, 1e-3)
            path = np.array([expm(A * (tau + t)) @ np.r_[w, v] for t in later])
            forces = np.linalg.norm(values * path[:, :d], axis=1)
            speeds = np.linalg.norm(path[:, d:], axis=1)
            assert gradient == pytest.approx(max(forces[0] - 1e-3, 0.0), rel=1e-9, abs=1e-12)
            assert speed == pytest.approx(max(speeds[0] - 1e-3, 0.0), rel=1e-9, abs=1e-12)
            assert np.all(forces >= forces[0] - steepest * later - 1e-12)
            assert np.all(speeds >= speeds[0] - hardest * later - 1e-12)


@pytest.mark.parametrize("off", [-(2.0**-21), 0.0, 2.0**-21])
def test_near_critical_damping_every_digit_counts(off):
    """sqrt|D| t is 9e-4: of sin(x)/x = 1 - x^2/6 (1 - x^2/20) the last term is 5e-15."""
    t = 1.3
    S, slope, C = (x[0, 0] for x in fundamental(np.array([[1.0 + off]]), 1.0, np.array([t])))
    with mp.workdps(40):
        kappa = mp.sqrt(mp.mpf(off))
        exact = mp.exp(-mp.mpf(t)) * (mp.sin(kappa * t) / kappa if off else mp.mpf(t))
        cosine = mp.exp(-mp.mpf(t)) * mp.cos(kappa * t)
        assert abs(S / exact - 1) < 1e-15
        assert abs(C / mp.re(cosine + exact) - 1) < 1e-15
        assert abs(slope - mp.re(cosine - exact)) < 1e-15


@pytest.mark.parametrize(
    ("duration", "least", "most"), [(0.3, 101, 101), (100.0, 601, 701), (1e5, 4001, 4101)]
)
def test_times_follow_the_oscillations_as_far_as_there_are_not_too_many(duration, least, most):
    """Two a radian at a rate of 3, but a hundred at least and four thousand at most, and a transient."""
    times = phase_of([9.0, 1e4], [1.0, 0.0], start=2.0).sample_times(duration)
    assert least <= times.size <= most
    assert (times[0], times[-1]) == (2.0, 2.0 + duration)
    assert np.all(np.diff(times) > 0)
    if duration == 100.0:
        assert times[1] - 2.0 == pytest.approx(0.02 / 3, rel=1e-9)
