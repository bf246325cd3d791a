"""What a run promises: energies that do not rise, growth that is not hovering, every time that was asked for."""

import warnings

import numpy as np
import pytest
import scipy.integrate
from scipy.integrate import DenseOutput

import maml_ode as mo
from maml_ode.fields import CallableField

JUDGE = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))


@pytest.mark.parametrize("method", ["RK45", "DOP853", "Tsit5", "RK23", "Radau"])
def test_enforced_energies_never_rise(make_quadratic, method):
    """Loose explicit runs at the stability limit let F rise for hundreds of steps; no step of these may."""
    for seed in range(3):
        tasks = make_quadratic(condition=1e4, d=6, seed=seed)
        flow, w0 = mo.maml_flow(tasks, 0.2), 10.0 * np.ones(6)
        loose = {"method": method, "rtol": 0.05, "atol": 0.05, "t_max": 1000.0, "tol": 0}
        free = mo.solve(flow, w0, **loose)
        kept = mo.solve(flow, w0, energy="enforce", **loose)
        F = np.array([flow.objective.value(w) for w in kept.y.T])
        assert (np.diff(F) <= 8 * np.finfo(float).eps * np.abs(F[1:])).all()
        assert kept.energy.rises == 0
        assert kept.stop is mo.StopReason.HORIZON
        if method in ("RK45", "DOP853", "RK23"):
            assert free.energy.rises > 5
            assert kept.counts.rejected > free.counts.rejected


def test_an_undone_step_is_taken_again_with_a_quarter_of_its_length():
    """F = w^2/2 by a step of 3 ends at 2 |w|, which is undone; by a quarter of it at |w|/4."""

    class Steps(scipy.integrate.RK45):
        lengths = []  # noqa: RUF012

        def _step_impl(self):
            h = min(self.h_abs, self.t_bound - self.t)
            self.lengths.append(h)
            self.t_old, self.y_old = self.t, self.y
            self.K[:] = -self.y  # of which the energy's path is made
            self.t, self.y = self.t + h, self.y - h * self.y
            self.h_previous = h
            return True, None

    run = mo.solve(
        mo.gradient_flow(JUDGE), [1.0], method=Steps, first_step=3.0, t_max=3.0, tol=0,
        energy="enforce", dense_output=False, max_steps=1,
    )  # fmt: skip
    assert Steps.lengths[:2] == [3.0, 0.75]
    assert run.w == [0.25]
    assert run.counts.steps == 1  # an undone one is none


@pytest.mark.parametrize("method", ["DOP853", "Tsit5", "LSODA", "RK45", "Rodas5P"])
def test_growth_is_not_hovering(method):
    """f = -3 w^2: w = exp(6 t), a number up to t = 118; and a horizon is never cut short by a stalled norm."""
    flow = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Symbolic("-3*w**2", "w")))
    run = mo.solve(flow, [1.0], t_max=50.0, method=method)
    assert (run.stop, run.final_time) == (mo.StopReason.HORIZON, 50.0)
    assert np.log(run.w) == pytest.approx(300.0, rel=1e-3)
    given = mo.solve(flow, [1.0], t_max=5.0, method=method, rtol=1e-8, atol=1e-10)
    assert given.stop is mo.StopReason.HORIZON
    ours = mo.solve(flow, [1.0], t_max=5.0, method=method, tol=0)
    assert given.counts.steps <= 1.5 * ours.counts.steps
    hovering = mo.solve(
        mo.gradient_flow(mo.ExpectedLoss(mo.tasks.LogisticRegression([[[100.0], [1.0]]], [[1, -1]]))),
        [0.3], t_max=2.0, method=method, tol=1e-13, rtol=1e-6, atol=1e-6,
    )  # fmt: skip
    assert hovering.stop in (mo.StopReason.HORIZON, mo.StopReason.STATIONARY)


def test_every_time_that_was_asked_for_is_there():
    """1,000 closed forms through a switch and a seam: the last time is the horizon itself."""
    rng = np.random.default_rng(0)
    for _ in range(500):
        end = rng.uniform(0.5, 20.0)
        tasks = mo.tasks.Quadratic([np.diag(rng.uniform(0.2, 2.0, 2))], [rng.normal(size=2)])
        flow = mo.bimaml_flow(tasks, 0.1, rng.uniform(0.05, 0.6))
        asked = [0.0, 0.5 * end, end]
        w0 = 2 * rng.normal(size=2)
        run = mo.solve(flow, w0, tol=0, t_max=end, t_eval=asked, diagnostics=False)
        np.testing.assert_array_equal(run.t, asked)
        assert run.final_time == end
        part = mo.solve(flow, w0, tol=0, t_max=rng.uniform(0.01, 0.9) * end, diagnostics=False)
        run = mo.solve(flow, resume=part, tol=0, t_max=end, diagnostics=False)
        assert run.t[-1] == run.final_time == end


@pytest.mark.parametrize("options", [{}, {"diagnostics": False}, {"t_eval": [1.0, 999.0]}])
def test_a_state_that_overflows_ends_the_closed_form_at_the_last_finite_one(options):
    flow = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([[[-1.0]]], [[1.0]])))
    run = mo.solve(flow, [1.0], tol=0, t_max=1000.0, **options)
    assert (run.stop, run.success) == (mo.StopReason.NON_FINITE, False)
    assert np.isfinite(run.y).all()
    # w = 2 exp(t) - 1 exceeds 1.8e308 at t = log(0.9e308)
    assert run.final_time == pytest.approx(np.log(np.finfo(float).max / 2), rel=1e-12)


def test_grids_of_other_kinds_reach_the_horizon(quadratic):
    flow, w0 = mo.maml_flow(quadratic, 0.3), np.ones(4)
    for grid in (np.arange(0, 0.4, 0.1), np.linspace(0, 0.3, 4, dtype=np.float32)):
        assert mo.solve(flow, w0, t_eval=grid, t_max=0.3).t[-1] == 0.3
    with pytest.raises(ValueError, match=r"\[0, 0.29999999999999999\], but it goes from 0 to 0.31"):
        mo.solve(flow, w0, t_eval=[0.0, 0.31], t_max=0.3)


class FixedStep(scipy.integrate.OdeSolver):
    """SciPy's contract and no more: one option of its own, the rest swallowed with a warning."""

    def __init__(self, fun, t0, y0, t_bound, vectorized, h=0.01, **extra):
        if extra:
            warnings.warn(f"no effect: {sorted(extra)}", stacklevel=2)
        super().__init__(fun, t0, y0, t_bound, vectorized)
        self.h, self.f = h, self.fun(t0, self.y)

    def _step_impl(self):
        h = min(self.h, self.t_bound - self.t)
        self.y_old, self.y, self.t = self.y, self.y + h * self.f, self.t + h
        self.f = self.fun(self.t, self.y)
        return True, None

    def _dense_output_impl(self):
        return Chord(self.t_old, self.t, self.y_old, self.y)


class Chord(DenseOutput):
    def __init__(self, t_old, t, y_old, y):
        super().__init__(t_old, t)
        self.ends = y_old, y

    def _call_impl(self, t):
        share = (t - self.t_old) / (self.t - self.t_old)
        return (self.ends[0] + np.multiply.outer(share, self.ends[1] - self.ends[0])).T


class NoKeywords(FixedStep):
    def __init__(self, fun, t0, y0, t_bound, vectorized):
        super().__init__(fun, t0, y0, t_bound, vectorized)


def test_classes_are_given_what_they_take_and_nothing_else():
    """No warning of options that nobody gave; remedies that a class does not take end with the good part."""
    flow = mo.gradient_flow(JUDGE)
    assert mo.solve(flow, [1.0], method=FixedStep, h=0.5).success
    switch = mo.Flow([mo.Phase(JUDGE, until=lambda t, w: w[0] - 0.5), mo.Phase(JUDGE)])
    assert mo.solve(switch, [1.0], method=NoKeywords, tol=1e-3).switch_times.size == 1
    with pytest.raises(TypeError, match=r"unknown option of FixedStep 'hh'. Did you mean 'h'"):
        mo.solve(flow, [1.0], method=FixedStep, hh=0.5)
    with pytest.raises(TypeError, match="unknown option of NoKeywords 'h'"):
        mo.solve(flow, [1.0], method=NoKeywords, h=0.5)
    with pytest.raises(TypeError, match="Did you mean 'method'"):
        mo.solve(flow, [1.0], methd=FixedStep)
    with pytest.raises(ValueError, match="here it is called 'RK45'"):
        mo.solve(flow, [1.0], method="Dopri5")
    domain = mo.Flow([mo.Phase(CallableField(lambda w: -1.0 - w * np.sqrt(w), 1))], JUDGE)
    run = mo.solve(domain, [2.0], method=FixedStep, h=0.3, t_max=5.0, tol=0)
    assert run.stop is mo.StopReason.NON_FINITE
    np.testing.assert_allclose(run.t, [0.0, 0.3, 0.6])  # the step after it ends below 0
    rising = mo.solve(flow, [1.0], method=FixedStep, h=2.5, energy="enforce", t_max=5.0, tol=0)
    assert (rising.stop, len(rising)) == (mo.StopReason.STEP_TOO_SMALL, 1)
    assert "another method" in rising.message
    endless = mo.Flow([mo.Phase(CallableField(lambda w: np.sqrt(w) - w, 1))], JUDGE)
    assert mo.solve(endless, [0.25], method=FixedStep, h=0.1, tol=1e-6).success


def test_costs_of_an_exact_run(quadratic):
    """Two phases: an eigendecomposition and a field each, and one field more for the last look."""
    run = mo.solve(mo.bimaml_flow(quadratic, 0.3, 0.2), np.ones(4), method="exact")
    assert (run.counts.hessians, run.counts.factorizations, run.njev, run.nlu) == (2, 2, 2, 2)
    assert run.nfev == 3
    assert run.counts.gradients == 1 + 2 + 2


@pytest.mark.parametrize("method", ["DOP853", "RK45", "Rodas5P"])
def test_a_limit_on_steps_is_not_passed_at_a_switch(logistic, method):
    flow, w0 = mo.bimaml_flow(logistic, 0.3, 0.1), np.array([1.0, -1.0, 2.0])
    whole = mo.solve(flow, w0, method=method, t_max=20.0)
    (before,) = np.flatnonzero(np.diff(whole.phase))  # recorded steps before the switch
    for limit in range(before, before + 4):
        run = mo.solve(flow, w0, method=method, t_max=20.0, max_steps=int(limit))
        assert run.counts.steps == limit
        assert run.stop is mo.StopReason.STEP_LIMIT
        assert mo.solve(flow, resume=run, method=method, t_max=20.0).success
