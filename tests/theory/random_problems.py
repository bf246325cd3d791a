"""Random tasks in plain NumPy, many at a time; no code is shared with the library."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Batch:
    """N evaluations: M tasks in d dimensions at one point each."""

    p: np.ndarray  # (N, M)
    alpha: np.ndarray  # (N,)
    mu_i: np.ndarray  # (N, M)
    L_i: np.ndarray
    kappa_i: np.ndarray
    g: np.ndarray  # (N, M, d) task gradients
    H: np.ndarray  # (N, M, d, d)
    g_plus: np.ndarray  # at the adapted points
    H_plus: np.ndarray
    T: np.ndarray  # third derivative at w contracted with g_plus

    def __post_init__(self):
        eye = np.eye(self.g.shape[-1])
        a = self.alpha[:, None, None, None]
        A = eye - a * self.H
        self.mean = np.einsum("nm,nmd->nd", self.p, self.g)
        self.grad_F = np.einsum("nm,nmij,nmj->ni", self.p, A, self.g_plus)
        hess = np.einsum("nm,nmij,nmjk,nmkl->nil", self.p, A, self.H_plus, A)
        hess -= self.alpha[:, None, None] * np.einsum("nm,nmij->nij", self.p, self.T)
        self.spectrum_F = np.linalg.eigvalsh(hess)
        self.hess_f = np.einsum("nm,nmij->nij", self.p, self.H)
        self.norm_f = np.linalg.norm(self.mean, axis=1)
        self.norm_F = np.linalg.norm(self.grad_F, axis=1)
        self.norms = np.linalg.norm(self.g, axis=2)
        centred = self.g - self.mean[:, None]
        self.sd = np.sqrt(np.einsum("nm,nmd,nmd->n", self.p, centred, centred))
        self.mu, self.L = self.mu_i.min(1), self.L_i.max(1)
        self.kappa = self.kappa_i.max(1)

    def shrink(self, keep):
        names = ("p", "alpha", "mu_i", "L_i", "kappa_i", "g", "H", "g_plus", "H_plus", "T")
        return Batch(**{name: getattr(self, name)[keep] for name in names})


def weights(rng, N, M):
    p = rng.dirichlet(np.ones(M), N)
    p[: N // 2] = 1.0 / M
    return p


def alphas(rng, L_i):
    """alpha in (0, 1/L), half of them log-uniform."""
    u = rng.random(len(L_i))
    u[::2] = 10.0 ** (-3.0 * u[::2])
    return 0.999 * u / L_i.max(1)


def quadratics(rng, N, M, d):
    q = np.linalg.qr(rng.standard_normal((N, M, d, d)))[0]
    spectrum = 10.0 ** rng.uniform(-2, 1, (N, M, d))
    H = np.einsum("nmij,nmj,nmkj->nmik", q, spectrum, q)
    b = rng.standard_normal((N, M, d))
    w = rng.standard_normal((N, d)) * 10.0 ** rng.uniform(-2, 2, (N, 1))
    low, high = spectrum.min(2), spectrum.max(2)
    alpha = alphas(rng, high)
    g = np.einsum("nmij,nj->nmi", H, w) - b
    u = w[:, None] - alpha[:, None, None] * g
    g_plus = np.einsum("nmij,nmj->nmi", H, u) - b
    return Batch(
        weights(rng, N, M), alpha, low, high, np.zeros((N, M)), g, H, g_plus, H, np.zeros_like(H)
    )


def sinusoids(rng, N, M):
    """f_i = a w^2 - b sin(omega w) - c w; the linear term moves the tasks apart."""
    omega = rng.uniform(0.3, 8.0, (N, M))
    bend = 10.0 ** rng.uniform(-2, 1, (N, M))
    b = rng.choice([-1.0, 1.0], (N, M)) * bend / omega**2
    a = 0.5 * (bend + 10.0 ** rng.uniform(-2, 0.5, (N, M)))
    c = rng.standard_normal((N, M)) * 10.0 ** rng.uniform(-1, 1, (N, 1))
    w = rng.standard_normal((N, 1)) * 10.0 ** rng.uniform(-1, 1.5, (N, 1))
    low, high = 2 * a - bend, 2 * a + bend
    alpha = alphas(rng, high)

    def gradient(x):
        return 2 * a * x - b * omega * np.cos(omega * x) - c

    def second(x):
        return 2 * a + b * omega**2 * np.sin(omega * x)

    g = gradient(w)
    u = w - alpha[:, None] * g
    g_plus = gradient(u)
    T = b * omega**3 * np.cos(omega * w) * g_plus
    return Batch(
        weights(rng, N, M), alpha, low, high, bend * omega,
        g[..., None], second(w)[..., None, None], g_plus[..., None],
        second(u)[..., None, None], T[..., None, None],
    )  # fmt: skip


def logistics(rng, N, M, d, n=6):
    X = rng.standard_normal((N, M, n, d)) * 10.0 ** rng.uniform(-0.5, 0.7, (N, M, 1, 1))
    y = rng.choice([-1.0, 1.0], (N, M, n))
    l2 = 10.0 ** rng.uniform(-2, 0.5, N)
    w = rng.standard_normal((N, d)) * 10.0 ** rng.uniform(-1, 1, (N, 1))
    top = np.linalg.norm(X, 2, axis=(2, 3)) ** 2
    high = top / (4 * n) + l2[:, None]
    kappa = np.linalg.norm(X, axis=3).max(2) * top / (6 * np.sqrt(3) * n)
    alpha = alphas(rng, high)

    def slopes(x):
        margin = y * np.einsum("nmjd,nmd->nmj", X, x)
        return 0.5 * (1.0 - np.tanh(0.5 * margin))

    def gradient(x):
        return -np.einsum("nmj,nmjd->nmd", y * slopes(x), X) / n + l2[:, None, None] * x

    def hessian(x):
        s = slopes(x)
        core = np.einsum("nmj,nmjd,nmje->nmde", s * (1 - s), X, X) / n
        return core + l2[:, None, None, None] * np.eye(d)

    shared = np.repeat(w[:, None], M, axis=1)
    g = gradient(shared)
    u = shared - alpha[:, None, None] * g
    g_plus = gradient(u)
    s = slopes(shared)
    # d/dmargin of s (1 - s) is -s (1 - s)(1 - 2 s); the margin moves by y x'v
    third = -s * (1 - s) * (1 - 2 * s) * y * np.einsum("nmjd,nmd->nmj", X, g_plus)
    # s is sigma(-margin), so that its derivative has the other sign
    T = np.einsum("nmj,nmjd,nmje->nmde", third, X, X) / n
    low = np.repeat(l2[:, None], M, axis=1)
    return Batch(
        weights(rng, N, M), alpha, low, high, kappa, g, hessian(shared), g_plus, hessian(u), T
    )
