"""The diagnostic fields of a path: F, f and their gradient norms, and the energy ledger."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, freeze
from maml_ode.counts import Counts
from maml_ode.energy import EnergyLedger, count_rises, dissipation
from maml_ode.flows import Flow
from maml_ode.flows.fields import Energy
from maml_ode.flows.second_order_fields import MechanicalEnergy
from maml_ode.integrate.norms import vector_norms
from maml_ode.integrate.record import Points, Record
from maml_ode.objectives import Objective
from maml_ode.trajectory import SERIES

__all__ = ["Diagnosis", "diagnose", "nothing_diagnosed", "seconds_per_point"]

# Between two looks at the clock and the keyboard: about so many seconds, and at most so many numbers.
SECONDS_AT_ONCE = 0.01
NUMBERS_AT_ONCE = 16384


class Diagnosis(NamedTuple):
    """The diagnostic series, the energy ledger, what they cost, and what was left out of them."""

    series: dict[str, Array]
    energy: EnergyLedger | None = None
    cost: Counts | None = None
    remark: str = ""


def nothing_diagnosed(size: int, remark: str = "") -> Diagnosis:
    """Return series of NaN: one and the same array, to which nobody can write."""
    return Diagnosis(dict.fromkeys(SERIES, _nothing(size)), remark=remark)


@lru_cache(maxsize=4)
def _nothing(size: int) -> Array:
    return freeze(np.full(size, math.nan))


def _unfilled(size: int) -> dict[str, Array]:
    """Return series to fill."""
    return {name: np.array(_nothing(size)) for name in SERIES}


def diagnose(
    flow: Flow,
    record: Record,
    points: Points,
    *,
    sol: Callable[[npt.ArrayLike], Array] | None = None,
) -> Diagnosis:
    """Evaluate F, ||grad F||, f, ||grad f|| at the points, and the energy ledger over the recorded ones.

    The norms that the run itself has asked for, of the field that it followed, are taken from the record. An
    interrupt, or the run's time limit, leaves the rest of the points NaN and is said in ``remark``; the last
    point is evaluated first.

    Parameters
    ----------
    flow : Flow
    record : Record
    points : Points
    sol : callable, optional
        The continuous solution, where the dissipated energy is asked for.
    """
    size = points.t.size
    series, done, why = _unfilled(size), 0, ""
    if size == 0:
        return Diagnosis(series)
    energy: EnergyLedger | None = None
    cost = Counts()
    try:
        looks = _Looks(flow, record if points.recorded else None)
        for rows in _blocks(size, flow.dim, flow.objective.quadratic_form is not None):
            if done and record.tally.out_of_time:
                why = f"max_seconds = {record.tally.max_seconds:g} had passed"
                break
            cost = cost + looks.evaluate(points.states, series, rows)
            done += rows.stop - rows.start
        looks.take_over(record, points, series)
        if not why and points.recorded:
            energy, more = _energy(flow, record, series, sol)
            cost = cost + more
    except KeyboardInterrupt:
        why = "they were interrupted from the keyboard"
    remark = ""
    if why:
        left = f" at {size - done} of {size} points" if done < size else ""
        remark = f" Diagnostics are left out{left}: {why}."
    return Diagnosis(series, energy, cost, remark)


def seconds_per_point(flow: Flow, w: Array) -> tuple[float, Counts]:
    """Return how long the diagnostics of one point take, and what finding out cost."""
    series = _unfilled(1)
    seconds, cost = np.inf, Counts()
    looks = _Looks(flow, None)
    for _ in range(2):  # the first may compile or aggregate
        began = time.perf_counter()
        cost = cost + looks.evaluate(w[None], series, slice(0, 1))
        seconds = min(seconds, time.perf_counter() - began)
    return seconds, cost


def _blocks(size: int, dim: int, at_once: bool) -> Iterator[slice]:
    """Yield the rows in the order in which they are evaluated, as many at once as take little time."""
    if at_once:
        yield slice(0, size)
        return
    began = time.perf_counter()
    yield slice(size - 1, size)
    start, rows = 0, 1
    while start < size - 1:
        seconds = max(time.perf_counter() - began, 1e-9)
        affordable = int(rows * min(SECONDS_AT_ONCE / seconds, 4.0))
        rows = max(1, min(affordable, NUMBERS_AT_ONCE // dim, size - 1 - start))
        began = time.perf_counter()
        yield slice(start, start + rows)
        start += rows


class _Looks:
    """Evaluates the diagnostic fields of a flow, except for the norms that a record knows."""

    def __init__(self, flow: Flow, record: Record | None) -> None:
        self._objectives = {"": flow.objective, "task_": flow.task_objective}
        if flow.objective.is_expected_loss_of(flow.objective.tasks):
            del self._objectives["task_"]  # F is f
        self._flow = flow
        self._known = {
            prefix: _known_norms(flow, record, objective)
            for prefix, objective in self._objectives.items()
        }

    def evaluate(self, states: Array, series: dict[str, Array], rows: slice) -> Counts:
        """Fill the rows of the series, all or none of them; return what was evaluated for it."""
        cost = Counts()
        block = states[rows]
        found: dict[str, Array] = {}
        with np.errstate(all="ignore"):
            for prefix, objective in self._objectives.items():
                values, norms, spent = _look(objective, block, self._known[prefix], rows)
                found |= {f"{prefix}loss": values, f"{prefix}grad_norm": norms}
                cost = cost + spent
        if "task_" not in self._objectives:
            found |= {"task_loss": found["loss"], "task_grad_norm": found["grad_norm"]}
        for name, entries in found.items():
            series[name][rows] = entries
        return cost

    def take_over(self, record: Record, points: Points, series: dict[str, Array]) -> None:
        """Let the series end with the norm that ended the run, which an evaluation in another order may miss."""
        if record.known is None or points.t[-1] != record.t:
            return
        number, norm = record.known
        legs = self._flow.legs
        followed = legs[number].field.descends if number < len(legs) else None
        if followed is None or math.isnan(norm):
            return
        for prefix in ("", "task_"):
            if _is_same(followed, self._objectives.get(prefix, self._objectives[""])):
                series[f"{prefix}grad_norm"][-1] = norm


def _look(
    objective: Objective, block: Array, known: Array | None, rows: slice
) -> tuple[Array, Array, Counts]:
    """Return values and gradient norms at the rows of ``block``, and what they cost."""
    size = len(block)
    if known is None:
        values, norms = objective.values_and_gradient_norms(block)
        return values, norms, (objective.value_cost + objective.gradient_cost) * size
    norms = known[rows].copy()
    new = np.flatnonzero(np.isnan(norms))
    if new.size:
        norms[new] = vector_norms(objective.gradients(block[new]))
    values = objective.values(block)
    return values, norms, objective.value_cost * size + objective.gradient_cost * int(new.size)


def _known_norms(flow: Flow, record: Record | None, objective: Objective) -> Array | None:
    """Return an objective's gradient norms at the recorded points, NaN where they were not asked for.

    None for quadratics: their form evaluates all points by one product, which costs less than looking.
    """
    if record is None or objective.quadratic_form is not None:
        return None
    norms = np.full(record.size, np.nan)
    for number, leg in enumerate(flow.legs):
        followed = leg.field.descends
        if followed is not None and _is_same(followed, objective):
            here = record.phases == number
            norms[here] = record.norms[here]
    return norms


def _is_same(one: Objective, other: Objective) -> bool:
    return one is other or (
        one.is_expected_loss_of(other.tasks) and other.is_expected_loss_of(other.tasks)
    )


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
        energy, dim = phase.field.energy, phase.field.state_dim
        if energy is None:
            continue
        known = _known_values(flow, energy, series)
        for run in _consecutive(record.phases == number):
            # The point at which the phase ended carries the next phase's number.
            stop = min(run.stop + 1, record.size)
            if known is None:
                states = _states(record, number, run, dim)
                with np.errstate(all="ignore"):
                    values = np.array([energy.value(z) for z in states])
                cost = cost + energy.value_cost * values.size
            else:
                values = known[run.start : stop]
            found, rise = count_rises(values, energy.precision)
            rises, largest = rises + found, max(largest, rise)
            with np.errstate(
                invalid="ignore", over="ignore"
            ):  # a diverging run has infinite values
                drop = drop + values[0] - values[-1]
            if sol is not None:
                part = [float(t) for t in record.times[run.start : stop]]
                own = partial(_leading, sol, dim)
                if isinstance(energy, Objective):
                    dissipated += dissipation(energy.gradient, own, part)
                    cost = cost + energy.gradient_cost * (4 * (len(part) - 1))
                elif isinstance(energy, MechanicalEnergy):
                    dissipated += dissipation(energy.root_of_rate, own, part)
    return EnergyLedger(rises, largest, float(drop), None if sol is None else dissipated), cost


def _states(record: Record, number: int, run: slice, dim: int) -> list[Array]:
    """Return the states of consecutive points of a phase, with that in which it ended.

    The point at which it ended holds the next phase's state, which may have another velocity.
    """
    states = list(record.states[run, :dim])
    if run.stop < record.size:
        t = record.times[run.stop]
        states += [s.state for s in record.switches if s.left == number and s.t == t][:1]
    return states


def _leading(sol: Callable[[npt.ArrayLike], Array], dim: int, t: npt.ArrayLike) -> Array:
    return sol(t)[:dim]


def _known_values(flow: Flow, objective: Energy, series: dict[str, Array]) -> Array | None:
    """Return an objective's values along the path if they are among the diagnostics."""
    if not isinstance(objective, Objective):
        return None
    if _is_same(objective, flow.objective):
        return series["loss"]
    if _is_same(objective, flow.task_objective):
        return series["task_loss"]
    return None


def _consecutive(mask: npt.NDArray[np.bool_]) -> list[slice]:
    """Return the runs of True in ``mask``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
