"""The diagnostic fields of a path: F, f and their gradient norms, and the energy ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.energy import EnergyLedger, count_rises, dissipation
from maml_ode.flows import Flow
from maml_ode.integrate.record import Points, Record
from maml_ode.objectives import Objective
from maml_ode.trajectory import SERIES

__all__ = ["Diagnosis", "diagnose", "nothing_diagnosed", "seconds_per_point"]

ROWS = 16


@dataclass(frozen=True)
class Diagnosis:
    """The diagnostic series, the energy ledger, what they cost, and what was left out of them."""

    series: dict[str, Array]
    energy: EnergyLedger | None = None
    cost: Counts | None = None
    remark: str = ""


def nothing_diagnosed(size: int, remark: str = "") -> Diagnosis:
    """Return series of NaN."""
    rows = np.empty((len(SERIES), size))
    rows.fill(np.nan)
    return Diagnosis(dict(zip(SERIES, rows, strict=True)), remark=remark)


def diagnose(
    flow: Flow,
    record: Record,
    points: Points,
    *,
    sol: Callable[[npt.ArrayLike], Array] | None = None,
) -> Diagnosis:
    """Evaluate F, ||grad F||, f, ||grad f|| at the points, and the energy ledger over the recorded ones.

    An interrupt, or the run's time limit, leaves the rest of the points NaN and is said in ``remark``; the
    last point is evaluated first.

    Parameters
    ----------
    flow : Flow
    record : Record
    points : Points
    sol : callable, optional
        The continuous solution, where the dissipated energy is asked for.
    """
    size = points.t.size
    diagnosis = nothing_diagnosed(size)
    if size == 0:
        return diagnosis
    series, done, why = diagnosis.series, 0, ""
    energy: EnergyLedger | None = None
    more = Counts()
    try:
        for rows in _blocks(size, flow.objective.quadratic_form is not None):
            if done and record.tally.out_of_time:
                why = f"max_seconds = {record.tally.max_seconds:g} had passed"
                break
            _evaluate(flow, points.states, series, rows)
            done += rows.stop - rows.start
        if not why and points.recorded:
            energy, more = _energy(flow, record, series, sol)
    except KeyboardInterrupt:
        why = "they were interrupted from the keyboard"
    remark = ""
    if why:
        left = f" at {size - done} of {size} points" if done < size else ""
        remark = f" Diagnostics are left out{left}: {why}."
    return Diagnosis(series, energy, _cost_of_a_point(flow) * done + more, remark)


def seconds_per_point(flow: Flow, w: Array) -> tuple[float, Counts]:
    """Return how long the diagnostics of one point take, and what finding out cost."""
    series = nothing_diagnosed(1).series
    seconds = np.inf
    for _ in range(2):  # the first may compile or aggregate
        began = time.perf_counter()
        _evaluate(flow, w[None], series, slice(0, 1))
        seconds = min(seconds, time.perf_counter() - began)
    return seconds, _cost_of_a_point(flow) * 2


def _blocks(size: int, at_once: bool) -> Iterator[slice]:
    """Yield the rows in the order in which they are evaluated."""
    if at_once:
        yield slice(0, size)
        return
    yield slice(size - 1, size)
    for start in range(0, size - 1, ROWS):
        yield slice(start, min(start + ROWS, size - 1))


def _evaluate(flow: Flow, states: Array, series: dict[str, Array], rows: slice) -> None:
    F, f = flow.objective, flow.task_objective
    block = states[rows]
    with np.errstate(all="ignore"):
        series["loss"][rows], series["grad_norm"][rows] = F.values_and_gradient_norms(block)
        series["task_loss"][rows], series["task_grad_norm"][rows] = f.values_and_gradient_norms(
            block
        )


def _cost_of_a_point(flow: Flow) -> Counts:
    F, f = flow.objective, flow.task_objective
    return F.value_cost + F.gradient_cost + f.value_cost + f.gradient_cost


def _energy(
    flow: Flow,
    record: Record,
    series: dict[str, Array],
    sol: Callable[[npt.ArrayLike], Array] | None,
) -> tuple[EnergyLedger, Counts]:
    """Return the energy ledger over the gradient phases, and what its integral cost."""
    rises, largest, drop = 0, 0.0, 0.0
    dissipated = 0.0
    cost = Counts()
    for number, phase in enumerate(flow.phases):
        objective = phase.field.descends
        if objective is None:
            continue
        known = _known_values(flow, objective, series)
        for run in _consecutive(record.phases == number):
            # The point at which the phase ended carries the next phase's number.
            stop = min(run.stop + 1, record.size)
            if known is None:
                states = record.states[run.start : stop]
                values = np.array([objective.value(w) for w in states])
                cost = cost + objective.value_cost * values.size
            else:
                values = known[run.start : stop]
            found, rise = count_rises(values)
            rises, largest = rises + found, max(largest, rise)
            with np.errstate(
                invalid="ignore", over="ignore"
            ):  # a diverging run has infinite values
                drop = drop + values[0] - values[-1]
            if sol is not None:
                part = [float(t) for t in record.times[run.start : stop]]
                dissipated += dissipation(objective.gradient, sol, part)
                cost = cost + objective.gradient_cost * (4 * (len(part) - 1))
    return EnergyLedger(rises, largest, float(drop), None if sol is None else dissipated), cost


def _known_values(flow: Flow, objective: Objective, series: dict[str, Array]) -> Array | None:
    """Return an objective's values along the path if they are among the diagnostics."""
    if objective is flow.objective:
        return series["loss"]
    if objective.is_expected_loss_of(flow.objective.tasks):
        return series["task_loss"]
    return None


def _consecutive(mask: npt.NDArray[np.bool_]) -> list[slice]:
    """Return the runs of True in ``mask``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
