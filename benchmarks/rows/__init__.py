"""The rows of the benchmark by name; each is a function that returns what it measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.race import Timing
from benchmarks.rows import certify, ensembles, euler, growth, kernels, memory, solves, start

__all__ = ["ROWS", "Row"]


@dataclass(frozen=True)
class Row:
    """A row: its title, the function that measures it, and the bar set for it.

    ``bar`` is the ratio (best peer)/(ours) that is asked for, ``beside`` a part of the names of the peers that it
    is held against ("" for all), ``limit`` seconds that ours may take where no peer does the same.
    """

    name: str
    title: str
    measure: Callable[[int], list[Timing]]
    bar: float | None = None
    beside: str = ""
    limit: float | None = None


ROWS = [
    Row(
        "linear",
        "Linear regression (M 10, n 100, d 20) to 1e-8, beside peers given our aggregation",
        solves.linear_aggregated,
        1.2,
    ),
    Row(
        "diabetes",
        "Diabetes (M 4, d 8) to 1e-8, beside peers given our aggregation",
        solves.diabetes_aggregated,
        1.2,
    ),
    Row(
        "linear-samples",
        "Linear regression, peers per task and sample",
        solves.linear_per_sample,
        25,
    ),
    Row("diabetes-samples", "Diabetes, peers per task and sample", solves.diabetes_per_sample, 25),
    Row("logistic", "Logistic MAML (M 50, n 300, d 20) to 1e-8", solves.logistic, 1.5, "diffrax"),
    Row(
        "hinge",
        "Smooth squared hinge (M 5, n 300, d 64) to 1e-8",
        solves.squared_hinge,
        2,
        "diffrax",
    ),
    Row("sinusoid", "Sinusoid tasks, d = 1, alpha .01, to 1e-8", solves.sinusoid, 1.0, "diffrax"),
    Row("gradient-logistic-20", "grad F, logistic 50 x 300 x 20", kernels.logistic_20, 1.5),
    Row("gradient-hinge-20", "grad F, smooth squared hinge 50 x 300 x 20", kernels.hinge_20, 1.5),
    Row("gradient-logistic-784", "grad F, logistic 10 x 200 x 784", kernels.logistic_784, 1.5),
    Row(
        "gradient-hinge-784",
        "grad F, smooth squared hinge 10 x 200 x 784",
        kernels.hinge_784,
        1.5,
    ),
    Row("hvp-logistic-20", "Hess F v, logistic 50 x 300 x 20", kernels.hvp_logistic_20, 1.2),
    Row("hvp-hinge-20", "Hess F v, smooth squared hinge 50 x 300 x 20", kernels.hvp_hinge_20, 1.2),
    Row("hvp-logistic-784", "Hess F v, logistic 10 x 200 x 784", kernels.hvp_logistic_784, 1.6),
    Row(
        "hvp-hinge-784",
        "Hess F v, smooth squared hinge 10 x 200 x 784",
        kernels.hvp_hinge_784,
        1.6,
    ),
    Row(
        "ensemble-linear",
        "1,000 starts of linear regression, per member",
        ensembles.linear,
        2,
        "aggregated",
    ),
    Row(
        "ensemble-logistic",
        "100 starts of logistic MAML (M 10, n 100, d 20), per member",
        ensembles.logistic,
        2,
    ),
    Row(
        "euler-linear",
        "10,000 steps of Euler on linear regression, all iterates kept, per step",
        euler.linear,
        0.5,
    ),
    Row(
        "euler-logistic", "Euler on logistic MAML (M 10, n 100, d 20), per step", euler.logistic, 1
    ),
    Row(
        "certify-100",
        "certify, logistic M 50, n 300, d 100",
        certify.logistic_100,
        limit=1.0,
    ),
    Row(
        "certify-784",
        "certify, logistic M 50, n 300, d 784",
        certify.logistic_784,
        limit=30.0,
    ),
    Row("start-list", "`maml-ode list`, whole process", start.listing, limit=0.4),
    Row("start-six", "The six lines of the README, whole process", start.six_lines, limit=0.8),
    Row(
        "start-logistic",
        "A process that solves its first logistic problem, code cached and not",
        start.first_logistic,
    ),
    Row("growth", "grad F against M, n and d", growth.gradient),
    Row("memory", "Peak memory against inner steps", memory.inner_steps),
]
