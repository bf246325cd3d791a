"""Bounds for k inner steps, FO-MAML, Moreau envelopes and iMAML; exact facts of quadratics; switch advice."""

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.optimize import brentq

import maml_ode as mo
from maml_ode.theory import derived, variants
from maml_ode.theory.bounds.quadratic_exact import QuadraticFacts
from maml_ode.theory.bounds.switch_advice import switched_once
from maml_ode.theory.minimizer import expected_loss_minimizer, objective_minimizer

from .random_problems import quadratics, sinusoids


@pytest.mark.parametrize("inner_steps", [1, 2, 4])
def test_inner_step_bounds(inner_steps):
    rng = np.random.default_rng(17)
    for _ in range(60):
        M = int(rng.integers(1, 4))
        b, omega = rng.uniform(-0.3, 0.3, M), rng.uniform(0.5, 2.0, M)
        tasks = mo.tasks.Sinusoid(rng.uniform(0.7, 1.2, M), b, omega)
        k = mo.theory.constants(tasks)
        alpha = float(rng.uniform(0.01, 1.0) / k.L)
        F = mo.MAMLLoss(tasks, alpha, inner_steps=inner_steps)
        psi, rho, top = variants.inner_steps_factors(alpha, k.mu, k.L, inner_steps)
        for _ in range(10):
            w = rng.normal(0, 5, 1)
            g = tasks.gradients(w)
            mean, F_gradient = tasks.weights @ g, F.gradient(w)
            norm, sd = np.linalg.norm(mean), np.sqrt(tasks.weights @ ((g - mean) ** 2).sum(1))
            assert np.linalg.norm(F_gradient) <= top * norm + rho * sd + 1e-10
            assert mean @ F_gradient >= psi * norm**2 - rho * sd * norm - 1e-9 * (1 + norm**2)
            gamma = tasks.weights @ np.linalg.norm(g, axis=1)
            low, high = variants.inner_steps_curvature(
                gamma, alpha, k.mu, k.L, k.kappa, inner_steps
            )
            values = np.linalg.eigvalsh(F.hessian(w))
            assert low - 1e-9 <= values[0] <= values[-1] <= high + 1e-9
    assert derived.psi(alpha, k.mu, k.L) >= variants.inner_steps_factors(alpha, k.mu, k.L, 1)[0]


def test_fomaml_descent_and_floor():
    rng = np.random.default_rng(8)
    for batch in (quadratics(rng, 5000, 3, 2), sinusoids(rng, 5000, 3)):
        psi, rho = variants.fomaml_factors(batch.alpha, batch.mu, batch.L)
        field = np.einsum("nm,nmd->nd", batch.p, batch.g_plus)
        inner = np.einsum("nd,nd->n", batch.mean, field)
        slack = inner - psi * batch.norm_f**2 + rho * batch.sd * batch.norm_f
        assert (slack >= -1e-12 * batch.norms.max(1) ** 2).all()
        # grad F - c0 E g_i^+ is at most (alpha (L - mu)/2) E||g_i^+||, which is the floor where E g_i^+ = 0
        centre = 1 - 0.5 * batch.alpha * (batch.mu + batch.L)
        mean_norm = np.einsum("nm,nm->n", batch.p, np.linalg.norm(batch.g_plus, axis=2))
        floor = variants.fomaml_floor(batch.alpha, batch.mu, batch.L, mean_norm)
        residual = np.linalg.norm(batch.grad_F - centre[:, None] * field, axis=1)
        assert (residual <= floor * (1 + 1e-12) + 1e-12).all()
    assert variants.fomaml_floor(0.1, 2.0, 2.0, 5.0) == 0.0


def test_moreau_and_imaml_curvature():
    """In one dimension, from the prox by bisection and the implicit derivative."""
    rng = np.random.default_rng(4)
    for _ in range(100):
        M = 3
        omega, bend = rng.uniform(0.5, 4, M), rng.uniform(0.1, 3, M)
        a = 0.5 * (bend + rng.uniform(0.05, 2, M))
        shift = rng.normal(0, 3, M)
        b = bend / omega**2
        mu, L, kappa = (2 * a - bend).min(), (2 * a + bend).max(), (bend * omega).max()
        lam, w = 10.0 ** rng.uniform(-1, 1.5), rng.normal(0, 3)

        def slope(i, u, a=a, b=b, omega=omega, shift=shift):
            return 2 * a[i] * u - b[i] * omega[i] * np.cos(omega[i] * u) - shift[i]

        def prox(i, x, lam=lam, slope=slope):
            return brentq(lambda u: lam * (u - x) + slope(i, u), -500, 500, xtol=1e-14)

        def second(i, u, a=a, b=b, omega=omega):
            return 2 * a[i] + b[i] * omega[i] ** 2 * np.sin(omega[i] * u)

        def moreau(x, lam=lam, prox=prox):
            return np.mean([lam * (x - prox(i, x)) for i in range(3)])

        def imaml(x, lam=lam, prox=prox, slope=slope, second=second):
            points = [prox(i, x) for i in range(3)]
            return np.mean([lam * slope(i, u) / (lam + second(i, u)) for i, u in enumerate(points)])

        h = 1e-5
        low, high = variants.moreau_curvature(lam, mu, L)
        curvature = (moreau(w + h) - moreau(w - h)) / (2 * h)
        assert low * (1 - 1e-6) <= curvature <= high * (1 + 1e-6)
        gamma = np.mean([abs(slope(i, prox(i, w))) for i in range(3)])
        bound = variants.imaml_curvature_lower(lam, mu, L, kappa, gamma)
        assert (imaml(w + h) - imaml(w - h)) / (2 * h) >= bound - 1e-6 * (1 + abs(bound))


def test_first_order_shifts():
    """MAML moves twice as far from argmin f as FO-MAML, k steps k times as far, to first order in alpha."""
    rng = np.random.default_rng(12)
    X, y = rng.standard_normal((3, 12, 2)), rng.choice([-1.0, 1.0], (3, 12))
    tasks = mo.tasks.LogisticRegression(X, y, l2=0.5)
    x = expected_loss_minimizer(tasks)
    v = variants.first_order_shift(tasks, x)
    alpha = 1e-3
    for k in (1, 3):
        moved = objective_minimizer(mo.MAMLLoss(tasks, alpha, inner_steps=k), x) - x
        expected = variants.shift_multiple("maml", k) * alpha * v
        assert np.linalg.norm(moved - expected) <= 0.02 * np.linalg.norm(expected)
    for name, k in (("fomaml", 1), ("fomaml", 2), ("reptile", 3)):
        flow = (
            mo.reptile_flow(tasks, alpha, inner_steps=k)
            if name == "reptile"
            else mo.fomaml_flow(tasks, alpha, inner_steps=k)
        )
        field = flow.phases[0].field
        w = x.copy()
        for _ in range(30):
            w = w - np.linalg.solve(field.jacobian(w), field(w))
        expected = variants.shift_multiple(name, k) * alpha * v
        assert np.linalg.norm(w - x - expected) <= 0.02 * np.linalg.norm(expected)
    with pytest.raises(ValueError, match="Did you mean 'reptile'"):
        variants.shift_multiple("reptil")


def test_quadratic_facts_against_the_matrix_exponential():
    rng = np.random.default_rng(9)
    A = rng.standard_normal((3, 4, 4))
    tasks = mo.tasks.Quadratic(
        A @ A.transpose(0, 2, 1) + 0.5 * np.eye(4), rng.standard_normal((3, 4))
    )
    F = mo.MAMLLoss(tasks, 0.3)  # beyond 1/L: exact for any alpha
    facts = QuadraticFacts(F.quadratic_form)
    w0 = rng.standard_normal(4)
    G, c = F.quadratic_form.G, F.quadratic_form.c
    wanted = facts.minimizer + expm(-0.7 * G) @ (w0 - facts.minimizer)
    np.testing.assert_allclose(facts.state(0.7, w0), wanted, rtol=1e-10, atol=1e-12)
    t = facts.stationarity_time(w0, 1e-5)
    assert np.linalg.norm(expm(-t * G) @ (G @ w0 - c)) == pytest.approx(1e-5, rel=1e-8)
    # the limit of gradient descent is sharp
    for share, converges in ((0.98, True), (1.02, False)):
        w = w0
        for _ in range(3000):
            w = w - share * facts.step_size_limit * (G @ w - c)
            if np.linalg.norm(w) > 1e20:
                break
        assert bool(np.linalg.norm(G @ w - c) < 1e-8) is converges


def test_a_common_null_direction_is_not_certified():
    """alpha H_i v = v for all tasks: G v = 0."""
    tasks = mo.tasks.Quadratic([np.diag([2.0, 1.0]), np.diag([2.0, 3.0])], np.ones((2, 2)))
    report = mo.theory.certify(tasks, 0.5, w0=[1.0, 1.0])
    assert report["unique_minimum"].holds is None
    assert report["time_bound"].holds is None
    assert "may have no unique minimum" in report.summary()


def test_switch_advice_saves_work():
    """Orthogonal advice costs at most MAML's work; a thousandth of it wastes phase 1."""
    rng = np.random.default_rng(1)
    M, d, n = 10, 10, 40
    X = rng.standard_normal((M, n, d))
    y = np.einsum("mnd,md->mn", X, rng.standard_normal((M, d))) + 0.1 * rng.standard_normal((M, n))
    tasks = mo.tasks.LinearRegression(X, y, reduction="half_mean")
    alpha, c, beta = 0.05, 4.0, 0.2
    advice = mo.theory.switch_advice(tasks, alpha, c, step_size=beta)
    assert advice.switch_tol > advice.cautious > 0
    w0 = 10 * rng.standard_normal(d)

    def work(eps0):
        flow = mo.bimaml_flow(tasks, alpha, eps0) if eps0 else mo.maml_flow(tasks, alpha)
        run = mo.euler(flow, w0, beta, tol=1e-3, max_iter=20_000)
        assert run.success
        steps_f = int((run.phase == 0).sum()) if eps0 else 0
        return steps_f + c * (len(run) - steps_f)

    maml = work(None)
    assert work(advice.switch_tol) < 0.9 * maml
    assert work(1e-3 * advice.switch_tol) > work(advice.switch_tol)
    # S by its first-order estimate, and the online rule at the place where it should fire
    estimate = advice.rule.threshold(expected_loss_minimizer(tasks))
    assert estimate == pytest.approx(advice.switch_tol, rel=0.3)
    run = mo.euler(
        mo.Flow(
            [mo.Phase(mo.ExpectedLoss(tasks), until=advice.rule), mo.Phase(mo.MAMLLoss(tasks, alpha))],
            objective=mo.MAMLLoss(tasks, alpha),
        ),
        w0, beta, tol=1e-3, max_iter=20_000,
    )  # fmt: skip
    assert run.success
    assert run.switch_times.size == 1
    first = int((run.phase == 0).sum())
    # the rule's passes are counted: one gradient and one product at each state of phase 1 and at the switch
    steps_F = len(run) - first
    assert run.counts.hvps == pytest.approx(first + 1 + steps_F, abs=2)
    assert run.counts.gradients == pytest.approx(2 * first + 1 + 2 * steps_F, abs=3)


def test_chattering_is_told_from_a_switch():
    """f_1 = (w - 3)^2/2, f_2 = 3 (w + 1)^2/2, alpha = beta = .1, eps0 = .5 < ||grad f(argmin F)|| = .842."""
    tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    once = mo.euler(mo.bimaml_flow(tasks, 0.1, 0.5), [10.0], 0.1, tol=1e-6, max_iter=3000)
    again = mo.euler(
        mo.bimaml_flow(tasks, 0.1, 0.5, rule="retest"), [10.0], 0.1, tol=1e-6, max_iter=3000
    )
    assert switched_once(once)
    assert not switched_once(again)


def test_switch_advice_says_when_phase_one_does_not_pay():
    tasks = mo.tasks.Quadratic([[[1.0]], [[1.0]]], [[1.0], [-1.0]])
    advice = mo.theory.switch_advice(tasks, 0.0, 1.0)
    assert advice.switch_tol is None
    assert "use MAML" in advice.note
    with pytest.raises(ValueError, match="strongly convex f"):
        mo.theory.switch_advice(mo.tasks.Quadratic([[[-1.0]]], [[1.0]]), 0.1)
