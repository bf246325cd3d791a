"""Measure the integrators on five kinds of flow and write docs/choosing_an_integrator.md.

Run it from the project's root: ``python benchmarks/choosing_an_integrator.py``. Every number of that page comes
from here. Times are the median of three runs after a warm-up, so they hold no compilation.
"""

from __future__ import annotations

import os

# One thread: at these sizes BLAS threads wait for each other longer than they work.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import platform
import statistics
import time
import warnings
from pathlib import Path

import numpy as np

import maml_ode as mo
from maml_ode.integrate.stiffness import largest_rate

PAGE = Path(__file__).parent.parent / "docs" / "choosing_an_integrator.md"
METHODS = ["Tsit5", "DOP853", "RKC2", "Rodas5P", "RK45", "LSODA", "Radau", "BDF"]


def scaled_logistic(d, spread, l2=1e-2, M=2):
    """Logistic tasks whose features span ``spread`` orders of magnitude."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(M, 2 * d, d)) * np.logspace(0, spread, d)
    y = np.where(rng.random((M, 2 * d)) < 0.5, -1.0, 1.0)
    return mo.tasks.LogisticRegression(X, y, l2=l2)


def problems():
    """Yield name, sentence, flow, w0, keywords, methods."""
    diabetes = mo.experiments.load("diabetes")
    yield (
        "Quadratic: Diabetes, d = 8",
        "Every phase is affine, so the path is known in closed form.",
        diabetes.bimaml_flow(),
        diabetes.w0,
        {"tol": 1e-8},
        ["exact", *METHODS],
    )
    tasks = scaled_logistic(20, 0.0, l2=0.1, M=10)
    yield (
        "Smooth, not stiff: logistic MAML, M = 10, n = 40, d = 20",
        "The spectrum is narrow; the tail is a few time constants long.",
        mo.maml_flow(tasks, 0.3),
        np.ones(20),
        {"tol": 1e-8},
        METHODS,
    )
    yield (
        "Stiff, small: logistic with badly scaled features, d = 6",
        "Explicit methods step at 3/lambda_max however smooth the path is.",
        mo.gradient_flow(mo.ExpectedLoss(scaled_logistic(6, 2.5))),
        np.zeros(6),
        {"tol": 1e-6},
        METHODS,
    )
    yield (
        "Stiff, larger: logistic with badly scaled features, d = 300",
        "Factorising 300 x 300 matrices begins to cost; RKC2 needs only gradients.",
        mo.gradient_flow(mo.ExpectedLoss(scaled_logistic(300, 1.5))),
        np.zeros(300),
        {"tol": 1e-5},
        METHODS,
    )
    svm = mo.experiments.load("svm")
    yield (
        "Discontinuous: squared-hinge MAML, M = 50, n = 300, d = 20, to t = 5",
        "grad F jumps at the kinks of the losses: every method falls to first order there, and a tight "
        "tolerance buys little. The smooth companion (smooth_squared_hinge) has no such floor.",
        svm.maml_flow(),
        svm.w0,
        {"tol": 0.0, "t_max": 5.0},
        ["Tsit5", "RK45", "DOP853", "LSODA", "Radau"],
    )


def measure(flow, w0, method, keywords):
    """Return a run, warmed up, and its median time in milliseconds."""
    runs = [mo.solve(flow, w0, method=method, max_seconds=5.0, **keywords) for _ in range(2)]
    times = [
        mo.solve(flow, w0, method=method, max_seconds=5.0, diagnostics=False, **keywords).elapsed
        for _ in range(3)
    ]
    return runs[-1], 1e3 * statistics.median(times)


def section(name, sentence, flow, w0, keywords, methods):
    """Return the lines of one section."""
    rate = max(largest_rate(phase.field, np.asarray(w0, float)) or 0.0 for phase in flow.phases)
    lines = [f"## {name}", "", f"{sentence} lambda_max at the start: {rate:.3g}.", ""]
    lines += [
        "| method | stopped because | steps (rejected) | gradient passes | HVP passes | Hessian + third "
        "passes | F rose in | ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for method in methods:
        run, elapsed = measure(flow, w0, method, keywords)
        c = run.counts
        rises = "-" if run.energy is None else str(run.energy.rises)
        lines.append(
            f"| {method} | {run.stop.name.lower().replace('_', ' ')} | {c.steps} ({c.rejected}) "
            f"| {c.gradients} | {c.hvps} | {c.hessians + c.thirds} | {rises} | {elapsed:.1f} |"
        )
    chosen = mo.solve(flow, w0, max_seconds=5.0, **keywords).method
    return [*lines, "", f'`method="auto"` took: {chosen}.', ""]


HEAD = """# How to choose an integrator

Leave `method="auto"` unless you know better; `trajectory.method` says what it took and why. The rules behind it:

1. **Quadratic losses**: `"exact"`. No steps, no error, one symmetric eigendecomposition a phase.
2. **Smooth, not stiff**: `"DOP853"` at tight tolerances, `"Tsit5"` at loose ones. Stiff means that lambda_max of
   Hess F times the time you want to cover is in the thousands: an explicit method then needs a step for every
   3/lambda_max of time.
3. **Stiff and d up to a few hundred**: `"Rodas5P"`, linearly implicit, with the analytic Hessian.
4. **Stiff and large**: `"RKC2"`, stabilised explicit: its work grows like the square root of the stiffness, and it
   needs gradients only.
5. **Discontinuous gradients** (hinge losses): a low order (`"RK45"`) at a loose tolerance and a finite `t_max`, or
   the smooth companion of the loss.

SciPy's own methods and any `OdeSolver` class work too. A stationarity tolerance is judged by a freshly
computed gradient, whatever the method; when a method's error tolerances keep the gradient norm above it, they are
lowered, and if you fixed them, the run ends by saying so.

The tables below come from `python benchmarks/choosing_an_integrator.py`; passes are evaluations over all tasks.
"Stationary" means that the gradient norm asked for was reached. "F rose in" counts accepted steps over which the
objective of the phase rose beyond rounding, which no exact flow does. Every run had one BLAS
thread, 5 seconds and 100,000 steps.
"""


def main():
    """Write the page."""
    warnings.simplefilter("ignore", mo.integrate.NonSmoothWarning)
    lines = [HEAD]
    for problem in problems():
        print(problem[0], flush=True)
        lines += section(*problem)
    import numba
    import scipy

    versions = f"NumPy {np.__version__}, SciPy {scipy.__version__}, Numba {numba.__version__}"
    lines.append(
        f"Measured on {time.strftime('%Y-%m-%d')}, {platform.machine()}, Python "
        f"{platform.python_version()}, {versions}, maml_ode {mo.__version__}."
    )
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
