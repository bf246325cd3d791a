"""A run with its derivatives: the augmented system through the driver, and what is read off its record."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from maml_ode._norms import vector_norm
from maml_ode._validation import Array
from maml_ode.flows import Flow
from maml_ode.integrate.callback import Callback, State
from maml_ode.integrate.driver import Driver
from maml_ode.integrate.plan import Plan
from maml_ode.integrate.progress import Progress
from maml_ode.integrate.record import Record
from maml_ode.integrate.sensitivities.field import AugmentedField
from maml_ode.integrate.sensitivities.legs import AugmentedLegs
from maml_ode.integrate.sensitivities.parameters import Block
from maml_ode.integrate.sensitivities.record import AugmentedRecord
from maml_ode.integrate.sensitivities.rules import AtRest, AugmentedRule, FirstOf
from maml_ode.integrate.sensitivities.stepper import AugmentedStepper
from maml_ode.integrate.tally import Tally
from maml_ode.sensitivity import Sensitivity
from maml_ode.stop import Stop, StopReason

UNREAD = " Sensitivities are left out: they were interrupted from the keyboard."

__all__ = ["UNREAD", "Followed", "follow"]


@dataclass(frozen=True)
class Followed:
    """The record of the states, and how to read the sensitivities off the record of both."""

    record: Record
    sensitivities: Callable[[Array, bool], dict[str, Sensitivity]]


def follow(
    flow: Flow,
    blocks: list[Block],
    start: Array,
    plan: Plan,
    tally: Tally,
    *,
    tol: float,
    keeps_solution: bool,
    callback: Callback | None,
    bar: Progress,
) -> Followed:
    """Follow a flow together with its derivatives by the parameters of ``blocks``.

    Raises
    ------
    ValueError
        Where the path touches the surface of a switch or of the stop.
    """
    legs = AugmentedLegs(flow, blocks, tol)
    columns = sum(block.size for block in blocks)
    rows = np.zeros((columns, flow.dim))
    for block in blocks:
        if block.name == "w0":
            rows[block.columns] = np.eye(flow.dim)
    record = AugmentedRecord(flow.dim * (1 + columns), tally)
    record.begin(0.0, np.concatenate([start, rows.ravel()]), 0)
    record.keeps_solution = keeps_solution
    stepper = AugmentedStepper(record, tally, legs)
    Driver(
        cast(Flow, legs),
        stepper,
        plan,
        record,
        tally,
        tol=0.0,
        callback=None if callback is None else _seen_by(callback, flow),
        progress=bar,
    ).run()
    try:
        end = _ended_at_rest(record, legs, tol)
    except KeyboardInterrupt:
        end, record.stop = False, None
        record.interrupt()
    states = record.of_states(flow.dim)

    def read(times: Array, recorded: bool) -> dict[str, Sensitivity]:
        return _read(record, stepper, legs, blocks, end, times, recorded)

    return Followed(states, read)


def _seen_by(callback: Callback, flow: Flow) -> Callback:
    def look(state: State) -> Any:
        w = state.w[: flow.dim].copy()
        norm = vector_norm(flow.legs[state.phase].field(w))
        return callback(replace(state, w=w, field_norm=norm))

    return look


def _ended_at_rest(record: AugmentedRecord, legs: AugmentedLegs, tol: float) -> bool:
    """Give a run that ended at ||X|| = tol the stop of that name; return whether its end moves."""
    stop = record.stop
    if stop is None or stop.reason is not StopReason.SWITCHED:
        return False
    rule, z = legs.last.rule, np.array(record.w)
    if isinstance(rule, FirstOf):
        rule = rule.met(record.t, z)
    if isinstance(rule, AugmentedRule) and isinstance(rule.rule, AtRest):
        norm = rule(record.t, z) + tol
        record.switches.pop()
        detail = f"{norm:.3g} <= tol = {tol:g} at t = {record.t:.6g}."
        record.stop = Stop(StopReason.STATIONARY, detail, asked_for=True)
    return True


def _read(
    record: AugmentedRecord,
    stepper: AugmentedStepper,
    legs: AugmentedLegs,
    blocks: list[Block],
    end: bool,
    times: Array,
    recorded: bool,
) -> dict[str, Sensitivity]:
    field = legs.legs[record.phase].field
    if not isinstance(field, AugmentedField):
        raise RuntimeError("the run was not augmented; this is a defect of maml_ode.")
    w, last = field.split(np.array(record.w))
    n, d = times.size, w.size
    path = record.derivatives_at(times, recorded)[:, d:].reshape(n, field.columns, d)
    # Phases passed over end when the one before them does; those at the start, at a fixed time.
    landed = dict(stepper.landings)
    still = np.zeros(field.columns)
    switches = np.array([landed.get(switch.t, still) for switch in record.switches])
    switches = switches.reshape(len(record.switches), field.columns)
    final = np.full(field.columns, math.nan)
    total = last
    if end:
        final = landed.get(record.t, still)
        total = last + np.outer(final, field.field(w))
    found = {}
    for block in blocks:
        at = block.start if block.single else block.columns
        state, here = total[at], path[:, at]
        found[block.name] = Sensitivity(
            state=np.array(state.T),
            path=np.array(here.T if block.single else here.transpose(2, 1, 0)),
            switch_times=np.array(switches[:, at]),
            final_time=np.array(final[at]),
        )
    return found
