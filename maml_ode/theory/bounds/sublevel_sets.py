"""What the constants say about F on the sublevel sets of f.

V(c) = {f - f* <= c} is convex, and the MAML flow leaves none of them once c >= c_inf: all analysis
happens there.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, fields

from maml_ode._real_numbers import real_number
from maml_ode.theory.bounds import products
from maml_ode.theory.bounds.pointwise import curvature_lower, curvature_upper
from maml_ode.theory.family_constants.model import Constants

__all__ = ["Landscape", "landscapes"]


@dataclass(frozen=True)
class Landscape:
    """F on the sublevel sets V(c) = {f - f* <= c}, from the constants at one alpha.

    Every statement assumes mu > 0 (true strong convexity), alpha < 1/L and a bound
    sd(w) <= sigma + nu ||grad f(w)|| of the standard deviation of the task gradients
    (nu = 0: Assumption 3.4).

    Parameters
    ----------
    alpha : float
        Inner step size, W^2/E.
    mu, L : float
        Extreme eigenvalues of the task Hessians, E/W^2.
    kappa : float
        Lipschitz constant of the task Hessians, E/W^3.
    mu_f, L_f : float
        The same extremes for the mean loss f, mu <= mu_f <= L_f <= L.
    sigma, nu : float
        See above; E/W and dimensionless.
    sigma_cap : float
        A further bound of sd on the sets considered, e.g. the global sigma beside an affine model.
    kappa_rms, mu_mean, L_mean : float, optional
        sqrt(sum p_i (kappa_i b_i)^2), sum p_i mu_i (1 - alpha L_i)^2 and sum p_i L_i (1 - alpha
        mu_i)^2. If given, the per-task Hessian bounds are used where they are better; by
        Cauchy-Schwarz sum p_i kappa_i b_i ||g_i|| <= kappa_rms Gamma.

    Examples
    --------
    >>> import maml_ode as mo
    >>> shape = mo.theory.Landscape(alpha=0.05, mu=1.0, L=2.0, kappa=0.0, mu_f=1.5, L_f=1.5, sigma=1.0)
    >>> round(shape.strong_convexity(1.0), 4), round(shape.smoothness(1.0), 4)
    (0.9025, 1.62)
    """

    alpha: float
    mu: float
    L: float
    kappa: float
    mu_f: float
    L_f: float
    sigma: float
    nu: float = 0.0
    sigma_cap: float = math.inf
    kappa_rms: float | None = None
    mu_mean: float | None = None
    L_mean: float | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None or each.default is MISSING:
                object.__setattr__(self, each.name, real_number(each.name, value))

    @property
    def psi(self) -> float:
        """Psi - rho nu: the descent factor (must be positive)."""
        return float(products.psi(self.alpha, self.mu, self.L)) - self.rho * self.nu

    @property
    def rho(self) -> float:
        """The bias factor of ``products.rho``."""
        return float(products.rho(self.alpha, self.mu, self.L))

    @property
    def b(self) -> float:
        """1 - alpha mu."""
        return 1.0 - self.alpha * self.mu

    @property
    def gap_floor(self) -> float:
        """s_inf = rho sigma/psi, **upper**: f descends while sqrt(2 mu_f (f - f*)) exceeds it; or ``inf``."""
        product = self.rho * self.sigma
        if not math.isfinite(product) or self.psi <= 0:
            return math.inf
        return product / self.psi

    @property
    def level_floor(self) -> float:
        """c_inf = s_inf^2/(2 mu_f), **upper**: V(c), c >= c_inf, is invariant; Crit F lies in V(c_inf)."""
        return self.gap_floor * self.gap_floor / (2.0 * self.mu_f)

    @property
    def minimizer_distance(self) -> float:
        """s_inf/mu_f, an **upper** bound of the distance from argmin f to every critical point of F."""
        return self.gap_floor / self.mu_f

    @property
    def decay_rate(self) -> float:
        """mu_f psi, a **lower** bound of the rate at which sqrt(2 mu_f (f - f*)) falls to s_inf."""
        return self.mu_f * self.psi

    def level(self, s: float) -> float:
        """Return c with sqrt(2 mu_f c) = s."""
        return s * s / (2.0 * self.mu_f)

    def gradient_radius(self, c: float) -> float:
        """Return sqrt(2 L_f c), an **upper** bound of ||grad f|| on V(c), **tight** for quadratics."""
        return math.sqrt(2.0 * self.L_f * c)

    def deviation(self, c: float) -> float:
        """Return an **upper** bound of sd on V(c)."""
        return min(self.sigma_cap, self.sigma + self.nu * self.gradient_radius(c))

    def mean_gradient_norm(self, c: float) -> float:
        """Return Gamma_c = sqrt(2 L_f c + sd^2), an **upper** bound of E||grad f_i|| on V(c)."""
        return math.hypot(self.gradient_radius(c), self.deviation(c))

    def gradient_bound(self, gradient_norm: float) -> float:
        """Return an **upper** bound of ||grad F|| where ||grad f|| <= ``gradient_norm``."""
        deviation = min(self.sigma_cap, self.sigma + self.nu * gradient_norm)
        b2 = self.b**2
        return min(
            b2 * gradient_norm + self.rho * deviation, b2 * math.hypot(gradient_norm, deviation)
        )

    def strong_convexity(self, c: float) -> float:
        """Return m(c), a **lower** bound of lambda_min(Hess F) on V(c); it decreases in c and may be negative."""
        if not math.isfinite(self.kappa):
            return -math.inf
        gamma = self.mean_gradient_norm(c)
        m = float(curvature_lower(gamma, self.alpha, self.mu, self.L, self.kappa))
        if self.kappa_rms is not None and self.mu_mean is not None:
            m = max(m, self.mu_mean - self.alpha * self.kappa_rms * gamma)
        return m

    def smoothness(self, c: float) -> float:
        """Return M(c), an **upper** bound of lambda_max(Hess F) on V(c)."""
        if not math.isfinite(self.kappa):
            return math.inf
        gamma = self.mean_gradient_norm(c)
        big = float(curvature_upper(gamma, self.alpha, self.mu, self.L, self.kappa))
        if self.kappa_rms is not None and self.L_mean is not None:
            big = min(big, self.L_mean + self.alpha * self.kappa_rms * gamma)
        return big


def landscapes(k: Constants, alpha: float, *, per_task: bool = True) -> list[Landscape]:
    """Return a `Landscape` for each finite noise model: sd <= sigma, sd <= sigma0 + nu ||grad f||.

    Parameters
    ----------
    k : Constants
    alpha : float
        At most 1/L.
    per_task : bool
        Also use the tasks' own constants in the Hessian bounds.
    """
    extra: dict[str, float] = {}
    if per_task and float(k.mu) >= 0:
        some = k.weights > 0  # a constant of a task that does not count may be infinite
        p, kappa_i = k.weights[some], k.kappa_i[some]
        mu_i, L_i = k.mu_i[some], k.L_i[some]
        low, high = 1.0 - alpha * mu_i, 1.0 - alpha * L_i
        extra = {
            "kappa_rms": math.sqrt(float(p @ (kappa_i * low) ** 2)),
            "mu_mean": float(p @ (mu_i * high**2)),
            "L_mean": float(p @ (L_i * low**2)),
        }
    shared = {
        "alpha": alpha,
        "mu": k.mu.value,
        "L": k.L.value,
        "kappa": k.kappa.value,
        "mu_f": k.mu_f.value,
        "L_f": k.L_f.value,
        **extra,
    }
    models = []
    if math.isfinite(k.sigma):
        models.append(Landscape(sigma=k.sigma.value, **shared))
    if math.isfinite(k.sigma0) and math.isfinite(k.nu) and k.nu > 0:
        cap = k.sigma.value
        models.append(Landscape(sigma=k.sigma0.value, nu=k.nu.value, sigma_cap=cap, **shared))
    return models
