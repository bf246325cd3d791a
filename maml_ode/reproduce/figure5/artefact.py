"""Figure 5, ours: momentum on the MAML loss, as algorithms and as flows."""

from __future__ import annotations

from typing import Any

import maml_ode as mo
from maml_ode.reproduce.artefact import Artefact, Inputs, Settings, Tables
from maml_ode.reproduce.both_algorithms import FLOW_RTOL, stack
from maml_ode.reproduce.figure5.methods import (
    COMPARED,
    USUAL_MOMENTUM,
    Chosen,
    runs_of,
    spelt,
    targets_of,
)
from maml_ode.reproduce.figure5.pictures import draw
from maml_ode.reproduce.quartiles import summary
from maml_ode.reproduce.section4 import EXPERIMENTS, TITLES, constants_of
from maml_ode.runs.executor import Task
from maml_ode.runs.tables import Table, as_table

__all__ = ["ARTEFACT"]

FLOW_POINTS_PER_STEP = 2
QUICK_SEEDS, QUICK_RTOL, QUICK_POINTS_PER_STEP = 1, 1e-4, 1


def _seeds(settings: Settings) -> range:
    return settings.seed_range[: QUICK_SEEDS if settings.quick else settings.seeds]


def pieces(settings: Settings) -> list[Task]:
    """Return the runs, for every experiment and seed; longest first."""
    per_step = QUICK_POINTS_PER_STEP if settings.quick else FLOW_POINTS_PER_STEP
    rtol = QUICK_RTOL if settings.quick else FLOW_RTOL
    return [
        Task(
            runs_of,
            (name, seed, per_step if seed == settings.seed else 0, rtol),
            f"{name}, seed {seed}",
        )
        for name in reversed(EXPERIMENTS)
        for seed in _seeds(settings)
    ]


def combine(settings: Settings, values: list[Any], inputs: Inputs) -> dict[str, Table]:
    """Put the runs together, in the paper's order."""
    # Pieces come experiment by experiment, the paper's last one first.
    size = len(_seeds(settings))
    ordered = [
        part
        for start in range(len(values) - size, -1, -size)
        for part in values[start : start + size]
    ]
    tables = {
        f"fig5_{key}": Table(f"fig5_{key}", stack(one for part in ordered for one in part[key]))
        for key in ("iterates", "flows")
    }
    for key in ("targets", "depth"):
        tables[f"fig5_{key}"] = as_table(
            f"fig5_{key}", [row for part in ordered for row in part[key]]
        )
    return tables | {"fig5_summary": _summary(tables["fig5_targets"])}


def _summary(table: Table) -> Table:
    """Return passes to each target: median and quartiles over the seeds."""
    rows = []
    for name in EXPERIMENTS:
        for target in ("transient", "tail"):
            part = table.where(experiment=name, target=target)
            for algorithm in COMPARED:
                spent = part[spelt(algorithm)]
                if not spent.size:
                    continue
                rows.append(
                    {
                        "experiment": name,
                        "target": target,
                        "fraction": float(part["fraction"][0]),
                        "algorithm": algorithm,
                        **summary(spent),
                    }
                )
    return as_table("fig5_summary", rows)


def constants(settings: Settings) -> dict[str, Any]:
    """Return the experiments' constants, the steps and frictions of the first seed, and what is ours."""
    problems = {name: mo.experiments.load(name, seed=settings.seed) for name in EXPERIMENTS}
    return {
        "experiments": {name: constants_of(problem) for name, problem in problems.items()},
        "chosen": {
            name: Chosen.for_(problem).to_dict(problem.beta) for name, problem in problems.items()
        },
        "targets": {
            name: {
                "transient": targets_of(name).transient["F gap"],
                "tail": targets_of(name).tail["F gap"],
                "deepest": targets_of(name).deepest["F gap"],
                "max_iter": targets_of(name).max_iter,
                "gap_measured_from": targets_of(name).lowest,
            }
            for name in EXPERIMENTS
        },
        "ours": {
            "step": "h = sqrt(beta): every algorithm steps along -grad F with the experiment's beta",
            "friction": "2 sqrt(mu) where F is a quadratic, mu the smallest eigenvalue of its Hessian; "
            f"{1 - USUAL_MOMENTUM:.1f}/h elsewhere, the momentum {USUAL_MOMENTUM:g}",
            "r": 3.0,
            "cost_model": "a step of phase 1 of BI-MAML costs 1 pass, every other step 3, and the test at "
            "the switch 1",
        },
    }


def key_numbers(tables: Tables) -> dict[str, str]:
    """Return what the closing table shows."""
    found = {}
    for name in EXPERIMENTS:
        part = tables["fig5_summary"].where(experiment=name, target="tail")
        if len(part):
            spent = " / ".join(f"{median:.0f}" for median in part["median"])
            found[TITLES[name]] = (
                f"passes to {100 * part['fraction'][0]:g} % of the gap: {spent} ({' / '.join(COMPARED)})"
            )
    return found


ARTEFACT = Artefact(
    name="fig5",
    title="Figure 5 (ours): momentum on the MAML loss, beside BI-MAML",
    caption=(
        "Heavy-ball MAML is the discrete algorithm of w'' + c w' + grad F = 0, Nesterov MAML that of w'' + "
        "(3/t) w' + grad F = 0. (a)-(d) The gap F - F_low, in parts of what it is at w0, along the algorithms "
        "(marks) and along their flows at the same times (lines), for the first seed: a step takes MAML and "
        "BI-MAML the time beta, the other two h = sqrt(beta), so that all step along -grad F with the same beta. "
        "(e)-(h) Passes over the data until the gap is first at most the target; medians over the seeds, bands "
        "between the quartiles. A step of phase 1 of BI-MAML costs one pass, every other step three, the "
        "test at the switch one. Ours, all of it; the friction follows a rule: c = 2 sqrt(mu), critical damping "
        "of the slowest direction, where F is a quadratic with smallest curvature mu, and c = 0.1/h, the usual "
        "momentum 0.9, for the SVMs; h and c for the first seed are in fig5.json. Momentum makes F rise at times, "
        "and to reach means the first iterate at which the target holds. The experiments' beta is far below 1/L "
        "(beta L is 0.02 and 0.03 for the regressions), so that a larger beta would spare MAML passes as well: "
        "compared is what momentum adds to the paper's steps. F_low is that of Figure 4, or what momentum finds "
        "if that is lower (SVM, synthetic)."
    ),
    pieces=pieces,
    combine=combine,
    draw=draw,
    constants=constants,
    key_numbers=key_numbers,
)
