"""grad F and Hess F v, one call, beside jitted JAX by hand and NumPy; with the fraction of the roofline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import problems
from benchmarks.peers import jax_side, scipy_side
from benchmarks.race import Contender, Timing, race

__all__ = [
    "hinge_20",
    "hinge_784",
    "hvp_hinge_20",
    "hvp_hinge_784",
    "hvp_logistic_20",
    "hvp_logistic_784",
    "logistic_20",
    "logistic_784",
]


def _jitted(make: Callable[[], Any], *points: np.ndarray) -> Callable[[], Any]:
    import jax

    run = jax.jit(make())
    placed = [jax.device_put(p) for p in points]
    return lambda: run(*placed).block_until_ready()


def _gradient(problem: problems.Margin, rounds: int) -> list[Timing]:
    F, w = problem.objective, problem.w0
    truth = scipy_side.margin_numpy(problem)(w)
    error = lambda g: float(np.linalg.norm(np.asarray(g) - truth) / np.linalg.norm(truth))
    numpy_gradient = scipy_side.margin_numpy(problem)
    contenders = [
        Contender("maml_ode", lambda: ((lambda: F.gradient(w)), error), ours=True),
        Contender(
            "JAX, by hand",
            lambda: (_jitted(lambda: jax_side.margin_functions(problem), w), error),
        ),
        Contender(
            "JAX, autodiff",
            lambda: (_jitted(lambda: jax_side.margin_functions(problem, autodiff=True), w), error),
        ),
        Contender("NumPy", lambda: ((lambda: numpy_gradient(w)), error)),
    ]
    return race("", contenders, unit="call", rounds=rounds)


def _hvp(problem: problems.Margin, rounds: int) -> list[Timing]:
    F, w = problem.objective, problem.w0
    v = np.random.default_rng(1).standard_normal(len(w))
    step = 1e-5 / np.linalg.norm(v)
    # Central differences of NumPy's gradient: an oracle to about ten digits.
    numpy_gradient = scipy_side.margin_numpy(problem)
    truth = (numpy_gradient(w + step * v) - numpy_gradient(w - step * v)) / (2 * step)
    error = lambda g: float(np.linalg.norm(np.asarray(g) - truth) / np.linalg.norm(truth))

    def by_jvp() -> Any:
        import jax

        gradient = jax_side.margin_functions(problem)
        return lambda w, v: jax.jvp(gradient, (w,), (v,))[1]

    contenders = [
        Contender("maml_ode", lambda: ((lambda: F.hvp(w, v)), error), ours=True),
        Contender(
            "JAX, by hand", lambda: (_jitted(lambda: jax_side.margin_hvp(problem), w, v), error)
        ),
        Contender("JAX, jvp of the hand-written gradient", lambda: (_jitted(by_jvp, w, v), error)),
    ]
    return race("", contenders, unit="call", rounds=rounds)


def logistic_20(rounds: int) -> list[Timing]:
    """Grad F of logistic tasks, 50 x 300 x 20."""
    return _gradient(problems.logistic(50, 300, 20), rounds)


def hinge_20(rounds: int) -> list[Timing]:
    """Grad F of smooth squared hinge tasks, 50 x 300 x 20."""
    return _gradient(problems.squared_hinge(50, 300, 20), rounds)


def logistic_784(rounds: int) -> list[Timing]:
    """Grad F of logistic tasks, 10 x 200 x 784."""
    return _gradient(problems.logistic(10, 200, 784), rounds)


def hinge_784(rounds: int) -> list[Timing]:
    """Grad F of smooth squared hinge tasks, 10 x 200 x 784."""
    return _gradient(problems.squared_hinge(10, 200, 784), rounds)


def hvp_logistic_20(rounds: int) -> list[Timing]:
    """Hess F v of logistic tasks, 50 x 300 x 20."""
    return _hvp(problems.logistic(50, 300, 20), rounds)


def hvp_hinge_20(rounds: int) -> list[Timing]:
    """Hess F v of smooth squared hinge tasks, 50 x 300 x 20."""
    return _hvp(problems.squared_hinge(50, 300, 20), rounds)


def hvp_logistic_784(rounds: int) -> list[Timing]:
    """Hess F v of logistic tasks, 10 x 200 x 784."""
    return _hvp(problems.logistic(10, 200, 784), rounds)


def hvp_hinge_784(rounds: int) -> list[Timing]:
    """Hess F v of smooth squared hinge tasks, 10 x 200 x 784."""
    return _hvp(problems.squared_hinge(10, 200, 784), rounds)
