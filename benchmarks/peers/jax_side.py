"""JAX and diffrax: derivatives by hand and by autodiff, solves, ensembles and scans, all jitted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.problems import TOL, Affine, Margin

__all__ = [
    "affine_field",
    "euler_scan",
    "least_squares_field",
    "margin_functions",
    "margin_hvp",
    "sinusoid_field",
    "solves",
    "solves_of_many",
]

Function = Callable[[Any], Any]


def _jax() -> tuple[Any, Any]:
    import jax
    import jax.numpy as jnp

    return jax, jnp


def affine_field(problem: Affine) -> Function:
    """Return w -> grad F(w) = G w - c, given this package's aggregation."""
    _, jnp = _jax()
    G, c = jnp.asarray(problem.G), jnp.asarray(problem.c)
    return lambda w: G @ w - c


def _same_length(problem: Affine) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pad tasks with rows of zeros to the longest, which changes no sum."""
    n = max(len(v) for v in problem.y)
    X = np.stack([np.pad(x, ((0, n - len(x)), (0, 0))) for x in problem.X])
    y = np.stack([np.pad(v, (0, n - len(v))) for v in problem.y])
    return X, y, np.asarray(problem.weight)


def least_squares_field(problem: Affine, *, autodiff: bool) -> Function:
    """Return grad F over tasks and samples, by hand or by differentiating through the inner step."""
    jax, jnp = _jax()
    X, y, s = (jnp.asarray(a) for a in _same_length(problem))
    alpha = problem.alpha

    def task_loss(w: Any, X: Any, y: Any, s: Any) -> Any:
        return s * jnp.sum((X @ w - y) ** 2)

    def by_hand(w: Any, X: Any, y: Any, s: Any) -> Any:
        u = w - alpha * 2 * s * (X.T @ (X @ w - y))
        q = 2 * s * (X.T @ (X @ u - y))
        return q - alpha * 2 * s * (X.T @ (X @ q))

    def adapted(w: Any) -> Any:
        one = lambda X, y, s: task_loss(w - alpha * jax.grad(task_loss)(w, X, y, s), X, y, s)
        return jnp.mean(jax.vmap(one)(X, y, s))

    if autodiff:
        return jax.grad(adapted)
    return lambda w: jnp.mean(jax.vmap(partial(by_hand, w))(X, y, s), axis=0)


def _scalar_loss(problem: Margin) -> tuple[Function, Function, Function, Function]:
    """Return phi of the margin m = y x'w and its three derivatives."""
    jax, jnp = _jax()
    if problem.loss == "logistic":
        sigma = jax.nn.sigmoid
        return (
            lambda m: jax.nn.softplus(-m),
            lambda m: -sigma(-m),
            lambda m: sigma(m) * sigma(-m),
            lambda m: sigma(m) * sigma(-m) * (1 - 2 * sigma(m)),
        )
    s = problem.smoothing

    def h(m: Any) -> tuple[Any, Any]:
        t = (1 - m) / s
        return s * jax.nn.softplus(t), jax.nn.sigmoid(t)

    def slope(m: Any) -> Any:
        value, p = h(m)
        return -2 * value * p

    def curvature(m: Any) -> Any:
        value, p = h(m)
        return 2 * p * p + 2 * value * p * (1 - p) / s

    def third(m: Any) -> Any:
        value, p = h(m)
        return -(6 * p * p * (1 - p) / s + 2 * value * p * (1 - p) * (1 - 2 * p) / s**2)

    del jnp
    return lambda m: h(m)[0] ** 2, slope, curvature, third


def margin_functions(problem: Margin, *, autodiff: bool = False) -> Function:
    """Return grad F of logistic or squared-hinge tasks, by hand or by autodiff."""
    jax, jnp = _jax()
    X, y = jnp.asarray(problem.X), jnp.asarray(problem.y)
    n, alpha, l2 = X.shape[1], problem.alpha, problem.l2
    loss, slope, curvature, _ = _scalar_loss(problem)

    def by_hand(w: Any, X: Any, y: Any) -> Any:
        m = y * (X @ w)
        u = w - alpha * (X.T @ (y * slope(m)) / n + l2 * w)
        q = X.T @ (y * slope(y * (X @ u))) / n + l2 * u
        return q - alpha * (X.T @ (curvature(m) * (X @ q)) / n + l2 * q)

    def task_loss(w: Any, X: Any, y: Any) -> Any:
        return jnp.mean(loss(y * (X @ w))) + l2 / 2 * jnp.sum(w * w)

    def adapted(w: Any) -> Any:
        one = lambda X, y: task_loss(w - alpha * jax.grad(task_loss)(w, X, y), X, y)
        return jnp.mean(jax.vmap(one)(X, y))

    if autodiff:
        return jax.grad(adapted)
    return lambda w: jnp.mean(jax.vmap(partial(by_hand, w))(X, y), axis=0)


def margin_hvp(problem: Margin) -> Callable[[Any, Any], Any]:
    """Return (w, v) -> Hess F(w) v by hand: A H(u) A v - alpha T(w)[v] q for every task."""
    jax, jnp = _jax()
    X, y = jnp.asarray(problem.X), jnp.asarray(problem.y)
    n, alpha, l2 = X.shape[1], problem.alpha, problem.l2
    _, slope, curvature, third = _scalar_loss(problem)

    def one(w: Any, v: Any, X: Any, y: Any) -> Any:
        m, Xv = y * (X @ w), X @ v
        c = curvature(m)
        u = w - alpha * (X.T @ (y * slope(m)) / n + l2 * w)
        a = v - alpha * (X.T @ (c * Xv) / n + l2 * v)
        k = y * (X @ u)
        q = X.T @ (y * slope(k)) / n + l2 * u
        b = X.T @ (curvature(k) * (X @ a)) / n + l2 * a
        Xb, Xq = X @ b, X @ q
        return b - alpha * (X.T @ (c * Xb + y * third(m) * Xv * Xq) / n + l2 * b)

    return lambda w, v: jnp.mean(jax.vmap(partial(one, w, v))(X, y), axis=0)


def sinusoid_field(a: np.ndarray, b: np.ndarray, omega: np.ndarray, alpha: float) -> Function:
    """Return grad F of f_i = a w^2 - b sin(omega w), by hand."""
    _, jnp = _jax()
    a, b, omega = (jnp.asarray(x) for x in (a, b, omega))

    def gradient(w: Any) -> Any:
        u = w - alpha * (2 * a * w - b * omega * jnp.cos(omega * w))
        q = 2 * a * u - b * omega * jnp.cos(omega * u)
        bend = 2 * a + b * omega**2 * jnp.sin(omega * w)
        return jnp.mean((1 - alpha * bend) * q, keepdims=True)

    return gradient


def _end_state(gradient: Function, solver: str) -> Callable[[Any, Any, Any], Any]:
    """Return (w0, rtol, atol) -> the state at which ||grad F|| <= 1e-8, by diffrax with an event.

    The tolerances are arguments, so that trying others compiles nothing.
    """
    import diffrax

    _, jnp = _jax()
    event = diffrax.Event(lambda t, y, args, **kw: jnp.linalg.norm(gradient(y)) <= TOL)
    setting = {
        "terms": diffrax.ODETerm(lambda t, y, args: -gradient(y)),
        "solver": getattr(diffrax, solver)(),
        "t0": 0.0,
        "t1": 1e6,
        "dt0": None,
        "event": event,
        "max_steps": 5_000,
        "throw": False,
    }

    def run(w0: Any, rtol: Any, atol: Any) -> Any:
        control = diffrax.PIDController(rtol=rtol, atol=atol)
        return diffrax.diffeqsolve(y0=w0, stepsize_controller=control, **setting).ys[-1]

    return run


def solves(gradient: Function, solver: str = "Dopri8") -> Callable[[float, float], Function]:
    """Return (rtol, atol) -> a jitted solve from w0."""
    jax, _ = _jax()
    run = jax.jit(_end_state(gradient, solver))
    return lambda rtol, atol: lambda w0: run(w0, rtol, atol).block_until_ready()


def solves_of_many(
    gradient: Function, solver: str = "Dopri8"
) -> Callable[[float, float], Function]:
    """Return (rtol, atol) -> a solve from the rows of W0 (K, d), by vmap."""
    jax, _ = _jax()
    run = jax.jit(jax.vmap(_end_state(gradient, solver), in_axes=(0, None, None)))
    return lambda rtol, atol: lambda W0: run(W0, rtol, atol).block_until_ready()


def euler_scan(gradient: Function, step_size: float, n_steps: int) -> Function:
    """Return w0 -> all iterates of w - step_size grad F(w), by a jitted scan."""
    jax, _ = _jax()

    def step(w: Any, _: Any) -> tuple[Any, Any]:
        w = w - step_size * gradient(w)
        return w, w

    run = jax.jit(lambda w0: jax.lax.scan(step, w0, None, length=n_steps)[1])
    return lambda w0: run(w0).block_until_ready()
