"""Quartiles of counts over seeds, among which infinity is a value: a target that was never reached."""

from __future__ import annotations

import numpy as np

from maml_ode._validation import Array

__all__ = ["quantile", "summary"]


def quantile(values: Array, q: float) -> float:
    """Return the smallest value that at least a share ``q`` does not exceed; inf is a value.

    NaN if there are no values.
    """
    if not values.size:
        return float("nan")
    ordered = np.sort(values)
    return float(ordered[max(int(np.ceil(q * ordered.size)) - 1, 0)])


def summary(counts: Array) -> dict[str, float]:
    """Return which share of the seeds has a finite count, and the quartiles of all."""
    return {
        "reached_by": float(np.isfinite(counts).mean()),
        "median": quantile(counts, 0.5),
        "lower_quartile": quantile(counts, 0.25),
        "upper_quartile": quantile(counts, 0.75),
    }
