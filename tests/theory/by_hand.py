"""Two sinusoids, constants given for them, and what theory makes of both, worked out by hand."""

import math

import numpy as np
from scipy.optimize import brentq

import maml_ode as mo
from maml_ode.theory import Constants, Quantity, certify

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


def ball_terms(z):
    """Return the smallest eigenvalue, its loss at z and its loss per unit of radius."""
    b = [max(abs(1 - ALPHA * m), abs(1 - ALPHA * big)) for m, big in zip(MU_I, L_I, strict=True)]
    pull = [(1 - ALPHA * bend(i, z)) ** 2 * bend(i, z - ALPHA * slope(i, z)) for i in (0, 1)]
    loss = [ALPHA * KAPPA_I[i] * abs(slope(i, z - ALPHA * slope(i, z))) for i in (0, 1)]
    per_radius = [KAPPA_I[i] * (3 * ALPHA * L_I[i] * b[i] + b[i] ** 3) for i in (0, 1)]
    return 0.5 * sum(pull) - 0.5 * sum(loss), 0.5 * sum(per_radius)
