"""MAML, heavy-ball MAML, Nesterov MAML and BI-MAML on one experiment: the paths, and the passes they spend.

All take the experiment's beta for their gradient step. On w'' + c w' + grad F = 0 and w'' + (3/t) w' + grad F = 0
that is the step h = sqrt(beta) in time. The friction c = 2 sqrt(mu) damps the slowest direction of a quadratic F
critically, mu being the smallest eigenvalue of its Hessian; where F is no quadratic, c = 0.1/h, the momentum
1 - c h = 0.9 that is mostly taken.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

import maml_ode as mo
from maml_ode._validation import Array
from maml_ode.experiments import Experiment
from maml_ode.flows import Flow
from maml_ode.integrate import State
from maml_ode.integrate.warnings import NonSmoothWarning
from maml_ode.reproduce.figure4.descents import (
    MAML_STEP,
    MEASURES,
    Descent,
    Targets,
    bimaml_curve,
    maml_curve,
)
from maml_ode.reproduce.figure4.passes import TARGETS, depths

__all__ = ["COMPARED", "LIFTED", "Chosen", "descents_of", "runs_of", "spelt", "targets_of"]

LIFTED = ("heavy ball", "Nesterov")
COMPARED = ("MAML", *LIFTED, "BI-MAML")
GAP = MEASURES[0]
USUAL_MOMENTUM = 0.9
# Nesterov's gap falls like t^-3 along slow directions: deeper targets cost it many thousands of steps.
DEEPEST = 1e-6

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Chosen:
    """Step and friction by the rule of this module.

    Attributes
    ----------
    mu, L : float
        The smallest and the largest eigenvalue of Hess F; NaN where F is no quadratic.
    step : float
        h.
    friction : float
        c of the heavy ball.
    """

    mu: float
    L: float
    step: float
    friction: float

    @classmethod
    def for_(cls, experiment: Experiment) -> Chosen:
        """Choose for an experiment."""
        form = mo.MAMLLoss(experiment.tasks, experiment.alpha).quadratic_form
        step = math.sqrt(experiment.beta)
        if form is None:
            return cls(math.nan, math.nan, step, (1.0 - USUAL_MOMENTUM) / step)
        rates = np.linalg.eigvalsh(form.G)
        return cls(float(rates[0]), float(rates[-1]), step, 2.0 * math.sqrt(rates[0]))

    def to_dict(self, beta: float) -> dict[str, Any]:
        """Return what a record says of the choice."""
        known = {} if math.isnan(self.mu) else {"mu": self.mu, "L": self.L, "beta_L": beta * self.L}
        momentum = 1.0 - self.friction * self.step
        return known | {"step": self.step, "friction": self.friction, "momentum": momentum}


def targets_of(name: str) -> Targets:
    """Return the targets of Figure 4, none deeper than `DEEPEST`."""
    targets = TARGETS[name]
    return replace(
        targets, deepest={measure: max(targets.deepest[measure], DEEPEST) for measure in MEASURES}
    )


def _flows(experiment: Experiment) -> dict[str, tuple[Flow, float]]:
    """Return every algorithm's flow and its step in time."""
    F, chosen = mo.MAMLLoss(experiment.tasks, experiment.alpha), Chosen.for_(experiment)
    return {
        "MAML": (experiment.maml_flow(), experiment.beta),
        "heavy ball": (mo.momentum_flow(F, chosen.friction), chosen.step),
        "Nesterov": (mo.nesterov_flow(F), chosen.step),
        "BI-MAML": (experiment.bimaml_flow(), experiment.beta),
    }


@dataclass(frozen=True, eq=False)
class Fall:
    """F and the passes spent, at every iterate."""

    loss: Array
    work: Array

    def passes_to(self, level: float) -> float:
        """Return the passes spent when F is first at most ``level``; inf if it never is."""
        below = np.flatnonzero(self.loss <= level)
        return float(self.work[below[0]]) if below.size else math.inf


def descents_of(experiment: Experiment) -> tuple[dict[str, Fall], float]:
    """Return how F falls by each algorithm, and the level that gaps are measured from.

    That is Figure 4's, or what momentum finds if this is lower.
    """
    targets = targets_of(experiment.name)
    descent = Descent.of(experiment, targets)
    lifted = {name: _lifted(descent, *_flows(experiment)[name]) for name in LIFTED}
    lowest = descent.lowest
    if targets.lowest == "found":
        lowest = min(lowest, *(float(fall.loss.min()) for fall in lifted.values()))
    maml = maml_curve(descent, experiment.w0)
    bimaml, _ = bimaml_curve(descent, experiment.switch_tol)
    plain = {
        name: Fall(curve.value + descent.lowest, curve.work)
        for name, curve in (("MAML", maml), ("BI-MAML", bimaml))
    }
    return {name: (plain | lifted)[name] for name in COMPARED}, lowest


def _lifted(descent: Descent, flow: Flow, step: float) -> Fall:
    """Follow an algorithm with momentum until the deepest target is reached, where that is known beforehand."""
    experiment, F = descent.experiment, descent.objective
    known = targets_of(experiment.name).lowest != "found"
    goal = descent.lowest + descent.goals[GAP] if known else -math.inf
    loss = [F.value(experiment.w0)]

    def watch(state: State) -> bool:
        loss.append(F.value(state.w))
        return loss[-1] <= goal and len(loss) > experiment.n_steps

    mo.euler(
        flow,
        experiment.w0,
        step,
        max_iter=descent.max_iter,
        record_every=descent.max_iter,
        diagnostics=False,
        callback=watch,
    )
    return Fall(np.array(loss), MAML_STEP * np.arange(len(loss), dtype=float))


def runs_of(name: str, seed: int, per_step: int, rtol: float) -> dict[str, Any]:
    """Return the rows of an experiment and seed.

    Parameters
    ----------
    name : str
    seed : int
    per_step : int
        Points of the flows per step of their algorithms; with 0 neither iterates nor flows are given.
    rtol : float
        Of the flows that have no closed form.

    Returns
    -------
    dict
        "targets" and "depth": rows of passes, to an early and a late target and over the target; "iterates" and
        "flows": columns of every algorithm, empty without points.
    """
    experiment = mo.experiments.load(name, seed=seed)
    falls, lowest = descents_of(experiment)
    targets, first = targets_of(name), falls["MAML"].loss[0] - lowest

    def passes(part: float) -> dict[str, Any]:
        spent = {spelt(key): fall.passes_to(lowest + part * first) for key, fall in falls.items()}
        return {"fraction": part} | spent

    key = {"experiment": name, "seed": seed}
    wanted = {"transient": targets.transient[GAP], "tail": targets.tail[GAP]}
    found: dict[str, Any] = {
        "targets": [key | {"target": kind} | passes(part) for kind, part in wanted.items()],
        "depth": [key | passes(float(part)) for part in depths(targets.deepest[GAP])],
        "iterates": [],
        "flows": [],
    }
    if per_step:
        k = np.arange(experiment.n_steps + 1)
        for algorithm, (flow, step) in _flows(experiment).items():
            label = {"experiment": name, "algorithm": algorithm}
            loss = falls[algorithm].loss[: k.size]
            found["iterates"].append(_columns(label, k, loss, lowest))
            path = _followed(experiment, flow, step, per_step, rtol)
            found["flows"].append(_columns(label, *path, lowest))
    return found


def spelt(algorithm: str) -> str:
    """Return an algorithm's name as that of a column."""
    return algorithm.lower().replace("-", "").replace(" ", "_")


def _followed(
    experiment: Experiment, flow: Flow, step: float, per_step: int, rtol: float
) -> tuple[Array, Array]:
    """Return k = t/step and F along a flow. A field that jumps (squared hinge) is integrated as it is."""
    k = np.arange(experiment.n_steps * per_step + 1) / per_step
    closed = mo.MAMLLoss(experiment.tasks, experiment.alpha).quadratic_form is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonSmoothWarning)
        run = mo.solve(
            flow,
            experiment.w0,
            tol=0.0,
            t_max=float(k[-1] * step),
            t_eval=k * step,
            rtol=None if closed else rtol,
            atol=None if closed else rtol / 100,
        )
    return k, run.loss


def _columns(label: dict[str, str], k: npt.NDArray[Any], loss: Array, lowest: float) -> Columns:
    gap = (loss - lowest) / (loss[0] - lowest)
    columns: Columns = {key: np.full(k.size, value) for key, value in label.items()}
    return columns | {"k": k, "loss": loss, "gap": gap}
