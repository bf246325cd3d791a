"""The monitor's curves, recomputed step by step."""

import dataclasses
import math

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.theory import Constants, Quantity
from maml_ode.theory.bounds import descent_steps
from maml_ode.theory.bounds.sublevel_sets import landscapes

from .by_hand import (
    ALPHA,
    EPS0,
    FLOOR,
    G0,
    GF0,
    HIGH,
    KAPPA_I,
    L_F,
    L_I,
    MU,
    MU_F,
    MU_I,
    PSI,
    REPORT,
    RHO,
    SD0,
    SIGMA,
    TASKS,
    W0,
    X_STAR,
    K_of,
    L,
    known,
    m_of,
    mean,
    slope,
    slope_F,
)


def curves_by_hand(run, phase_f):
    """Return gap_bound and grad_bound of a run by one model, step by step."""
    k, h = known(), run.step_size
    gap = run.task_loss - mo.ExpectedLoss(TASKS).value([X_STAR])
    gaps, grads = np.empty(len(run)), np.empty(len(run))
    for j, t in enumerate(run.t):
        first = j == 0 or run.phase[j] != run.phase[j - 1]
        if first:
            t0, G = t, run.task_grad_norm[j]
            s0 = min(G, math.sqrt(2 * MU_F * max(gap[j], 0.0)) + 1e-12 * (1 + G))
            level, n = s0**2 / (2 * MU_F), 0
        if run.phase[j] == phase_f:
            n = round((t - t0) / h) if h else 0
            grads[j] = np.nan
            decay = (1 - h * MU_F) ** n if h else math.exp(-MU_F * (t - t0))
            gaps[j] = (G * decay) ** 2 / (2 * MU_F)
            continue
        before = level
        if h is None:
            s = FLOOR + max(s0 - FLOOR, 0) * math.exp(-MU_F * PSI * (t - t0))
            level = s * s / (2 * MU_F)
        else:
            model = landscapes(k, ALPHA)[0]
            while n < round((t - t0) / h):
                level, n = descent_steps.gap_after_step(model, level, h), n + 1
            before = max(before, descent_steps.discrete_level_floor(model, h))
        gaps[j] = level
        if first:
            grads[j] = run.grad_norm[j]
            continue
        m, dt = m_of(before), t - run.t[j - 1]
        kept = math.exp(-m * dt) if h is None else (1 - h * m) ** round(dt / h)
        grads[j] = min(K_of(math.sqrt(2 * L_F * level)), grads[j - 1] * kept)
    return gaps, grads


@pytest.mark.parametrize("verb", ["solve", "euler"])
@pytest.mark.parametrize("name", ["maml", "bimaml"])
def test_the_curves_of_the_monitor(verb, name):
    flow = mo.maml_flow(TASKS, ALPHA) if name == "maml" else mo.bimaml_flow(TASKS, ALPHA, EPS0)
    if verb == "solve":
        run = mo.solve(flow, [W0], tol=1e-6)
    else:
        run = mo.euler(flow, [W0], 0.1, tol=1e-6, max_iter=500, record_every=2)
    report = mo.theory.monitor(run, TASKS, ALPHA, known())
    gaps, grads = curves_by_hand(run, 0 if name == "bimaml" else -1)
    np.testing.assert_allclose(report.gap_bound, gaps, rtol=1e-9)
    np.testing.assert_allclose(report.grad_bound, grads, rtol=1e-9)
    stretch = np.flatnonzero(run.phase == run.phase[-1])
    first, t = stretch[0], run.t[stretch] - run.t[stretch[0]]
    if name == "bimaml":
        falls = np.exp(-MU_F * run.t) if verb == "solve" else (1 - 0.1 * MU_F) ** (10 * run.t)
        here = run.phase == 0
        np.testing.assert_allclose(
            report.task_grad_bound[here], run.task_grad_norm[0] * falls[here], rtol=1e-9
        )
    if verb == "solve":
        zeta = 0.5 * (L + MU) * PSI - 0.5 * (L - MU) * HIGH**2
        limit, start = L * RHO * SIGMA / zeta, run.task_grad_norm[first]
        wanted = limit + (start - limit) * np.exp(-zeta * t)
        np.testing.assert_allclose(report.task_grad_bound[stretch], wanted, rtol=1e-9)
        zeta = MU - 1.25 * L**2 * ALPHA * (L**3 * ALPHA**2 + 2 * L**2 * ALPHA + 2)
        if zeta > 0:
            limit = SIGMA**2 / 2 / zeta
            wanted = np.sqrt(limit + (start**2 - limit) * np.exp(-zeta * t))
            np.testing.assert_allclose(report.printed_bound[stretch], wanted, rtol=1e-9)
    else:
        assert np.isnan(report.printed_bound).all()
    k = Constants(
        **{name: Quantity(getattr(known(), name)) for name in
           ("mu", "L", "kappa", "mu_f", "L_f", "sigma", "sigma0", "nu")},
        mu_i=MU_I, L_i=L_I, kappa_i=KAPPA_I, weights=TASKS.weights,
    )  # fmt: skip
    unknown = mo.theory.monitor(run, TASKS, ALPHA, k)  # without argmin f there is no gap
    assert np.isnan(unknown.gap).all()
    assert np.isfinite(unknown.grad_bound[stretch]).all()


def test_a_run_agrees_with_its_losses_at_every_saved_state():
    run = mo.euler(mo.maml_flow(TASKS, ALPHA), [W0], 0.1, tol=1e-3, max_iter=50)
    norms = run.grad_norm.copy()
    norms[-1] *= 2
    with pytest.raises(ValueError, match=r"is not that of MAMLLoss\(tasks, alpha\)"):
        mo.theory.monitor(
            dataclasses.replace(run, grad_norm=norms + norms[0]), TASKS, ALPHA, known()
        )
    norms[-1] = run.grad_norm[-1] + 1e-5 * norms[0]
    with pytest.raises(ValueError, match=r"is not that of MAMLLoss\(tasks, alpha\)"):
        mo.theory.monitor(dataclasses.replace(run, grad_norm=norms), TASKS, ALPHA, known())


def test_the_slacks_along_a_run_and_what_is_not_covered():
    run = mo.euler(mo.maml_flow(TASKS, ALPHA), [W0], 0.1, tol=1e-3, max_iter=50)
    report = mo.theory.monitor(run, TASKS, ALPHA, known())
    top = min(HIGH**2 * G0 + RHO * SD0, HIGH**2 * math.hypot(G0, SD0))
    first = [x[0] for x in (report.descent_slack, report.transfer_slack, report.hessian_slack)]
    descent = mean(slope, W0) * mean(slope_F, W0) - (PSI * G0**2 - RHO * SD0 * G0)
    assert first == pytest.approx([descent, top - GF0, REPORT["hessian_bounds"].slack], rel=1e-10)
    assert report.not_covered == ()
    other = mo.euler(mo.fomaml_flow(TASKS, ALPHA), [W0], 0.1, tol=1e-3, max_iter=50)
    (sentence,) = mo.theory.monitor(other, TASKS, ALPHA, known()).not_covered
    assert sentence.startswith("phase 0 is not covered")
    start = dataclasses.replace(
        other, **{name: getattr(other, name)[..., :1] for name in
                  ("t", "y", "phase", "loss", "task_loss", "grad_norm", "task_grad_norm")},
    )  # fmt: skip
    assert mo.theory.monitor(start, TASKS, ALPHA, known()).not_covered == ()  # it has not moved
    for edge in ({"mu": 0.0}, {"L": 1 / ALPHA}):
        with pytest.raises(ValueError, match="the curves need mu > 0 and alpha < 1/L"):
            mo.theory.monitor(run, TASKS, ALPHA, known(**edge))
