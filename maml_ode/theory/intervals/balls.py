"""Arb's real balls (python-flint), whose error bounds are proved: what a proof here finally rests on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

try:
    from flint import arb, arb_series, ctx, fmpq
except ImportError as error:
    raise ImportError(
        "enclosures and proved counts need python-flint: pip install python-flint."
    ) from error

__all__ = ["arb", "arb_series", "fmpq", "hull", "precision"]

_TERMS = 4  # values and derivatives up to the third


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Compute with ``bits`` of precision, and with series of four terms, whatever was set before."""
    before = ctx.prec, ctx.cap
    ctx.prec, ctx.cap = bits, _TERMS
    try:
        yield
    finally:
        ctx.prec, ctx.cap = before


def hull(lower: float, upper: float) -> arb:
    """Return a ball that contains [lower, upper]."""
    return arb(lower) if lower == upper else arb(lower).union(arb(upper))
