"""MAML and BI-MAML on one of the paper's problems, as algorithms and as flows, in rows of a table."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.experiments import Experiment, load
from maml_ode.flows import Flow
from maml_ode.integrate import euler, solve
from maml_ode.integrate.warnings import NonSmoothWarning
from maml_ode.runs.tables import Table
from maml_ode.trajectory import Trajectory

__all__ = [
    "ALGORITHMS",
    "FLOW_RTOL",
    "follow",
    "iterate",
    "load_from",
    "phase_norm",
    "rows",
    "runs_of",
    "stack",
    "switch_iteration",
]

Columns = dict[str, npt.NDArray[Any]]

ALGORITHMS = ("MAML", "BI-MAML")

# For flows without closed form. The gradient of F jumps at the kinks of the squared hinge, so that
# tighter tolerances cost steps without buying digits that could be seen in a picture.
FLOW_RTOL = 1e-6

# grad F costs a gradient, a Hessian-vector product and a gradient; grad f costs one gradient.
GRADIENTS_PER_MAML_STEP = 3


def load_from(name: str, seed: int, path: str | None = None, **options: Any) -> Experiment:
    """Return an experiment, one on files with their folder."""
    return load(name, seed=seed, **options, **({} if path is None else {"path": path}))


def iterate(problem: Experiment, algorithm: str) -> Trajectory:
    """Return the iterates of an algorithm with the experiment's step size and number of steps."""
    return euler(_flow(problem, algorithm), problem.w0, problem.beta, max_iter=problem.n_steps)


def follow(
    problem: Experiment, algorithm: str, per_step: int = 1, rtol: float = FLOW_RTOL
) -> Trajectory:
    """Return the flow at ``per_step`` times per step of the algorithm, t = k beta among them.

    Closed form where there is one. A discontinuous field (squared hinge) is integrated as it is,
    with the relative tolerance ``rtol`` and a hundredth of it as absolute one.
    """
    flow = _flow(problem, algorithm)
    times = np.arange(problem.n_steps * per_step + 1) * (problem.beta / per_step)
    smooth = all(phase.field.affine is not None for phase in flow.phases)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonSmoothWarning)
        return solve(
            flow,
            problem.w0,
            tol=0.0,
            t_max=float(times[-1]),
            t_eval=times,
            rtol=None if smooth else rtol,
            atol=None if smooth else rtol / 100,
        )


def rows(run: Trajectory, problem: Experiment, **labels: str | int) -> Columns:
    """Return a run as columns: the labels, k = t / beta, phase, F, ||grad F||, ||grad f||."""
    n = len(run)
    columns: Columns = {key: np.full(n, value) for key, value in labels.items()}
    k = run.t / problem.beta
    columns["k"] = np.rint(k).astype(np.int64) if run.step_size is not None else k
    columns["phase"] = run.phase + 1
    columns["loss"] = run.loss
    columns["grad_norm"] = run.grad_norm
    columns["task_grad_norm"] = run.task_grad_norm
    return columns


def switch_iteration(run: Trajectory, problem: Experiment) -> float:
    """Return the iteration (for a flow: t / beta) at which the first phase ended; NaN if it did not."""
    return float(run.switch_times[0] / problem.beta) if run.switch_times.size else float("nan")


def phase_norm(table: Table) -> Array:
    """Return the norm that the paper plots: ||grad f|| in phase 1 of BI-MAML, else ||grad F||."""
    first = (table["algorithm"] == "BI-MAML") & (table["phase"] == 1)
    return np.where(first, table["task_grad_norm"], table["grad_norm"])


def stack(parts: Iterable[Mapping[str, npt.NDArray[Any]]]) -> Columns:
    """Return columns with the rows of all parts, which have the same names."""
    listed = list(parts)
    return {key: np.concatenate([part[key] for part in listed]) for key in listed[0]}


def runs_of(
    name: str, seed: int, flow_points: int, rtol: float = FLOW_RTOL, path: str | None = None
) -> tuple[Columns, ...]:
    """Return the rows of one experiment and seed: iterates, flows, switch.

    The flows have ``flow_points`` rows per step of the iterates; with 0 there are none. Experiments on files
    get the ``path`` of these.
    """
    problem = load_from(name, seed, path)
    runs = {algorithm: iterate(problem, algorithm) for algorithm in ALGORITHMS}
    iterates = stack(
        rows(run, problem, experiment=name, seed=seed, algorithm=algorithm)
        for algorithm, run in runs.items()
    )
    k = switch_iteration(runs["BI-MAML"], problem)
    flow_k, flows = float("nan"), {}
    if flow_points:
        paths = {
            algorithm: follow(problem, algorithm, flow_points, rtol) for algorithm in ALGORITHMS
        }
        flow_k = switch_iteration(paths["BI-MAML"], problem)
        flows = stack(
            rows(path, problem, experiment=name, seed=seed, algorithm=algorithm)
            for algorithm, path in paths.items()
        )
    saved = (1 - 1 / GRADIENTS_PER_MAML_STEP) * (0.0 if np.isnan(k) else k) / problem.n_steps
    switch = {
        "experiment": np.array([name]),
        "seed": np.array([seed]),
        "switch_k": np.array([k]),
        "flow_switch_k": np.array([flow_k]),
        "saving": np.array([saved]),
        "quoted_saving": np.array([problem.quoted_saving], dtype=float),
    }
    return iterates, flows, switch


def _flow(problem: Experiment, algorithm: str) -> Flow:
    return problem.maml_flow() if algorithm == "MAML" else problem.bimaml_flow()
