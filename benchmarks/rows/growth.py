"""How grad F of logistic tasks grows with the number of tasks, samples and parameters."""

from __future__ import annotations

from benchmarks import problems
from benchmarks.peers import jax_side
from benchmarks.race import Contender, Timing, race
from benchmarks.rows.kernels import _jitted

__all__ = ["gradient"]

SIZES = [(10, 100, 20), (40, 100, 20), (160, 100, 20), (10, 400, 20), (10, 1600, 20)]
SIZES += [(10, 100, 80), (10, 100, 320), (10, 100, 1280)]


def _no_error(result: object) -> float:
    return float("nan")


def gradient(rounds: int) -> list[Timing]:
    """Grad F at eight sizes."""
    found = []
    for M, n, d in SIZES:
        problem = problems.logistic(M, n, d)
        F, w, size = problem.objective, problem.w0, f"M {M}, n {n}, d {d}"
        ours = lambda F=F, w=w: ((lambda: F.gradient(w)), _no_error)
        peer = lambda p=problem, w=w: (
            _jitted(lambda: jax_side.margin_functions(p), w),
            _no_error,
        )
        found += race(
            "",
            [
                Contender(f"maml_ode, {size}", ours, True),
                Contender(f"JAX by hand, {size}", peer),
            ],
            unit="call",
            rounds=max(3, rounds // 3),
        )
    return found
