"""Phases by forward Euler on a few tasks at a time: the algorithms as they are run on many tasks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, check_count
from maml_ode.counts import Counts
from maml_ode.flows import Flow
from maml_ode.flows.fields import VectorField
from maml_ode.flows.lifted_fields import LiftedField
from maml_ode.integrate.evaluation import FieldEvaluator
from maml_ode.integrate.norms import all_finite, vector_norm
from maml_ode.integrate.plan import Plan
from maml_ode.integrate.segment import Segment
from maml_ode.integrate.steppers.euler import EulerStepper
from maml_ode.integrate.steppers.protocol import Look
from maml_ode.integrate.tally import Tally
from maml_ode.integrate.task_means import mean_over, tasks_behind
from maml_ode.integrate.watch.finding import Crossing, Finding
from maml_ode.stop import Stop, StopReason
from maml_ode.tasks.base import TaskFamily
from maml_ode.trajectory import Trajectory

__all__ = ["SampledEulerStepper", "TaskSampler"]


class TaskSampler:
    """Draws B tasks, so that the plain mean over them has the expectation sum_i p_i.

    Parameters
    ----------
    flow : Flow
    tasks_per_step : int
        B. Of uniform weights at most M: the tasks of a step are then distinct. Else they are drawn by p_i, one by
        one.
    rng : numpy.random.Generator

    Raises
    ------
    ValueError
        If B is more than there are tasks.
    TypeError
        If a phase of the flow is no mean over tasks.
    """

    def __init__(self, flow: Flow, tasks_per_step: int, rng: np.random.Generator) -> None:
        self.size = check_count("tasks_per_step", tasks_per_step)
        self.rng = rng
        self.n_tasks = flow.objective.tasks.n_tasks
        for leg in flow.legs:
            tasks = self._tasks_of(leg.field)
            if is_uniform(tasks) and self.size > tasks.n_tasks:
                raise ValueError(
                    f"tasks_per_step must be at most the number of tasks, {tasks.n_tasks}, not {self.size}: with "
                    "uniform weights the tasks of a step are distinct."
                )

    def draw(self, tasks: TaskFamily) -> npt.NDArray[np.int64]:
        """Return the numbers of B tasks."""
        if is_uniform(tasks):
            drawn = self.rng.choice(tasks.n_tasks, self.size, replace=False)
        else:
            p = tasks.weights
            drawn = self.rng.choice(tasks.n_tasks, self.size, p=p / p.sum())
        return drawn.astype(np.int64)

    def field(self, field: VectorField, w: Array) -> Array:
        """Return the field at ``w`` for tasks that are drawn now."""
        return mean_over(field, w, self.draw(self._tasks_of(field)))

    def counted(self, run: Trajectory) -> Trajectory:
        """Return the run with its evaluations counted in single tasks and in passes over all."""
        return replace(run, counts=in_passes(run.counts, self.n_tasks))

    @staticmethod
    def _tasks_of(field: VectorField) -> TaskFamily:
        tasks = tasks_behind(field)
        if tasks is None:
            raise TypeError(
                f"tasks_per_step needs fields that are means over tasks, which {field.label} is not: from some of "
                "the tasks it does not come out right even on average; leave tasks_per_step out."
            )
        return tasks


def is_uniform(tasks: TaskFamily) -> bool:
    """Whether all tasks have the same weight."""
    return bool(tasks.weights.min() == tasks.weights.max())


class SampledEulerStepper(EulerStepper):
    """w_{k+1} = w_k + step_size v(w_k), v for tasks that are drawn anew in every step.

    On lifted fields, the algorithm that they carry: stochastic heavy ball, and Nesterov's method likewise. Rules
    that end phases, the test of stationarity and diagnostics look at all tasks.

    Parameters
    ----------
    sampler : TaskSampler
    flow, record, tally, **settings
        As for `EulerStepper`.
    """

    def __init__(self, sampler: TaskSampler, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._sampler = sampler
        self._costs: dict[int, Counts] = {}

    def run(self, segment: Segment, plan: Plan, look: Look) -> Finding:
        """Iterate until the phase's rule is met at an iterate, or the run ends."""
        last = segment.number == len(self._flow.legs) - 1
        tested = self._tol > 0 and (segment.leg.final or last)
        algorithm = _Algorithm(segment, self._tally, self._step_size)
        while True:
            t, z = self._record.t, self._record.w
            norm = math.nan
            if tested:
                norm = algorithm.rest_norm(t, z)
                self._record.know(norm)
            stop = self._at_iterate(segment, t, algorithm.observe(z), norm, not tested)
            if stop is not None:
                return Finding(stop)
            driven = self._drawn(algorithm.driving, algorithm.look_ahead(z))
            with np.errstate(all="ignore"):
                following = algorithm.advance(z, driven)
            if not all_finite(following):
                detail = f"At iteration {self._k + 1}; lower step_size."
                return Finding(Stop(StopReason.NON_FINITE, detail))
            self._k += 1
            self._tally.steps += 1
            self._progress.update(t, norm)
            self._move(segment, following)
            t = self._record.t
            if segment.rule is not None and segment.rule.is_met(segment.rule(t, following)):
                return Finding(Stop(StopReason.SWITCHED), crossing=Crossing(t, following, t, t))

    def _drawn(self, field: VectorField, w: Array) -> Array:
        self._tally.check_limits()
        with np.errstate(all="ignore"):
            value = self._sampler.field(field, w)
        self._tally.nfev += 1
        if id(field) not in self._costs:
            gradients, hvps = int(field.cost.gradients), int(field.cost.hvps)
            size = self._sampler.size
            self._costs[id(field)] = Counts(task_gradients=size * gradients, task_hvps=size * hvps)
        self._tally.add(self._costs[id(field)])
        return value


class _Algorithm:
    """How a phase's iterate follows from the last and a value of the field that drives it."""

    def __init__(self, segment: Segment, tally: Tally, step_size: float) -> None:
        field = segment.leg.field
        self._lifted = field if isinstance(field, LiftedField) else None
        self._step_size = step_size
        self.driving = field if self._lifted is None else self._lifted.driving
        self._all_tasks = (
            segment.evaluator if self._lifted is None else FieldEvaluator(self.driving, tally)
        )

    def observe(self, z: Array) -> Array:
        return z if self._lifted is None else self._lifted.observe(z)

    def rest_norm(self, t: float, z: Array) -> float:
        """Return the norm, over all tasks, that is at most ``tol`` at rest."""
        if self._lifted is None:
            return vector_norm(self._all_tasks(t, z))
        at = np.ascontiguousarray(self._lifted.at(z))
        return self._lifted.discrete_rest_norm(z, self._all_tasks(t, at))

    def look_ahead(self, z: Array) -> Array:
        """Return the point at which the driving field is asked for."""
        if self._lifted is None:
            return z
        return np.ascontiguousarray(self._lifted.look_ahead(z, self._step_size))

    def advance(self, z: Array, driven: Array) -> Array:
        if self._lifted is None:
            return np.asarray(z + self._step_size * driven)
        return self._lifted.advance(z, self._step_size, driven)


def in_passes(counts: Counts, n_tasks: int) -> Counts:
    """Return the counts of a sampled run with single-task evaluations and passes that say the same.

    A pass is M evaluations: those over all tasks and those over some are added up.
    """
    changes: dict[str, Any] = {}
    for kind in ("gradients", "hvps"):
        single = getattr(counts, f"task_{kind}") + n_tasks * getattr(counts, kind)
        changes |= {f"task_{kind}": single, kind: _quotient(single, n_tasks)}
    return replace(counts, **changes)


def _quotient(single: int, n_tasks: int) -> int | float:
    return single // n_tasks if single % n_tasks == 0 else single / n_tasks
