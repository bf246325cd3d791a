"""The monitor: no slack is negative on true constants, and wrong constants are found out."""

import dataclasses
import types

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.theory import Ball, Quantity, monitor
from maml_ode.theory.certificates import along_a_run, followed
from maml_ode.theory.certificates.setting import Point

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
    assert "bound" in [text.get_text() for text in ax.get_legend().get_texts()]
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


@pytest.mark.parametrize("share", [0.9, 1.1])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_what_rounding_may_take_and_no_more(offset, share, monkeypatch):
    """1e-6 of the size, and 1e-9 L (1 + ||w||) for a w whose digits the gradients have lost."""
    tasks = mo.tasks.Quadratic([[[2.0]], [[2.0]]], [[2 * offset + 1.0], [2 * offset - 1.0]])
    run = mo.euler(mo.maml_flow(tasks, 0.1), [offset + 3.0], 0.1, max_iter=3)
    size = np.abs(tasks.gradients([offset + 3.0])).mean()
    floor = 2e-9 * (2.0 + offset)

    def slacks(F, k, point):
        s, r = point.mean_norm, 2e-9 * (1.0 + abs(point.w[0]))
        room = (1e-6 * s**2 + r * (s + r), 1e-6 * s + r, 2e-6 + 2e-9)
        return tuple(-share * x for x in room)

    def curves(run, followed, k, alpha, facts, gap, norm_f, norm_F):
        s = np.array([np.abs(tasks.gradients(w)).mean() for w in run.y.T])
        r = 2e-9 * (1.0 + np.abs(run.y[0]))
        return {
            "gap_bound": gap - share * (1e-6 * np.abs(gap) + r * s + 1e-9),
            "task_grad_bound": norm_f - share * (1e-6 * s + r),
            "grad_bound": norm_F - share * (1e-6 * s + r),
            "printed_bound": np.full(gap.size, np.nan),
        }

    assert (floor > 1e-6 * size) == (offset > 0)
    monkeypatch.setattr(along_a_run, "_slacks", slacks)
    monkeypatch.setattr(along_a_run, "bounding_curves", curves)
    found = monitor(run, tasks, 0.1)
    names = [text.split(" violated")[0] for text in found.violations]
    every = ["descent", "gradient transfer", "Hessian bounds", "gap curve", "gradient curve"]
    assert names == ([*every, "bound of grad F"] if share > 1 else [])
    assert all("first at t = 0: wrong constants" in text for text in found.violations)


def test_the_slack_of_the_hessian_in_the_plane():
    """The smaller room at both ends of the spectrum; none where the Hessians may jump."""
    H = np.array([[[2.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 3.0]]])
    tasks, alpha = mo.tasks.Quadratic(H, [[1.0, 0.0], [0.0, 1.0]]), 0.1
    F, k = mo.MAMLLoss(tasks, alpha), mo.theory.constants(tasks)
    point = Point.at(F, np.array([0.3, -0.2]))
    A = np.eye(2) - alpha * H
    ends = np.linalg.eigvalsh(0.5 * sum(a @ h @ a for a, h in zip(A, H, strict=True)))
    spectra = np.linalg.eigvalsh(H)
    h = spectra * (1 - alpha * spectra) ** 2  # it rises up to 1/(3 alpha) = 3.33
    low = 0.5 * np.maximum(spectra[:, 0] * (1 - alpha * spectra[:, 1]) ** 2, h[:, 0]).sum()
    high = 0.5 * np.minimum(spectra[:, 1] * (1 - alpha * spectra[:, 0]) ** 2, h[:, 1]).sum()
    found = along_a_run._slacks(F, k, point)[2]
    assert found == pytest.approx(min(ends[0] - low, high - ends[1]), abs=1e-13)
    jumps = dataclasses.replace(k, kappa=Quantity(np.inf))
    assert np.isnan(along_a_run._slacks(F, jumps, point)[2])


@pytest.mark.parametrize(("radius", "inside"), [(0.9, False), (1.2, False), (2.0, True)])
def test_images_of_one_step_must_be_inside_too(radius, inside):
    """From 6 a step of 0.05 leads down by some 0.6, away from the centre 7."""
    k = mo.theory.constants(TASKS, Ball([7.0], radius))
    point = Point.at(mo.MAMLLoss(TASKS, ALPHA), np.array([6.0]))
    assert 0.5 < ALPHA * point.gradients.min() < ALPHA * point.gradients.max() < 0.7
    assert along_a_run._inside(k, ALPHA, [point], np.zeros(1)).tolist() == [inside]


@pytest.mark.parametrize(
    ("miss_f", "miss_F", "which"),
    [(0.003, 0.015, "f"), (0.01, 0.015, "F"), (0.019, 0.5, "f"), (0.021, 0.5, None),
     (0.5, 0.019, "F"), (0.5, 0.021, None), (0.0, 0.0, "F")],
)  # fmt: skip
def test_a_path_is_that_of_the_gradient_which_ends_within_a_fiftieth(
    miss_f, miss_F, which, monkeypatch
):
    """Judged on the longest stretch; f's only where it ends four times as near as F's."""
    y = np.array([[0.0, 2.0, 2.2, 9.0, 99.0]])
    run = types.SimpleNamespace(
        t=np.array([0.0, 1.0, 1.5, 1.5, 9.0]), y=y, z=y,
        phase=np.array([0, 0, 0, 0, 1]), step_size=None,
    )  # fmt: skip
    misses = {"f": miss_f, "F": miss_F}

    def moved(objective, begin, time, step_size):
        assert (begin.tolist(), time) == ([0.0], 1.0)
        return np.array([2.0 + 2.0 * misses[objective]])

    monkeypatch.setattr(followed, "_moved", moved)
    assert followed.followed_gradients(run, "f", "F") == {0: which, 1: None}
    # With a velocity no gradient alone is followed, but only in the phase that has one.
    run.z = np.vstack([y, [[0.0, 0.0, 0.1, 0.0, 0.0]]])
    assert followed.followed_gradients(run, "f", "F") == {0: None, 1: None}
    run.z = np.vstack([y, [[0.0, 0.0, 0.0, 0.0, 0.1]]])
    assert followed.followed_gradients(run, "f", "F") == {0: which, 1: None}
