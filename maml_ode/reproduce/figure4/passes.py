"""The numbers of Figure 4: passes over the data until a target is reached, and times."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np

import maml_ode as mo
from maml_ode._validation import Array
from maml_ode.experiments import Experiment
from maml_ode.reproduce.figure4.descents import (
    MAML_STEP,
    MEASURES,
    Descent,
    DescentCurve,
    Targets,
    bimaml_curve,
    fomaml_curve,
    maml_curve,
    phase_1,
)

__all__ = ["FACTORS", "TARGETS", "passes_rows", "timing_rows"]

FACTORS = tuple(2.0**j for j in range(-3, 4))


def _same(value: float) -> dict[str, float]:
    return dict.fromkeys(MEASURES, value)


TARGETS = {
    "linear_regression": Targets(_same(1e-1), _same(1e-4), _same(1e-8), 4000, "exact"),
    "diabetes": Targets(_same(1e-1), _same(1e-4), _same(1e-8), 60_000, "exact"),
    # The stationarity that the squared hinge's kinks allow ends near 1e-3 of ||grad F(w0)||.
    "svm": Targets(
        _same(1e-1),
        {"F gap": 1e-3, "gradient norm": 1e-2},
        {"F gap": 1e-3, "gradient norm": 1e-2},
        300,
        "found",
    ),
    "svm_digits": Targets(
        {"F gap": 0.6, "gradient norm": 0.2},
        {"F gap": 0.5, "gradient norm": 0.1},
        {"F gap": 0.5, "gradient norm": 0.1},
        400,
        "zero",
    ),
}


def passes_rows(name: str, seed: int, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of one experiment and seed, for the tables of Figure 4."""
    targets = TARGETS[name]
    experiment = mo.experiments.load(name, seed=seed)
    descent = Descent.of(experiment, targets)
    maml = maml_curve(descent, experiment.w0)
    n = experiment.n_steps
    reached = {"F gap": float(maml.value[n]), "gradient norm": float(maml.norm[n])}
    # BI-MAML is also compared with where MAML is after N steps.
    goals = {measure: min(descent.goals[measure], reached[measure]) for measure in MEASURES}
    descent = replace(descent, goals=goals)
    first = phase_1(descent)
    fomaml = fomaml_curve(descent)
    scale = {"F gap": float(maml.value[0]), "gradient norm": float(maml.norm[0])}
    key = {"experiment": name, "seed": seed}
    over_eps0, over_depth = [], []
    fitted = None
    for factor in FACTORS:
        if quick and factor not in (0.25, 1.0, 4.0):
            continue
        curve, switch = bimaml_curve(descent, factor * experiment.switch_tol, first)
        if factor == 1.0:
            fitted = curve, switch
        for measure in MEASURES:
            for kind, wanted in (("transient", targets.transient), ("tail", targets.tail)):
                target = wanted[measure] * scale[measure]
                over_eps0.append(
                    key
                    | {
                        "measure": measure,
                        "target": kind,
                        "fraction": wanted[measure],
                        "eps0_factor": factor,
                        "switch_step": math.nan if switch is None else float(switch),
                        "bimaml": curve.passes_to(measure, target),
                        "maml": maml.passes_to(measure, target),
                        "fomaml": fomaml.passes_to(measure, target),
                    }
                )
    if fitted is None:
        raise RuntimeError("the fitted eps0 is missing from the factors.")
    for measure in MEASURES:
        for fraction in depths(targets.deepest[measure]):
            target = fraction * scale[measure]
            over_depth.append(
                key
                | {
                    "measure": measure,
                    "fraction": float(fraction),
                    "bimaml": fitted[0].passes_to(measure, target),
                    "maml": maml.passes_to(measure, target),
                    "fomaml": fomaml.passes_to(measure, target),
                }
            )
    return {
        "eps0": over_eps0,
        "depth": over_depth,
        "saving": [key | _saving(experiment, maml, *fitted)],
    }


def depths(deepest: float, points: int = 25) -> Array:
    """Return target fractions from near 1 down to the deepest, evenly on a logarithmic scale."""
    return np.geomspace(1.0, deepest, points + 1)[1:]


def _saving(
    experiment: Experiment, maml: DescentCurve, bimaml: DescentCurve, switch: int | None
) -> dict[str, Any]:
    """Return what BI-MAML saves over N iterations, and to be as good as MAML is then."""
    n = experiment.n_steps
    steps = math.nan if switch is None else float(switch)
    return {
        "switch_step": steps,
        "quoted": experiment.quoted_saving if experiment.quoted_saving is not None else math.nan,
        "model": 2.0 * steps / (MAML_STEP * n),
        "counted": 1.0 - float(bimaml.work[n] / maml.work[n]),
        "equal_gap": 1.0 - bimaml.passes_to("F gap", float(maml.value[n])) / float(maml.work[n]),
        "equal_norm": 1.0
        - bimaml.passes_to("gradient norm", float(maml.norm[n])) / float(maml.work[n]),
    }


def timing_rows(
    name: str, seed: int, steps: dict[tuple[str, str], int], repeats: int
) -> list[dict[str, Any]]:
    """Time the algorithms from w0 over the given steps, after one run that is not timed."""
    experiment = mo.experiments.load(name, seed=seed)
    flows = {
        "MAML": experiment.maml_flow(),
        "BI-MAML": experiment.bimaml_flow(),
        "FO-MAML": mo.fomaml_flow(experiment.tasks, experiment.alpha),
    }
    rows = []
    for (measure, algorithm), count in steps.items():
        for repeat in range(-1, repeats):
            start = time.perf_counter()
            mo.euler(
                flows[algorithm],
                experiment.w0,
                experiment.beta,
                max_iter=count,
                diagnostics=False,
            )
            seconds = time.perf_counter() - start
            if repeat >= 0:
                rows.append(
                    {
                        "experiment": name,
                        "seed": seed,
                        "measure": measure,
                        "algorithm": algorithm,
                        "steps": count,
                        "repeat": repeat,
                        "seconds": seconds,
                    }
                )
    return rows
