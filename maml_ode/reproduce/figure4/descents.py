"""F and the gradient norm along MAML, BI-MAML and FO-MAML, over the passes spent.

A pass is M evaluations of grad f_i. A step of -grad f costs one, a step of FO-MAML two, a step of
-grad F three (grad f_i(w), grad f_i(u_i), and a Hessian-vector product counted as one gradient).
BI-MAML also pays one pass for the test at the switch, where grad f is evaluated and not stepped
along.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

import maml_ode as mo
from maml_ode._validation import Array
from maml_ode.experiments import Experiment
from maml_ode.flows.fields import VectorField
from maml_ode.integrate import State
from maml_ode.objectives import MAMLLoss

__all__ = [
    "COMPARED",
    "MAML_STEP",
    "MEASURES",
    "PHASE_1_LIMIT",
    "SWITCH_TEST",
    "Descent",
    "DescentCurve",
    "Targets",
    "bimaml_curve",
    "fomaml_curve",
    "maml_curve",
    "phase_1",
    "steps_for",
]

COMPARED = ("MAML", "BI-MAML", "FO-MAML")
MEASURES = ("F gap", "gradient norm")
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


@dataclass(frozen=True, eq=False)
class DescentCurve:
    """F, ||grad F|| and the passes spent, at every iterate w_0, w_1, ..."""

    value: Array
    norm: Array
    work: Array

    def after(self, other: DescentCurve, switch: int) -> DescentCurve:
        """Return ``other`` up to its iterate ``switch``, then this curve, which starts there."""
        spent = other.work[switch] + SWITCH_TEST
        return DescentCurve(
            np.concatenate([other.value[:switch], self.value]),
            np.concatenate([other.norm[:switch], self.norm]),
            np.concatenate([other.work[:switch], self.work + spent]),
        )

    def passes_to(self, measure: str, target: float) -> float:
        """Return the passes spent when the measure is first at most ``target``; inf if it never is."""
        below = np.flatnonzero((self.value if measure == "F gap" else self.norm) <= target)
        return float(self.work[below[0]]) if below.size else math.inf


@dataclass(frozen=True, eq=False)
class Descent:
    """An experiment with its MAML loss, the level that gaps are measured from, and its goals."""

    experiment: Experiment
    objective: MAMLLoss
    lowest: float
    goals: dict[str, float]
    max_iter: int

    @classmethod
    def of(cls, experiment: Experiment, targets: Targets) -> Descent:
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


def maml_curve(descent: Descent, start: Array) -> DescentCurve:
    """Follow MAML from ``start`` until the goals are reached."""
    experiment = descent.experiment
    field = experiment.maml_flow().phases[0].field
    if field.affine is not None:
        return _measured(descent, _affine_iterates(descent, field, start), MAML_STEP)
    values = [descent.objective.value(start) - descent.lowest]
    last = start
    norm = math.inf

    def watch(state: State) -> bool:
        nonlocal last, norm
        # The norm of the gradient that was stepped along, at the iterate before this one.
        norm = float(np.linalg.norm(state.w - last)) / experiment.beta
        last = state.w
        values.append(descent.objective.value(state.w) - descent.lowest)
        if len(values) <= experiment.n_steps + 1:
            return False
        return values[-2] <= descent.goals["F gap"] and norm <= descent.goals["gradient norm"]

    run = mo.euler(
        experiment.maml_flow(),
        start,
        experiment.beta,
        max_iter=descent.max_iter,
        diagnostics=False,
        callback=watch,
    )
    # The last iterate's own norm is not known from a step; the curve ends one before.
    norms = np.linalg.norm(np.diff(run.y, axis=1), axis=0) / experiment.beta
    return DescentCurve(
        np.array(values[:-1]), norms, MAML_STEP * np.arange(norms.size, dtype=float)
    )


def phase_1(descent: Descent) -> tuple[DescentCurve, Array, Array]:
    """Follow -grad f as long as any eps0 may ask for; return its curve, states and ||grad f||."""
    experiment = descent.experiment
    field = experiment.bimaml_flow().phases[0].field
    if field.affine is not None:
        states = _affine_iterates(descent, field, experiment.w0)
    else:
        flow = mo.gradient_flow(mo.ExpectedLoss(experiment.tasks))
        run = mo.euler(
            flow, experiment.w0, experiment.beta, max_iter=PHASE_1_LIMIT, diagnostics=False
        )
        states = run.y.T
    _, norms = mo.ExpectedLoss(experiment.tasks).values_and_gradient_norms(states)
    return _measured(descent, states, PHASE_1_STEP), states, norms


def bimaml_curve(
    descent: Descent, eps0: float, first: tuple[DescentCurve, Array, Array] | None = None
) -> tuple[DescentCurve, int | None]:
    """Follow BI-MAML; return its curve and the step of the switch, None if it never switches."""
    curve, states, task_norms = phase_1(descent) if first is None else first
    below = np.flatnonzero(task_norms <= eps0)
    if not below.size:
        return curve, None
    switch = int(below[0])
    return maml_curve(descent, np.ascontiguousarray(states[switch])).after(curve, switch), switch


def fomaml_curve(descent: Descent) -> DescentCurve:
    """Follow FO-MAML until the goals are reached, the limit, or F at twice its first gap."""
    experiment = descent.experiment
    flow = mo.fomaml_flow(experiment.tasks, experiment.alpha)
    field = flow.phases[0].field
    if field.affine is not None:
        return _measured(descent, _affine_iterates(descent, field, experiment.w0), FO_STEP)
    F = descent.objective
    most = F.value(experiment.w0) + GROWN_BEYOND * (F.value(experiment.w0) - descent.lowest)

    def watch(state: State) -> bool:
        return F.value(state.w) > most

    run = mo.euler(
        flow,
        experiment.w0,
        experiment.beta,
        max_iter=descent.max_iter,
        diagnostics=False,
        callback=watch,
    )
    return _measured(descent, run.y.T, FO_STEP)


def steps_for(algorithm: str, spent: float, switch: float) -> int:
    """Return after how many steps an algorithm has spent so many passes; NaN: no switch."""
    if algorithm == "MAML":
        return round(spent / MAML_STEP)
    if algorithm == "FO-MAML":
        return round(spent / FO_STEP)
    if not spent > switch:
        return round(spent)
    return round(switch + (spent - SWITCH_TEST - switch) / MAML_STEP)


def _affine_iterates(descent: Descent, field: VectorField, start: Array) -> Array:
    """Return Euler's iterates on w' = k - K w in closed form, one a row.

    With K = Q diag(lambda) Q' and a = Q'(k - K w_0), w_n = w_0 + Q phi_n a, where
    phi_n = (1 - (1 - beta lambda)^n) / lambda, or n beta for lambda = 0.
    """
    affine = field.affine
    if affine is None:
        raise ValueError(f"the field {field.label} is not affine.")
    beta = descent.experiment.beta
    rates, vectors = np.linalg.eigh(affine.K)
    amplitudes = vectors.T @ (affine.k - affine.K @ start)
    n = np.arange(descent.max_iter + 1)[:, None]
    safe = np.where(rates == 0.0, 1.0, rates)
    phi = np.where(rates == 0.0, n * beta, (1.0 - (1.0 - beta * rates) ** n) / safe)
    return np.asarray(start + (phi * amplitudes) @ vectors.T)


def _measured(descent: Descent, states: Array, step: int) -> DescentCurve:
    values, norms = descent.objective.values_and_gradient_norms(np.ascontiguousarray(states))
    work = step * np.arange(len(states), dtype=float)
    return DescentCurve(values - descent.lowest, norms, work)
