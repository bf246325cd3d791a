"""Lyapunov candidates along paths whose rates have closed forms."""

from dataclasses import replace

import numpy as np
import pytest

import maml_ode as mo

H, B = np.diag([2.0, 0.5]), np.array([1.0, 1.0])
TASKS = mo.tasks.Quadratic([H], [B])
MINIMISER = np.linalg.solve(H, B)
LOSS = mo.ExpectedLoss(TASKS)
FLOW = mo.gradient_flow(LOSS)


@pytest.fixture(scope="module")
def run():
    return mo.solve(FLOW, [3.0, -4.0], tol=1e-8, dense_output=True, rtol=1e-10, atol=1e-13)


def distance(w):
    return (w - MINIMISER) @ (w - MINIMISER)


def slope(w):
    return 2.0 * (w - MINIMISER)


@pytest.mark.parametrize("with_gradient", [True, False])
@pytest.mark.parametrize("with_flow", [True, False])
def test_all_four_ways_give_the_derivative(run, with_flow, with_gradient):
    found = mo.theory.lyapunov(
        distance, run, slope if with_gradient else None, FLOW if with_flow else None
    )
    np.testing.assert_array_equal(found.t, run.t)
    np.testing.assert_allclose(found.value, [distance(w) for w in run.y.T], rtol=1e-15)
    offset = run.y - MINIMISER[:, None]
    exact = -2.0 * np.einsum("in,ij,jn->n", offset, H, offset)
    # The dense output knows its own derivative only to the tolerance; the field is exact.
    np.testing.assert_allclose(found.derivative, exact, rtol=1e-9 if with_flow else 1e-3)
    assert found.rises.size == 0
    assert found.exponential_rate == pytest.approx(
        (-exact / found.value).min(), rel=1e-9 if with_flow else 1e-3
    )
    assert found.inverse_time_constant == pytest.approx((run.t * found.value).max(), rel=1e-14)
    assert "falls" in str(found)


def test_rounding_of_a_difference_is_read_neither_as_a_rate_nor_as_a_rise():
    # E = 1/2 sum lambda_i delta_i^2 falls at 2 lambda_min = 1 in the end; below 1e-16 it is all rounding.
    t = np.linspace(0.0, 45.0, 400)
    run = mo.solve(
        FLOW, [3.0, -4.0], tol=0.0, t_max=45.0, t_eval=t, dense_output=True, rtol=1e-12, atol=1e-15
    )
    lowest = LOSS.value(MINIMISER)
    for flow in (FLOW, None):
        found = mo.theory.lyapunov(lambda w: LOSS.value(w) - lowest, run, flow=flow)
        assert (found.value[-50:] <= 2.5e-16).all()
        assert found.exponential_rate == pytest.approx(1.0, abs=0.03)
        assert found.rises.size == 0


def test_rises_are_times(run):
    # ||w||^2 falls from |w0| = 5 until the path turns round the origin towards the minimiser (0.5, 2).
    found = mo.theory.lyapunov(lambda w: w @ w, run, flow=FLOW)
    moving = -2.0 * np.einsum("in,in->n", run.y, H @ run.y - B[:, None])
    np.testing.assert_array_equal(found.rises, run.t[moving > 1e-12])
    assert 0 < found.rises.size < run.t.size
    assert found.exponential_rate < 0
    assert "rises at" in str(found)


def test_a_negative_candidate_has_no_rates(run):
    found = mo.theory.lyapunov(LOSS.value, run, LOSS.gradient, FLOW)
    assert found.value.min() < 0
    assert np.isnan(found.exponential_rate)
    assert np.isnan(found.inverse_time_constant)
    assert found.rises.size == 0


def test_an_inverse_time_rate_has_its_constant():
    # w' = -4 w^3 from 1: w^2 = 1/(1 + 8 t), so that E = w^4 <= 1/(64 t^2) and t E is largest at t = 1/8.
    tasks = mo.tasks.Symbolic("w**4", "w")
    flow = mo.gradient_flow(mo.ExpectedLoss(tasks))
    run = mo.solve(
        flow, [1.0], t_max=10.0, tol=0.0, t_eval=np.linspace(0.0, 10.0, 81), rtol=1e-10, atol=1e-13
    )
    found = mo.theory.lyapunov(lambda w: w[0] ** 4, run, flow=flow)
    assert found.inverse_time_constant == pytest.approx(0.125 / 4.0, rel=1e-8)
    # dE/dt = -16 w^6 = -16 w^2 E: the rate is that of the end.
    assert found.exponential_rate == pytest.approx(16.0 / 81.0, rel=1e-8)


def test_each_phase_has_its_own_derivative():
    tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    flow = mo.bimaml_flow(tasks, 0.1, 1.0)
    run = mo.solve(flow, [10.0], dense_output=True, rtol=1e-10, atol=1e-13)
    f, F = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, 0.1)
    by_field = mo.theory.lyapunov(lambda w: w @ w, run, flow=flow)
    fields = [
        (-f.gradient(w) if k == 0 else -F.gradient(w))
        for k, w in zip(run.phase, run.y.T, strict=True)
    ]
    exact = 2.0 * run.y[0] * np.ravel(fields)
    np.testing.assert_allclose(by_field.derivative, exact, rtol=1e-9, atol=1e-12)
    by_path = mo.theory.lyapunov(lambda w: w @ w, run)
    switch = int(np.searchsorted(run.t, run.switch_times[0]))
    assert abs(exact[switch] / exact[switch - 1] - 1.0) > 0.05  # the slope breaks there
    np.testing.assert_allclose(by_path.derivative[:-1], exact[:-1], rtol=1e-3, atol=1e-9)


def test_iterates_are_read_by_the_flow():
    steps = mo.euler(FLOW, [3.0, -4.0], 0.1, max_iter=20)
    found = mo.theory.lyapunov(distance, steps, flow=FLOW)
    assert found.t.size == 21
    assert found.exponential_rate >= 1.0 - 1e-9


def test_what_cannot_be_read_is_refused(run):
    bare = mo.solve(FLOW, [3.0, -4.0], tol=1e-3)
    with pytest.raises(
        ValueError, match="needs flow=, whose field is then followed, or a trajectory solved with"
    ):
        mo.theory.lyapunov(distance, bare)
    with pytest.raises(TypeError, match="candidate must be callable"):
        mo.theory.lyapunov(None, run)
    with pytest.raises(TypeError, match="trajectory must be a Trajectory"):
        mo.theory.lyapunov(distance, run.y, flow=FLOW)
    with pytest.raises(TypeError, match="flow must be a Flow"):
        mo.theory.lyapunov(distance, run, flow=LOSS)
    other = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([H], [2.0 * B])))
    with pytest.raises(ValueError, match="flow must be the one of the trajectory; its tasks"):
        mo.theory.lyapunov(distance, run, flow=other)
    line = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[1.0]])))
    with pytest.raises(ValueError, match="its dimension or number of phases differs"):
        mo.theory.lyapunov(distance, run, flow=line)
    with pytest.raises(ValueError, match=r"candidate\(w\) must be finite"):
        mo.theory.lyapunov(lambda w: np.nan, run)
    with pytest.raises(ValueError, match=r"gradient\(w\) must have shape \(2,\)"):
        mo.theory.lyapunov(distance, run, lambda w: w[:1])
    single = replace(
        run, **{name: getattr(run, name)[:1] for name in ("t", "phase")}, y=run.y[:, :1]
    )
    with pytest.raises(ValueError, match="single point"):
        mo.theory.lyapunov(distance, single)
