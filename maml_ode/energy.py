"""The energy ledger of a gradient flow: what the objective lost against what the gradient dissipated."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array

__all__ = ["EnergyLedger", "count_rises", "dissipation", "rises"]

EPS = float(np.finfo(float).eps)
UNITS = 8.0
# Four Gauss-Legendre nodes a step integrate the square norm along a 7th-order interpolant to its own order.
NODES, WEIGHTS = np.polynomial.legendre.leggauss(4)


@dataclass(frozen=True)
class EnergyLedger:
    """Along w' = -grad F, F(w(0)) - F(w(t)) = int_0^t ||grad F(w(s))||^2 ds, phase by phase.

    Attributes
    ----------
    rises : int
        Steps of gradient phases over which the phase's own objective rose beyond rounding; 0 for the flow.
    largest_rise : float
        The largest such rise.
    drop : float
        Sum over the gradient phases of the objective at their start minus at their end.
    dissipated : float or None
        The integral of the squared gradient norm along the computed path, if it was asked for.
    """

    rises: int
    largest_rise: float
    drop: float
    dissipated: float | None

    @property
    def defect(self) -> float | None:
        """|drop - dissipated|, an estimate of the path's error in units of the loss."""
        return None if self.dissipated is None else abs(self.drop - self.dissipated)

    def __add__(self, other: EnergyLedger) -> EnergyLedger:
        """Add the ledgers of a run and its continuation."""
        if not isinstance(other, EnergyLedger):
            return NotImplemented
        return EnergyLedger(
            self.rises + other.rises,
            max(self.largest_rise, other.largest_rise),
            self.drop + other.drop,
            None
            if self.dissipated is None or other.dissipated is None
            else self.dissipated + other.dissipated,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain numbers."""
        return asdict(self)


def rises(before: float, after: float, precision: float = EPS) -> bool:
    """Return whether ``after`` exceeds ``before`` by more than the rounding of either, in a type of this eps."""
    return bool(_beyond_rounding(np.array([before, after]), precision)[0])


def _beyond_rounding(values: Array, precision: float) -> npt.NDArray[np.bool_]:
    """Return which consecutive differences are rises beyond 8 units in the last place of the larger value."""
    with np.errstate(invalid="ignore", over="ignore"):  # a diverging run has infinite values
        size = np.maximum(np.abs(values[1:]), np.abs(values[:-1]))
        return np.asarray(np.diff(values) > UNITS * precision * size)


def count_rises(values: Array, precision: float = EPS) -> tuple[int, float]:
    """Return how many consecutive differences of ``values`` are rises beyond rounding, and the largest."""
    if values.size < 2:
        return 0, 0.0
    beyond = _beyond_rounding(values, precision)
    if not beyond.any():
        return 0, 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        return int(beyond.sum()), float(np.diff(values)[beyond].max())


def dissipation(
    gradient: Callable[[Array], Array], sol: Callable[[Array], Array], times: Sequence[float]
) -> float:
    """Return the integral of ||gradient(sol(t))||^2 over the steps between ``times``."""
    total = 0.0
    for left, right in itertools.pairwise(times):
        half = 0.5 * (right - left)
        nodes = left + half * (1.0 + NODES)
        states = np.asarray(sol(nodes)).T
        with np.errstate(over="ignore", invalid="ignore"):  # a diverging run has infinite squares
            squares = [float(np.sum(gradient(np.ascontiguousarray(w)) ** 2)) for w in states]
            total += half * float(WEIGHTS @ squares)
    return total
