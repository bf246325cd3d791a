"""Proofs of inequalities on boxes: interval arithmetic on sub-boxes until all of them are decided.

The search is vectorised and rests on NumPy's rounding; every box that it decides is decided once more by Arb
(python-flint) before anything is called proved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from maml_ode._validation import as_array, check_count, check_real
from maml_ode.theory.intervals.arrays import IntervalArray

if TYPE_CHECKING:
    from maml_ode.theory.intervals.enclosure import Enclosure

__all__ = ["BoxProof", "Interval", "prove_above"]

# What an inequality is written for: arrays in the search, one at a time with Arb's ends in the proof.
Interval = TypeVar("Interval", IntervalArray, "Enclosure")

_TOGETHER = 8192
_BITS = 64


@dataclass(frozen=True)
class BoxProof:
    """The outcome of an attempt to prove function > threshold on a box.

    Attributes
    ----------
    proved : bool
        Whether sub-boxes that cover the box were decided by the search and all of them again by Arb.
    boxes : int
        Sub-boxes evaluated in the search.
    confirmed : int
        Sub-boxes of the cover on which Arb finds the inequality too.
    lowest : float
        The smallest value met at the centre of a sub-box: the minimum over the box is at most this.
    where : tuple of float
        That centre.
    """

    proved: bool
    boxes: int
    confirmed: int
    lowest: float
    where: tuple[float, ...]


def prove_above(
    function: Callable[..., Any],
    box: Sequence[tuple[float, float]],
    threshold: float,
    *,
    max_boxes: int = 2_000_000,
) -> BoxProof:
    """Try to prove function(x) > threshold for all x of a box.

    Boxes on which the enclosure does not decide are halved along their longest side, measured in
    units of the first box.

    Parameters
    ----------
    function : callable
        Takes one `IntervalArray` per side and returns an enclosure, element by element; and takes and
        returns an `Enclosure` likewise.
    box : sequence of (float, float)
    threshold : float
    max_boxes : int
        The attempt ends without proof after so many evaluations, or as soon as a centre is found at
        which the inequality fails.
    """
    sides = as_array("box", box, (None, 2))
    limit, most = check_real("threshold", threshold), check_count("max_boxes", max_boxes)
    lower, upper = sides[:, :1], sides[:, 1:]
    size = upper - lower
    lowest, where, boxes = np.inf, sides.mean(axis=1), 0
    decided: list[npt.NDArray[np.float64]] = []
    while lower.size and boxes < most:
        now = slice(max(0, lower.shape[1] - _TOGETHER), None)
        low, high = lower[:, now], upper[:, now]
        lower, upper = lower[:, : now.start], upper[:, : now.start]
        centre = 0.5 * (low + high)
        value = function(*(IntervalArray(a, b) for a, b in zip(low, high, strict=True)))
        at_centre = function(*(IntervalArray.of(c) for c in centre)).upper
        boxes += low.shape[1]
        k = int(np.argmin(at_centre))
        if at_centre[k] < lowest:
            lowest, where = float(at_centre[k]), centre[:, k]
        if lowest <= limit:
            break
        is_open = ~(value.lower > limit)
        decided.append(np.stack([low, high], axis=-1)[:, ~is_open])
        low, high, centre = low[:, is_open], high[:, is_open], centre[:, is_open]
        longest = np.argmax((high - low) / np.where(size > 0, size, 1.0), axis=0)
        columns = np.arange(low.shape[1])
        left_high, right_low = high.copy(), low.copy()
        left_high[longest, columns] = centre[longest, columns]
        right_low[longest, columns] = centre[longest, columns]
        lower = np.concatenate([lower, low, right_low], axis=1)
        upper = np.concatenate([upper, left_high, high], axis=1)
    searched = lower.shape[1] == 0 and lowest > limit
    cover = np.concatenate(decided, axis=1).transpose(1, 0, 2) if searched else np.empty((0, 0, 2))
    confirmed = sum(_holds(function, item, limit) for item in cover)
    proved = searched and confirmed == len(cover) > 0
    return BoxProof(proved, boxes, confirmed, lowest, tuple(float(x) for x in where))


def _holds(function: Callable[..., Any], box: npt.NDArray[np.float64], threshold: float) -> bool:
    """Return whether Arb finds function > threshold on a box of shape (sides, 2)."""
    from maml_ode.theory.intervals.balls import arb, precision
    from maml_ode.theory.intervals.enclosure import Enclosure, Unenclosable

    with precision(_BITS):
        try:
            value = function(*(Enclosure.of(a, b) for a, b in box.tolist()))
        except Unenclosable:
            return False
        return bool(value.low > arb(threshold))
