"""Many starts at once, to ||grad F|| <= 1e-8 each; times are per member."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import maml_ode as mo
from benchmarks import problems
from benchmarks.peers import jax_side
from benchmarks.peers.tolerance import loosest
from benchmarks.race import Contender, Timing, race

__all__ = ["linear", "logistic"]


Make = Callable[[float, float], Callable[[Any], Any]]


def _starts(K: int, w0: np.ndarray) -> np.ndarray:
    return w0 + np.random.default_rng(2).standard_normal((K, len(w0)))


def _contenders(
    flow: mo.Flow,
    W0: np.ndarray,
    error: Callable[[Any], float],
    fields: dict[str, Callable[[], Any]],
    methods: list[str],
) -> list[Contender]:
    K = len(W0)
    worst = lambda W: max(error(w) for w in np.asarray(W))

    def ensemble(method: str) -> Contender:
        call = lambda: mo.ensemble(flow, W0, method=method).w
        return Contender(f"maml_ode.ensemble, {method}", lambda: (call, worst), True, K)

    def at_loosest(name: str, make: Callable[[], Make], ours: bool) -> Contender:
        def build() -> tuple[Callable[[], Any], Callable[[Any], float]]:
            run, _ = loosest(make(), W0, worst, seconds=60.0)
            return (lambda: run(W0)), worst

        return Contender(name, build, ours, K)

    def stepped(rtol: float, atol: float) -> Callable[[Any], Any]:
        return lambda W: mo.ensemble(flow, W, method="DOP853", rtol=rtol, atol=atol).w

    def vmapped(name: str, field: Callable[[], Any]) -> Contender:
        return at_loosest(name, lambda: jax_side.solves_of_many(field()), False)

    one_by_one = lambda: np.array([mo.solve(flow, w, diagnostics=False).w for w in W0])
    return [
        *(ensemble(method) for method in methods),
        at_loosest("maml_ode.ensemble, DOP853, loosest tolerance", lambda: stepped, True),
        Contender("maml_ode.solve, one by one", lambda: (one_by_one, worst), True, K),
        *(vmapped(name, field) for name, field in fields.items()),
    ]


def linear(rounds: int) -> list[Timing]:
    """1,000 starts of the paper's linear regression."""
    problem = problems.linear_regression()
    flow = mo.maml_flow(problem.tasks, problem.alpha)
    fields = {"diffrax vmap, aggregated": lambda: jax_side.affine_field(problem)}
    contenders = _contenders(
        flow, _starts(1000, problem.w0), problem.error, fields, ["auto", "DOP853", "Tsit5"]
    )
    return race("", contenders, unit="member", rounds=max(3, rounds // 3))


def logistic(rounds: int) -> list[Timing]:
    """100 starts of logistic MAML, M = 10, n = 100, d = 20."""
    problem = problems.logistic(10, 100, 20)
    flow = mo.maml_flow(problem.tasks, problem.alpha)
    fields = {"diffrax vmap, by hand": lambda: jax_side.margin_functions(problem)}
    contenders = _contenders(
        flow, _starts(100, problem.w0), problem.error, fields, ["auto", "DOP853"]
    )
    return race("", contenders, unit="member", rounds=max(3, rounds // 3))
