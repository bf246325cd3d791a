r"""Mixed linear regression with fewer rows than parameters, where the best alpha of training is negative.

The model is that of A. Bernacchia, "Meta-learning with negative learning rates", ICLR 2021 (arXiv 2102.00940), and
the default sizes are those of his Figure 2. A task has w_i = omega + delta_i with delta_i ~ N(0, (nu^2/p) I), rows
x ~ N(0, I_p) and answers y = x'w_i + sigma e, e ~ N(0, 1). Training has m tasks, each with n_t rows for the inner
step of size alpha on ||X w - y||^2/(2 n_t) and n_v rows that judge it; a new task is adapted by a step of size
alpha_r on n_r rows and judged on fresh ones.

What is his is the model, the theorem that in this setting the best alpha of training is negative while that of
adaptation is positive, and an algebraic expression for the loss to leading order. The expression below was derived
anew, without the printed one at hand:

*Training.* With S_i = X_i'X_i/n_t and A_i = I - alpha S_i the residual of the judging rows V_i after the step is
V_i A_i (w - omega) - rho_i, rho_i = V_i A_i delta_i - (alpha sigma/n_t) V_i X_i'e_i + sigma z_i. Let B be the
N = m n_v rows V_i A_i one below the other, N < p. The MAML flow keeps what is orthogonal to them and ends where
all residuals vanish, w - omega = (I - P)(w_0 - omega) + B^+ rho, P the projection on the rows of B. Rotations
leave the law of the rows as it is, so that E P = (N/p) I exactly. Given X and V, rho has the covariance
V_i [(nu^2/p) A_i^2 + (alpha^2 sigma^2/n_t) S_i] V_i' + sigma^2 I in the rows of a task. For N much smaller than p
and n_t the rows of B are orthogonal and ||A_i x||^2 is tr A_i^2; from E S = I, E S^2 = (1 + (p + 1)/n_t) I follows

    E||w - omega||^2 = (1 - N/p) ||w_0 - omega||^2 + (N/p) (nu^2 + sigma^2 (1 + alpha^2 p/n_t)/h(alpha, n_t)),
    h(alpha, n) = (1 - alpha)^2 + alpha^2 (p + 1)/n,

with a relative error of the order N/p + N/n_t. At alpha = 0 the noise's part is sigma^2 N/(p - N - 1) exactly.

*Testing* is exact: after the step the loss is

    sigma^2/2 (1 + alpha_r^2 p/n_r) + h(alpha_r, n_r)/2 (E||w - omega||^2 + nu^2).

*The best alphas.* Only (1 + a alpha^2)/(1 - 2 alpha + b alpha^2) depends on alpha, with a = p/n_t and
b = a + 1 + 1/n_t. Its derivative has the sign of 1 - (b - a) alpha - a alpha^2, which is positive at 0, so that it
falls up to the negative root

    alpha* = -(s + sqrt(s^2 + 4 a))/(2 a),   s = 1 + 1/n_t,

and rises from there through 0: whatever sigma > 0, nu and the start are. For p/n_t -> infinity it is -sqrt(n_t/p).
That of adaptation, E/(E (1 + (p + 1)/n_r) + sigma^2 p/n_r) with E = E||w - omega||^2 + nu^2, is positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from maml_ode._validation import Array, check_count, check_real
from maml_ode.flows import maml_flow
from maml_ode.integrate import solve
from maml_ode.tasks import LinearRegression

__all__ = ["MixedRegression"]

# Of ||grad F|| at the start; the flow ends where the gradient vanishes.
END = 1e-9
INTERVAL = 1.96


@dataclass(frozen=True)
class MixedRegression:
    """Mixed linear regression: formulas for what MAML comes to, and runs of the MAML flow on draws of it.

    Parameters
    ----------
    dim : int
        p.
    n_train, n_validation, n_tasks : int
        n_t, n_v and m; n_v m < p.
    n_adapt : int
        n_r.
    noise, spread : float
        sigma and nu.
    offset : float
        ||w_0 - omega||.

    Raises
    ------
    ValueError
        For numbers out of range, or as many rows n_v m as parameters.

    Examples
    --------
    >>> from maml_ode.experiments.mixed_regression import MixedRegression
    >>> model = MixedRegression()
    >>> round(model.best_alpha, 4)
    -1.0112
    >>> round(model.loss(model.best_alpha, 0.2) / model.loss(0.2, 0.2), 3)
    0.947
    """

    dim: int = 60
    n_train: int = 30
    n_validation: int = 2
    n_tasks: int = 3
    n_adapt: int = 20
    noise: float = 1.0
    spread: float = 0.5
    offset: float = 0.0

    def __post_init__(self) -> None:
        for name in ("dim", "n_train", "n_validation", "n_tasks", "n_adapt"):
            check_count(name, getattr(self, name))
        for name in ("noise", "spread", "offset"):
            check_real(name, getattr(self, name), minimum=0.0)
        if self.rows >= self.dim:
            raise ValueError(
                f"n_validation n_tasks = {self.rows} rows must be fewer than dim = {self.dim}: no w meets more of "
                "them, and the formulas are others."
            )

    @property
    def rows(self) -> int:
        """N = n_v m."""
        return self.n_validation * self.n_tasks

    def distance(self, alpha: float) -> float:
        """Return E||w - omega||^2 of where training with ``alpha`` ends, to leading order."""
        noise = (1.0 + alpha**2 * self.dim / self.n_train) / self._h(alpha, self.n_train)
        share = self.rows / self.dim
        return (1.0 - share) * self.offset**2 + share * (self.spread**2 + self.noise**2 * noise)

    def loss(self, alpha: float, alpha_adapt: float) -> float:
        """Return the expected loss of a new task after its step, to leading order."""
        return self.loss_at(self.distance(alpha), alpha_adapt)

    def loss_at(self, distance: float, alpha_adapt: float) -> float:
        """Return the expected loss of a new task after its step from a w with ||w - omega||^2 = ``distance``."""
        noise = self.noise**2 * (1.0 + alpha_adapt**2 * self.dim / self.n_adapt)
        return 0.5 * noise + 0.5 * self._h(alpha_adapt, self.n_adapt) * (distance + self.spread**2)

    @property
    def best_alpha(self) -> float:
        """The alpha of training that makes the loss least; always negative."""
        a, s = self.dim / self.n_train, 1.0 + 1.0 / self.n_train
        return -(s + math.sqrt(s * s + 4.0 * a)) / (2.0 * a)

    def best_alpha_adapt(self, alpha: float) -> float:
        """Return the alpha of adaptation that makes the loss least after training with ``alpha``."""
        away = self.distance(alpha) + self.spread**2
        bottom = away * (1.0 + (self.dim + 1.0) / self.n_adapt)
        return away / (bottom + self.noise**2 * self.dim / self.n_adapt)

    def _h(self, alpha: float, n: int) -> float:
        return (1.0 - alpha) ** 2 + alpha**2 * (self.dim + 1.0) / n

    def draw(
        self, seed: int | np.random.Generator, n_tasks: int | None = None
    ) -> tuple[LinearRegression, LinearRegression]:
        """Return tasks for the inner step, and the same tasks' rows that judge it; omega is 0."""
        rng, m, p = np.random.default_rng(seed), n_tasks or self.n_tasks, self.dim
        truth = self.spread / math.sqrt(p) * rng.standard_normal((m, p))

        def family(n: int) -> LinearRegression:
            X = rng.standard_normal((m, n, p))
            y = np.einsum("mnp,mp->mn", X, truth) + self.noise * rng.standard_normal((m, n))
            return LinearRegression(X, y, reduction="half_mean")

        return family(self.n_train), family(self.n_validation)

    def trained(self, alpha: float, seed: int | np.random.Generator) -> Array:
        """Return where the MAML flow on a draw ends."""
        support, query = self.draw(seed)
        flow = maml_flow(support, alpha, query=query)
        start = np.zeros(self.dim)
        start[0] = self.offset
        tol = END * float(np.linalg.norm(flow.objective.gradient(start)))
        return solve(flow, start, tol=tol, diagnostics=False).w

    def simulated(self, alpha: float, runs: int = 100, seed: int = 0) -> tuple[float, float]:
        """Return E||w - omega||^2 by so many runs of the flow: their mean, and half of its 95% interval.

        The same seed draws the same tasks for every alpha.
        """
        check_count("runs", runs, minimum=2)
        seeds = np.random.SeedSequence(seed).spawn(runs)
        found = [self.trained(alpha, np.random.default_rng(one)) for one in seeds]
        squares = np.array([float(w @ w) for w in found])
        return float(squares.mean()), INTERVAL * float(squares.std(ddof=1)) / math.sqrt(runs)
