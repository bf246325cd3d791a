"""The logarithms that times are made of."""

from __future__ import annotations

import math

__all__ = ["log_ratio", "whole_steps"]


def log_ratio(x: float, y: float) -> float:
    """Return log+(x/y) = max(log(x/y), 0) without the quotient, which may leave the floats; inf for y = 0 < x."""
    if not x > y:
        return math.nan if math.isnan(x) or math.isnan(y) else 0.0
    return math.log(x) - math.log(y) if y > 0 else math.inf


def whole_steps(log_total: float, per_step: float) -> float:
    """Return the least whole n with n per_step >= log_total, rounding never one too low.

    One part in 1e12 is added: a quotient that rounding put just below a whole number still counts as more.
    """
    if log_total <= 0:
        return 0.0
    total = log_total / per_step * (1 + 1e-12)
    return float(math.ceil(total)) if math.isfinite(total) else math.inf
