"""SciPy's solve_ivp (and extensisq's methods for it) with NumPy's or this package's gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.problems import TOL, Affine, Margin

__all__ = ["extensisq_method", "least_squares_numpy", "margin_numpy", "solve"]

Function = Callable[[np.ndarray], np.ndarray]


def solve(
    gradient: Function,
    rtol: float,
    atol: float,
    method: Any = "DOP853",
    hessian: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Function:
    """Return w0 -> the state at which a terminal event finds ||grad F|| <= 1e-8."""
    from scipy.integrate import solve_ivp

    def met(t: float, w: np.ndarray) -> float:
        g = gradient(w)
        return float(np.sqrt(g @ g)) - TOL * (1 - 1e-6)

    met.terminal = True  # type: ignore[attr-defined]
    extra = {} if hessian is None else {"jac": lambda t, w: -hessian(w)}

    def run(w0: np.ndarray) -> np.ndarray:
        found = solve_ivp(
            lambda t, w: -gradient(w),
            (0.0, 1e6),
            w0,
            method=method,
            rtol=rtol,
            atol=atol,
            events=met,
            **extra,
        )
        return np.asarray(found.y[:, -1])

    return run


def extensisq_method(name: str) -> Any:
    """Return one of extensisq's methods for solve_ivp."""
    import extensisq

    return getattr(extensisq, name)


def least_squares_numpy(problem: Affine) -> Function:
    """Return grad F over tasks and samples in NumPy."""
    parts = list(zip(problem.X, problem.y, problem.weight, strict=True))
    alpha = problem.alpha

    def gradient(w: np.ndarray) -> np.ndarray:
        total = np.zeros_like(w)
        for X, y, s in parts:
            u = w - alpha * 2 * s * (X.T @ (X @ w - y))
            q = 2 * s * (X.T @ (X @ u - y))
            total += q - alpha * 2 * s * (X.T @ (X @ q))
        return total / len(parts)

    return gradient


def margin_numpy(problem: Margin) -> Function:
    """Return grad F of logistic tasks in NumPy, all tasks in one matmul."""
    from scipy.special import expit

    X, y = problem.X, problem.y
    Xt, n = np.ascontiguousarray(X.transpose(0, 2, 1)), X.shape[1]
    alpha, l2, s = problem.alpha, problem.l2, problem.smoothing

    def slope(m: np.ndarray) -> np.ndarray:
        if problem.loss == "logistic":
            return -expit(-m)
        t = (1 - m) / s
        return -2 * s * np.logaddexp(0.0, t) * expit(t)

    def curvature(m: np.ndarray) -> np.ndarray:
        if problem.loss == "logistic":
            return expit(m) * expit(-m)
        t = (1 - m) / s
        p = expit(t)
        return 2 * p * p + 2 * np.logaddexp(0.0, t) * p * (1 - p)

    def times(A: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.matmul(A, v[..., None])[..., 0]

    def gradient(w: np.ndarray) -> np.ndarray:
        m = y * (X @ w)
        u = w - alpha * (times(Xt, y * slope(m)) / n + l2 * w)
        q = times(Xt, y * slope(y * times(X, u))) / n + l2 * u
        return (q - alpha * (times(Xt, curvature(m) * times(X, q)) / n + l2 * q)).mean(axis=0)

    return gradient
