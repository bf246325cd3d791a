"""Task families made to break inequalities, and a search for the worst of them.

The losses have the second derivative mu + h_i sech^2((w - s_i)/e_i), a floor with one bump:

    f_i(w) = mu w^2/2 + c_i w + h_i e_i^2 log cosh((w - s_i)/e_i).

The Hessian at w and its average over the step w -> w - alpha f_i' can then be chosen almost
independently, which is what a counterexample needs. mu, L = mu + max h_i and kappa = max 4 h_i/(3
sqrt(3) e_i) are attained; sigma is bounded from above by sampling and a Lipschitz constant, so that
a violation found is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from maml_ode._validation import Array, check_count
from maml_ode.tasks.symbolic.family import Symbolic

__all__ = ["BumpTasks", "Search", "search"]

Measure = Callable[["BumpTasks"], tuple[Array, Array]]


@dataclass(frozen=True, eq=False)
class BumpTasks:
    """S families of M tasks at once; per-task arrays have shape (M, S), the others (S,).

    Every family is looked at from w = 0.
    """

    alpha: Array
    mu: Array
    weights: Array
    linear: Array
    height: Array
    width: Array
    place: Array

    @property
    def L(self) -> Array:
        """Largest second derivative, shape (S,)."""
        return np.asarray(self.mu + self.height.max(axis=0))

    @property
    def kappa(self) -> Array:
        """Lipschitz constant of the second derivatives, shape (S,)."""
        return np.asarray(4.0 / (3.0 * np.sqrt(3.0)) * (self.height / self.width).max(axis=0))

    def first(self, w: Array | float) -> Array:
        """Return f_i'(w), shape (M, S)."""
        bump = self.height * self.width * np.tanh((w - self.place) / self.width)
        return np.asarray(self.mu * w + self.linear + bump)

    def second(self, w: Array | float) -> Array:
        """Return f_i''(w), shape (M, S)."""
        t = np.tanh((w - self.place) / self.width)
        return np.asarray(self.mu + self.height * (1.0 - t * t))

    def third(self, w: Array | float) -> Array:
        """Return f_i'''(w), shape (M, S)."""
        t = np.tanh((w - self.place) / self.width)
        return np.asarray(-2.0 * self.height / self.width * (1.0 - t * t) * t)

    def mean(self, values: Array) -> Array:
        """Return sum p_i values_i."""
        return np.asarray((self.weights * values).sum(axis=0))

    def deviation(self, w: Array | float) -> Array:
        """Return sd(w), shape (S,)."""
        g = self.first(w)
        return np.sqrt(self.mean((g - self.mean(g)) ** 2))

    @property
    def sigma(self) -> Array:
        """An upper bound of sup sd.

        Between two points |sd'| is at most the standard deviation of the f_i'', hence at most half
        the largest h_i sech^2 at the two; beyond 12 widths from all bumps sd is constant to 1e-9 of
        h_i e_i.
        """
        grid = np.linspace(-12.0, 12.0, 97)  # with 0: the crests are among the points
        reach = self.place[:, None] + self.width[:, None] * grid[:, None]
        nodes = np.sort(np.concatenate([*reach, np.zeros((1, self.mu.size))]), axis=0)
        values = np.array([self.deviation(w) for w in nodes])
        bumps = np.array([(self.second(w) - self.mu).max(axis=0) for w in nodes])
        slope = 0.5 * np.maximum(bumps[1:], bumps[:-1])
        between = 0.5 * (values[1:] + values[:-1] + slope * np.diff(nodes, axis=0))
        rest = 1e-9 * (self.height * self.width).max(axis=0)
        return np.asarray(np.maximum(values.max(axis=0), between.max(axis=0)) + rest)

    @property
    def adapted(self) -> Array:
        """v_i = f_i'(u_i), shape (M, S)."""
        return self.first(-self.alpha * self.first(0.0))

    @property
    def gradient_of_F(self) -> Array:
        """F'(0), shape (S,)."""
        return self.mean((1.0 - self.alpha * self.second(0.0)) * self.adapted)

    @property
    def hessian_of_F(self) -> Array:
        """F''(0), shape (S,)."""
        A = 1.0 - self.alpha * self.second(0.0)
        bend = A * A * self.second(-self.alpha * self.first(0.0))
        return self.mean(bend - self.alpha * self.third(0.0) * self.adapted)

    def family(self, k: int = 0) -> tuple[Symbolic, float]:
        """Return family ``k`` as a `Symbolic` family, and its alpha."""
        values = {
            "mu": np.full(self.linear.shape[0], self.mu[k]),
            "c": self.linear[:, k],
            "h": self.height[:, k],
            "e": self.width[:, k],
            "s": self.place[:, k],
        }
        formula = "mu*w**2/2 + c*w + h*e**2*log(cosh((w - s)/e))"
        return Symbolic(formula, "w", values, self.weights[:, k]), float(self.alpha[k])


@dataclass(frozen=True, eq=False)
class Search:
    """The outcome of a search for a violation.

    Attributes
    ----------
    margin : float
        The smallest margin found among families that meet the hypotheses; negative: a violation.
    violated : bool
    evaluations : int
    seed : int
    tasks : BumpTasks
        The family with that margin.
    """

    margin: float
    violated: bool
    evaluations: int
    seed: int
    tasks: BumpTasks


def search(
    measure: Measure,
    *,
    n_tasks: int,
    alpha_L: tuple[float, float],
    curvature: tuple[float, float] = (0.0, 0.0),
    budget: int = 20_000,
    seed: int = 0,
) -> Search:
    """Minimise a margin over families of bump tasks by differential evolution (SciPy).

    Parameters
    ----------
    measure : callable
        Maps S families to their margins and to their excess over the hypotheses (<= 0: met), each
        of shape (S,).
    n_tasks : int
        M.
    alpha_L : tuple of float
        Range of alpha L.
    curvature : tuple of float
        Range of log10 L, for statements that change with the units.
    budget : int
        Number of families evaluated, about.
    seed : int
    """
    from scipy.optimize import differential_evolution

    M, most = check_count("n_tasks", n_tasks), check_count("budget", budget)
    bounds = [
        alpha_L, (0.001, 0.999), curvature,
        *[(-2.5, 2.5)] * M, *[(-3.0, 3.0)] * M, *[(0.0, 1.0)] * M, *[(-2.5, 1.5)] * M,
        *[(-3.0, 3.0)] * M,
    ]  # fmt: skip
    population = 6 * len(bounds)
    count = 0

    def objective(z: Array) -> Array:
        nonlocal count
        columns = z.reshape(len(bounds), -1)
        count += columns.shape[1]
        margin, excess = measure(_families(columns, M))
        # any family that meets the hypotheses beats any that does not
        return np.where(excess <= 0, np.arctan(margin), 10.0 + np.maximum(excess, 0.0))

    found = differential_evolution(
        objective,
        bounds,
        popsize=6,
        maxiter=max(1, most // population - 1),
        tol=0.0,
        atol=0.0,
        polish=False,
        updating="deferred",
        vectorized=True,
        seed=np.random.default_rng(seed),
    )
    tasks = _families(np.asarray(found.x).reshape(-1, 1), M)
    margin, excess = measure(tasks)
    least = float(margin[0]) if excess[0] <= 0 else np.inf
    return Search(least, least < 0, count, seed, tasks)


def _families(z: Array, M: int) -> BumpTasks:
    x, ratio, curvature = z[0], z[1], z[2]
    logits, linear, share, width, place = z[3:].reshape(5, M, -1)
    weights = np.exp(logits - logits.max(axis=0))
    weights /= weights.sum(axis=0)
    top = 10.0**curvature
    share = share / np.maximum(share.max(axis=0), 1e-12)
    widths = 10.0**width
    return BumpTasks(
        alpha=x / top,
        mu=ratio * top,
        weights=weights,
        linear=linear * top,
        height=share * (1.0 - ratio) * top,
        width=widths,
        place=place * widths,
    )
