"""Every pointwise inequality on 1.2e5 random evaluations; the printed ones that are wrong, violated."""

import numpy as np
import pytest

from maml_ode.theory import derived, inequalities, printed

from .random_problems import logistics, quadratics, sinusoids

SEED = 20210413


def batches():
    rng = np.random.default_rng(SEED)
    yield "quadratic, M = 3, d = 3", quadratics(rng, 30_000, 3, 3)
    yield "quadratic, M = 1, d = 2", quadratics(rng, 10_000, 1, 2)
    yield "sinusoid, M = 1", sinusoids(rng, 10_000, 1)
    yield "sinusoid, M = 4", sinusoids(rng, 35_000, 4)
    yield "logistic, M = 2, d = 2", logistics(rng, 20_000, 2, 2)
    yield "logistic, M = 3, d = 4", logistics(rng, 15_000, 3, 4)


BATCHES = dict(batches())


def corrected(batch, L=None, kappa_i=None):
    """Return {inequality: slack / scale}; non-negative where it holds."""
    B = batch
    L = B.L if L is None else L
    kappa_i = B.kappa_i if kappa_i is None else kappa_i
    rho = derived.rho(B.alpha, B.mu, L)
    inner = np.einsum("nd,nd->n", B.mean, B.grad_F)
    drift = -np.einsum("nd,nde,ne->n", B.mean, B.hess_f, B.grad_F)
    gamma = np.einsum("nm,nm->n", B.p, B.norms)
    root = inequalities.mean_gradient_norm_upper(B.norm_f, B.sd)
    arguments = (B.alpha, B.mu, L)
    L_i = np.minimum(B.L_i, L[:, None])
    mu_i = np.minimum(B.mu_i, L_i)
    task = (B.norms, B.p, B.alpha[:, None], mu_i, L_i, kappa_i)
    scale_g, scale_h = B.norms.max(1), L + B.alpha * B.kappa * gamma
    return {
        "mean gradient": (root - gamma) / scale_g,
        "transfer upper": (inequalities.gradient_of_F_upper(B.norm_f, B.sd, *arguments) - B.norm_F)
        / scale_g,
        "transfer lower": (B.norm_F + rho * B.sd - derived.psi(*arguments) * B.norm_f) / scale_g,
        "descent": (inner - inequalities.descent_lower(B.norm_f, B.sd, *arguments)) / scale_g**2,
        "gradient decay": (
            -derived.zeta_corrected(*arguments) * B.norm_f**2 + L * rho * B.sd * B.norm_f - drift
        )
        / (L * scale_g**2),
        "curvature lower": (
            B.spectrum_F[:, 0] - inequalities.curvature_lower(gamma, *arguments, kappa_i.max(1))
        )
        / scale_h,
        "curvature upper": (
            inequalities.curvature_upper(gamma, *arguments, kappa_i.max(1)) - B.spectrum_F[:, -1]
        )
        / scale_h,
        "task curvature lower": (B.spectrum_F[:, 0] - inequalities.task_curvature_lower(*task))
        / scale_h,
        "task curvature upper": (inequalities.task_curvature_upper(*task) - B.spectrum_F[:, -1])
        / scale_h,
    }


def test_there_are_enough_evaluations():
    total = sum(len(batch.alpha) for batch in BATCHES.values())
    print(f"seed {SEED}, {total} evaluations")  # noqa: T201
    assert total >= 100_000


@pytest.mark.parametrize("name", BATCHES)
def test_no_corrected_inequality_is_violated(name):
    for inequality, slack in corrected(BATCHES[name]).items():
        assert slack.min() > -1e-11, f"{inequality}, seed {SEED}: {slack.min():.2e}"


def test_each_inequality_fails_where_its_hypothesis_does():
    """With L halved (a curvature the tasks exceed), or kappa reduced, each is violated somewhere."""
    failed = {}
    for batch in BATCHES.values():
        wrong_L = np.maximum(0.5 * batch.L, batch.mu)
        slacks = corrected(batch, L=wrong_L)
        flatter = corrected(batch, kappa_i=np.zeros_like(batch.kappa_i))
        for key in ("curvature lower", "curvature upper", "task curvature lower"):
            failed[key + ", kappa = 0"] = (
                failed.get(key + ", kappa = 0", 0) + (flatter[key] < -1e-6).sum()
            )
        for key, slack in slacks.items():
            failed[key] = failed.get(key, 0) + (slack < -1e-6).sum()
    # sqrt(E||g_i||^2) >= E||g_i|| needs no hypothesis
    assert failed.pop("mean gradient") == 0
    assert all(count > 0 for count in failed.values()), failed


@pytest.mark.parametrize("name", BATCHES)
def test_printed_inequalities_that_are_true(name):
    """Lemma 3.8 for alpha < 1/(2L), Lemmas B.3 and D.2, and C.1 up to (1 - 1/sqrt 2)/L."""
    B = BATCHES[name]
    scale = B.norms.max(1)
    b3 = printed.printed_gradient_of_F_b3(B.norm_f, B.sd, B.alpha, B.L) - B.norm_F
    assert (b3 / scale).min() > -1e-12
    half = B.shrink(B.alpha < 0.5 / B.L)
    drift = -np.einsum("nd,nde,ne->n", half.mean, half.hess_f, half.grad_F)
    bound = printed.printed_lemma_3_8(half.norm_f, half.sd, half.alpha, half.mu, half.L)
    slack = (bound - drift) / (half.L * half.norms.max(1) ** 2)
    assert slack.min() > -1e-12
    small = B.shrink(B.alpha <= 0.2928 / B.L)
    c1 = printed.printed_gradient_of_f_c1(small.norm_F, small.sd) - small.norm_f
    assert (c1 / small.norms.max(1)).min() > -1e-12


def test_c1_is_violated_beyond_its_range():
    """f = w^2/2, alpha = 1/(2L): ||grad f|| = 4 ||grad F||; and on random problems."""
    w, alpha = 1.0, 0.5
    norm_F = (1 - alpha) ** 2 * w
    assert printed.printed_gradient_of_f_c1(norm_F, 0.0) < w
    assert w <= inequalities.gradient_of_f_upper(norm_F, 0.0, alpha, 1.0, 1.0)
    count = 0
    for B in BATCHES.values():
        beyond = B.shrink((B.alpha > 0.2929 / B.L) & (B.alpha <= 0.5 / B.L))
        excess = beyond.norm_f - printed.printed_gradient_of_f_c1(beyond.norm_F, beyond.sd)
        count += (excess > 1e-9 * beyond.norm_f).sum()
    assert count > 0


def test_corrected_forms_keep_their_meaning_when_units_change():
    """f -> s f, alpha -> alpha/s: printed limits move, corrected ones scale."""
    mu, L = 1.0, 2.0
    for s in (10.0, 1000.0):
        assert derived.zeta_corrected_limit(s * mu, s * L) * s == pytest.approx(
            derived.zeta_corrected_limit(mu, L), rel=1e-12
        )
        assert derived.psi(0.1 / s, s * mu, s * L) == pytest.approx(
            derived.psi(0.1, mu, L), rel=1e-12
        )
        limit = min(printed.printed_alpha_b2(mu, L).values())
        assert min(printed.printed_alpha_b2(s * mu, s * L).values()) * s < 0.5 * limit
