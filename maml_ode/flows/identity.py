"""What makes two flows the same: a digest of fields, rules, step sizes, weights and data."""

from __future__ import annotations

import hashlib
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from maml_ode.counts import Counts
from maml_ode.flows.fields import CallableField, VectorField
from maml_ode.flows.switch_rules import CallableRule
from maml_ode.objectives import Objective
from maml_ode.tasks.base import TaskFamily

__all__ = ["digest_of"]

# What a field, an objective or a rule is made of; everything else about them follows from these.
PARTS = (
    "tasks",
    "query",
    "alpha",
    "inner_steps",
    "objective",
    "step_size",
    "outer",
    "inner",
    "rule",
)


class _Unknown(Exception):
    """A part that cannot be compared with another process's."""


def digest_of(value: Any) -> str | None:
    """Return a digest of nested tuples of fields, rules, objectives, families and plain values.

    Returns
    -------
    str or None
        None if a Python function is part of it.
    """
    digest = hashlib.sha256()
    try:
        _feed(digest, value)
    except _Unknown:
        return None
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    digest.update(type(value).__name__.encode())
    if isinstance(value, (CallableField, CallableRule)):
        raise _Unknown
    if value is None or isinstance(value, (bool, int, float, str, np.generic)):
        digest.update(repr(value).encode())
    elif isinstance(value, np.ndarray):
        digest.update(repr((value.shape, value.dtype.str)).encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, (tuple, list)):
        for entry in value:
            _feed(digest, entry)
    elif isinstance(value, TaskFamily):
        known = value.identity
        if known is None:
            raise _Unknown
        digest.update(known.encode())
    elif isinstance(value, (VectorField, Objective)):
        for name in PARTS:
            part = getattr(value, name, None)
            if part is not None:
                digest.update(name.encode())
                _feed(digest, part)
    elif is_dataclass(value) and not isinstance(value, (type, Counts)):
        for entry in fields(value):
            _feed(digest, getattr(value, entry.name))
    else:
        raise _Unknown
