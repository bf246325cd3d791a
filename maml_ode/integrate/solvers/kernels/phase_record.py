"""The state of a phase that runs in compiled code, as one record: what it heeds, and how far it has come.

A value rather than an object, so that a loop can pause after any trial step and go on as if it had not, and
so that many members of an ensemble are one array of these.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

import numpy as np
from numba import from_dtype

__all__ = ["PHASE", "PHASE_DTYPE", "new_phases", "packing"]

PHASE_DTYPE = np.dtype(
    [
        # The step control, as in ``maml_ode.integrate.solvers.control.StepController``.
        ("order", np.int64),
        ("integral", np.float64),
        ("proportional", np.float64),
        ("safety", np.float64),
        ("smallest", np.float64),
        ("largest", np.float64),
        ("predictive", np.int64),
        ("error_before", np.float64),
        ("h_before", np.float64),
        # The method.
        ("stages", np.int64),
        ("error_order", np.int64),
        ("t_bound", np.float64),
        ("max_step", np.float64),
        # What makes a step worth a look: a norm at ``target``, sign (norm - threshold) at 0 (no rule: sign 0),
        # and, where ``watches_stall``, a norm that hovers at the floor which rtol and atol set.
        ("target", np.float64),
        ("sign", np.float64),
        ("threshold", np.float64),
        ("watches_stall", np.int64),
        ("rtol", np.float64),
        ("atol", np.float64),
        ("best", np.float64),
        ("steps_since_best", np.int64),
        ("steps_above", np.int64),
        # Of a field of second order on states (w, v), whose norm is that of grad F and of v: how many entries w
        # has, else 0; whether the time comes last, and the friction, or r where it is r over that time.
        ("observed", np.int64),
        ("clocked", np.int64),
        ("friction", np.float64),
        # How much one call may do: rows of the buffer, evaluations before it pauses, evaluations at all.
        ("room", np.int64),
        ("pause", np.int64),
        ("most_evaluations", np.int64),
        # The trial step: its size, NaN where the first is to be chosen, whether it belongs to a step already
        # begun, what has come of that; and whether the field was not finite where the first one was chosen.
        ("h", np.float64),
        ("trying", np.int64),
        ("finite", np.int64),
        ("bad_guess", np.int64),
        ("rejected", np.int64),
        # What a call has done: accepted steps, evaluations, and trials rejected on the way to accepted steps.
        ("steps", np.int64),
        ("evaluations", np.int64),
        ("rejections", np.int64),
    ],
    align=True,
)
PHASE = from_dtype(PHASE_DTYPE)


def packing(*names: str) -> tuple[Callable[..., None], int]:
    """Return what writes these entries, which stand one after the other, into the bytes of a record, and where."""
    fields = PHASE_DTYPE.fields or {}
    kinds, offsets = zip(*(fields[name][:2] for name in names), strict=True)
    if list(offsets) != [offsets[0] + 8 * k for k in range(len(names))]:
        raise ValueError(f"{', '.join(names)} do not stand one after the other in a record.")
    layout = "=" + "".join("q" if kind.kind == "i" else "d" for kind in kinds)
    return Struct(layout).pack_into, offsets[0]


def new_phases(count: int = 1, **values: Any) -> Any:
    """Return an array of records with the given entries; the others are 0."""
    records = np.zeros(count, PHASE_DTYPE)
    for name, value in values.items():
        records[name] = value
    return records
