"""What makes two flows the same: a digest of fields, rules, step sizes, weights and data."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import Any

import numpy as np

from maml_ode.flows.callable_field import CallableField
from maml_ode.flows.fields import VectorField
from maml_ode.flows.lifted_fields import ObservedField
from maml_ode.flows.switch_rules import CallableRule, EndingRule
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
    "friction",
    "r",
)


class _Unknown(Exception):
    """A part that cannot be compared with another process's."""


def digest_of(value: Any) -> str | None:
    """Return a digest of nested sequences of fields, rules, objectives, families and plain values.

    Returns
    -------
    str or None
        None if a Python function is part of it, or a field or rule of a class that is not this package's: what
        such a class is made of, and what it does with it, nobody knows here.
    """
    digest = hashlib.sha256()
    try:
        _feed(digest, value)
    except _Unknown:
        return None
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    digest.update(type(value).__name__.encode())
    if isinstance(value, (CallableField, CallableRule, ObservedField)):
        raise _Unknown
    if value is None or isinstance(value, (bool, int, float, str, np.generic)):
        digest.update(f" {value!r},".encode())
    elif isinstance(value, np.ndarray):
        digest.update(f" {value.shape} {value.dtype.str} ".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, (tuple, list)):
        digest.update(f" {len(value)} ".encode())
        for entry in value:
            _feed(digest, entry)
    elif isinstance(value, TaskFamily):
        known = value.identity
        if known is None:
            raise _Unknown
        digest.update(known.encode())
    elif isinstance(value, (VectorField, Objective)) and _is_ours(value):
        parts = {name: getattr(value, name, None) for name in PARTS}
        _feed(digest, [pair for pair in parts.items() if pair[1] is not None])
    elif isinstance(value, EndingRule) and _is_ours(value):
        rule: Any = value  # a dataclass, as all of ours
        _feed(digest, [getattr(rule, entry.name) for entry in fields(rule)])
    else:
        raise _Unknown


def _is_ours(value: Any) -> bool:
    """Whether the value's class, and not only one above it, is of this package."""
    return type(value).__module__.startswith("maml_ode.")
