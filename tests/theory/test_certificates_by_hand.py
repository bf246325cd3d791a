"""Every certificate's value and bound recomputed by hand on a small problem, and attained where it is tight."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

import maml_ode as mo
from maml_ode.theory import Ball, Quantity, Status, certify
from maml_ode.theory.bounds import descent_steps
from maml_ode.theory.bounds.near_a_point import local_certificate
from maml_ode.theory.bounds.sublevel_sets import landscapes
from maml_ode.theory.certificates.of_a_point import gradient_identity, local_minimum
from maml_ode.theory.certificates.of_the_problem import (
    alpha_certificate,
    critical_set,
    unique_minimum,
)
from maml_ode.theory.certificates.setting import Setting

from .by_hand import (
    ALPHA,
    C_INF,
    EPS0,
    FLOOR,
    G0,
    GF0,
    HIGH,
    KAPPA,
    KAPPA_I,
    L_F,
    L_I,
    LOW,
    MU,
    MU_F,
    MU_I,
    PSI,
    REPORT,
    RHO,
    SD0,
    SIGMA,
    TASKS,
    TOL,
    W0,
    W_F,
    X_STAR,
    K_of,
    L,
    M_of,
    ball_terms,
    bend,
    bend_F,
    h,
    known,
    m_of,
    mean,
    slope,
    slope_F,
)


def test_the_numbers_above_are_the_tasks():
    F = mo.MAMLLoss(TASKS, ALPHA)
    assert F.gradient([W0])[0] == pytest.approx(mean(slope_F, W0), rel=1e-13)
    assert F.hessian([W0])[0, 0] == pytest.approx(mean(bend_F, W0), rel=1e-13)


def from_constants(alpha):
    """What the constants say of uniqueness, before the critical points are counted."""
    return unique_minimum(Setting(TASKS, alpha, known(), None, None, TOL))


def test_unique_minimum():
    item = from_constants(ALPHA)
    assert item.holds is True
    assert item.value == item.slack == pytest.approx(m_of(C_INF), rel=1e-13)
    assert item.bound == 0.0
    assert item.status is Status.BOUND
    assert item.printed == pytest.approx(
        min(0.25 / L, MU / (8 * KAPPA * (2 * (1 + math.sqrt(L / MU)) * SIGMA + SIGMA))), rel=1e-13
    )
    assert f"within {FLOOR / MU_F:.4g} of argmin f" in item.note
    small = unique_minimum(Setting(TASKS, ALPHA, known(mu=0.8), None, None, TOL)).printed
    noise = 8 * KAPPA * (2 * (1 + math.sqrt(L / 0.8)) * SIGMA + SIGMA)
    assert small == pytest.approx(min(0.25 / L, 0.8 / noise), rel=1e-13)


def test_alpha_limits():
    item = REPORT["alpha_limits"]

    def m_at(alpha):
        a, b = 1 - alpha * L, 1 - alpha * MU
        psi = a * a if 3 * a >= b else (a + b) ** 2 / 8 - (b - a) ** 2 / 4
        s = (b - a) * math.sqrt((a * a + b * b) / 2) * SIGMA / psi
        big = math.sqrt(L_F / MU_F * s * s + SIGMA**2)
        k_rms = math.sqrt(0.5 * float(((KAPPA_I * (1 - alpha * MU_I)) ** 2).sum()))
        shared = alpha * KAPPA * b * big
        both = min(MU * (1 - alpha * MU) ** 2, L * (1 - alpha * L) ** 2)
        return max(
            0.5 * float((MU_I * (1 - alpha * L_I) ** 2).sum()) - alpha * k_rms * big,
            MU * a * a - shared, both - (1 + b) * shared,
        )  # fmt: skip

    limit = brentq(m_at, 0.1, 0.3, xtol=1e-15)
    assert item.bound == pytest.approx(limit, rel=1e-9)
    assert item.slack == pytest.approx(limit - ALPHA, rel=1e-9)
    assert item.holds is True
    assert from_constants(limit * 1.001).holds is None
    assert from_constants(limit * 0.999).holds is True
    respected = "printed limits respected: Theorem 3.7, Theorem 3.9, Theorem 3.10, zeta > 0"
    assert item.note.endswith(respected)
    beyond = alpha_certificate(Setting(TASKS, 0.3, known(), None, None, TOL))
    assert beyond.holds is None
    assert beyond.note.endswith("printed limits respected: none")
    concave = certify(mo.tasks.Sinusoid([1.0, 1.0], [3.0, 0.1], [1.0, 2.0]), 0.1)["alpha_limits"]
    assert (concave.holds, concave.bound, concave.slack) == (None, 0.0, -0.1)


def test_what_holds_in_a_region_is_certified_only_where_the_run_stays_in_it():
    """V(c) from w0 has the radius G0/mu_f about argmin f; the images reach (1 - alpha mu) of that and alpha G."""
    for radius, holds in ((2.1, None), (2.2, True)):
        k = mo.theory.constants(TASKS, Ball([X_STAR], radius))
        report = certify(TASKS, ALPHA, w0=[W0], constants=k)
        item, within = report["step_size_limit"], report["step_size_limit"].hypotheses[-1]
        low = max(abs(slope(i, X_STAR)) for i in (0, 1))
        reach = (1 - ALPHA * k.mu) * G0 / k.mu_f + ALPHA * low
        assert within.name == "V(c) and its one-step images within the region"
        assert within.detail == f"reach {max(G0 / k.mu_f, reach):.4g} of {radius}"
        assert (item.holds, within.holds) == (holds, bool(holds))
        assert report["critical_set"].hypotheses[-1].name == within.name
        # of these nothing says where they would have to stay
        assert report["alpha_limits"].holds is report["moreau_rate"].holds is None


def test_critical_set():
    item = REPORT["critical_set"]
    assert item.bound == pytest.approx(FLOOR / MU_F, rel=1e-13)
    assert item.value == pytest.approx(abs(W_F - X_STAR), rel=1e-9)
    assert item.slack == pytest.approx(item.bound - item.value, rel=1e-12)
    assert item.holds is True


def test_a_ball_about_a_minimiser_that_leaves_the_region_is_not_certified():
    tiny = mo.theory.constants(TASKS, Ball([X_STAR], 1e-3))
    item = certify(TASKS, ALPHA, w0=[W0], constants=tiny)["local_minimum"]
    assert [x.holds for x in item.hypotheses] == [True, False]
    assert item.holds is None


def test_a_ball_is_certified_if_its_images_lie_in_the_region():
    base, per_radius = ball_terms(W_F)
    radius = 0.5 * base / per_radius
    reach = abs(W_F - X_STAR) + ALPHA * max(abs(slope(i, W_F)) for i in (0, 1)) + radius
    for share, wanted in ((1.001, True), (0.999, False)):
        k = replace(known(), region=Ball([X_STAR], share * reach))
        item = local_minimum(Setting(TASKS, ALPHA, k, np.array([W0]), None, TOL))
        assert [x.holds for x in item.hypotheses] == [True, wanted]
        assert item.holds is (True if wanted else None)


def test_images_are_further_apart_than_points_at_a_large_alpha():
    """At alpha = 3 and Hess f_i within 0.2 % of 1 a step turns a radius into 1 - 3 L = -2.006 of it."""
    tasks = mo.tasks.Sinusoid([0.5, 0.5], [1e-3, 2e-3], [1.0, 1.0])
    k = mo.theory.constants(tasks)
    z, start = Setting(tasks, 3.0, k, np.array([0.1]), None, TOL).solution, np.array([0.1])
    ball = local_certificate(tasks, 3.0, z, mu_i=k.mu_i, L_i=k.L_i, kappa_i=k.kappa_i)
    reach = 3.0 * np.abs(tasks.gradients(z)).max() + (3.0 * 1.002 - 1.0) * ball.radius
    for share, wanted in ((1.0001, True), (0.9999, False)):
        region = replace(k, region=Ball(z, share * reach))
        item = local_minimum(Setting(tasks, 3.0, region, start, None, TOL))
        assert [x.holds for x in item.hypotheses] == [True, wanted]


def test_without_curvature_or_its_lipschitz_constant_no_ball_is_certified():
    """At alpha = 0 f itself is judged; m_loc > 0 fails where the losses at z outweigh its curvature."""
    unbounded = replace(known(), kappa=Quantity(math.inf))
    item = certify(TASKS, ALPHA, w0=[W0], constants=unbounded)["local_minimum"]
    assert [x.name for x in item.hypotheses] == ["Hess F is available and kappa is finite"]
    assert (item.holds, item.value, item.bound) == (None, None, None)
    flat = mo.tasks.Symbolic("(w - 2)**4", "w")
    k = mo.theory.constants(flat, mo.theory.Interval(1.0, 3.0))
    item = local_minimum(Setting(flat, 0.0, k, np.array([2.0]), None, TOL))
    assert [(x.name, x.holds) for x in item.hypotheses] == [("m_loc > 0", None)]
    assert (item.holds, item.bound, item.slack) == (None, None, None)


def test_without_psi_nothing_confines_critical_points():
    """At alpha = .36 psi = (a + b)^2/8 - (b - a)^2/4 < 0, a = .064, b = .46."""
    item = critical_set(Setting(TASKS, 0.36, known(), None, None, TOL))
    assert (item.holds, item.bound, item.hypotheses[-1].holds) == (None, None, False)
    assert item.hypotheses[-1].name == "psi > 0"


def continuous_time(s0, start, tol):
    """Solve min over tau of: integral of m(c(t)) from tau on = log(K(tau)/tol), without stages."""
    decay = MU_F * PSI

    def c_at(t):
        return (FLOOR + max(s0 - FLOOR, 0) * math.exp(-decay * t)) ** 2 / (2 * MU_F)

    def gained(tau, t):
        return quad(lambda x: m_of(c_at(x)), tau, t, epsabs=1e-12, epsrel=1e-12, limit=200)[0]

    best = math.inf
    for tau in (0.0, *np.linspace(0.02, 8.0, 16)):
        K = K_of(math.sqrt(2 * L_F * c_at(tau)))
        K = min(K, start) if tau == 0 else K
        if tol >= K:
            best = min(best, tau)
            continue
        best = min(
            best, brentq(lambda t, tau=tau, K=K: gained(tau, t) - math.log(K / tol), tau, 99)
        )
    return best


def test_time_bound():
    """The stages converge to the integral from above."""
    item = REPORT["time_bound"]
    wanted = continuous_time(G0, GF0, TOL)
    assert wanted * (1 - 1e-9) <= item.bound <= wanted * 1.02
    assert item.holds is True
    run = mo.solve(mo.maml_flow(TASKS, ALPHA), [W0], tol=TOL)
    assert run.final_time <= item.bound


def test_time_bound_is_attained_by_the_quadratic():
    """One eigenvalue: value, bound and the run agree."""
    report = certify(mo.tasks.Quadratic([[[2.0]]], [[1.0]]), 0.1, w0=[3.0], tol=1e-3)
    rate, start = 2 * 0.8**2, 0.8**2 * 5.0
    assert report["time_bound"].value == pytest.approx(math.log(start / 1e-3) / rate, rel=1e-12)
    assert report["time_bound"].bound == pytest.approx(report["time_bound"].value, rel=1e-12)
    assert report["time_bound"].status is Status.EXACT
    exact = report["quadratic_exact"]
    assert exact.value == exact.slack == pytest.approx(rate, rel=1e-15)
    assert exact.bound == 0.0
    assert report["step_size_limit"].value == pytest.approx(2 / rate, rel=1e-15)
    assert report["step_size_limit"].slack == 0.0
    assert report["step_size_limit"].note == "exact, everywhere"
    assert report["step_size_limit"].holds is True
    assert report["iteration_bound"].bound == 1.0
    two = certify(
        mo.tasks.Quadratic([np.diag([1.0, 4.0])], [[0.0, 0.0]]), 0.0, w0=[1.0, 0.0], tol=1e-3
    )
    # along the slow axis ||grad F|| falls by 1 - 1/4 a step: ceil(log(1000)/log(4/3)) = 25
    assert two["iteration_bound"].bound == 25.0
    assert 0.75**25 <= 1e-3 < 0.75**24


def test_bimaml_time():
    item = REPORT["bimaml_time"]
    first = math.log(G0 / EPS0) / MU_F
    second = continuous_time(EPS0, K_of(EPS0), TOL)
    assert (first + second) * (1 - 1e-9) <= item.bound <= first + second * 1.02
    quadratic = certify(
        mo.tasks.Quadratic([[[2.0]]], [[0.0]]), 0.1, w0=[3.0], switch_tol=0.5, tol=1e-3
    )["bimaml_time"]
    wanted = math.log(6 / 0.5) / 2 + math.log(0.5 * 0.64 / 1e-3) / 1.28
    assert quadratic.value == pytest.approx(wanted, rel=1e-12)
    assert quadratic.bound == pytest.approx(wanted, rel=1e-9)
    assert quadratic.status is Status.EXACT


def test_iteration_bound():
    """The recursion of the gap and the contraction, counted step by step."""
    item = REPORT["iteration_bound"]
    beta = min(0.5 / L_F, 1 / M_of(2 * C_INF))
    assert float(item.note.split("= ")[1]) == pytest.approx(beta, rel=1e-12)
    x = L_F * beta
    P, Q = PSI - 0.5 * x * HIGH**4, RHO * SIGMA * (1 + x * HIGH**2)
    R = 0.5 * x * (RHO * SIGMA) ** 2
    top = (Q + math.sqrt(Q * Q + 4 * P * R)) / (2 * P)
    c_disc = top**2 / (2 * MU_F) + beta * (Q * Q / (4 * P) + R)
    model = landscapes(known(), ALPHA)[0]
    assert descent_steps.discrete_level_floor(model, beta) == pytest.approx(c_disc, rel=1e-12)
    best = math.inf
    for level in np.geomspace(c_disc * (1 + 1e-6), G0**2 / (2 * MU_F), 120):
        if m_of(level) <= 0 or beta > 2 / (m_of(level) + M_of(level)):
            continue
        gap, n = G0**2 / (2 * MU_F), 0
        while gap > level:
            s = max(math.sqrt(2 * MU_F * gap), Q / (2 * P))
            gap, n = gap - beta * (P * s * s - Q * s - R), n + 1
            if n > 10_000:
                break
        K = K_of(math.sqrt(2 * L_F * level))
        best = min(
            best, n + max(math.ceil(math.log(K / TOL) / -math.log(1 - beta * m_of(level))), 0)
        )
    assert best <= item.bound <= best + 3
    gap, n = 4.0, 0  # far out and down to three times the floor, where the noise slows the descent
    while gap > 3 * c_disc:
        s = max(math.sqrt(2 * MU_F * gap), Q / (2 * P))
        gap, n = gap - beta * (P * s * s - Q * s - R), n + 1
    assert n <= descent_steps._approach(model, 4.0, 3 * c_disc, beta) <= n + 2
    low = (
        0.5 * (Q / (2 * P)) ** 2 / (2 * MU_F)
    )  # below the top of the parabola the worst point counts
    assert descent_steps.gap_after_step(model, low, beta) == pytest.approx(
        low + beta * (Q * Q / (4 * P) + R), rel=1e-12
    )
    w, n, F = np.array([W0]), 0, mo.MAMLLoss(TASKS, ALPHA)
    while abs(F.gradient(w)[0]) > TOL:
        w, n = w - beta * F.gradient(w), n + 1
    assert n <= item.bound


def test_step_size_limit():
    item = REPORT["step_size_limit"]
    level = max(C_INF, G0**2 / (2 * MU_F))
    assert item.bound == pytest.approx(2 / M_of(level), rel=1e-13)
    assert item.value == pytest.approx(2 / mean(bend_F, W0), rel=1e-12)
    assert item.slack == pytest.approx(item.value - item.bound, rel=1e-12)
    assert item.holds is True


def test_local_minimum():
    item = REPORT["local_minimum"]
    base, per_radius = ball_terms(W_F)
    radius = 0.5 * base / per_radius
    assert item.value <= 1e-12
    assert item.bound == pytest.approx(0.5 * base * radius, rel=1e-9)
    assert item.slack == pytest.approx(item.bound - item.value, rel=1e-12)
    assert item.holds is True
    assert f"radius {radius:.4g} about the computed z, rate {0.5 * base:.4g}" in item.note


def test_fallback_stationarity():
    """f = w^2 (w the slow axis): F(w0) - min f over tol^2, and at the flow's own rate that is late."""
    tasks = mo.tasks.Quadratic([[[2.0]], [[4.0]]], [[2.0], [-4.0]])
    # min f_i = -b^2/(2 h) = -1, -2; F(1) = mean of h u^2/2 - b u at u = w - 0.1 (h w - b)
    u = [1 - 0.1 * (2 - 2), 1 - 0.1 * (4 + 4)]
    value = 0.5 * ((u[0] ** 2 - 2 * u[0]) + (2 * u[1] ** 2 + 4 * u[1]))
    item = certify(tasks, 0.1, w0=[1.0], tol=0.2)["fallback_stationarity"]
    assert item.bound == pytest.approx((value + 1.5) / 0.2**2, rel=1e-12)
    assert item.printed == pytest.approx(math.sqrt((value + 1.5) / 0.2), rel=1e-12)
    assert f"{math.sqrt(value + 1.5):.4g} at most" in item.note
    assert item.holds is True


def test_the_fallback_knows_the_lowest_loss_to_its_bound():
    """On the slow axis of condition 1e6 the descent is not done after 300 steps; f - g^2/(2 mu) is exact."""
    tasks = mo.tasks.Quadratic([np.diag([1.0, 1e6])], [[2.0, 0.0]])
    item = certify(tasks, 0.0, w0=[5.0, 0.0], tol=1.0)["fallback_stationarity"]
    assert item.bound == pytest.approx(0.5 * 3.0**2, rel=1e-9)


def test_descent_and_gradient_transfer():
    descent, transfer = REPORT["descent"], REPORT["gradient_transfer"]
    assert descent.value == pytest.approx(mean(slope, W0) * mean(slope_F, W0), rel=1e-12)
    assert descent.bound == pytest.approx(PSI * G0**2 - RHO * SD0 * G0, rel=1e-12)
    assert descent.slack == pytest.approx(descent.value - descent.bound, rel=1e-12)
    assert transfer.value == pytest.approx(GF0, rel=1e-12)
    wanted = min(HIGH**2 * G0 + RHO * SD0, HIGH**2 * math.hypot(G0, SD0))
    assert transfer.bound == pytest.approx(wanted, rel=1e-12)
    assert transfer.slack == pytest.approx(wanted - GF0, rel=1e-12)
    x = ALPHA * L
    assert transfer.printed == pytest.approx((1 + x) ** 2 * G0 + (2 * x + x * x) * SD0, rel=1e-12)
    assert descent.holds is transfer.holds is True


def test_hessian_bounds():
    """At three points, where now the lower bound is the nearer one and now the upper."""
    nearer = set()
    for w in (W0, 0.8, -0.8):
        item = certify(TASKS, ALPHA, w0=[w], constants=known())["hessian_bounds"]
        lower = upper = 0.0
        for i in (0, 1):
            a, b, g = 1 - ALPHA * L_I[i], 1 - ALPHA * MU_I[i], abs(slope(i, w))
            noise = ALPHA * KAPPA_I[i] * b * g
            ends = h(MU_I[i]), h(L_I[i])
            lower += 0.5 * max(MU_I[i] * a * a - noise, min(ends) - (1 + b) * noise)
            upper += 0.5 * min(L_I[i] * b * b + noise, max(ends) + (1 + b) * noise)
        assert item.value == pytest.approx(mean(bend_F, w), rel=1e-12)
        assert item.bound == pytest.approx(lower, rel=1e-12)
        assert f"[{lower:.4g}, {upper:.4g}]" in item.statement
        slacks = [item.value - lower, upper - item.value]
        assert item.slack == pytest.approx(min(slacks), rel=1e-12)
        assert item.printed == MU / 8
        assert item.holds is True
        nearer.add(slacks[0] < slacks[1])
    assert nearer == {True, False}


def test_a_violated_inequality_says_what_is_wrong():
    """Told a kappa of 0 and curvatures that the tasks leave, the Hessian at w0 is outside."""
    for status, word in (("bound", "are wrong"), ("estimate", "are underestimated")):
        k = known(mu=2.3, L=2.301, kappa=0.0)
        object.__setattr__(k, "mu", Quantity(2.3, status))
        for name, values in (("mu_i", 2.3), ("L_i", 2.301), ("kappa_i", 0.0)):
            object.__setattr__(k, name, np.full(2, values))
        item = certify(TASKS, ALPHA, w0=[W0], constants=k)["hessian_bounds"]
        assert item.holds is False
        assert item.slack < 0
        assert word in item.note


def test_gradient_identity():
    item = REPORT["gradient_identity"]
    total = 0.0
    for i in (0, 1):
        g = slope(i, W0)
        average = quad(lambda s, i=i, g=g: bend(i, W0 - s * ALPHA * g), 0, 1, epsabs=1e-14)[0]
        total += 0.5 * (1 - ALPHA * bend(i, W0)) * (1 - ALPHA * average) * g
    assert item.value <= 1e-13
    assert abs(total - mean(slope_F, W0)) <= 1e-13
    assert item.bound == pytest.approx(
        1e-8 * 0.5 * sum(abs(slope(i, W0)) for i in (0, 1)), rel=1e-12, abs=0.0
    )
    assert item.slack == pytest.approx(item.bound - item.value, rel=1e-9, abs=0.0)
    assert item.holds is True


def test_gradient_identity_by_too_few_nodes():
    """One node is the middle of the segment: what that leaves out is seen."""
    item = gradient_identity(Setting(TASKS, ALPHA, known(), np.array([W0]), None, TOL), nodes=1)
    total = 0.0
    for i in (0, 1):
        g = slope(i, W0)
        total += 0.5 * (1 - ALPHA * bend(i, W0)) * (1 - ALPHA * bend(i, W0 - 0.5 * ALPHA * g)) * g
    assert item.value == pytest.approx(abs(total - mean(slope_F, W0)), rel=1e-9)
    assert item.slack == pytest.approx(item.bound - item.value, rel=1e-12)
    assert item.slack < 0
    assert item.holds is item.hypotheses[0].holds is None


def test_no_matrix_is_formed_of_many_parameters(monkeypatch):
    """Where Hess F would be too large to form, nothing is said of its spectrum at w0."""
    for module in ("of_a_point", "of_the_problem"):
        monkeypatch.setattr(f"maml_ode.theory.certificates.{module}.MATRIX_ONCE", 0)
    report = certify(TASKS, ALPHA, w0=[W0], constants=known())
    assert "hessian_bounds" not in [item.name for item in report]
    assert report["step_size_limit"].value is None


def test_relatives():
    rate = REPORT["moreau_rate"]
    assert rate.value == rate.slack == pytest.approx(MU / (1 + ALPHA * MU), rel=1e-13)
    assert (rate.holds, rate.bound) == (True, 0.0)
    half = 0.5 * ALPHA * (L - MU)
    at_rest = math.hypot(half * SIGMA / LOW, SIGMA)  # ||grad f|| and sigma where FO-MAML rests
    wanted = half * HIGH * at_rest
    assert REPORT["fomaml_floor"].bound == pytest.approx(wanted, rel=1e-12)
