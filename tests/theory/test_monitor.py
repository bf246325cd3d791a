"""The monitor: no slack is negative on true constants, and wrong constants are found out."""

import dataclasses

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.theory import Ball, Quantity, monitor

TASKS = mo.tasks.Sinusoid([1.0, 1.0], [0.5, 0.3], [1.0, 2.0])
ALPHA = 0.05


@pytest.mark.parametrize("verb", ["solve", "euler"])
@pytest.mark.parametrize("name", ["maml", "bimaml", "fomaml"])
def test_true_constants_are_never_contradicted(verb, name):
    flows = {
        "maml": mo.maml_flow(TASKS, ALPHA),
        "bimaml": mo.bimaml_flow(TASKS, ALPHA, 0.3),
        "fomaml": mo.fomaml_flow(TASKS, ALPHA),
    }
    if verb == "solve":
        run = mo.solve(flows[name], [6.0], tol=1e-7)
    else:
        run = mo.euler(flows[name], [6.0], 0.05, tol=1e-7, max_iter=2000, record_every=3)
    report = monitor(run, TASKS, ALPHA)
    assert report.ok, report.violations
    assert report.descent_slack.min() > -1e-9
    assert report.transfer_slack.min() > -1e-9
    assert report.hessian_slack.min() > 0
    assert (np.isfinite(report.grad_bound).sum() > len(run) / 4) == (name != "fomaml")
    np.testing.assert_allclose(report.grad_norm, run.grad_norm, atol=1e-12)
    if name == "maml" and verb == "solve":
        both = np.isfinite(report.task_grad_bound)
        assert both.all()
        assert report.gap_bound[-1] < 1e-3 * report.gap_bound[0]


@pytest.mark.parametrize("verb", ["solve", "euler"])
def test_quadratics_have_exact_bounds_beyond_the_limits(verb):
    """The Diabetes experiment has alpha L = 1.23: the curves of the theory do not exist, G's decay does."""
    problem = mo.experiments.load("diabetes")
    if verb == "solve":
        run = mo.solve(problem.bimaml_flow(), problem.w0, tol=1e-6, t_eval=np.linspace(0, 200, 30),
                       t_max=200.0)  # fmt: skip
    else:
        run = mo.euler(problem.bimaml_flow(), problem.w0, problem.beta, max_iter=50)
    report = monitor(run, problem.tasks, problem.alpha)
    assert report.ok, report.violations
    second = run.phase == 1
    assert (report.grad_bound[second] >= report.grad_norm[second] * (1 - 1e-9)).all()
    assert np.isnan(report.hessian_slack).all()


def test_wrong_constants_are_found_out():
    run = mo.solve(mo.maml_flow(TASKS, ALPHA), [6.0], tol=1e-7)
    true = mo.theory.constants(TASKS)
    wrong = dataclasses.replace(
        true, mu=Quantity(2.9), mu_f=Quantity(2.9), L=Quantity(2.95), L_f=Quantity(2.95),
        mu_i=np.array([2.9, 2.9]), L_i=np.array([2.95, 2.95]),
    )  # fmt: skip
    report = monitor(run, TASKS, ALPHA, wrong)
    assert not report.ok
    assert any("Hessian bounds violated first at t = " in text for text in report.violations)
    assert any("gap curve" in text for text in report.violations)


def test_leaving_the_region_is_noticed():
    run = mo.solve(mo.maml_flow(TASKS, ALPHA), [6.0], tol=1e-7)
    report = monitor(run, TASKS, ALPHA, mo.theory.constants(TASKS, Ball([0.0], 5.0)))
    assert not report.inside[0]
    assert report.inside[-1]
    assert not report.ok


def test_the_bound_is_drawn_over_the_run():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    run = mo.euler(mo.maml_flow(TASKS, ALPHA), [6.0], 0.05, tol=1e-6, max_iter=500)
    ax = monitor(run, TASKS, ALPHA).plot()
    assert "bound" in ax.get_legend_handles_labels()[1]
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert len(lines["bound"].get_xdata()) == len(run)
    pyplot.close(ax.figure)


def test_what_it_refuses():
    run = mo.euler(mo.maml_flow(TASKS, ALPHA), [6.0], 0.05, max_iter=5)
    with pytest.raises(ValueError, match="d = 1, but tasks has d = 2"):
        monitor(run, mo.tasks.Quadratic([np.eye(2)], [[0.0, 0.0]]), ALPHA)
    with pytest.raises(ValueError, match="alpha that the run was made with"):
        monitor(run, TASKS, 0.1)
    with pytest.raises(ValueError, match="alpha < 1/L"):
        monitor(run, TASKS, 5.0)


@pytest.mark.parametrize("verb", ["solve", "euler"])
def test_the_curves_are_those_of_what_the_path_follows_whatever_its_name(verb):
    """A flow called MAML that is FO-MAML has no curves; MAML under another name has them."""

    def run(flow):
        if verb == "solve":
            return mo.solve(flow, [6.0], tol=1e-6)
        return mo.euler(flow, [6.0], 0.05, tol=1e-6, max_iter=2000)

    impostor = dataclasses.replace(run(mo.fomaml_flow(TASKS, ALPHA)), flow_name="MAML")
    assert np.isnan(monitor(impostor, TASKS, ALPHA).grad_bound).all()
    renamed = dataclasses.replace(run(mo.maml_flow(TASKS, ALPHA)), flow_name="mine")
    true = monitor(run(mo.maml_flow(TASKS, ALPHA)), TASKS, ALPHA)
    np.testing.assert_array_equal(monitor(renamed, TASKS, ALPHA).grad_bound, true.grad_bound)
    alone = monitor(run(mo.gradient_flow(mo.ExpectedLoss(TASKS))), TASKS, ALPHA)
    rate = float(mo.theory.constants(TASKS).mu_f)
    if verb == "solve":  # ||grad f|| falls at the rate mu_f: phase 1's curve, not F's
        wanted = alone.task_grad_norm[0] * np.exp(-rate * alone.t)
        np.testing.assert_allclose(alone.task_grad_bound, wanted, rtol=1e-12)
    assert alone.ok


def test_another_identity_is_refused():
    run = mo.euler(mo.maml_flow(TASKS, ALPHA), [6.0], 0.05, max_iter=5)
    for other in (mo.maml_flow(TASKS, 2 * ALPHA), mo.gradient_flow(mo.ExpectedLoss(TASKS))):
        with pytest.raises(ValueError, match="made with another flow"):
            monitor(run, TASKS, ALPHA, flow=other)
    assert monitor(run, TASKS, ALPHA, flow=mo.maml_flow(TASKS, ALPHA)).ok
