"""The bounds themselves by hand: term by term, at their edges, and attained where they are tight."""

import math

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.theory import certify
from maml_ode.theory.bounds import descent_steps, flow_times
from maml_ode.theory.bounds.logarithms import log_ratio, whole_steps
from maml_ode.theory.bounds.near_a_point import fallback_gradient_norm, local_certificate
from maml_ode.theory.bounds.sublevel_sets import Landscape, landscapes

from .by_hand import (
    ALPHA,
    C_INF,
    FLOOR,
    G0,
    HIGH,
    KAPPA_I,
    L_F,
    L_I,
    MU,
    MU_F,
    MU_I,
    PSI,
    RHO,
    SIGMA,
    TASKS,
    TOL,
    W0,
    W_F,
    K_of,
    L,
    M_of,
    ball_terms,
    known,
    m_of,
    mean,
    slope_F,
)


def staged_time(s0, start, tol):
    """Walk through the stages one by one, with the left value of m on each."""
    excess = max(s0 - FLOOR, 0.0)
    smallest = 1e-6 * max(FLOOR, min(tol, excess))
    offsets = np.geomspace(excess, smallest, 250) if excess > smallest else [smallest]
    times = [math.log(offsets[0] / x) / (MU_F * PSI) for x in offsets]
    rates = [m_of((FLOOR + x) ** 2 / (2 * MU_F)) for x in offsets]
    best = math.inf
    for j, x in enumerate(offsets):
        K = K_of(math.sqrt(L_F / MU_F) * (FLOOR + x))
        need = math.log((min(K, start) if j == 0 else K) / tol)
        if need <= 0:
            best = min(best, times[j])
            continue
        for k in range(j, len(offsets)):
            lasts = times[k + 1] - times[k] if k + 1 < len(offsets) else math.inf
            if need <= rates[k] * lasts:
                best = min(best, times[k] + need / rates[k])
                break
            need -= rates[k] * lasts
    return best


@pytest.mark.parametrize("s0", [0.5 * FLOOR, 3 * FLOOR, 5.0])
@pytest.mark.parametrize("tol", [1e-2, 1e-25])
def test_time_bound_from_near_and_far_to_any_tolerance(s0, tol):
    model = landscapes(known(), ALPHA)[0]
    for start in (None, 0.5 * K_of(math.sqrt(L_F / MU_F) * s0)):
        found = flow_times.time_bound(model, s0, tol, start)
        wanted = staged_time(s0, math.inf if start is None else start, tol)
        assert found.total == pytest.approx(wanted, rel=1e-10, abs=1e-10)
        assert 0.0 <= found.approach <= found.total
        assert found.rate == pytest.approx(m_of(found.level), rel=1e-12)


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


def test_the_least_gradient_on_the_way():
    assert fallback_gradient_norm(4.0, 5.0, 3.0) == pytest.approx(math.sqrt(0.5), rel=1e-15)
    assert fallback_gradient_norm(4.0, 3.0, 5.0) == 0.0


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
    closed = flow_times.closed_form_time(4.0, 0.5, 3.0, 12.0, 1e-3)
    wanted = 16 / 27 * math.log(1.8 * 2 * 4.0 / 0.5) + 5 / 3 * math.log(1.25 * 0.5 / 1e-3)
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


def noiseless(**changes):
    numbers = {
        "alpha": 0.0,
        "mu": 1.0,
        "L": 2.0,
        "kappa": 0.0,
        "mu_f": 1.0,
        "L_f": 2.0,
        "sigma": 0.0,
    }
    return Landscape(**{**numbers, **changes})


def test_where_no_time_and_no_number_is_promised():
    strong = noiseless(alpha=0.2, kappa=50.0, sigma=1.0)  # m(c_inf) < 0
    assert flow_times.unique_minimum_level(strong) is None
    assert flow_times.unique_minimum_level(noiseless(alpha=0.5)) is None  # alpha L = 1
    assert flow_times.unique_minimum_level(noiseless(mu=0.0)) is None
    assert flow_times.unique_minimum_level(noiseless()) == 0.0
    assert flow_times.time_bound(strong, 1.0, 1e-3).total == math.inf
    assert flow_times.two_phase_time(strong, 1.0, 1e-3, 1.0) == math.inf
    at_rest = flow_times.time_bound(noiseless(), 1.0, 1e-3, 1e-3)
    assert (at_rest.total, at_rest.approach, at_rest.level) == (0.0, 0.0, 0.5)
    assert descent_steps.iteration_bound(strong, 1.0, 0.1, 1e-3).total == math.inf
    assert descent_steps.iteration_bound(noiseless(mu=0.0), 1.0, 0.1, 1e-3).total == math.inf
    assert descent_steps.iteration_bound(noiseless(), 0.0, 0.25, 1e-3).total == 0.0
    # P = psi - L_f beta/2 = 0 at beta = 1/L_f and psi = 1/2
    flat = noiseless(alpha=0.2, mu=0.0, mu_f=0.1, sigma=0.1)
    assert flat.psi < 0.5
    assert descent_steps.gap_after_step(flat, 1.0, 0.5) == math.inf
    assert descent_steps.discrete_level_floor(flat, 0.5) == math.inf
    for step in (0.0, 0.51):
        with pytest.raises(ValueError, match=r"step_size must lie in \(0, 1/L_f\] = \(0, 0\.5\]"):
            descent_steps.descent_coefficients(noiseless(), step)
    assert descent_steps.descent_coefficients(noiseless(), 0.5) == (0.5, 0.0, 0.0)
    # on f: 2/(L_f + mu_f) = 2/3
    assert descent_steps.phase_one_iterations(noiseless(), 10.0, 1.0, 0.67) == math.inf
    assert descent_steps.phase_one_iterations(noiseless(), 10.0, 1.0, 0.6) == 3.0  # 0.4^3 < 0.1
    assert descent_steps.phase_one_iterations(noiseless(), 10.0, 0.0, 0.6) == math.inf
    assert descent_steps.stable_step_size(noiseless(), 1.0) == pytest.approx(2 / 3)
    affine = noiseless(alpha=0.1, sigma=0.2, nu=0.3)
    rho, b = affine.rho, affine.b
    x = 2.0 * 0.25
    wanted = (
        0.8**2 - rho * 0.3 - 0.5 * x * (b**2 + rho * 0.3) ** 2,
        rho * 0.2 * (1 + x * (b**2 + rho * 0.3)),
        0.5 * x * (rho * 0.2) ** 2,
    )
    assert descent_steps.descent_coefficients(affine, 0.25) == pytest.approx(wanted, rel=1e-13)


def test_nothing_is_certified_near_a_point_outside_of_the_domain():
    tasks = mo.tasks.from_callables(
        lambda i, w: np.log(w).sum(), lambda i, w: np.where(w > 0, 1 / w, np.nan),
        lambda i, w: np.diag(np.where(w > 0, -1 / w**2, np.nan)), n_tasks=1, dim=1,
    )  # fmt: skip
    found = local_certificate(tasks, 1.0, [0.5], mu_i=[-1.0], L_i=[1.0], kappa_i=[1.0], radius=0.1)
    assert (found.unique, found.distance, found.strong_convexity) == (False, math.inf, -math.inf)
    concave = mo.tasks.Sinusoid([-1.0], [0.1], [1.0])
    found = local_certificate(concave, 0.1, [0.5], mu_i=[-2.1], L_i=[-1.9], kappa_i=[0.1])
    assert (found.unique, found.radius) == (False, 0.0)
    flat = mo.tasks.Quadratic([[[2.0]]], [[0.0]])
    found = local_certificate(flat, 0.1, [0.5], mu_i=[2.0], L_i=[2.0], kappa_i=[0.0])
    assert (found.unique, found.radius) == (True, math.inf)
    assert found.strong_convexity == pytest.approx(2 * 0.8**2, rel=1e-14)
    assert found.distance == pytest.approx(0.5, rel=1e-14)


def test_logarithms():
    assert log_ratio(10.0, 1.0) == pytest.approx(math.log(10), rel=1e-15)
    assert log_ratio(1.0, 1.0) == log_ratio(0.5, 1.0) == log_ratio(0.0, 0.0) == 0.0
    assert log_ratio(1.0, 0.0) == math.inf
    assert log_ratio(1e300, 1e-300) == pytest.approx(600 * math.log(10), rel=1e-15)
    assert math.isnan(log_ratio(math.nan, 1.0))
    assert math.isnan(log_ratio(1.0, math.nan))
    assert [whole_steps(x, 2.0) for x in (-1.0, 0.0, 0.1, 3.9, 4.1)] == [0.0, 0.0, 1.0, 2.0, 3.0]
    assert whole_steps(4.0 * (1 - 1e-13), 2.0) == 3.0  # rounding never makes it one too low
    assert whole_steps(math.inf, 1.0) == math.inf


def test_other_bounds_of_relatives_by_hand():
    variants = mo.theory.variants
    alpha, mu, top = 0.1, 1.0, 3.0
    a, b = 0.7, 0.9
    psi, rho, high = variants.inner_steps_factors(alpha, mu, top, 2)
    assert (psi, rho, high) == pytest.approx((2 * 0.8**4 - b**4, b**4 - 0.8**4, b**4), rel=1e-13)
    low, up = variants.inner_steps_curvature(0.5, alpha, mu, top, 0.2, 2)
    noise = alpha * 0.2 * b**3 * (1 + b) * 0.5
    assert (low, up) == pytest.approx((mu * a**4 - noise, top * b**4 + noise), rel=1e-13)
    q = [4 * x / (2 + x) ** 2 for x in (mu, top)]
    found = variants.imaml_curvature_lower(2.0, mu, top, 0.2, 0.5)
    assert found == pytest.approx(min(q) - 0.1 * (2 / 3) ** 3 * 0.5, rel=1e-13)
    shifts = {"maml": 6, "fomaml": 3, "reptile": 1, "moreau": 1, "imaml": 2}
    for method, multiple in shifts.items():
        assert variants.shift_multiple(method, 3) == multiple
    tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[1.0], [-1.0]])
    # x* = 0: E H g = (1 * (-1) + 3 * 1)/2 = 1 over E H = 2
    assert variants.first_order_shift(tasks, [0.0]) == pytest.approx([0.5], rel=1e-14)
    assert variants.fomaml_floor(alpha, mu, top, 2.0) == pytest.approx(0.1 * 2.0, rel=1e-13)
