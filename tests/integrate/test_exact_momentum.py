"""The closed form of momentum on quadratics, against matrix exponentials and dense looks at the path."""

import numpy as np
import pytest
from scipy.linalg import expm

import maml_ode as mo


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
