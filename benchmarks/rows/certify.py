"""What theory says, in seconds: no peer does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import maml_ode as mo
from benchmarks import problems
from benchmarks.race import Contender, Timing, race

__all__ = ["logistic_100", "logistic_784"]


def _race(d: int, rounds: int) -> list[Timing]:
    problem = problems.logistic(50, 300, d)

    def build() -> tuple[Callable[[], Any], Callable[[Any], float]]:
        call = lambda: mo.theory.certify(problem.tasks, problem.alpha, w0=problem.w0)
        return call, lambda certificates: float("nan")

    return race("", [Contender("maml_ode", build, True)], unit="call", rounds=max(2, rounds // 5))


def logistic_100(rounds: int) -> list[Timing]:
    """Logistic tasks with d = 100."""
    return _race(100, rounds)


def logistic_784(rounds: int) -> list[Timing]:
    """Logistic tasks with d = 784."""
    return _race(784, rounds)
