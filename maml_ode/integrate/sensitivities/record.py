"""The record of an augmented run, and the record of its states alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.integrate.record import Record

__all__ = ["AugmentedRecord"]


class AugmentedRecord(Record):
    """States and derivatives; `of_states` leaves the derivatives away."""

    def of_states(self, dim: int) -> Record:
        """Return the record of the first ``dim`` entries; the norms are to be asked for anew."""
        record = Record(dim, self.tally, self.keeps_solution)
        record.begin(float(self.times[0]), self.states[0, :dim], int(self.phases[0]))
        for t, state, phase in zip(self.times[1:], self.states[1:], self.phases[1:], strict=True):
            record.append(float(t), state[:dim], int(phase))
        record.move(self.t, np.array(self.w[:dim]), self.phase)
        record.switches = [
            switch._replace(w=switch.w[:dim], state=switch.state[:dim]) for switch in self.switches
        ]
        for t, piece in self._pieces:
            record.keep(t, _FirstEntries(piece, dim))
        record.stop, record.method_note = self.stop, self.method_note
        return record

    def derivatives_at(self, times: npt.NDArray[np.float64], recorded: bool) -> Array:
        """Return the whole states at times of the trajectory, shape (n, dim); at a switch those after it."""
        if recorded:
            return np.array(self.states)
        sol = self.solution()
        found = np.repeat(self.states[:1], times.size, axis=0)
        if sol is not None and times.size:
            found = np.ascontiguousarray(np.asarray(sol(times)).T)
        at = np.clip(np.searchsorted(self.times, times), 0, self.size - 1)
        same = self.times[at] == times
        found[same] = self.states[at[same]]
        return found


@dataclass(frozen=True)
class _FirstEntries:
    """A piece of the continuous solution without the derivatives."""

    piece: Any
    dim: int

    def __call__(self, t: float | Array) -> Array:
        return np.asarray(self.piece(t))[: self.dim]
