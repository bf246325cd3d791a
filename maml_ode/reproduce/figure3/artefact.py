"""Figure 3, ours: integrators against Euler, by the accuracy that a pass over the data buys."""

from __future__ import annotations

from typing import Any

import numpy as np

import maml_ode.reproduce.figure3.work_precision as numbers
from maml_ode.reproduce.artefact import Artefact, Inputs, Settings, Tables
from maml_ode.reproduce.figure3.pictures import draw
from maml_ode.reproduce.section4 import EXPERIMENTS, TITLES, constants_of
from maml_ode.runs.executor import Task
from maml_ode.runs.tables import Table, as_table

__all__ = ["ARTEFACT"]

TABLES = ("work_precision", "reference", "order")


def pieces(settings: Settings) -> list[Task]:
    """Return the runs of every method on every flow, and of Euler against its flows."""
    tasks = []
    # Longest first.
    for name in reversed(EXPERIMENTS):
        for flow in numbers.FLOWS:
            arguments = (name, flow, settings.seed, settings.quick)
            tasks.append(Task(numbers.work_precision_rows, arguments, f"{name}, {flow} flow"))
        order = (name, settings.seed, settings.quick)
        tasks.append(Task(numbers.order_rows, order, f"{name}, order of Euler"))
    return tasks


def combine(settings: Settings, values: list[Any], inputs: Inputs) -> dict[str, Table]:
    """Put the rows of all experiments together, in the paper's order, and fit the slopes."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for name in EXPERIMENTS:
        for part in values:
            for table, listed in part.items():
                rows[table].extend(row for row in listed if row["experiment"] == name)
    tables = {f"fig3_{name}": as_table(f"fig3_{name}", listed) for name, listed in rows.items()}
    tables["fig3_slopes"] = _slopes(tables["fig3_order"])
    return tables


def _slopes(order: Table) -> Table:
    rows = []
    for name in EXPERIMENTS:
        part = order.where(experiment=name)
        for column, flow in (("to_flow", "flow"), ("to_modified_flow", "modified flow")):
            slope = numbers.fitted_slope(part["beta"], part[column])
            rows.append({"experiment": name, "distance_from": flow, "slope": slope})
    return as_table("fig3_slopes", rows)


def constants(settings: Settings) -> dict[str, Any]:
    """Return the constants of the runs; all of this figure is ours."""
    rtols = numbers.reference_tolerances(settings.quick)
    return {
        "seed": settings.seed,
        "experiments": {
            name: constants_of(numbers.smooth_experiment(name, settings.seed))
            for name in EXPERIMENTS
        },
        "methods": {name: list(numbers.methods_for(name, settings.quick)) for name in EXPERIMENTS},
        "tolerances": {name: numbers.tolerances(name, settings.quick) for name in EXPERIMENTS},
        "step_sizes": [f"beta 2^{-j}" for j in numbers.halvings(settings.quick)],
        "ours": {
            "reference": f"closed form, else DOP853 at rtol {rtols['reference']:g}",
            "check_of_the_reference": f"LSODA at rtol {rtols['check']:g}",
            "modified_flow": f"closed form, else DOP853 at rtol {rtols['modified flow']:g}",
            "atol": "rtol times the root mean square of w_ref(N beta) - w0",
            "reporting_times": numbers.REPORTING_TIMES,
            "cost_model": "gradient 1, Hessian-vector product 1, Hessian d; third derivative 1 "
            "contracted to a vector, d to a matrix; linear algebra not counted",
            "slope": "least squares over the four smallest step sizes",
        },
    }


def key_numbers(tables: Tables) -> dict[str, str]:
    """Return what the closing table shows."""
    found = {}
    runs = tables["fig3_work_precision"].where(flow="MAML")
    for name in EXPERIMENTS:
        part = runs.where(experiment=name)
        euler = part.where(method="Euler")
        # The second coarsest step size is the paper's.
        error, work = euler["error"][1], euler["work"][1]
        better = (part["kind"] == "solver") & (part["error"] <= error)
        if better.any():
            best = int(np.argmin(np.where(better, part["work"], np.inf)))
            found[TITLES[name]] = (
                f"Euler at beta: {error:.2%} in {work:.0f} passes; {part['method'][best]}: "
                f"{part['error'][best]:.1e} in {part['work'][best]:.0f}"
            )
    slopes = tables["fig3_slopes"]
    for flow in ("flow", "modified flow"):
        values = slopes.where(distance_from=flow)["slope"]
        found[f"Euler's order, {flow}"] = f"{values.min():.3f} to {values.max():.3f}"
    return found


ARTEFACT = Artefact(
    name="fig3",
    title="Figure 3 (ours): integrators against Euler",
    caption=(
        "What accuracy costs on the paper's four problems. (a)-(d) MAML flow and (e)-(h) BI-MAML "
        "flow, from w0 to the time N beta of the paper's run: the largest error at five "
        "equidistant times, in units of the distance travelled, over the number of gradient "
        "passes. A pass evaluates the gradients of all task losses once; a Hessian-vector product "
        "counts as one pass, a Hessian, which the implicit methods need, as d of them, a third "
        "derivative contracted to a vector or a matrix as one or d, and linear algebra as "
        "nothing. Everything a run evaluates is counted: rejected steps, interpolation at the "
        "five times, the search for the switch, and the check of the field at every accepted "
        "step. Euler's points are beta 2^j, j = 1, 0, -1, ..., from the left; the others' are "
        "tolerances from 1e-2 downwards. (i)-(l) Largest distance of the corners of Euler's "
        "polygon from the MAML flow and from the flow of F + beta/4 |grad F|^2, which Euler "
        "follows to second order (Barrett and Dherin, ICLR 2021, arXiv:2009.11162); the slopes "
        "are fitted to the four smallest steps. Reference: closed form for the regressions; for "
        "the SVMs DOP853 at a relative tolerance of 1e-12 (1e-7 in the quick version, which also "
        "leaves out methods and tolerances), which an independent code confirms (column "
        "uncertainty of the table). Ours throughout; in the SVMs the squared hinge is replaced by "
        "its smooth companion, because the gradient of the squared hinge's MAML loss is "
        "discontinuous, every method falls to first order on it, and no reference converges. With "
        "d = 784 (digits) a Hessian costs some 2400 passes: of the implicit methods only Radau "
        "and BDF, which keep one for many steps, appear there, at three tolerances, and not on "
        "the BI-MAML flow, where the search for the switch needs new ones. Methods that SciPy "
        "lacks are the package's; its own DOP853 is in the table and not drawn, as its curve is "
        "SciPy's."
    ),
    pieces=pieces,
    combine=combine,
    draw=draw,
    constants=constants,
    key_numbers=key_numbers,
)
