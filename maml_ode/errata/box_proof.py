"""Proofs of inequalities on boxes: interval arithmetic on sub-boxes until all of them are decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from maml_ode._validation import as_array, check_count, check_real
from maml_ode.theory.intervals.arrays import IntervalArray

__all__ = ["BoxProof", "prove_above"]

_TOGETHER = 8192


@dataclass(frozen=True)
class BoxProof:
    """The outcome of an attempt to prove function > threshold on a box.

    Attributes
    ----------
    proved : bool
    boxes : int
        Sub-boxes evaluated.
    lowest : float
        The smallest value met at the centre of a sub-box: the minimum over the box is at most this.
    where : tuple of float
        That centre.
    """

    proved: bool
    boxes: int
    lowest: float
    where: tuple[float, ...]


def prove_above(
    function: Callable[..., IntervalArray],
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
        Takes one `IntervalArray` per side and returns an enclosure, element by element.
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
        low, high, centre = low[:, is_open], high[:, is_open], centre[:, is_open]
        longest = np.argmax((high - low) / np.where(size > 0, size, 1.0), axis=0)
        columns = np.arange(low.shape[1])
        left_high, right_low = high.copy(), low.copy()
        left_high[longest, columns] = centre[longest, columns]
        right_low[longest, columns] = centre[longest, columns]
        lower = np.concatenate([lower, low, right_low], axis=1)
        upper = np.concatenate([upper, left_high, high], axis=1)
    proved = lower.shape[1] == 0 and lowest > limit
    return BoxProof(proved, boxes, lowest, tuple(float(x) for x in where))
