"""What ``method="auto"`` chooses, why it says so, and that it changes its mind when stiffness shows."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.integrate.solvers import METHODS
from maml_ode.integrate.stiffness import largest_rate


def badly_scaled(d, spread, seed=0):
    """Logistic tasks whose features span ``spread`` orders of magnitude."""
    rng = np.random.default_rng(seed)
    scales = np.logspace(0, spread, d)
    X = rng.normal(size=(2, 2 * d, d)) * scales
    y = np.where(rng.random((2, 2 * d)) < 0.5, -1.0, 1.0)
    return mo.tasks.LogisticRegression(X, y, l2=1e-2)


def test_quadratics_are_exact_and_say_why(quadratic):
    run = mo.solve(mo.bimaml_flow(quadratic, 0.3, 0.2), np.ones(4))
    assert run.method == "exact (auto: every phase is affine with a symmetric matrix)"


def test_smooth_flows_take_the_order_that_fits_the_tolerance(logistic):
    flow = mo.maml_flow(logistic, 0.3)
    assert mo.solve(flow, np.ones(3), tol=1e-8).method.startswith("DOP853 (auto: smooth, not exact")
    assert mo.solve(flow, np.ones(3), tol=1e-3).method.startswith("Tsit5 (auto")


@pytest.mark.parametrize(("d", "stiff"), [(6, "Rodas5P"), (210, "RKC2")])
def test_auto_changes_method_when_stiffness_shows(d, stiff):
    tasks = badly_scaled(d, 2.5 if d < 200 else 2.0)
    flow, w0 = mo.gradient_flow(mo.ExpectedLoss(tasks)), np.zeros(d)
    run = mo.solve(flow, w0, tol=1e-5, max_steps=5000)
    assert run.stop is mo.StopReason.STATIONARY
    assert f"; {stiff} from t = " in run.method
    assert "lambda_max" in run.method
    assert np.linalg.norm(flow.objective.gradient(run.w)) <= 1e-5
    if d < 200:
        explicit = mo.solve(flow, w0, tol=1e-5, method="DOP853", max_steps=5000)
        assert explicit.nfev > 3 * run.nfev


def test_auto_looks_at_the_horizon():
    tasks = badly_scaled(6, 2.5)
    run = mo.solve(mo.gradient_flow(mo.ExpectedLoss(tasks)), np.zeros(6), t_max=50.0, tol=0)
    assert run.method.startswith("Rodas5P (auto: lambda_max = ")
    assert run.method.endswith("over a horizon of 50 is stiff)")


@pytest.mark.parametrize("d", [3, 250])
def test_largest_rate_against_the_dense_spectrum(d):
    tasks = badly_scaled(d, 0.5)
    field = mo.gradient_flow(mo.ExpectedLoss(tasks)).phases[0].field
    w = np.linspace(-0.1, 0.1, d)
    exact = np.linalg.eigvalsh(-field.jacobian(w))[-1]
    assert largest_rate(field, w) == pytest.approx(exact, rel=1e-12 if d == 3 else 2e-2)


def test_rkc2_takes_its_stages_from_the_exact_spectral_radius():
    """Up to d = 200 from the Hessian, above from Hessian-vector products; both are counted."""
    for d, exact in ((6, True), (210, False)):
        tasks = badly_scaled(d, 1.0)
        flow = mo.gradient_flow(mo.ExpectedLoss(tasks))
        run = mo.solve(flow, np.zeros(d), method="RKC2", t_max=0.5, tol=0)
        assert run.success
        assert (run.counts.hessians > 0) == exact
        assert (run.counts.hvps > 0) == (not exact)


def test_the_radius_of_rkc2_is_an_upper_bound_between_looks():
    """5 % above the true one where it is asked for; from 0 on, where curvature is largest, it stays above."""
    for seed in range(3):
        for spread in (0.5, 1.0, 1.5):
            tasks, radii = badly_scaled(6, spread, seed), []
            f = mo.ExpectedLoss(tasks)

            class Watched(METHODS["RKC2"]):
                def _step_impl(self, f=f, radii=radii):
                    answer = super()._step_impl()
                    for w in (self.y_old, self.y):
                        true = np.abs(np.linalg.eigvalsh(f.hessian(w))).max()
                        radii.append(self.spectral_radius / true)
                    return answer

            run = mo.solve(mo.gradient_flow(f), np.zeros(6), method=Watched, t_max=50.0, tol=0)
            assert run.counts.steps > 8 * run.counts.hessians > 0
            assert radii[0] == pytest.approx(1.05, rel=1e-12)
            assert min(radii) >= 1.0
