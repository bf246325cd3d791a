"""Uniqueness in one dimension, settled by a certified count of the critical points."""

from __future__ import annotations

from dataclasses import replace

from maml_ode.tasks.sinusoid import Sinusoid
from maml_ode.theory.certificates.certificate import Certificate
from maml_ode.theory.certificates.setting import Setting
from maml_ode.theory.intervals.critical_points import CriticalPoints, count_critical_points
from maml_ode.theory.quantities import Status

__all__ = ["count_everywhere", "critical_points_certificate", "settle_uniqueness"]


def count_everywhere(setting: Setting, max_seconds: float | None = 2.0) -> CriticalPoints | None:
    """Return the certified count on the whole line, or None where it is not to be had.

    For sinusoids with a_i > 0 and alpha < 1/L, whose critical points lie on a known interval; not where the
    constants, and with them all claims, are those of a region, nor where the proof takes too long.
    """
    tasks = setting.tasks
    if setting.constants.region is not None:
        return None
    if not isinstance(tasks, Sinusoid) or not (tasks.a > 0).all():
        return None
    if not setting.alpha * setting.constants.L < 1:
        return None
    found = count_critical_points(tasks, setting.alpha, max_seconds=max_seconds)
    return found if found.certified and found.everywhere else None


def critical_points_certificate(found: CriticalPoints) -> Certificate:
    """Return the count as a certificate (C9, one dimension)."""
    minima = found.kinds.count("minimum")
    middles = ", ".join(f"{w:.6g}" for w in found.points)
    return Certificate(
        "critical_points",
        "the number of critical points of F on the whole line, by interval arithmetic",
        "F' = 0",
        (),
        True,
        value=float(len(found.points)),
        note=f"{minima} minima; at {middles}",
    )


def settle_uniqueness(unique: Certificate, found: CriticalPoints) -> Certificate:
    """Return the verdict on a unique minimum in the light of the count, which is exact."""
    number = len(found.points)
    note = f"{number} critical point{'s' if number != 1 else ''}, counted by interval arithmetic"
    return replace(
        unique,
        holds=number == 1,
        status=Status.EXACT,
        note=f"{note}; from constants: {unique.note}" if unique.note else note,
    )
