"""The numbers of Figure 3: what accuracy costs, and how far Euler's polygon is from the flow."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.integrate import OdeSolver

import maml_ode as mo
from maml_ode._validation import Array
from maml_ode.comparing.reference import make_reference
from maml_ode.experiments import Experiment
from maml_ode.flows import Flow

__all__ = [
    "FLOWS",
    "fitted_slope",
    "halvings",
    "methods",
    "methods_for",
    "order_rows",
    "reference_tolerances",
    "tolerances",
    "work_precision_rows",
]

Rows = dict[str, list[dict[str, Any]]]

FLOWS = ("MAML", "BI-MAML")
SCIPY = ("RK23", "RK45", "DOP853", "LSODA", "Radau", "BDF")
REPORTING_TIMES = 5
COSTS = (
    "error", "work", "gradients", "hvps", "hessians", "thirds", "third_vectors", "factorizations", "steps"
)  # fmt: skip
QUICK_METHODS = ("RK45", "DOP853", "LSODA")
# On the regressions, which cost nothing; without those of ours that compile for seconds at their first use.
QUICK_REGRESSION_METHODS = (*SCIPY, "Tsit5")
# At d = 784 one Hessian of F costs as much as some 800 gradients of f: only the methods that keep one for
# many steps are run there, and on the flow without a switch, whose search would need new ones.
LARGE_DIM = 100
FEW_HESSIANS = ("Radau", "BDF")
FEW_TOLERANCES = (1e-2, 1e-4, 1e-6)


def smooth_experiment(name: str, seed: int) -> Experiment:
    """Return an experiment, with the smooth companion of the squared hinge in place of it.

    The gradient of the squared hinge's MAML loss is discontinuous, so that every integrator would
    be of first order and no reference would converge.
    """
    if costly(name):
        return mo.experiments.load(name, seed=seed, loss="smooth_squared_hinge")
    return mo.experiments.load(name, seed=seed)


def flow_of(experiment: Experiment, name: str) -> Flow:
    """Return the MAML or the BI-MAML flow of an experiment."""
    return experiment.maml_flow() if name == "MAML" else experiment.bimaml_flow()


def methods() -> dict[str, type[OdeSolver]]:
    """Return SciPy's methods and the package's own; where names agree, the latter is marked."""
    import scipy.integrate

    chosen: dict[str, type[OdeSolver]] = {name: getattr(scipy.integrate, name) for name in SCIPY}
    for name, method in getattr(mo.integrate, "METHODS", {}).items():
        chosen[f"{name} (own)" if name in chosen else name] = method
    return chosen


def methods_for(name: str, quick: bool) -> dict[str, type[OdeSolver]]:
    """Return the methods that are run on an experiment."""
    if not quick:
        return methods()
    wanted = QUICK_METHODS if costly(name) else QUICK_REGRESSION_METHODS
    return {label: method for label, method in methods().items() if label in wanted}


def tolerances(name: str, quick: bool) -> list[float]:
    """Return the relative tolerances of a method's curve, the loosest first.

    Fewer where evaluations are costly.
    """
    if quick:
        return [1e-2, 1e-4] if costly(name) else [1e-2, 1e-4, 1e-6]
    return [10.0**-k for k in range(2, 9, 2 if costly(name) else 1)]


def costly(name: str) -> bool:
    """Whether every evaluation goes through all of the data: the SVMs, which have no closed form."""
    return name.startswith("svm")


def halvings(quick: bool) -> list[int]:
    """Return j of Euler's step sizes beta 2^-j; -1 is twice the paper's beta."""
    return list(range(-1, 2 if quick else 5))


def reference_tolerances(quick: bool) -> dict[str, float]:
    """Return the relative tolerances of reference, check and modified flow without closed form."""
    if quick:
        return {"reference": 1e-7, "check": 1e-6, "modified flow": 1e-5}
    return {"reference": 1e-12, "check": 1e-11, "modified flow": 1e-8}


def work_precision_rows(name: str, flow_name: str, seed: int, quick: bool) -> Rows:
    """Return one row per run of `compare`: error against the reference, and what the run cost.

    The error is the largest of ||w(t) - w_ref(t)|| over five equidistant times up to N beta, in
    units of the distance ||w_ref(N beta) - w0|| travelled. ``work`` counts gradient passes, with a
    Hessian-vector product as one and a Hessian as d of them.
    """
    experiment = smooth_experiment(name, seed)
    flow = flow_of(experiment, flow_name)
    horizon = experiment.n_steps * experiment.beta
    times = horizon * np.arange(1, REPORTING_TIMES + 1) / REPORTING_TIMES
    rtols = reference_tolerances(quick)
    affine = all(phase.field.affine is not None for phase in flow.phases)
    reference = make_reference(
        flow,
        experiment.w0,
        times,
        "exact" if affine else methods()["DOP853"],
        (rtols["reference"], rtols["check"]),
    )
    common: dict[str, Any] = {"t_max": horizon, "times": times, "reference": reference}
    found = mo.compare(
        flow,
        experiment.w0,
        methods={label: methods()[label] for label in tolerances_of(name, flow, flow_name, quick)},
        rtols=tolerances_of(name, flow, flow_name, quick),
        step_sizes=[experiment.beta * 2.0**-j for j in halvings(quick)],
        **common,
    )
    uncertainty = found.reference_error
    if affine:  # the closed form is a method of ours too: an independent code confirms it
        check = {"LSODA": methods()["LSODA"]}
        (confirmed,) = mo.compare(
            flow, experiment.w0, methods=check, rtols=[rtols["check"]], step_sizes=[], **common
        ).rows
        uncertainty = confirmed["error"]
    about = {
        "experiment": name,
        "flow": flow_name,
        "dim": flow.dim,
        "reference": reference.method,
        "uncertainty": uncertainty,
        "travelled": found.travelled,
        "horizon": horizon,
        "switch_step": float(reference.switch_times[0] / experiment.beta)
        if reference.switch_times.size
        else math.nan,
    }
    labels = {"experiment": name, "flow": flow_name}
    # A method may give up before the horizon; its error is then unknown, not small.
    rows = [labels | _as_table_row(row) for row in found.rows if not math.isnan(row["error"])]
    return {"work_precision": rows, "reference": [about]}


def tolerances_of(name: str, flow: Flow, flow_name: str, quick: bool) -> dict[str, list[float]]:
    """Return the tolerances of every method that is run on a flow."""
    found = {label: tolerances(name, quick) for label in methods_for(name, quick)}
    if flow.dim <= LARGE_DIM:
        return found
    for label in list(found):
        if not forms_jacobians(methods()[label]):
            continue
        if quick or label not in FEW_HESSIANS or flow_name != "MAML":
            del found[label]
        else:
            found[label] = [rtol for rtol in found[label] if rtol in FEW_TOLERANCES]
    return found


def _as_table_row(row: Mapping[str, Any]) -> dict[str, Any]:
    euler = row["method"] == "Euler"
    return {
        "method": row["method"],
        "kind": "euler" if euler else "solver",
        "setting": row["step_size" if euler else "rtol"],
        **{name: row[name] for name in COSTS},
        "stop": row["stop"],
    }


def order_rows(name: str, seed: int, quick: bool) -> Rows:
    """Return Euler's largest distance from the MAML flow and from the modified flow, over beta.

    Distances are taken at all corners k beta of the polygon up to N beta, in units of the distance
    travelled.
    """
    experiment = smooth_experiment(name, seed)
    flow = experiment.maml_flow()
    horizon = experiment.n_steps * experiment.beta
    powers = halvings(quick)
    finest = experiment.beta * 2.0 ** -powers[-1]
    fine_times: Array = finest * np.arange(1, round(horizon / finest) + 1, dtype=np.float64)
    fine_times[-1] = horizon
    rtols = reference_tolerances(quick)
    states = _fine(flow, experiment.w0, fine_times, rtols["reference"])
    travelled = float(np.linalg.norm(states[:, -1] - experiment.w0))
    rows = []
    for j in powers:
        beta = experiment.beta * 2.0**-j
        stride = 2 ** (powers[-1] - j)
        run = mo.euler(flow, experiment.w0, beta, max_iter=round(horizon / beta), diagnostics=False)
        corners = run.y[:, 1:]
        times = fine_times[stride - 1 :: stride]
        modified = _fine(
            mo.modified_flow(flow.objective, beta), experiment.w0, times, rtols["modified flow"]
        )
        rows.append(
            {
                "experiment": name,
                "beta": beta,
                "to_flow": _largest(corners - states[:, stride - 1 :: stride]) / travelled,
                "to_modified_flow": _largest(corners - modified) / travelled,
            }
        )
    return {"order": rows}


def fitted_slope(beta: Array, distance: Array, points: int = 4) -> float:
    """Return the least-squares slope of log distance over log beta at the smallest step sizes."""
    order = np.argsort(beta)[:points]
    return float(np.polyfit(np.log(beta[order]), np.log(distance[order]), 1)[0])


def forms_jacobians(method: type[OdeSolver]) -> bool:
    """Whether the method asks for Jacobians whatever the problem is (LSODA asks when it is stiff)."""
    return "jac" in inspect.signature(method.__init__).parameters and method.__name__ != "LSODA"


def _largest(differences: Array) -> float:
    return float(np.linalg.norm(differences, axis=0).max())


def _fine(flow: Flow, w0: Array, times: Array, rtol: float) -> Array:
    """Return a one-phase flow at many times, exactly where it is affine."""
    common: dict[str, Any] = {"tol": 0.0, "t_max": float(times[-1]), "t_eval": times}
    common["diagnostics"] = False
    if flow.phases[0].field.affine is not None:
        return mo.solve(flow, w0, method="exact", **common).y
    solver = methods()["DOP853"]
    return mo.solve(flow, w0, method=solver, rtol=rtol, atol=1e-2 * rtol, **common).y
