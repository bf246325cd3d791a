"""The problems that everybody solves, as plain arrays and as this package's families."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import maml_ode as mo

__all__ = [
    "Affine",
    "Margin",
    "diabetes",
    "linear_regression",
    "logistic",
    "sinusoid",
    "squared_hinge",
]

TOL = 1e-8


@dataclass(frozen=True)
class Affine:
    """grad F(w) = G w - c, of least-squares tasks X (list of arrays), y with MAML's inner step alpha."""

    name: str
    X: list[np.ndarray]
    y: list[np.ndarray]
    weight: list[float]  # of a squared residual: 1/n for the mean, 1 for the sum
    alpha: float
    beta: float
    w0: np.ndarray
    tasks: Any
    G: np.ndarray
    c: np.ndarray

    def error(self, w: np.ndarray) -> float:
        """Return ||grad F(w)||, what all were asked to bring to 1e-8."""
        return float(np.linalg.norm(self.G @ np.asarray(w) - self.c))


def _affine(name: str) -> Affine:
    e = mo.experiments.load(name)
    X = [np.ascontiguousarray(x) for x in e.tasks.X]
    y = [np.ascontiguousarray(v) for v in e.tasks.y]
    mean = name == "linear_regression"
    weight = [1.0 / len(v) if mean else 1.0 for v in y]
    d = e.tasks.dim
    G, c = np.zeros((d, d)), np.zeros(d)
    for x, v, s in zip(X, y, weight, strict=True):
        H, b = 2 * s * x.T @ x, 2 * s * x.T @ v
        A = np.eye(d) - e.alpha * H
        G += A @ H @ A / len(X)
        c += A @ (b - e.alpha * H @ b) / len(X)
    return Affine(name, X, y, weight, e.alpha, e.beta, e.w0, e.tasks, G, c)


def linear_regression() -> Affine:
    """The paper's synthetic linear regression: M = 10, n = 100, d = 20, mean loss."""
    return _affine("linear_regression")


def diabetes() -> Affine:
    """The paper's Diabetes tasks: M = 4, n = 77 to 130, d = 8, summed loss."""
    return _affine("diabetes")


@dataclass(frozen=True)
class Margin:
    """Tasks with losses of the margin y x'w: X (M, n, d), y (M, n), an l2 term, MAML's alpha."""

    loss: str  # "logistic" or "squared hinge"
    X: np.ndarray
    y: np.ndarray
    l2: float
    alpha: float
    beta: float
    w0: np.ndarray
    tasks: Any
    smoothing: float = 0.1

    @property
    def objective(self) -> Any:
        """F, as this package writes it."""
        return mo.MAMLLoss(self.tasks, self.alpha)

    def error(self, w: np.ndarray) -> float:
        """Return ||grad F(w)||."""
        return float(np.linalg.norm(self.objective.gradient(np.asarray(w, dtype=float))))


def _data(M: int, n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((M, n, d))
    truth = rng.standard_normal((M, d)) / np.sqrt(d)
    y = np.where(
        np.einsum("mnd,md->mn", X, truth) + 0.5 * rng.standard_normal((M, n)) > 0, 1.0, -1.0
    )
    return X, y, rng.standard_normal(d) / np.sqrt(d)


def logistic(M: int, n: int, d: int, l2: float = 0.1, alpha: float = 0.3) -> Margin:
    """Logistic regression with an l2 term."""
    X, y, w0 = _data(M, n, d)
    return Margin("logistic", X, y, l2, alpha, 0.1, w0, mo.tasks.LogisticRegression(X, y, l2=l2))


def squared_hinge(M: int, n: int, d: int, l2: float = 0.1, alpha: float = 0.02) -> Margin:
    """The squared hinge loss, smoothed by softplus, with an l2 term."""
    X, y, w0 = _data(M, n, d)
    tasks = mo.tasks.SVM(X, y, loss="smooth_squared_hinge", smoothing=0.1, l2=l2)
    return Margin("squared hinge", X, y, l2, alpha, 0.02, w0, tasks)


def sinusoid() -> Any:
    """Figure 1's two tasks, with the inner step .01 at which F has one minimum near every start."""
    return mo.experiments.load("figure1", alpha=0.01)
