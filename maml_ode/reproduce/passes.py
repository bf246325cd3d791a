"""The numbers of Figure 4: passes over the data until a target is reached.

A pass is M evaluations of grad f_i. A step of -grad f costs one, a step of FO-MAML two, a step of
-grad F three (grad f_i(w), grad f_i(u_i), and a Hessian-vector product counted as one gradient).
BI-MAML also pays one pass for the test at the switch, where grad f is evaluated and not stepped
along.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import maml_ode as mo
from maml_ode._validation import Array
from maml_ode.experiments import Experiment
from maml_ode.fields import VectorField
from maml_ode.integrate import State
from maml_ode.objectives import MAMLLoss

__all__ = [
    "ALGORITHMS",
    "FACTORS",
    "MEASURES",
    "TARGETS",
    "Curve",
    "Targets",
    "bimaml_curve",
    "fomaml_curve",
    "maml_curve",
    "passes_rows",
    "steps_for",
    "timing_rows",
]

ALGORITHMS = ("MAML", "BI-MAML", "FO-MAML")
MEASURES = ("F gap", "gradient norm")
FACTORS = tuple(2.0**j for j in range(-3, 4))
PHASE_1_STEP, FO_STEP, MAML_STEP, SWITCH_TEST = 1, 2, 3, 1
PHASE_1_LIMIT = 200
LOWEST_AFTER = 400
GROWN_BEYOND = 2.0


@dataclass(frozen=True)
class Targets:
    """The targets of one experiment, as fractions of what the measure is at w0.

    Attributes
    ----------
    transient, tail : mapping of str to float
        An early and a late target for each of `MEASURES`.
    deepest : mapping of str to float
        Where the curves of saving over target end.
    max_iter : int
        Iterations after which a target counts as not reached.
    lowest : {"exact", "found", "zero"}
        What the gap F - F_low is measured from: the minimum of a quadratic F; the lowest value that
        400 iterations of BI-MAML find; or 0, which bounds a hinge loss from below.
    """

    transient: dict[str, float]
    tail: dict[str, float]
    deepest: dict[str, float]
    max_iter: int
    lowest: str


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


@dataclass(frozen=True, eq=False)
class Curve:
    """F, ||grad F|| and the passes spent, at every iterate w_0, w_1, ..."""

    value: Array
    norm: Array
    work: Array

    def after(self, other: Curve, switch: int) -> Curve:
        """Return ``other`` up to its iterate ``switch``, then this curve, which starts there."""
        spent = other.work[switch] + SWITCH_TEST
        return Curve(
            np.concatenate([other.value[:switch], self.value]),
            np.concatenate([other.norm[:switch], self.norm]),
            np.concatenate([other.work[:switch], self.work + spent]),
        )

    def passes_to(self, measure: str, target: float) -> float:
        """Return the passes spent when the measure is first at most ``target``; inf if it never is."""
        below = np.flatnonzero((self.value if measure == "F gap" else self.norm) <= target)
        return float(self.work[below[0]]) if below.size else math.inf


@dataclass(frozen=True, eq=False)
class Problem:
    """An experiment with its MAML loss, the level that gaps are measured from, and its goals."""

    experiment: Experiment
    objective: MAMLLoss
    lowest: float
    goals: dict[str, float]
    max_iter: int

    @classmethod
    def of(cls, experiment: Experiment, targets: Targets) -> Problem:
        """Find F_low and turn the deepest targets into absolute ones."""
        F = mo.MAMLLoss(experiment.tasks, experiment.alpha)
        lowest = 0.0
        if targets.lowest == "exact":
            form = F.quadratic_form
            if form is None:
                raise ValueError(f"{experiment.name} has no closed form for its lowest F.")
            lowest = form.value(np.asarray(np.linalg.solve(form.G, form.c), dtype=np.float64))
        elif targets.lowest == "found":
            run = mo.euler(
                experiment.bimaml_flow(),
                experiment.w0,
                experiment.beta,
                max_iter=LOWEST_AFTER,
                diagnostics=False,
            )
            lowest = min(F.value(w) for w in run.y.T[LOWEST_AFTER // 2 :])
        start = {
            "F gap": F.value(experiment.w0) - lowest,
            "gradient norm": float(np.linalg.norm(F.gradient(experiment.w0))),
        }
        goals = {measure: targets.deepest[measure] * start[measure] for measure in MEASURES}
        return cls(experiment, F, lowest, goals, targets.max_iter)


def maml_curve(problem: Problem, start: Array) -> Curve:
    """Follow MAML from ``start`` until the goals are reached."""
    experiment = problem.experiment
    field = experiment.maml_flow().phases[0].field
    if field.affine is not None:
        return _measured(problem, _affine_iterates(problem, field, start), MAML_STEP)
    values = [problem.objective.value(start) - problem.lowest]
    last = start
    norm = math.inf

    def watch(state: State) -> bool:
        nonlocal last, norm
        # The norm of the gradient that was stepped along, at the iterate before this one.
        norm = float(np.linalg.norm(state.w - last)) / experiment.beta
        last = state.w
        values.append(problem.objective.value(state.w) - problem.lowest)
        if len(values) <= experiment.n_steps + 1:
            return False
        return values[-2] <= problem.goals["F gap"] and norm <= problem.goals["gradient norm"]

    run = mo.euler(
        experiment.maml_flow(),
        start,
        experiment.beta,
        max_iter=problem.max_iter,
        diagnostics=False,
        callback=watch,
    )
    # The last iterate's own norm is not known from a step; the curve ends one before.
    norms = np.linalg.norm(np.diff(run.y, axis=1), axis=0) / experiment.beta
    return Curve(np.array(values[:-1]), norms, MAML_STEP * np.arange(norms.size, dtype=float))


def phase_1(problem: Problem) -> tuple[Curve, Array, Array]:
    """Follow -grad f as long as any eps0 may ask for; return its curve, states and ||grad f||."""
    experiment = problem.experiment
    field = experiment.bimaml_flow().phases[0].field
    if field.affine is not None:
        states = _affine_iterates(problem, field, experiment.w0)
    else:
        flow = mo.gradient_flow(mo.ExpectedLoss(experiment.tasks))
        run = mo.euler(
            flow, experiment.w0, experiment.beta, max_iter=PHASE_1_LIMIT, diagnostics=False
        )
        states = run.y.T
    _, norms = mo.ExpectedLoss(experiment.tasks).values_and_gradient_norms(states)
    return _measured(problem, states, PHASE_1_STEP), states, norms


def bimaml_curve(
    problem: Problem, eps0: float, first: tuple[Curve, Array, Array] | None = None
) -> tuple[Curve, int | None]:
    """Follow BI-MAML; return its curve and the step of the switch, None if it never switches."""
    curve, states, task_norms = phase_1(problem) if first is None else first
    below = np.flatnonzero(task_norms <= eps0)
    if not below.size:
        return curve, None
    switch = int(below[0])
    return maml_curve(problem, np.ascontiguousarray(states[switch])).after(curve, switch), switch


def fomaml_curve(problem: Problem) -> Curve:
    """Follow FO-MAML until the goals are reached, the limit, or F at twice its first gap."""
    experiment = problem.experiment
    flow = mo.fomaml_flow(experiment.tasks, experiment.alpha)
    field = flow.phases[0].field
    if field.affine is not None:
        return _measured(problem, _affine_iterates(problem, field, experiment.w0), FO_STEP)
    F = problem.objective
    most = F.value(experiment.w0) + GROWN_BEYOND * (F.value(experiment.w0) - problem.lowest)

    def watch(state: State) -> bool:
        return F.value(state.w) > most

    run = mo.euler(
        flow,
        experiment.w0,
        experiment.beta,
        max_iter=problem.max_iter,
        diagnostics=False,
        callback=watch,
    )
    return _measured(problem, run.y.T, FO_STEP)


def passes_rows(name: str, seed: int, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of one experiment and seed, for the tables of Figure 4."""
    targets = TARGETS[name]
    experiment = mo.experiments.load(name, seed=seed)
    problem = Problem.of(experiment, targets)
    maml = maml_curve(problem, experiment.w0)
    n = experiment.n_steps
    reached = {"F gap": float(maml.value[n]), "gradient norm": float(maml.norm[n])}
    # BI-MAML is also compared with where MAML is after N steps.
    goals = {measure: min(problem.goals[measure], reached[measure]) for measure in MEASURES}
    problem = replace(problem, goals=goals)
    first = phase_1(problem)
    fomaml = fomaml_curve(problem)
    scale = {"F gap": float(maml.value[0]), "gradient norm": float(maml.norm[0])}
    key = {"experiment": name, "seed": seed}
    over_eps0, over_depth = [], []
    fitted = None
    for factor in FACTORS:
        if quick and factor not in (0.25, 1.0, 4.0):
            continue
        curve, switch = bimaml_curve(problem, factor * experiment.switch_tol, first)
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
    experiment: Experiment, maml: Curve, bimaml: Curve, switch: int | None
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


def steps_for(algorithm: str, spent: float, switch: float) -> int:
    """Return after how many steps an algorithm has spent so many passes; NaN: no switch."""
    if algorithm == "MAML":
        return round(spent / MAML_STEP)
    if algorithm == "FO-MAML":
        return round(spent / FO_STEP)
    if not spent > switch:
        return round(spent)
    return round(switch + (spent - SWITCH_TEST - switch) / MAML_STEP)


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


def _affine_iterates(problem: Problem, field: VectorField, start: Array) -> Array:
    """Return Euler's iterates on w' = k - K w in closed form, one a row.

    With K = Q diag(lambda) Q' and a = Q'(k - K w_0), w_n = w_0 + Q phi_n a, where
    phi_n = (1 - (1 - beta lambda)^n) / lambda, or n beta for lambda = 0.
    """
    affine = field.affine
    if affine is None:
        raise ValueError(f"the field {field.label} is not affine.")
    beta = problem.experiment.beta
    rates, vectors = np.linalg.eigh(affine.K)
    amplitudes = vectors.T @ (affine.k - affine.K @ start)
    n = np.arange(problem.max_iter + 1)[:, None]
    safe = np.where(rates == 0.0, 1.0, rates)
    phi = np.where(rates == 0.0, n * beta, (1.0 - (1.0 - beta * rates) ** n) / safe)
    return np.asarray(start + (phi * amplitudes) @ vectors.T)


def _measured(problem: Problem, states: Array, step: int) -> Curve:
    values, norms = problem.objective.values_and_gradient_norms(np.ascontiguousarray(states))
    work = step * np.arange(len(states), dtype=float)
    return Curve(values - problem.lowest, norms, work)
