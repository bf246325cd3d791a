"""The discrete algorithms, all iterates kept; times are per step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import maml_ode as mo
from benchmarks import problems
from benchmarks.peers import jax_side, scipy_side
from benchmarks.race import Contender, Timing, race

__all__ = ["linear", "logistic"]


def _loop(gradient: Callable[[Any], Any], w0: np.ndarray, step_size: float, n: int) -> np.ndarray:
    path = np.empty((n, len(w0)))
    w = w0
    for k in range(n):
        w = w - step_size * gradient(w)
        path[k] = w
    return path


def _race(
    flow: mo.Flow,
    w0: np.ndarray,
    beta: float,
    n: int,
    numpy_gradient: Callable[[Any], Any],
    scans: dict[str, Callable[[], Any]],
    rounds: int,
) -> list[Timing]:
    truth = _loop(numpy_gradient, w0, beta, n)[-1]
    error = lambda path: float(np.linalg.norm(np.asarray(path)[-1] - truth))

    def scan(name: str, field: Callable[[], Any]) -> Contender:
        def build() -> tuple[Callable[[], Any], Callable[[Any], float]]:
            run = jax_side.euler_scan(field(), beta, n)
            return (lambda: run(w0)), error

        return Contender(name, build, calls=n)

    def euler(name: str, **options: Any) -> Contender:
        call = lambda: mo.euler(flow, w0, beta, max_iter=n, **options).y.T
        return Contender(name, lambda: (call, error), True, n)

    contenders = [
        euler("maml_ode.euler, without diagnostics", diagnostics=False),
        euler("maml_ode.euler, default"),
        *(scan(name, field) for name, field in scans.items()),
        Contender(
            "NumPy loop", lambda: ((lambda: _loop(numpy_gradient, w0, beta, n)), error), calls=n
        ),
    ]
    return race("", contenders, unit="step", rounds=rounds)


def linear(rounds: int) -> list[Timing]:
    """10,000 steps on the paper's linear regression."""
    problem = problems.linear_regression()
    flow = mo.maml_flow(problem.tasks, problem.alpha)
    scans = {"JAX scan, aggregated": lambda: jax_side.affine_field(problem)}
    gradient = lambda w: problem.G @ w - problem.c
    return _race(flow, problem.w0, problem.beta, 10_000, gradient, scans, rounds)


def logistic(rounds: int) -> list[Timing]:
    """1,000 steps of logistic MAML, M = 10, n = 100, d = 20."""
    problem = problems.logistic(10, 100, 20)
    flow = mo.maml_flow(problem.tasks, problem.alpha)
    scans = {"JAX scan, by hand": lambda: jax_side.margin_functions(problem)}
    gradient = scipy_side.margin_numpy(problem)
    return _race(flow, problem.w0, problem.beta, 1_000, gradient, scans, rounds)
