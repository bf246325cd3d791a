"""Calls of compiled code that do not ask for the types of their arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["unasked"]


def unasked(function: Any) -> Callable[..., Any]:
    """Return what calls the code of a compiled function of one signature, whatever its arguments are.

    Numba's own call looks up the code by its arguments' types, which for a dozen of them takes 0.6 us: a share of
    a short run. Only for callers whose arrays are their own: one of another type or layout would be misread.
    """
    (compiled,) = function.overloads.values()
    return getattr(compiled, "entry_point", None) or function  # type: ignore[no-any-return]
