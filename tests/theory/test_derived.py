"""The matrix constants: attained by extremal pairs, never exceeded by random ones."""

import mpmath
import numpy as np
import pytest

from maml_ode.theory import derived

PAIRS = [(0.0, 1.0), (0.05, 0.9), (0.1, 1.0), (0.2, 1.0), (0.4, 0.95), (0.7, 0.7), (0.3, 1.2)]


def extremal_products(a, b, angles):
    """Return A A' for A, A' with spectrum {a, b}, eigenvectors turned against each other."""
    c0, r = 0.5 * (a + b), 0.5 * (b - a)
    c, s = np.cos(angles), np.sin(angles)
    turned = np.stack([np.stack([c, s], -1), np.stack([s, -c], -1)], -2)
    return (c0 * np.eye(2) + r * np.diag([1.0, -1.0])) @ (c0 * np.eye(2) + r * turned)


def random_products(a, b, dim, count, rng):
    def factor():
        q = np.linalg.qr(rng.standard_normal((count, dim, dim)))[0]
        ends = rng.random((count, 1)) < 0.5
        spectrum = np.where(ends, rng.integers(0, 2, (count, dim)), rng.random((count, dim)))
        return np.einsum("nij,nj,nkj->nik", q, a + (b - a) * spectrum, q)

    return factor() @ factor()


def extremes(products, a, b):
    symmetric = np.linalg.eigvalsh(0.5 * (products + products.swapaxes(-1, -2)))[:, 0].min()
    eye = np.eye(products.shape[-1])
    return (
        symmetric,
        np.linalg.norm(products - 0.5 * (a * a + b * b) * eye, 2, axis=(-2, -1)).max(),
        np.linalg.norm(eye - products, 2, axis=(-2, -1)).max(),
    )


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_matrix_constants_are_attained_and_never_exceeded(a, b):
    alpha = 0.5
    mu, L = (1 - b) / alpha, (1 - a) / alpha
    rng = np.random.default_rng(20210413)
    psi, rho = derived.psi(alpha, mu, L), derived.rho(alpha, mu, L)
    low, centred, defect = extremes(extremal_products(a, b, np.linspace(0, np.pi, 20001)), a, b)
    assert low == pytest.approx(psi, abs=1e-7)
    assert centred == pytest.approx(rho, abs=1e-7)
    if mu >= 0:
        assert defect == pytest.approx(derived.defect_norm(alpha, mu, L), abs=1e-7)
    for dim in (1, 2, 3, 5):
        low, centred, defect = extremes(random_products(a, b, dim, 1500, rng), a, b)
        assert low >= psi - 1e-12
        assert centred <= rho + 1e-12
        if mu >= 0:
            assert defect <= derived.defect_norm(alpha, mu, L) + 1e-12


def test_known_values():
    assert derived.psi_limit(0.0, 1.0) == pytest.approx(2 * np.sqrt(2) - 2, rel=1e-14)
    assert derived.defect_norm(1.0, 0.0, 1.0) == pytest.approx(2 / np.sqrt(3), rel=1e-14)
    assert derived.rho(0.3, 2.0, 2.0) == 0.0
    assert derived.h_max(0.2, 0.1, 5.0) == pytest.approx(4 / (27 * 0.2), rel=1e-15)
    # outside alpha x <= 4/3 that value is no bound
    assert derived.h(3.0, 1.0) == 12.0


@pytest.mark.filterwarnings("error")
def test_h_max_at_an_alpha_whose_inverse_is_no_float():
    assert derived.h_max(1e-320, 1.0, 3.0) == 3.0
    assert derived.h_max(0.0, 1.0, 3.0) == 3.0
    assert derived.h_max(1e-320, 1.0, 1e308) == pytest.approx(1e308)


def test_h_extremes_against_a_scan():
    rng = np.random.default_rng(3)
    for _ in range(200):
        mu, L = np.sort(rng.uniform(-1, 3, 2))
        L = abs(L) + 0.01
        alpha = rng.uniform(0, 1) / L
        values = derived.h(np.linspace(mu, L, 4001), alpha)
        assert derived.h_min(alpha, mu, L) == pytest.approx(values.min(), abs=1e-12)
        assert derived.h_max(alpha, mu, L) == pytest.approx(values.max(), abs=1e-5)
        assert derived.h_max(alpha, mu, L) >= values.max() - 1e-13


@pytest.mark.parametrize(
    ("mu", "L"), [(0.01, 2.01), (1.0, 3.0), (1.0, 2.0), (1.0, 1.25), (1.0, 1.1), (1.0, 1.0)]
)
def test_limits_are_roots(mu, L):
    """zeta_1 and psi change sign at their limits, in 30-digit arithmetic for zeta_1's closed form."""
    limit = derived.zeta_corrected_limit(mu, L)
    assert derived.zeta_corrected(limit * (1 - 1e-6), mu, L) > 0
    if limit * (1 + 1e-6) * L <= 1:
        assert derived.zeta_corrected(limit * (1 + 1e-6), mu, L) < 0
    assert derived.psi(derived.psi_limit(mu, L) * (1 - 1e-6), mu, L) > 0
    if mu < L:
        assert derived.psi(derived.psi_limit(mu, L) * (1 + 1e-6), mu, L) < 0
    if 1.25 * mu <= L:
        q = mpmath.sqrt((mpmath.mpf(L) - mu) / (mpmath.mpf(L) + mu))
        assert limit == pytest.approx(float((1 - q) / (L - q * mu)), rel=1e-14)


def test_the_simple_zeta_limit_fails_for_nearly_equal_curvatures():
    q = np.sqrt(0.1 / 2.1)
    simple = (1 - q) / (1.1 - q)
    assert derived.zeta_corrected_limit(1.0, 1.1) < simple
    assert (
        derived.zeta_corrected(0.5 * (simple + derived.zeta_corrected_limit(1.0, 1.1)), 1, 1.1) < 0
    )


def test_zeta_is_a_true_lower_bound_and_attained():
    """g'H A A'g >= zeta_1 ||g||^2: random H, A, A' never go below it."""
    rng = np.random.default_rng(11)
    mu, L, alpha = 1.0, 3.0, 0.15
    a, b = 1 - alpha * L, 1 - alpha * mu
    products = random_products(a, b, 2, 20000, rng)
    q = np.linalg.qr(rng.standard_normal((20000, 2, 2)))[0]
    H = np.einsum("nij,nj,nkj->nik", q, np.where(rng.random((20000, 2)) < 0.5, mu, L), q)
    total = H @ products
    lowest = np.linalg.eigvalsh(0.5 * (total + total.swapaxes(1, 2)))[:, 0].min()
    assert derived.zeta_corrected(alpha, mu, L) <= lowest


@pytest.mark.parametrize(
    ("arguments", "match"),
    [((-0.1, 1, 2), "negative"), ((0.1, 2, 1), "at most L"), ((0.6, 1, 2), "at most 1/L")],
)
def test_bad_constants_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        derived.psi(*arguments)
