"""Figure 1: the derivatives of a MAML loss that is not convex, and where its flows end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, minimize_scalar

from maml_ode import experiments
from maml_ode._validation import Array
from maml_ode.experiments import Experiment
from maml_ode.flows import bimaml_flow, maml_flow
from maml_ode.integrate import solve
from maml_ode.objectives import ExpectedLoss, MAMLLoss
from maml_ode.reproduce.artefact import Artefact, Inputs, Settings
from maml_ode.reproduce.figure1.pictures import draw, key_numbers
from maml_ode.reproduce.section4 import constants_of
from maml_ode.runs.executor import Task
from maml_ode.runs.tables import Table
from maml_ode.theory.intervals.critical_points import (
    bifurcation_table,
    count_by_alpha,
    count_critical_points,
)

if TYPE_CHECKING:
    from maml_ode.tasks.sinusoid import Sinusoid

__all__ = ["ARTEFACT"]

# The fast sine makes waves of length 2 pi/100 in F'; the far view shows only their envelope.
NEAR, NEAR_POINTS = 1.0, 2001
FAR, FAR_POINTS = 5.0, 4001
FLOW_TOL = 1e-9
SWITCH_TOLS = (3e-3, 3.0)
STARTS = (-5.0, 5.0)
ALPHA_MAX = 0.4975
ALPHA_STEP, QUICK_ALPHA_STEP = 5e-4, 2e-3
NARROWEST_ALPHA = 2e-6


def _problem() -> Experiment:
    return experiments.load("figure1")


def _tasks() -> Sinusoid:
    tasks: Sinusoid = _problem().tasks  # type: ignore[assignment]
    return tasks


def pieces(settings: Settings) -> list[Task]:
    """Return the parts of the picture; each gives the columns of one table or two."""
    width = QUICK_ALPHA_STEP if settings.quick else ALPHA_STEP
    starts, tolerances = (11, 13) if settings.quick else (41, 41)
    return [
        # Together, because all that evaluates F has the same kernels to compile at its first use.
        Task(_landscape, (starts, tolerances), "derivatives, critical points, ends of the flows"),
        Task(_counts, (2 * width,), "counting over alpha"),
        Task(_branches, (width,), "critical points over alpha"),
    ]


def combine(settings: Settings, values: list[Any], inputs: Inputs) -> dict[str, Table]:
    """Make tables of the parts."""
    return {name: Table(name, columns) for part in values for name, columns in part.items()}


def _landscape(starts: int, tolerances: int) -> dict[str, dict[str, Any]]:
    """Sample F' and F'', find where F'' < 0 and the critical points, follow the flows to their ends."""
    problem = _problem()
    F = MAMLLoss(problem.tasks, problem.alpha)
    near, far = (
        _sample(F, view, np.linspace(-reach, reach, points))
        for view, reach, points in (("near", NEAR, NEAR_POINTS), ("far", FAR, FAR_POINTS))
    )
    return {
        "fig1_derivatives": {key: np.concatenate([near[key], far[key]]) for key in near},
        "fig1_negative_curvature": _negative_curvature(F, near["w"], near["second"]),
        "fig1_critical_points": _critical_points(_tasks(), problem.alpha),
        "fig1_flow_ends": _ends(problem, starts),
        "fig1_switch_tolerance": _switching(problem, tolerances),
    }


def _sample(F: MAMLLoss, view: str, w: Array) -> dict[str, npt.NDArray[Any]]:
    return {
        "view": np.full(w.size, view),
        "w": w,
        "value": np.array([F.value(point) for point in w[:, None]]),
        "first": np.array([_slope(F, point) for point in w]),
        "second": np.array([_bend(F, point) for point in w]),
    }


def _slope(F: MAMLLoss | ExpectedLoss, w: float) -> float:
    return float(F.gradient([w])[0])


def _bend(F: MAMLLoss, w: float) -> float:
    return float(F.hessian([w])[0, 0])


def _negative_curvature(F: MAMLLoss, w: Array, second: Array) -> dict[str, Any]:
    """Return the intervals of the sampled range in which F'' < 0, and where it is least in each."""
    crossings = [
        brentq(lambda x: _bend(F, x), w[k], w[k + 1], xtol=1e-14)
        for k in np.flatnonzero(np.sign(second[:-1]) != np.sign(second[1:]))
    ]
    edges = np.array([w[0], *crossings, w[-1]])
    inside = [_bend(F, x) < 0 for x in 0.5 * (edges[:-1] + edges[1:])]
    low, high = edges[:-1][inside], edges[1:][inside]
    least = [
        minimize_scalar(
            lambda x: _bend(F, x), bounds=ends, method="bounded", options={"xatol": 1e-10}
        )
        for ends in zip(low, high, strict=True)
    ]
    return {
        "w_low": low,
        "w_high": high,
        "w_least": [float(found.x) for found in least],
        "least": [float(found.fun) for found in least],
    }


def _critical_points(tasks: Sinusoid, alpha: float) -> dict[str, Any]:
    """Return every critical point of F with the interval in which it is proved to be the only one."""
    found = count_critical_points(tasks, alpha)
    if not (found.certified and found.everywhere):
        raise RuntimeError(
            f"the critical points at alpha = {alpha:g} were not proved: {found.note}"
        )
    F = MAMLLoss(tasks, alpha)
    return {
        "w": found.points,
        "value": [F.value([w]) for w in found.points],
        "second": [_bend(F, w) for w in found.points],
        "minimum": [kind == "minimum" for kind in found.kinds],
        "proved_low": [low for low, _ in found.enclosures],
        "proved_high": [high for _, high in found.enclosures],
    }


def _ends(problem: Experiment, n_starts: int) -> dict[str, Any]:
    """Return where the MAML flow ends, from starts over a wide range and between the minima."""
    flow = maml_flow(problem.tasks, problem.alpha)
    starts = np.concatenate([np.linspace(*STARTS, n_starts), np.linspace(0.25, 0.5, n_starts + 1)])
    runs = [solve(flow, [start], tol=FLOW_TOL, diagnostics=False) for start in starts]
    return {"w0": starts, "end": [run.w[0] for run in runs]}


def _switching(problem: Experiment, n_tolerances: int) -> dict[str, Any]:
    """Return where BI-MAML switches and ends, over eps0; round values of eps0 are among them."""
    tolerances = np.union1d(np.geomspace(*SWITCH_TOLS, n_tolerances), [0.03, 0.1, 0.3])
    runs = [
        solve(
            bimaml_flow(problem.tasks, problem.alpha, eps0),
            problem.w0,
            tol=FLOW_TOL,
            diagnostics=False,
        )
        for eps0 in tolerances
    ]
    return {
        "switch_tol": tolerances,
        "switch_w": [run.switch_states[0, 0] for run in runs],
        "end": [run.w[0] for run in runs],
    }


def _branches(width: float) -> dict[str, dict[str, Any]]:
    """Return all critical points on a grid of alpha, with their rank from the left."""
    grid = np.linspace(0.0, ALPHA_MAX, round(ALPHA_MAX / width) + 1)
    columns: dict[str, list[Any]] = {
        key: [] for key in ("alpha", "critical_points", "rank", "w", "minimum")
    }
    for found in bifurcation_table(_tasks(), grid):
        if not found.certified:
            raise RuntimeError(
                f"the critical points at alpha = {found.alpha[0]:g} were not proved: {found.note}"
            )
        for rank, (w, kind) in enumerate(zip(found.points, found.kinds, strict=True)):
            columns["alpha"].append(found.alpha[0])
            columns["critical_points"].append(found.count)
            columns["rank"].append(rank)
            columns["w"].append(float(w))
            columns["minimum"].append(kind == "minimum")
    return {"fig1_branches": columns}


def _counts(width: float) -> dict[str, dict[str, Any]]:
    """Return the proved number of critical points over intervals of alpha."""
    counts = count_by_alpha(_tasks(), ALPHA_MAX, width=width, narrowest=NARROWEST_ALPHA)
    columns = {
        "alpha_low": [found.alpha[0] for found in counts],
        "alpha_high": [found.alpha[1] for found in counts],
        "proved": [found.certified for found in counts],
        "critical_points": [-1 if found.count is None else found.count for found in counts],
    }
    return {"fig1_counts": columns}


def constants(settings: Settings) -> dict[str, Any]:
    """Return the experiment's constants and ours."""
    return constants_of(_problem()) | {
        "ours": {
            "near_range": [-NEAR, NEAR],
            "near_points": NEAR_POINTS,
            "far_range": [-FAR, FAR],
            "far_points": FAR_POINTS,
            "flow_tol": FLOW_TOL,
            "switch_tols": list(SWITCH_TOLS),
            "alpha_max": ALPHA_MAX,
            "alpha_step": QUICK_ALPHA_STEP if settings.quick else ALPHA_STEP,
            "narrowest_alpha": NARROWEST_ALPHA,
            "counting": "interval arithmetic, rounded outwards, over whole intervals of alpha",
        }
    }


ARTEFACT = Artefact(
    name="fig1",
    title="Figure 1: derivatives and critical points of a MAML loss",
    caption=(
        "f_1 = 0.505 w^2 - sin w, f_2 = 0.505 w^2 - 1e-4 sin 100 w, alpha = 0.4. fig1: F' and F'' "
        "on [-1, 1] as in the paper, with 63 points per wave; intervals with F'' < 0 are shaded; "
        "below on [-5, 5], 25 points per wave. fig1_landscape, ours: alpha = 0.4 lies above "
        "1/(2L) = 0.2488 and outside the paper's theorems, and F has seven critical points. (a) F "
        "and the basins of the MAML flow, which reach from maximum to maximum; those of the first "
        "and the last minimum reach to minus and plus infinity, so that the flow from outside "
        "never finds the global minimum. (b) Where BI-MAML, started at w0 = -5, switches and "
        "ends, over eps0. (c) The critical points, proved on a grid of alpha, and (d) their "
        "number for every alpha in (0, 1/L), proved by interval arithmetic with outward rounding "
        "over whole intervals of alpha, except in intervals narrower than 1e-4 about the values "
        "at which it changes; for alpha >= 1/L the critical points are no longer confined to the "
        "range between the minimisers of the tasks."
    ),
    pieces=pieces,
    combine=combine,
    draw=draw,
    constants=constants,
    key_numbers=key_numbers,
)
