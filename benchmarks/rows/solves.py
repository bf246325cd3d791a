"""Single solves until ||grad F|| <= 1e-8, every peer at the quickest tolerance with which it arrives."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import maml_ode as mo
from benchmarks import problems
from benchmarks.peers import cyrk_side, jax_side, scipy_side, torch_side
from benchmarks.peers.tolerance import loosest
from benchmarks.race import Contender, Timing, race

__all__ = [
    "diabetes_aggregated",
    "diabetes_per_sample",
    "linear_aggregated",
    "linear_per_sample",
    "logistic",
    "sinusoid",
    "squared_hinge",
]

Make = Callable[[float, float], Callable[[Any], Any]]


def ours(flow: mo.Flow, w0: np.ndarray, error: Callable[[Any], float], **options: Any) -> Contender:
    """Return this package's solve as a contender."""
    method = options.get("method", "auto")

    def build() -> tuple[Callable[[], Any], Callable[[Any], float]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call = lambda: mo.solve(flow, w0, diagnostics=False, **options).w
            call()
        return call, error

    return Contender(f"maml_ode, {method}", build, ours=True)


def ours_at_loosest(
    flow: mo.Flow, w0: np.ndarray, error: Callable[[Any], float], method: str
) -> Contender:
    """Return this package's solve at the tolerance that peers are given, found in the same way."""

    def make(rtol: float, atol: float) -> Callable[[Any], Any]:
        return lambda w: mo.solve(flow, w, diagnostics=False, method=method, rtol=rtol, atol=atol).w

    contender = peer(f"maml_ode, {method}, loosest tolerance", lambda: make, w0, error)
    return replace(contender, ours=True)


def peer(name: str, make: Callable[[], Make], w0: Any, error: Callable[[Any], float]) -> Contender:
    """Return a peer's solve as a contender; its tolerance is found while it is built."""

    def build() -> tuple[Callable[[], Any], Callable[[Any], float]]:
        run, _ = loosest(make(), w0, error)
        return lambda: run(w0), error

    return Contender(name, build)


def _aggregated(problem: problems.Affine, rounds: int) -> list[Timing]:
    flow = mo.maml_flow(problem.tasks, problem.alpha)
    w0, error = problem.w0, problem.error
    t_end = float(mo.solve(flow, w0, method="DOP853", diagnostics=False).t[-1])
    gradient = lambda w: problem.G @ w - problem.c
    field = lambda: jax_side.affine_field(problem)
    contenders = [
        ours(flow, w0, error, method="DOP853"),
        ours_at_loosest(flow, w0, error, "DOP853"),
        ours(flow, w0, error, method="Tsit5"),
        ours(flow, w0, error, method="exact"),
        peer(
            "CyRK, compiled entry, our end time",
            lambda: lambda r, a: cyrk_side.solve_affine_compiled(problem, t_end, r, a),
            w0,
            error,
        ),
        peer(
            "CyRK, Python entry, our end time",
            lambda: lambda r, a: cyrk_side.solve_affine_from_python(problem, t_end, r, a),
            w0,
            error,
        ),
        peer(
            "diffrax Dopri8, aggregated",
            lambda: jax_side.solves(field()),
            w0,
            error,
        ),
        peer(
            "SciPy DOP853 + NumPy, aggregated",
            lambda: lambda r, a: scipy_side.solve(gradient, r, a),
            w0,
            error,
        ),
        peer(
            "SciPy LSODA + NumPy, aggregated, Jacobian given",
            lambda: lambda r, a: scipy_side.solve(gradient, r, a, "LSODA", lambda w: problem.G),
            w0,
            error,
        ),
        peer(
            "SciPy + extensisq Pr8, aggregated",
            lambda: (
                lambda r, a: scipy_side.solve(gradient, r, a, scipy_side.extensisq_method("Pr8"))
            ),
            w0,
            error,
        ),
        peer(
            "torchdiffeq dopri8, aggregated, our end time",
            lambda: lambda r, a: torch_side.solve_affine(problem, t_end, r, a),
            w0,
            error,
        ),
    ]
    return race("", contenders, unit="solve", rounds=rounds)


def linear_aggregated(rounds: int) -> list[Timing]:
    """Linear regression beside peers that were given G and c."""
    return _aggregated(problems.linear_regression(), rounds)


def diabetes_aggregated(rounds: int) -> list[Timing]:
    """Diabetes beside peers that were given G and c."""
    return _aggregated(problems.diabetes(), rounds)


def _per_sample(problem: problems.Affine, rounds: int) -> list[Timing]:
    flow = mo.maml_flow(problem.tasks, problem.alpha)
    w0, error = problem.w0, problem.error
    by_hand = lambda: jax_side.least_squares_field(problem, autodiff=False)
    autodiff = lambda: jax_side.least_squares_field(problem, autodiff=True)
    numpy_gradient = scipy_side.least_squares_numpy(problem)
    contenders = [
        ours(flow, w0, error),
        peer(
            "diffrax Dopri8, by hand",
            lambda: jax_side.solves(by_hand()),
            w0,
            error,
        ),
        peer(
            "diffrax Dopri8, autodiff",
            lambda: jax_side.solves(autodiff()),
            w0,
            error,
        ),
        peer(
            "SciPy DOP853 + NumPy",
            lambda: lambda r, a: scipy_side.solve(numpy_gradient, r, a),
            w0,
            error,
        ),
    ]
    return race("", contenders, unit="solve", rounds=rounds)


def linear_per_sample(rounds: int) -> list[Timing]:
    """Linear regression beside peers that go over tasks and samples."""
    return _per_sample(problems.linear_regression(), rounds)


def diabetes_per_sample(rounds: int) -> list[Timing]:
    """Diabetes beside peers that go over tasks and samples."""
    return _per_sample(problems.diabetes(), rounds)


def _margin(problem: problems.Margin, rounds: int) -> list[Timing]:
    flow = mo.maml_flow(problem.tasks, problem.alpha)
    F, w0, error = problem.objective, problem.w0, problem.error
    t_end = float(mo.solve(flow, w0, diagnostics=False).t[-1])
    by_hand = lambda: jax_side.margin_functions(problem)
    autodiff = lambda: jax_side.margin_functions(problem, autodiff=True)
    numpy_gradient = scipy_side.margin_numpy(problem)
    contenders = [
        ours(flow, w0, error),
        ours(flow, w0, error, method="DOP853"),
        ours_at_loosest(flow, w0, error, "DOP853"),
        peer(
            "diffrax Dopri8, by hand",
            lambda: jax_side.solves(by_hand()),
            w0,
            error,
        ),
        peer(
            "diffrax Dopri8, autodiff",
            lambda: jax_side.solves(autodiff()),
            w0,
            error,
        ),
        peer(
            "SciPy LSODA + our gradient and Hessian",
            lambda: lambda r, a: scipy_side.solve(F.gradient, r, a, "LSODA", F.hessian),
            w0,
            error,
        ),
        peer(
            "SciPy DOP853 + our gradient",
            lambda: lambda r, a: scipy_side.solve(F.gradient, r, a),
            w0,
            error,
        ),
        peer(
            "SciPy DOP853 + NumPy",
            lambda: lambda r, a: scipy_side.solve(numpy_gradient, r, a),
            w0,
            error,
        ),
        peer(
            "CyRK + our gradient, our end time",
            lambda: lambda r, a: cyrk_side.solve_margin(F.gradient, t_end, r, a),
            w0,
            error,
        ),
    ]
    return race("", contenders, unit="solve", rounds=rounds)


def logistic(rounds: int) -> list[Timing]:
    """Logistic MAML, M = 50, n = 300, d = 20."""
    return _margin(problems.logistic(50, 300, 20), rounds)


def squared_hinge(rounds: int) -> list[Timing]:
    """Smooth squared hinge, M = 5, n = 300, d = 64."""
    return _margin(problems.squared_hinge(5, 300, 64), rounds)


def sinusoid(rounds: int) -> list[Timing]:
    """Figure 1's tasks with alpha = .01."""
    e = problems.sinusoid()
    F = mo.MAMLLoss(e.tasks, e.alpha)
    error = lambda w: float(np.linalg.norm(F.gradient(np.asarray(w, dtype=float))))
    tasks = e.tasks
    field = lambda: jax_side.sinusoid_field(tasks.a, tasks.b, tasks.omega, e.alpha)

    def diffrax(solver: str) -> Contender:
        return peer(f"diffrax {solver}", lambda: jax_side.solves(field(), solver), e.w0, error)

    contenders = [
        ours(e.maml_flow(), e.w0, error),
        ours(e.maml_flow(), e.w0, error, method="DOP853"),
        ours_at_loosest(e.maml_flow(), e.w0, error, "DOP853"),
        ours_at_loosest(e.maml_flow(), e.w0, error, "Rodas5P"),
        *(diffrax(solver) for solver in ("Dopri8", "Tsit5", "Kvaerno3")),
        peer(
            "SciPy DOP853 + our gradient",
            lambda: lambda r, a: scipy_side.solve(F.gradient, r, a),
            e.w0,
            error,
        ),
    ]
    return race("", contenders, unit="solve", rounds=rounds)
