"""What has become of the members of an ensemble, as arrays, while it runs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.stop import StopReason
from maml_ode.trajectory import Trajectory

__all__ = ["Indices", "Members"]

Indices = npt.NDArray[np.int64]


class Members:
    """States, times, switches, steps and stops of K members; whoever is not finished has no stop yet.

    Attributes
    ----------
    w : ndarray of shape (K, d)
    t : ndarray of shape (K,)
    stop : ndarray of object, shape (K,)
        `StopReason`, or None.
    success : ndarray of bool, shape (K,)
    switch_times : ndarray of shape (K, s)
    norm : ndarray of shape (K,)
        The norm of the last phase's field that ended a member, NaN where it is not known.
    steps, rejected : ndarray of int, shape (K,)
    counts : Counts
        The evaluations of all of them.
    """

    def __init__(self, W0: Array, most_switches: int) -> None:
        size = len(W0)
        self.w = W0.copy()
        self.t = np.zeros(size)
        self.stop = np.full(size, None, dtype=object)
        self.success = np.zeros(size, dtype=bool)
        self.switch_times = np.full((size, most_switches), np.nan)
        self.norm = np.full(size, np.nan)
        self.steps = np.zeros(size, dtype=np.int64)
        self.rejected = np.zeros(size, dtype=np.int64)
        self.counts = Counts()
        self._start = W0
        self._ended = np.zeros(size, dtype=bool)

    def __len__(self) -> int:
        return len(self.w)

    @property
    def unfinished(self) -> Indices:
        """Those that have no stop yet."""
        return np.flatnonzero(~self._ended)

    def end(self, which: Indices, reason: StopReason, *, asked_for: bool) -> None:
        """Say why some of them ended."""
        self.stop[which] = reason
        self.success[which] = asked_for
        self._ended[which] = True

    def forget(self, which: Indices) -> None:
        """Take some of them back to their beginning."""
        self.w[which] = self._start[which]
        self.t[which] = 0.0
        self.switch_times[which] = self.norm[which] = np.nan
        self.steps[which] = self.rejected[which] = 0

    def take(self, k: int, run: Trajectory) -> None:
        """Take over what a run of its own has found for member ``k``."""
        self.w[k], self.t[k] = run.final_state, run.final_time
        self.steps[k], self.rejected[k] = run.counts.steps, run.counts.rejected
        switches = run.switch_times
        if switches.size > self.switch_times.shape[1]:
            more = switches.size - self.switch_times.shape[1]
            self.switch_times = np.pad(
                self.switch_times, ((0, 0), (0, more)), constant_values=np.nan
            )
        self.switch_times[k, : switches.size] = switches
        self.counts = self.counts + run.counts
        self.end(np.array([k]), run.stop, asked_for=run.success)
