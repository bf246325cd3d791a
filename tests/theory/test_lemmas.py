"""Lemmas B.1, D.1 and Corollaries D.3, D.4 on random tasks that share no code with the package."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.theory.bounds import lemmas

from . import random_problems

SLACK = 1.0 + 1e-9


def batches():
    rng = np.random.default_rng(5)
    yield random_problems.quadratics(rng, 2000, 3, 3)
    yield random_problems.sinusoids(rng, 2000, 3)
    yield random_problems.logistics(rng, 500, 3, 2)


@pytest.fixture(scope="module", params=[0, 1, 2], ids=["quadratics", "sinusoids", "logistics"])
def batch(request):
    return list(batches())[request.param]


def coupling(batch):
    """grad f' Hess f E[B_i grad f_i] = grad f' Hess f (grad f - grad F)."""
    return np.einsum("ni,nij,nj->n", batch.mean, batch.hess_f, batch.mean - batch.grad_F)


def test_lemma_b1_bounds_the_coupling_and_the_sharper_form_is_below_it(batch):
    found = coupling(batch)
    sharp = lemmas.coupling_upper(batch.norm_f, batch.sd, batch.alpha, batch.mu, batch.L)
    assert (found <= SLACK * sharp).all()
    small = batch.alpha * batch.L < 0.5
    printed = lemmas.printed_coupling_b1(batch.norm_f, batch.sd, batch.alpha, batch.L)
    assert (found <= SLACK * printed)[small].all()
    assert (sharp <= SLACK * printed)[small].all()


def test_lemma_b1_is_nearly_attained_and_needs_sigma():
    # One task lambda w^2/2: B = 1 - (1 - alpha lambda)^2, and nothing else enters.
    lam, alpha, w = 3.0, 0.2, 1.7
    g = lam * w
    exact = g * lam * (1.0 - (1.0 - alpha * lam) ** 2) * g
    assert lemmas.coupling_upper(g, 0.0, alpha, lam, lam) == pytest.approx(exact, rel=1e-14)
    # Tasks of slopes +-5 at the minimiser of f and curvatures 1, 2: with sigma = 0 the bound would be broken.
    tasks = mo.tasks.Quadratic([[[1.0]], [[2.0]]], [[5.0], [-5.0]])
    w, alpha = 0.1, 0.05
    f, F = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, alpha)
    g, meta = f.gradient([w])[0], F.gradient([w])[0]
    found = g * 1.5 * (g - meta)
    sd = np.std(tasks.gradients([w]))
    assert found > lemmas.printed_coupling_b1(abs(g), 0.0, alpha, 2.0) > 0.0
    assert found <= lemmas.coupling_upper(abs(g), sd, alpha, 1.0, 2.0)


def test_the_sharper_coupling_has_one_unit_and_vanishes_with_alpha():
    z, s, alpha, mu, L = 2.0, 0.7, 0.1, 0.5, 3.0
    for scale in (1e-3, 1e3):  # f -> scale f: gradients and curvatures scale, alpha the other way
        scaled = lemmas.coupling_upper(scale * z, scale * s, alpha / scale, scale * mu, scale * L)
        assert scaled == pytest.approx(
            scale**3 * lemmas.coupling_upper(z, s, alpha, mu, L), rel=1e-12, abs=0.0
        )
    assert lemmas.coupling_upper(z, s, 1e-12, mu, L) < 1e-9
    assert lemmas.printed_coupling_b1(z, s, 1e-12, L) > 0.2


def gaps():
    """||grad F||, f - min f and the constants of random quadratics of one H, so that sigma is constant."""
    rng, rows = np.random.default_rng(1), []
    for _ in range(400):
        q = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        lam = 10.0 ** rng.uniform(-1, 1, 3)
        H, b = q @ np.diag(lam) @ q.T, rng.standard_normal((4, 3)) * 10.0 ** rng.uniform(-1, 1)
        alpha = 0.66 * rng.random() / lam.max()
        w = rng.standard_normal(3) * 10.0 ** rng.uniform(-2, 1)
        mean = b.mean(0)
        g = H @ w - mean
        A = np.eye(3) - alpha * H
        gap = 0.5 * g @ np.linalg.solve(H, g)
        sigma = np.sqrt(((b - mean) ** 2).sum(1).mean())
        rows.append((np.linalg.norm(A @ A @ g), gap, sigma, alpha, lam.min(), lam.max()))
    return np.array(rows).T


def test_gradients_and_gaps_bound_each_other():
    K, gap, sigma, alpha, mu, L = gaps()
    c = lemmas.gap_of_gradient(K, sigma, alpha, mu, L)
    assert (gap <= SLACK * c).all()
    assert (SLACK * lemmas.gradient_of_gap(gap, sigma, alpha, mu, L) >= K).all()
    small = alpha * L < 0.25
    printed = lemmas.printed_gap_of_gradient_d1(K, sigma, mu)
    assert (gap <= SLACK * printed)[small].all()
    assert (c <= SLACK * printed)[small].all()
    assert small.sum() > 50


def test_for_one_curvature_lemma_d1_is_attained():
    lam, alpha = 2.0, 0.3
    w = 1.3
    K = (1.0 - alpha * lam) ** 2 * lam * w
    assert lemmas.gap_of_gradient(K, 0.0, alpha, lam, lam) == pytest.approx(
        0.5 * lam * w**2, rel=1e-13
    )
    assert lemmas.gradient_of_gap(0.5 * lam * w**2, 0.0, alpha, lam, lam) == pytest.approx(
        K, rel=1e-13
    )


def test_the_chains_are_nested_and_inverse_to_each_other():
    K, _, sigma, alpha, mu, L = gaps()
    c, outer = lemmas.nested_from_gradient(K, sigma, alpha, mu, L)
    back, same = lemmas.nested_within_gradient(outer, sigma, alpha, mu, L)
    np.testing.assert_allclose(back, K, rtol=1e-7)
    np.testing.assert_allclose(same, c, rtol=1e-7)
    small = alpha * L < 0.25
    wide, far = lemmas.printed_nested_d3(K, sigma, mu, L)
    assert (c <= SLACK * wide)[small].all()
    assert (outer <= SLACK * far)[small].all()
    printed_back, printed_same = lemmas.printed_nested_d4(far, sigma, mu, L)
    np.testing.assert_allclose(printed_back, K, rtol=1e-6)
    np.testing.assert_allclose(printed_same, wide, rtol=1e-7)
    # Given K' the sharper inner sets are larger, that is, they say more.
    inner, within = lemmas.nested_within_gradient(far, sigma, alpha, mu, L)
    assert (inner >= printed_back / SLACK)[small].all()
    assert (within >= printed_same / SLACK)[small].all()


def test_a_radius_within_the_noise_has_no_inner_set():
    inner, c = lemmas.nested_within_gradient(1e-3, 1.0, 0.1, 0.5, 3.0)
    assert np.isnan(inner)
    assert np.isnan(c)
    assert np.isnan(lemmas.printed_nested_d4(1.0, 1.0, 0.5, 3.0)[0])


def test_the_unstated_range_is_refused_by_infinity():
    # psi <= 0: alpha L = 0.9 with mu small says nothing about f.
    assert lemmas.gap_of_gradient(1.0, 0.1, 0.9, 1e-3, 1.0) == np.inf
    assert lemmas.gap_of_gradient(1.0, 0.1, 0.1, 0.0, 1.0) == np.inf
