"""Bounds against runs: times, gap curves, iterations, Euler's error, local balls."""

import math

import numpy as np
from scipy.integrate import solve_ivp

import maml_ode as mo
from maml_ode.theory import convergence, discrete
from maml_ode.theory.bounds.near_a_point import local_certificate
from maml_ode.theory.bounds.sublevel_sets import landscapes

SEED = 31
TOL = 1e-6


def sinusoid_problem(rng):
    """A one-dimensional problem whose alpha is a random share of its certified limit."""
    M = int(rng.integers(1, 5))
    omega = rng.integers(1, 6, M).astype(float)
    a = np.full(M, 1.0) if rng.random() < 0.5 else rng.uniform(0.7, 1.5, M)
    b = 2 * a * rng.uniform(0.05, 0.95, M) / omega**2
    tasks = mo.tasks.Sinusoid(a, b, omega)
    return tasks, rng.normal(0, 10.0, 1)


def logistic_problem(rng):
    M, n, d = int(rng.integers(1, 4)), int(rng.integers(3, 12)), int(rng.integers(1, 4))
    X = rng.standard_normal((M, n, d))
    y = rng.choice([-1.0, 1.0], (M, n))
    tasks = mo.tasks.LogisticRegression(X, y, l2=float(rng.uniform(0.1, 1.0)))
    return tasks, rng.normal(0, 5.0, d)


def quadratic_problem(rng):
    M, d = 3, 2
    q = np.linalg.qr(rng.standard_normal((M, d, d)))[0]
    H = np.einsum("mij,mj,mkj->mik", q, rng.uniform(0.5, 3.0, (M, d)), q)
    return mo.tasks.Quadratic(H, rng.standard_normal((M, d))), rng.normal(0, 10.0, d)


MAKERS = [sinusoid_problem, logistic_problem, quadratic_problem]


def problems(count):
    rng = np.random.default_rng(SEED)
    for k in range(count):
        tasks, w0 = MAKERS[k % 3](rng)
        constants = mo.theory.constants(tasks)
        limits = mo.theory.alpha_limits(constants)
        limit = limits["unique minimum, per task"].value
        yield tasks, w0, constants, float(limit * rng.uniform(0.05, 0.95))


def run(right_hand_side, w0, residual, t_max, t0=0.0):
    """Return the first time with residual = 0 and the solution, by an implicit-explicit switching method."""

    def event(t, w):
        return residual(w)

    event.terminal = True
    if residual(w0) <= 0:
        return t0, w0, None
    result = solve_ivp(
        right_hand_side, (t0, t_max), w0, method="LSODA", rtol=1e-10, atol=1e-13, events=event,
        dense_output=True,
    )  # fmt: skip
    assert result.status == 1, "the run did not reach its tolerance before the bound"
    return float(result.t[-1]), result.y[:, -1], result


def test_time_bounds_and_curves_hold_on_every_run():
    ratios, gaps = [], 0
    for tasks, w0, constants, alpha in problems(24):
        f, F = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, alpha)
        start = np.linalg.norm(f.gradient(w0))
        models = landscapes(constants, alpha)
        bound = min(
            convergence.time_bound(m, start, TOL, np.linalg.norm(F.gradient(w0))).total
            for m in models
        )
        assert math.isfinite(bound)
        actual, _, result = run(
            lambda t, w, F=F: -F.gradient(w),
            w0,
            lambda w, F=F: np.linalg.norm(F.gradient(w)) - TOL,
            1.01 * bound + 1e-3,
        )
        assert actual <= bound * (1 + 1e-6) + 1e-9
        if actual > 0:
            ratios.append(bound / actual)
        least = f.value(constants.minimizer)
        for model in models:
            if model.psi <= 0:
                continue
            s0 = math.sqrt(2 * model.mu_f * max(f.value(w0) - least, 0.0))
            times = np.linspace(0, result.t[-1], 40)
            curve = convergence.gap_curve(times, s0, model)
            for t, s in zip(times, curve, strict=True):
                gap = f.value(result.sol(t)) - least
                assert not math.sqrt(2 * model.mu_f * max(gap, 0.0)) > s + 1e-6 * (1 + s0)
                gaps += 1
    median, most = np.median(ratios), max(ratios)
    print(f"seed {SEED}, {len(ratios)} runs: median {median:.3f}, max {most:.3f}")  # noqa: T201
    assert gaps >= 500
    assert np.median(ratios) <= 2.0


def test_the_printed_time_is_an_order_of_magnitude_larger():
    """On Figure 1's tasks, with alpha below every printed limit."""
    tasks = mo.tasks.Sinusoid([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0])
    report = mo.theory.certify(tasks, 5e-7, w0=[-50.0], tol=TOL)
    certificate = report["time_bound"]
    assert certificate.holds is True
    assert certificate.printed > 8 * certificate.bound


def test_bimaml_time_bounds_hold_on_every_run():
    for tasks, w0, constants, alpha in problems(12):
        f, F = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, alpha)
        start = np.linalg.norm(f.gradient(w0))
        for share in (0.3, 1.5):
            eps0 = share * start
            bound = min(
                convergence.bimaml_time(m, start, eps0, TOL).total
                for m in landscapes(constants, alpha)
            )
            horizon = 1.01 * bound + 1e-3
            switch, w, _ = run(
                lambda t, w, f=f: -f.gradient(w), w0,
                lambda w, f=f, eps0=eps0: np.linalg.norm(f.gradient(w)) - eps0, horizon,
            )  # fmt: skip
            end, _, _ = run(
                lambda t, w, F=F: -F.gradient(w), w,
                lambda w, F=F: np.linalg.norm(F.gradient(w)) - TOL, horizon, switch,
            )  # fmt: skip
            assert end <= bound * (1 + 1e-6) + 1e-9


def test_time_bound_can_fail_outside_its_hypotheses():
    """With mu_f taken 3 times too large the bound is below the time of a real run."""
    tasks = mo.tasks.Sinusoid([1.0], [0.5], [1.0])
    constants = mo.theory.constants(tasks)
    (model,) = landscapes(constants, 0.01)[:1]
    import dataclasses

    wrong = dataclasses.replace(
        model, mu=3 * model.mu, mu_f=3 * model.mu_f, L=5 * model.L, mu_mean=None, kappa_rms=None
    )
    F = mo.MAMLLoss(tasks, 0.01)
    w0 = np.array([20.0])
    start = float(np.linalg.norm(mo.ExpectedLoss(tasks).gradient(w0)))
    bound = convergence.time_bound(wrong, start, TOL).total
    actual, _, _ = run(
        lambda t, w: -F.gradient(w), w0, lambda w: np.linalg.norm(F.gradient(w)) - TOL, 1e4
    )
    assert bound < actual


def test_closed_forms_are_implied_by_the_general_bound():
    """Under its limit the closed form is valid: m(sigma^2/2L) >= mu/5, and its time is at least a run's."""
    rng = np.random.default_rng(SEED)
    for _ in range(60):
        L, sigma = 1.0, 1.0
        mu = 10.0 ** rng.uniform(-4, 0)
        kappa = 10.0 ** rng.uniform(-3, 3)
        alpha = min(convergence.closed_form_alpha(mu, L, kappa, sigma).values())
        model = mo.theory.Landscape(
            alpha=alpha, mu=mu, L=L, kappa=kappa, mu_f=mu, L_f=L, sigma=sigma
        )
        level = sigma**2 / (2 * L)
        assert model.level_floor <= level
        assert model.strong_convexity(level) >= 0.2 * mu
        start = 10.0 ** rng.uniform(-2, 4)
        closed = convergence.closed_form_time(start, sigma, mu, L, TOL)
        assert convergence.time_bound(model, start, TOL).total <= closed * (1 + 1e-9)
        assert convergence.two_phase_time(model, start, TOL, level) <= closed * (1 + 1e-9)
        eps0 = 10.0 ** rng.uniform(-2, 2)
        alpha = min(convergence.closed_form_alpha(mu, L, kappa, sigma, eps0).values())
        model = mo.theory.Landscape(
            alpha=alpha, mu=mu, L=L, kappa=kappa, mu_f=mu, L_f=L, sigma=sigma
        )
        closed = convergence.bimaml_closed_form(start, sigma, mu, eps0, TOL)
        assert convergence.bimaml_time(model, start, eps0, TOL).total <= closed * (1 + 1e-9)


def test_gradient_curve_holds_and_the_printed_one_where_proved():
    from maml_ode.theory.bounds.printed import printed_curve_b2, printed_zeta

    rng = np.random.default_rng(SEED)
    for _ in range(6):
        tasks = mo.tasks.Sinusoid([1.0, 1.0], rng.uniform(0.2, 0.8, 2), [1.0, 1.5])
        k = mo.theory.constants(tasks)
        mu, L, sigma = float(k.mu), float(k.L), float(k.sigma)
        alpha = 0.05 * mu / L**2
        f, F = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, alpha)
        w0 = rng.normal(0, 20, 1)
        result = solve_ivp(
            lambda t, w, F=F: -F.gradient(w), (0, 5 / mu), w0, method="LSODA", rtol=1e-10,
            atol=1e-12,
        )  # fmt: skip
        norms = np.array([np.linalg.norm(f.gradient(w)) for w in result.y.T])
        curve = convergence.gradient_curve(result.t, norms[0], sigma, alpha, mu, L)
        assert (norms <= curve * (1 + 1e-7)).all()
        if norms[0] ** 2 > 0.5 * sigma**2 / printed_zeta(alpha, mu, L):
            old = printed_curve_b2(result.t, norms[0], sigma, alpha, mu, L)
            assert (norms**2 <= old * (1 + 1e-7)).all()
            assert (curve**2 <= old * (1 + 1e-7)).all()


def test_discrete_bounds_hold_on_every_run():
    steps = 0
    for tasks, w0, constants, alpha in problems(15):
        f, F = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, alpha)
        least = f.value(constants.minimizer)
        start = float(np.linalg.norm(f.gradient(w0)))
        for model in landscapes(constants, alpha):
            if convergence.unique_minimum_level(model) is None:
                continue
            beta = 0.5 * min(1 / model.L_f, 1 / model.smoothness(model.level_floor + 1e-9))
            bound = discrete.iteration_bound(model, start, beta, TOL)
            w, gap = w0, f.value(w0) - least
            floor = discrete.discrete_level_floor(model, beta)
            count = None
            for k in range(int(min(bound.total, 3000)) + 1):
                gradient = F.gradient(w)
                if count is None and np.linalg.norm(gradient) <= TOL:
                    count = k
                    break
                w = w - beta * gradient
                new = f.value(w) - least
                limit = discrete.gap_after_step(model, gap, beta)
                assert new <= limit * (1 + 1e-9) + 1e-9 * (1 + abs(least))
                if gap <= floor:
                    assert new <= floor * (1 + 1e-9) + 1e-9 * (1 + abs(least))
                gap, steps = max(new, 0.0), steps + 1
            if bound.total <= 3000:
                assert count is not None
                assert count <= bound.total
    assert steps > 500


def test_euler_error_bound():
    checked = 0
    for tasks, w0, constants, alpha in problems(12):
        if tasks.dim > 1 and isinstance(tasks, mo.tasks.Quadratic):
            continue
        F = mo.MAMLLoss(tasks, alpha)
        model = landscapes(constants, alpha)[0]
        level = model.level_floor + 0.05
        m = model.strong_convexity(level)
        if m <= 0:
            continue
        top = model.smoothness(level)
        beta = 0.2 * min(2 / (m + top), 1 / top, 1 / model.L_f)
        if discrete.discrete_level_floor(model, beta) > level:
            continue
        # a start inside V(level)
        w0 = constants.minimizer + 0.9 * math.sqrt(2 * level / model.L_f) / math.sqrt(tasks.dim)
        K = float(np.linalg.norm(F.gradient(w0)))
        result = solve_ivp(
            lambda t, w, F=F: -F.gradient(w), (0, 30 * beta), w0, method="LSODA", rtol=1e-11,
            atol=1e-13, dense_output=True,
        )  # fmt: skip
        w = w0
        for k in range(1, 31):
            w = w - beta * F.gradient(w)
            error = np.linalg.norm(w - result.sol(k * beta))
            assert error <= discrete.euler_error(k * beta, beta, m, top, K) + 1e-9
            assert discrete.euler_error(k * beta, beta, m, top, K) <= (
                discrete.euler_error_supremum(beta, m, top, K) * (1 + 1e-12)
            )
            checked += 1
    assert checked >= 90


def test_phase_one_iterations():
    tasks = mo.tasks.Quadratic([[[1.0, 0.0], [0.0, 4.0]]], [[0.0, 0.0]])
    k = mo.theory.constants(tasks)
    model = landscapes(k, 0.01)[0]
    w, beta, count = np.array([1.0, 1.0]), 0.3, 0
    bound = discrete.phase_one_iterations(model, math.sqrt(17), 1e-3, beta)
    while np.linalg.norm([w[0], 4 * w[1]]) > 1e-3:
        w, count = w - beta * np.array([w[0], 4 * w[1]]), count + 1
    assert count <= bound <= count + 6
    assert discrete.phase_one_iterations(model, 1.0, 1e-3, 0.41) == math.inf


def test_local_certificate_bounds_the_hessian_in_its_ball():
    rng = np.random.default_rng(SEED)
    found = 0
    for tasks, w0, constants, alpha in problems(15):
        F = mo.MAMLLoss(tasks, alpha)
        z = w0 + rng.normal(0, 1, tasks.dim)
        for radius in (0.01, 0.3):
            local = local_certificate(
                tasks, alpha, z, mu_i=constants.mu_i, L_i=constants.L_i,
                kappa_i=constants.kappa_i, radius=radius,
            )  # fmt: skip
            for _ in range(40):
                v = rng.standard_normal(tasks.dim)
                w = z + radius * rng.random() ** (1 / tasks.dim) * v / np.linalg.norm(v)
                lowest = np.linalg.eigvalsh(F.hessian(w))[0]
                assert lowest >= local.strong_convexity - 1e-9
        found += mo.theory.certify(tasks, alpha, w0=w0)["local_minimum"].holds is True
    assert found >= 5


def test_local_certificate_fails_without_kappa():
    """Told kappa = 0 at a maximum of curvature, it promises more than the ball holds."""
    tasks = mo.tasks.Sinusoid([1.0], [1.0], [1.0])
    z = [math.pi / 2]
    wrong = local_certificate(tasks, 0.05, z, mu_i=[1.0], L_i=[3.0], kappa_i=[0.0], radius=2.0)
    F = mo.MAMLLoss(tasks, 0.05)
    assert F.hessian(np.array([math.pi / 2 + 2.0]))[0, 0] < wrong.strong_convexity
