"""A quadratic objective kept as a sum over tasks and samples: the same numbers, steps and counts."""

import pickle

import numpy as np
import pytest

import maml_ode as mo

RNG = np.random.default_rng(0)
TASKS = mo.tasks.LinearRegression(RNG.normal(size=(3, 12, 4)), RNG.normal(size=(3, 12)))
W0, ALPHA = RNG.normal(size=4), 0.1
FLOWS = {
    "MAML": lambda **kw: mo.maml_flow(TASKS, ALPHA, **kw),
    "MAML, 2 inner steps": lambda **kw: mo.maml_flow(TASKS, ALPHA, inner_steps=2, **kw),
    "BI-MAML": lambda **kw: mo.bimaml_flow(TASKS, ALPHA, 0.5, **kw),
    "BI-MAML auto": lambda **kw: mo.bimaml_flow(TASKS, ALPHA, switch="auto", **kw),
    "FO-MAML": lambda **kw: mo.fomaml_flow(TASKS, ALPHA, **kw),
    "Reptile": lambda **kw: mo.reptile_flow(TASKS, ALPHA, inner_steps=2, **kw),
}


@pytest.mark.parametrize(
    "build",
    [
        lambda **kw: mo.ExpectedLoss(TASKS, **kw),
        lambda **kw: mo.MAMLLoss(TASKS, ALPHA, **kw),
        lambda **kw: mo.MAMLLoss(TASKS, ALPHA, inner_steps=3, query=TASKS, **kw),
    ],
)
def test_values_and_derivatives_agree_to_rounding(build):
    once, summed = build(), build(aggregate=False)
    assert (once.aggregate, summed.aggregate) == ("auto", False)
    assert once.quadratic_form is not None
    assert summed.quadratic_form is None
    w, v = W0, np.array([1.0, -2.0, 0.5, 0.0])
    assert summed.value(w) == pytest.approx(once.value(w), rel=1e-13)
    np.testing.assert_allclose(summed.gradient(w), once.gradient(w), rtol=1e-12)
    np.testing.assert_allclose(summed.hvp(w, v), once.hvp(w, v), rtol=1e-12)
    np.testing.assert_allclose(summed.hessian(w), once.hessian(w), rtol=1e-12, atol=1e-13)
    assert summed.gradient_cost == once.gradient_cost
    assert ("aggregate=False" in repr(summed), "aggregate" in repr(once)) == (True, False)
    assert pickle.loads(pickle.dumps(summed)).quadratic_form is None


@pytest.mark.parametrize("name", FLOWS)
def test_every_phase_is_summed_and_the_algorithm_takes_the_same_steps(name):
    once, summed = FLOWS[name](), FLOWS[name](aggregate=False)
    assert all(phase.field.affine is not None for phase in once.phases)
    assert all(phase.field.affine is None for phase in summed.phases)
    assert summed.objective.quadratic_form is None
    assert summed.task_objective.quadratic_form is None
    runs = [mo.euler(flow, W0, 0.05, max_iter=100) for flow in (once, summed)]
    np.testing.assert_allclose(runs[1].y, runs[0].y, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(runs[1].loss, runs[0].loss, rtol=1e-12)
    np.testing.assert_array_equal(runs[1].switch_times, runs[0].switch_times)
    spent = [(run.counts.gradients, run.counts.hvps, run.counts.steps) for run in runs]
    assert spent[0] == spent[1]


@pytest.mark.parametrize("name", FLOWS)
def test_the_flow_takes_the_same_steps_at_the_same_tolerances(name):
    settings = {"method": "DOP853", "rtol": 1e-8, "atol": 1e-10, "t_max": 2.0, "tol": 0.0}
    once, summed = (
        mo.solve(FLOWS[name](**kw), W0, **settings) for kw in ({}, {"aggregate": False})
    )
    # The error estimate is rounding in part, so the times of the steps agree to fewer digits than the path.
    np.testing.assert_allclose(summed.t, once.t, rtol=1e-5)
    np.testing.assert_allclose(summed.w, once.w, rtol=1e-9)
    assert summed.counts.hvps == once.counts.hvps
    # The search for a switch may end one look sooner or later by rounding.
    assert abs(summed.counts.gradients - once.counts.gradients) <= once.switch_times.size
    assert (summed.counts.steps, summed.counts.rejected) == (
        once.counts.steps,
        once.counts.rejected,
    )


def test_the_closed_form_is_refused_and_auto_steps():
    flow = FLOWS["BI-MAML"](aggregate=False)
    with pytest.raises(
        ValueError, match="summed up over the tasks every time, as aggregate=False asks"
    ):
        mo.solve(flow, W0, method="exact")
    run = mo.solve(flow, W0)
    assert run.success
    assert "aggregate=False" in run.method
    assert mo.solve(FLOWS["BI-MAML"](), W0, method="exact").w == pytest.approx(run.w, abs=1e-6)


def test_it_goes_on_where_the_other_stopped():
    first = mo.solve(FLOWS["MAML"](), W0, t_max=1.0, tol=0.0)
    both = mo.solve(FLOWS["MAML"](aggregate=False), resume=first, t_max=2.0, tol=0.0)
    whole = mo.solve(FLOWS["MAML"](), W0, t_max=2.0, tol=0.0)
    np.testing.assert_allclose(both.w, whole.w, rtol=1e-7)


@pytest.mark.parametrize("value", [True, None, 0, "never", np.array([False, True])])
def test_nothing_but_auto_and_false_is_understood(value):
    with pytest.raises(ValueError, match='aggregate must be "auto"'):
        mo.ExpectedLoss(TASKS, aggregate=value)
    with pytest.raises(ValueError, match='aggregate must be "auto"'):
        mo.bimaml_flow(TASKS, ALPHA, 0.5, aggregate=value)
