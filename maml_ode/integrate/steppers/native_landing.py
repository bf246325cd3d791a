"""Landing on a switch by the compiled search, where the phase's own norm is what ends it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from maml_ode._validation import Array
from maml_ode.integrate.plan import Plan
from maml_ode.integrate.segment import Segment
from maml_ode.integrate.solvers.dense import NestedDenseOutput
from maml_ode.integrate.solvers.landings import LANDED, OUT_OF_EVALUATIONS
from maml_ode.integrate.steppers.attention import UNLIMITED
from maml_ode.integrate.steppers.native_phase import fresh_record
from maml_ode.integrate.watch.finding import Crossing

__all__ = ["landed"]


def landed(segment: Segment, plan: Plan, crossing: Crossing) -> tuple[float, Array] | None:
    """Return the time and the state in which the rule is first met; None for what needs the general search.

    Raises
    ------
    Abort
        If the run's limit on evaluations is met.
    """
    rule, dense, memory = segment.rule, crossing.interpolant, segment.evaluator.remembered
    if rule is None or not rule.shares_field or not rule.rule.scale or memory is None:
        return None
    if not isinstance(dense, NestedDenseOutput) or crossing.high <= crossing.t_old:
        return None
    from maml_ode.integrate.solvers.kernels.landing import land
    from maml_ode.integrate.solvers.kernels.phase_record import PHASE_DTYPE

    method: Any = plan.method  # mypy takes a class for unhashable
    tally, dim = segment.evaluator.tally, segment.leg.field.dim
    tally.check_limits()
    record = np.frombuffer(bytearray(fresh_record(method)), PHASE_DTYPE)[0]
    most = tally.max_evaluations
    record["most_evaluations"] = UNLIMITED if most is None else most - tally.nfev
    record["max_step"] = plan.longest_step
    record["rtol"], record["atol"] = plan.tolerances.rtol, plan.tolerances.atol
    tableau = method.tableau
    rtol, atol = np.full(dim, plan.tolerances.rtol), np.full(dim, plan.tolerances.atol)
    found, w = np.full(1, math.nan), np.empty(dim)
    code = land(
        segment.evaluator.native, record, tableau.A, tableau.error, method.second_error, rtol, atol,
        np.zeros((len(tableau.c), dim)), float(rule.rule.sign), float(rule.rule.scale),
        (dense.t_old, dense.h, dense.y_old, dense.rows), float(crossing.low), float(crossing.high),
        *memory, found, w,
    )  # fmt: skip
    segment.evaluator.book(int(record["evaluations"]))
    segment.evaluator.remember(*memory)
    if code == OUT_OF_EVALUATIONS:
        tally.check_limits()
    return (float(found[0]), w) if code == LANDED else None
