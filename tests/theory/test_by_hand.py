"""Every certificate's value and bound recomputed by hand on a small problem, and attained where it is tight."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

import maml_ode as mo
from maml_ode.theory import Constants, Quantity, Status, certify
from maml_ode.theory.bounds import descent_steps, flow_times
from maml_ode.theory.bounds.near_a_point import local_certificate
from maml_ode.theory.bounds.sublevel_sets import Landscape, landscapes
from maml_ode.theory.certificates.of_the_problem import unique_minimum
from maml_ode.theory.certificates.setting import Setting

# f_i = a w^2 - b sin(omega w); every number below is worked out from these.
A, B, OMEGA = np.array([1.0, 1.0]), np.array([0.4, 0.1]), np.array([1.0, 2.0])
TASKS = mo.tasks.Sinusoid(A, B, OMEGA)
ALPHA, W0, TOL, EPS0 = 0.05, 1.7, 1e-4, 0.3
MU, L, KAPPA, MU_F, L_F, SIGMA = 1.5, 2.6, 0.9, 1.6, 2.4, 0.31
MU_I, L_I, KAPPA_I = np.array([1.6, 1.5]), np.array([2.4, 2.6]), np.array([0.4, 0.9])


def known(**changes):
    numbers = {"mu": MU, "L": L, "kappa": KAPPA, "mu_f": MU_F, "L_f": L_F, "sigma": SIGMA}
    numbers |= {"sigma0": math.inf, "nu": math.inf}
    quantities = {name: Quantity(x, "bound") for name, x in {**numbers, **changes}.items()}
    return Constants(
        **quantities, mu_i=MU_I, L_i=L_I, kappa_i=KAPPA_I, weights=TASKS.weights,
        minimizer=np.array([X_STAR]),
    )  # fmt: skip


def slope(i, w):
    return 2 * A[i] * w - B[i] * OMEGA[i] * math.cos(OMEGA[i] * w)


def bend(i, w):
    return 2 * A[i] + B[i] * OMEGA[i] ** 2 * math.sin(OMEGA[i] * w)


def third(i, w):
    return B[i] * OMEGA[i] ** 3 * math.cos(OMEGA[i] * w)


def mean(function, *w):
    return 0.5 * (function(0, *w) + function(1, *w))


def slope_F(i, w):
    return (1 - ALPHA * bend(i, w)) * slope(i, w - ALPHA * slope(i, w))


def bend_F(i, w):
    u = w - ALPHA * slope(i, w)
    return (1 - ALPHA * bend(i, w)) ** 2 * bend(i, u) - ALPHA * third(i, w) * slope(i, u)


X_STAR = brentq(lambda w: mean(slope, w), -3, 3, xtol=1e-15)
W_F = brentq(lambda w: mean(slope_F, w), -3, 3, xtol=1e-15)

LOW, HIGH = 1 - ALPHA * L, 1 - ALPHA * MU  # a and b
PSI = LOW**2
RHO = (HIGH - LOW) * math.sqrt((LOW**2 + HIGH**2) / 2)
FLOOR = RHO * SIGMA / PSI
C_INF = FLOOR**2 / (2 * MU_F)


def gamma(c):
    return math.sqrt(2 * L_F * c + SIGMA**2)


def h(x):
    return x * (1 - ALPHA * x) ** 2


MU_MEAN = 0.5 * sum(m * (1 - ALPHA * big) ** 2 for m, big in zip(MU_I, L_I, strict=True))
L_MEAN = 0.5 * sum(big * (1 - ALPHA * m) ** 2 for m, big in zip(MU_I, L_I, strict=True))
K_RMS = math.sqrt(0.5 * sum((k * (1 - ALPHA * m)) ** 2 for k, m in zip(KAPPA_I, MU_I, strict=True)))


def m_of(c):
    noise = ALPHA * KAPPA * HIGH * gamma(c)
    first = max(MU * LOW**2 - noise, min(h(MU), h(L)) - (1 + HIGH) * noise)
    return max(first, MU_MEAN - ALPHA * K_RMS * gamma(c))


def M_of(c):
    noise = ALPHA * KAPPA * HIGH * gamma(c)
    top = max(h(MU), h(L))  # 1/(3 alpha) is not in [mu, L]
    return min(L * HIGH**2 + noise, top + (1 + HIGH) * noise, L_MEAN + ALPHA * K_RMS * gamma(c))


def K_of(z):
    return min(HIGH**2 * z + RHO * SIGMA, HIGH**2 * math.hypot(z, SIGMA))


G0, GF0 = abs(mean(slope, W0)), abs(mean(slope_F, W0))
SD0 = 0.5 * abs(slope(0, W0) - slope(1, W0))
REPORT = certify(TASKS, ALPHA, w0=[W0], switch_tol=EPS0, tol=TOL, constants=known())


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


def test_critical_set():
    item = REPORT["critical_set"]
    assert item.bound == pytest.approx(FLOOR / MU_F, rel=1e-13)
    assert item.value == pytest.approx(abs(W_F - X_STAR), rel=1e-9)
    assert item.slack == pytest.approx(item.bound - item.value, rel=1e-12)
    assert item.holds is True


def continuous_time(s0, start, tol):
    """Solve min over tau of: integral of m(c(t)) from tau on = log(K(tau)/tol), without stages."""
    decay = MU_F * PSI

    def c_at(t):
        return (FLOOR + max(s0 - FLOOR, 0) * math.exp(-decay * t)) ** 2 / (2 * MU_F)

    def gained(tau, t):
        return quad(lambda x: m_of(c_at(x)), tau, t, epsabs=1e-12, epsrel=1e-12, limit=200)[0]

    best = math.inf
    for tau in (0.0, *np.linspace(0.02, 8.0, 60)):
        K = K_of(math.sqrt(2 * L_F * c_at(tau)))
        K = min(K, start) if tau == 0 else K
        if tol >= K:
            best = min(best, tau)
            continue
        best = min(
            best, brentq(lambda t, tau=tau, K=K: gained(tau, t) - math.log(K / tol), tau, 60)
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
    assert report["quadratic_exact"].value == pytest.approx(rate, rel=1e-15)
    assert report["step_size_limit"].value == pytest.approx(2 / rate, rel=1e-15)
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
    w, n, F = np.array([W0]), 0, mo.MAMLLoss(TASKS, ALPHA)
    while abs(F.gradient(w)[0]) > TOL:
        w, n = w - beta * F.gradient(w), n + 1
    assert n <= item.bound


@pytest.mark.parametrize(("share", "steps"), [(2.5, 3), (2.999, 3), (3.001, 4), (0.5, 1), (0.0, 0)])
def test_no_step_too_few_is_promised(share, steps):
    """Without noise the gap falls by one factor a step, so that the count has a closed form."""
    model = Landscape(alpha=0.0, mu=1.0, L=2.0, kappa=0.0, mu_f=1.0, L_f=2.0, sigma=0.0)
    beta = 0.25
    factor = 1 - 2 * beta * (1 - 0.5 * 2.0 * beta)
    assert descent_steps._approach(model, factor**-share, 1.0, beta) == steps
    assert descent_steps.gap_after_step(model, 3.0, beta) == pytest.approx(3.0 * factor, rel=1e-14)
    quarter = math.exp(-share * math.log(0.75))  # 1 - beta mu_f = 3/4 a step of phase 1
    assert descent_steps.phase_one_iterations(model, quarter, 1.0, beta) == steps


def test_step_size_limit():
    item = REPORT["step_size_limit"]
    level = max(C_INF, G0**2 / (2 * MU_F))
    assert item.bound == pytest.approx(2 / M_of(level), rel=1e-13)
    assert item.value == pytest.approx(2 / mean(bend_F, W0), rel=1e-12)
    assert item.slack == pytest.approx(item.value - item.bound, rel=1e-12)
    assert item.holds is True


def ball_terms(z):
    """Return the smallest eigenvalue, its loss at z and its loss per unit of radius."""
    b = [max(abs(1 - ALPHA * m), abs(1 - ALPHA * big)) for m, big in zip(MU_I, L_I, strict=True)]
    pull = [(1 - ALPHA * bend(i, z)) ** 2 * bend(i, z - ALPHA * slope(i, z)) for i in (0, 1)]
    loss = [ALPHA * KAPPA_I[i] * abs(slope(i, z - ALPHA * slope(i, z))) for i in (0, 1)]
    per_radius = [KAPPA_I[i] * (3 * ALPHA * L_I[i] * b[i] + b[i] ** 3) for i in (0, 1)]
    return 0.5 * sum(pull) - 0.5 * sum(loss), 0.5 * sum(per_radius)


def test_local_minimum():
    item = REPORT["local_minimum"]
    base, per_radius = ball_terms(W_F)
    radius = 0.5 * base / per_radius
    assert item.value <= 1e-12
    assert item.bound == pytest.approx(0.5 * base * radius, rel=1e-9)
    assert item.slack == pytest.approx(item.bound - item.value, rel=1e-12)
    assert item.holds is True
    assert f"radius {radius:.4g} about the computed z, rate {0.5 * base:.4g}" in item.note


@pytest.mark.parametrize("radius", [0.1, 0.4])
def test_local_certificate_term_by_term(radius):
    z = W_F + 0.05
    base, per_radius = ball_terms(z)
    found = local_certificate(TASKS, ALPHA, [z], mu_i=MU_I, L_i=L_I, kappa_i=KAPPA_I, radius=radius)
    assert found.strong_convexity == pytest.approx(base - per_radius * radius, rel=1e-12)
    assert found.gradient_F_norm == pytest.approx(abs(mean(slope_F, z)), rel=1e-12)
    wanted = found.gradient_F_norm < found.strong_convexity * radius
    assert found.unique is wanted
    if wanted:
        assert found.distance == pytest.approx(
            found.gradient_F_norm / found.strong_convexity, rel=1e-12
        )
        assert abs(W_F - z) <= found.distance
    else:
        assert found.distance == math.inf
    negative = local_certificate(TASKS, ALPHA, [z], mu_i=-L_I, L_i=L_I, kappa_i=KAPPA_I)
    assert (
        negative.radius
        < local_certificate(TASKS, ALPHA, [z], mu_i=MU_I, L_i=L_I, kappa_i=KAPPA_I).radius
    )


def test_each_term_of_the_ball_is_needed():
    """The changes of A, of H+ and of the third-derivative term, each as large as its share of the slope.

    f = w^2 - b sin w: near z = pi/2 the curvature falls, near 0 it falls fastest, kappa = b.
    """
    b, alpha = 0.9, 0.2
    mu, top = 2 - b, 2 + b
    tasks, F = mo.tasks.Sinusoid([1.0], [b], [1.0]), None
    F = mo.MAMLLoss(tasks, alpha)
    wide = 1 - alpha * mu
    rng = np.random.default_rng(0)
    for z in rng.uniform(-4, 4, 40):
        for radius in (1e-3, 0.1, 1.0):
            at = local_certificate(
                tasks, alpha, [z], mu_i=[mu], L_i=[top], kappa_i=[b], radius=radius
            )
            inside = z + radius * np.linspace(-1, 1, 41)
            assert min(F.hessian([w])[0, 0] for w in inside) >= at.strong_convexity - 1e-12
            per_radius = b * (3 * alpha * top * wide + wide**3)
            zero = local_certificate(
                tasks, alpha, [z], mu_i=[mu], L_i=[top], kappa_i=[b], radius=1e-12
            )
            assert zero.strong_convexity - at.strong_convexity == pytest.approx(
                per_radius * (radius - 1e-12), rel=1e-6
            )


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
    item = REPORT["hessian_bounds"]
    lower = upper = 0.0
    for i in (0, 1):
        a, b, g = 1 - ALPHA * L_I[i], 1 - ALPHA * MU_I[i], abs(slope(i, W0))
        noise = ALPHA * KAPPA_I[i] * b * g
        lower += 0.5 * max(MU_I[i] * a * a - noise, min(h(MU_I[i]), h(L_I[i])) - (1 + b) * noise)
        top = max(h(MU_I[i]), h(L_I[i]))
        upper += 0.5 * min(L_I[i] * b * b + noise, top + (1 + b) * noise)
    assert item.value == pytest.approx(mean(bend_F, W0), rel=1e-12)
    assert item.bound == pytest.approx(lower, rel=1e-12)
    assert f"[{lower:.4g}, {upper:.4g}]" in item.statement
    assert item.slack == pytest.approx(min(item.value - lower, upper - item.value), rel=1e-12)
    assert item.printed == MU / 8
    assert item.holds is True


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
        1e-8 * 0.5 * sum(abs(slope(i, W0)) for i in (0, 1)), rel=1e-12
    )
    assert item.slack == pytest.approx(item.bound - item.value, rel=1e-9)
    assert item.holds is True


def test_relatives():
    assert REPORT["moreau_rate"].value == pytest.approx(MU / (1 + ALPHA * MU), rel=1e-13)
    half = 0.5 * ALPHA * (L - MU)
    at_rest = math.hypot(half * SIGMA / LOW, SIGMA)  # ||grad f|| and sigma where FO-MAML rests
    wanted = half * HIGH * at_rest
    assert REPORT["fomaml_floor"].bound == pytest.approx(wanted, rel=1e-12)


def test_the_floor_of_first_order_maml_is_attained():
    """Curvatures mu and L, one task each: where E grad f_i(u_i) = 0, grad F is alpha (L - mu)/2 E||.||."""
    mu, top, alpha = 1.0, 3.0, 0.2
    tasks = mo.tasks.Quadratic([[[mu]], [[top]]], [[1.0], [-1.0]])
    rest = mo.solve(mo.fomaml_flow(tasks, alpha), [0.3], tol=1e-13).w
    F = mo.MAMLLoss(tasks, alpha)
    forces = np.abs(tasks.gradients(F.adapt(rest))).mean()
    floor = mo.theory.variants.fomaml_floor(alpha, mu, top, forces)
    assert abs(F.gradient(rest)[0]) == pytest.approx(float(floor), rel=1e-10)
    low, half = mo.theory.variants.fomaml_factors(alpha, mu, top)
    assert (low, half) == pytest.approx((1 - alpha * top, 0.5 * alpha * (top - mu)), rel=1e-14)


def test_moreau_rate_is_attained_by_the_quadratic():
    """The Moreau envelope of mu w^2/2 has the curvature mu lam/(mu + lam)."""
    low, high = mo.theory.variants.moreau_curvature(2.0, 1.0, 3.0)
    w, lam = 1.3, 2.0
    for curvature, found in ((1.0, low), (3.0, high)):
        prox = lam * w / (curvature + lam)
        assert found * w == pytest.approx(lam * (w - prox), rel=1e-14)
    assert mo.theory.variants.moreau_curvature(math.inf, 1.0, 3.0) == (1.0, 3.0)


def test_models_of_the_noise():
    """Both models, and the affine one's descent factor, floor and deviation by hand."""
    k = known(sigma0=0.2, nu=0.1)
    constant, affine = landscapes(k, ALPHA)
    assert constant.level_floor == pytest.approx(C_INF, rel=1e-13)
    psi = PSI - RHO * 0.1
    assert affine.psi == pytest.approx(psi, rel=1e-13)
    assert affine.gap_floor == pytest.approx(RHO * 0.2 / psi, rel=1e-13)
    assert affine.decay_rate == pytest.approx(MU_F * psi, rel=1e-13)
    assert affine.minimizer_distance == pytest.approx(RHO * 0.2 / psi / MU_F, rel=1e-13)
    for z in (0.3, 2.0):  # below and above where the global sigma caps it
        sd = min(SIGMA, 0.2 + 0.1 * z)
        c = z * z / (2 * L_F)
        assert affine.gradient_radius(c) == pytest.approx(z, rel=1e-13)
        assert affine.deviation(c) == pytest.approx(sd, rel=1e-13)
        assert affine.mean_gradient_norm(c) == pytest.approx(math.hypot(z, sd), rel=1e-13)
        wanted = min(HIGH**2 * z + RHO * sd, HIGH**2 * math.hypot(z, sd))
        assert affine.gradient_bound(z) == pytest.approx(wanted, rel=1e-13)
    assert constant.strong_convexity(0.7) == pytest.approx(m_of(0.7), rel=1e-13)
    assert constant.smoothness(0.7) == pytest.approx(M_of(0.7), rel=1e-13)
    assert len(landscapes(known(sigma=math.inf), ALPHA)) == 0
    shared = landscapes(k, ALPHA, per_task=False)[0]
    assert shared.kappa_rms is shared.mu_mean is shared.L_mean is None
    jump = Landscape(alpha=0.1, mu=1.0, L=2.0, kappa=math.inf, mu_f=1.0, L_f=2.0, sigma=0.1)
    assert (jump.strong_convexity(0.1), jump.smoothness(0.1)) == (-math.inf, math.inf)
    far = Landscape(alpha=0.45, mu=0.1, L=2.0, kappa=0.1, mu_f=0.1, L_f=2.0, sigma=0.1)
    assert far.psi <= 0
    assert far.gap_floor == math.inf


def test_two_phase_time_and_closed_forms_by_hand():
    model = landscapes(known(), ALPHA)[0]
    level = 2 * C_INF
    s_c = math.sqrt(2 * MU_F * level)
    approach = math.log((G0 - FLOOR) / (s_c - FLOOR)) / (MU_F * PSI)
    K = K_of(math.sqrt(2 * L_F * level))
    wanted = approach + math.log(K / TOL) / m_of(level)
    assert flow_times.two_phase_time(model, G0, TOL, level) == pytest.approx(wanted, rel=1e-12)
    # a start inside has no approach, a level below c_inf no time
    inside = flow_times.two_phase_time(model, 0.9 * s_c, TOL, level)
    assert inside == pytest.approx(math.log(K / TOL) / m_of(level), rel=1e-12)
    assert flow_times.two_phase_time(model, G0, TOL, 0.9 * C_INF) == math.inf
    closed = flow_times.closed_form_time(4.0, 0.5, 1.0, 4.0, 1e-3)
    wanted = 16 / 9 * math.log(1.8 * 2 * 4.0 / 0.5) + 5 * math.log(1.25 * 0.5 / 1e-3)
    assert closed == pytest.approx(wanted, rel=1e-13)
    closed = flow_times.bimaml_closed_form(4.0, 0.5, 2.0, 0.1, 1e-3)
    wanted = math.log(40.0) / 2 + 5 / 2 * math.log((0.1 + 0.125) / 1e-3)
    assert closed == pytest.approx(wanted, rel=1e-13)
    terms = flow_times.closed_form_alpha(1.0, 4.0, 2.0, 0.5)
    assert list(terms.values()) == pytest.approx([1 / 16, 1 / 32, 1 / 4], rel=1e-14)
    terms = flow_times.closed_form_alpha(1.0, 4.0, 2.0, 0.5, 0.75)
    assert list(terms.values())[-1] == pytest.approx(1 / (4 * 2 * 1.5), rel=1e-14)
    assert list(flow_times.closed_form_alpha(1.0, 4.0, 0.0, 0.5).values())[-1] == math.inf
    with pytest.raises(ValueError, match="use time_bound for sigma = 0"):
        flow_times.closed_form_time(4.0, 0.0, 1.0, 4.0, 1e-3)


def test_curves_by_hand():
    model = landscapes(known(), ALPHA)[0]
    curve = flow_times.gap_curve([0.0, 2.0], 3.0, model)
    wanted = [3.0, FLOOR + (3.0 - FLOOR) * math.exp(-2.0 * MU_F * PSI)]
    assert curve == pytest.approx(wanted, rel=1e-13)
    assert flow_times.gap_curve([0.0, 2.0], 0.5 * FLOOR, model) == pytest.approx([FLOOR] * 2)
    zeta = 0.5 * (L + MU) * PSI - 0.5 * (L - MU) * HIGH**2
    limit = L * RHO * SIGMA / zeta
    curve = flow_times.gradient_curve([0.0, 1.0], 2.0, SIGMA, ALPHA, MU, L)
    assert curve == pytest.approx([2.0, limit + (2.0 - limit) * math.exp(-zeta)], rel=1e-12)
    assert np.isnan(flow_times.gradient_curve([1.0], 2.0, SIGMA, 0.3, 1.0, 3.0)).all()
    assert np.isnan(flow_times.gradient_curve([1.0], 2.0, math.inf, ALPHA, MU, L)).all()
    assert descent_steps.euler_error(2.0, 0.1, 0.5, 3.0, 4.0) == pytest.approx(
        0.05 * 3 * 4 * 2 * math.exp(-0.5 * 1.9), rel=1e-14
    )
    assert descent_steps.euler_error_supremum(0.1, 0.5, 3.0, 4.0) == pytest.approx(
        0.1 * 3 * 4 * math.exp(0.05) / (2 * math.e * 0.5), rel=1e-14
    )


def test_the_smallest_tolerances_promise_nothing_wrong():
    """tol^2 is below the smallest float: a count of 0 steps would be a lie."""
    model = Landscape(alpha=0.0, mu=1.0, L=2.0, kappa=0.0, mu_f=1.0, L_f=2.0, sigma=0.0)
    bound = descent_steps.iteration_bound(model, 1.0, 0.25, 1e-200)
    # from ||grad f|| <= 1 by 3/4 a step
    assert bound.total >= 200 * math.log(10) / -math.log(0.75)
    assert flow_times.time_bound(model, 1.0, 1e-320).total >= 320 * math.log(10)
    report = certify(TASKS, ALPHA, w0=[W0], switch_tol=1e-320, tol=1e-320, constants=known())
    assert report["time_bound"].bound > 320 * math.log(10) / HIGH**2 / L
    assert report["bimaml_time"].holds is True
