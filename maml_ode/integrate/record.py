"""What a run has computed so far: points, switches, the continuous solution, and why it ended."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.integrate.tally import Tally
from maml_ode.stop import Stop, StopReason

__all__ = ["Points", "Record", "Switch"]

# Room for a run of that many points, less where a point is long; what is not written costs nothing.
MOST_ROWS, FEWEST_ROWS, NUMBERS = 256, 16, 2**15
NO_STATE = np.empty(0)


class Switch(NamedTuple):
    """A phase that ended: when, where as observed, which one, and in which state."""

    t: float
    w: Array
    left: int
    state: Array


class Points(NamedTuple):
    """Where a trajectory reports: times (n,), states (n, d), phases (n,); ``recorded`` if every step is there.

    ``whole`` holds the whole states (n, m) where the flow is lifted.
    """

    t: Array
    states: Array
    phase: npt.NDArray[np.int64]
    recorded: bool
    whole: Array | None = None


class Record:
    """The path of a run as it grows.

    A state is the whole one, of which w is a part where the flow is lifted; one that is shorter than the flow's
    longest is padded with zeros.

    Every state is copied once, into one block of rows, where it stays: ``w`` at the start of a phase can be kept.
    An interrupt at any moment leaves whole points behind: a point counts once all of it is written.

    Parameters
    ----------
    dim : int
        The length of the longest state.
    tally : Tally
    keeps_solution : bool
        Whether pieces of the continuous solution are kept.
    lifted : bool
        Whether a state is more than w.
    """

    def __init__(
        self, dim: int, tally: Tally, keeps_solution: bool = False, lifted: bool = False
    ) -> None:
        self.dim = dim
        self.tally = tally
        self.keeps_solution = keeps_solution
        self.lifted = lifted
        self.switches: list[Switch] = []
        self.stop: Stop | None = None
        self.method_note = ""
        capacity = MOST_ROWS if MOST_ROWS * dim <= NUMBERS else max(FEWEST_ROWS, NUMBERS // dim)
        self._times, self._norms = np.empty(capacity), np.empty(capacity)
        self._phases = np.empty(capacity, np.int64)
        self._states = np.empty((capacity, dim))
        self._pieces: list[tuple[float, Any]] = []
        self._start = 0.0
        self.size = 0
        # The state in which the run is, which need not be a recorded point.
        self.t = 0.0
        self.w = NO_STATE
        self.phase = 0
        # The norm of a phase's field there, where the run has asked for one: the phase, and the norm.
        self.known: tuple[int, float] | None = None

    @property
    def times(self) -> Array:
        """The times of the points, shape (n,)."""
        return self._times[: self.size]

    @property
    def states(self) -> Array:
        """The points, shape (n, d)."""
        return self._states[: self.size]

    @property
    def phases(self) -> npt.NDArray[np.int64]:
        """The phase in force at each point, shape (n,)."""
        return self._phases[: self.size]

    @property
    def norms(self) -> Array:
        """The norm of the field of the phase in force at each point, NaN where the run did not ask, shape (n,)."""
        return self._norms[: self.size]

    def begin(self, t: float, w: Array, phase: int) -> None:
        """Record where the run begins."""
        self._start = t
        self.append(t, w, phase)

    def enter(self, phase: int) -> None:
        """Let a phase begin in the state in which the run is, which becomes a point if it is none."""
        last = self.size - 1
        if self.w.base is not self._states or self._times[last] != self.t:
            self.append(self.t, self.w, phase)
            return
        self._phases[last], self._norms[last] = phase, math.nan
        self.phase, self.known = phase, (phase, math.nan)

    def append(self, t: float, w: Array, phase: int, norm: float = math.nan) -> None:
        """Add a point; at the time of the last one it replaces it (the new phase starts there).

        ``norm`` is that of the phase's field at ``w``, where it is known.
        """
        at = self.size
        if at and self._times[at - 1] == t:
            at -= 1
        if at == self._times.size:
            self._grow(at + 1)
        self._times[at], self._phases[at], self._norms[at] = t, phase, norm
        row = self._states[at]
        if w.size < self.dim:
            row[w.size :] = 0.0
            row = row[: w.size]
        row[:] = w
        self.size = self.tally.points = at + 1
        self.t, self.w, self.phase = t, row, phase
        self.known = (phase, norm)

    def extend(
        self, times: Array, states: Array, phase: int, norms: npt.ArrayLike = math.nan
    ) -> None:
        """Add points of one phase, later than the last one, ``states`` of shape (k, d)."""
        if times.size == 0:
            return
        end, t = self.size + times.size, float(times[-1])
        if end > self._times.size:
            self._grow(end)
        self._times[self.size : end] = times
        self._phases[self.size : end] = phase
        self._norms[self.size : end] = norms
        rows = self._states[self.size : end]
        if states.shape[1] < self.dim:
            rows[:, states.shape[1] :] = 0.0
            rows = rows[:, : states.shape[1]]
        rows[:] = states
        # A key pressed while the states are copied is seen at the next call of a function: there is none here.
        self.size = self.tally.points = end
        self.t, self.w, self.phase = t, rows[-1], phase
        self.known = (phase, float(self._norms[end - 1]))

    def room(self, rows: int) -> tuple[Array, Array]:
        """Return where the times and the states of so many further points go, of which `filled` is then told."""
        end = self.size + rows
        if end > self._times.size:
            self._grow(end)
        return self._times[self.size : end], self._states[self.size : end]

    def filled(self, rows: int, phase: int) -> None:
        """Add points of one phase, later than the last one, that have been written into their `room`."""
        if rows == 0:
            return
        end = self.size + rows
        self._phases[self.size : end] = phase
        self._norms[self.size : end] = math.nan
        t, w = float(self._times[end - 1]), self._states[end - 1]
        self.size = self.tally.points = end
        self.t, self.w, self.phase = t, w, phase
        self.known = (phase, math.nan)

    def know(self, norm: float, phase: int | None = None) -> None:
        """Take the norm of a field at the present state: of the present phase's, or that of another phase."""
        of = self.phase if phase is None else phase
        self.known = (of, norm)
        last = self.size - 1
        if last >= 0 and self._times[last] == self.t and self._phases[last] == of:
            self._norms[last] = norm

    def move(self, t: float, w: Array, phase: int) -> None:
        """Go to a state without recording it as a point."""
        self.t, self.w, self.phase = t, w, phase
        self.known = None

    def interrupt(self) -> None:
        """End the run, if it has not ended, because the user pressed a key."""
        self._catch_up()
        if self.stop is None:
            detail = f"From the keyboard at t = {self.t:.6g}."
            self.stop = Stop(StopReason.INTERRUPTED, detail)

    def _catch_up(self) -> None:
        """Be at the last point, if a key was pressed after it was recorded and before that was noted."""
        last = self.size - 1
        if last >= 0 and self._times[last] > self.t:
            self.t, self.phase = float(self._times[last]), int(self._phases[last])
            self.w, self.known = self._states[last][: self.w.size], None

    def close(self) -> None:
        """Record the state in which the run is, if it is not the last point."""
        self._catch_up()
        if self.size == 0 or self._times[self.size - 1] != self.t:
            known = self.known
            self.append(self.t, self.w, self.phase)
            if known is not None:
                self.know(known[1], known[0])
        elif self._phases[self.size - 1] != self.phase:
            self._phases[self.size - 1], self._norms[self.size - 1] = self.phase, math.nan

    def keep(self, t: float, interpolant: Any) -> None:
        """Keep a piece of the continuous solution that ends at ``t``."""
        if self.keeps_solution:
            if self.w.size < self.dim:
                interpolant = _Padded(interpolant, self.dim)
            self._pieces.append((t, interpolant))

    def switch(self, left: int, w: Array) -> None:
        """Record that phase ``left`` ended here, in ``w`` as observed."""
        self.switches.append(Switch(self.t, np.array(w), left, np.array(self.w)))

    def solution(self) -> Callable[[npt.ArrayLike], Array] | None:
        """Return ``sol(t)``, or None if no pieces were kept."""
        if not self._pieces:
            return None
        from scipy.integrate import OdeSolution

        times = [self._start, *(t for t, _ in self._pieces)]
        return OdeSolution(times, [piece for _, piece in self._pieces])  # type: ignore[no-any-return]

    def keep_constant(self, t: float) -> None:
        """Keep a piece in which the state does not change, up to ``t``."""
        self.keep(t, _Constant(np.array(self.w)))

    def points(self, t_eval: Array | None, sol: Callable[..., Array] | None) -> Points:
        """Return the recorded points, or the solution at ``t_eval`` as far as the run came."""
        if t_eval is None:
            return Points(self.times, self.states, self.phases, True)
        # An interrupt may have left the last point without its piece.
        covered = self._pieces[-1][0] if self._pieces else self._start
        t = t_eval[t_eval <= covered]
        states = np.repeat(self.states[:1], t.size, axis=0)
        if sol is not None and t.size:  # SciPy's solution takes no empty array
            states = np.ascontiguousarray(np.asarray(sol(t)).T).reshape(t.size, self.dim)
        which = np.clip(np.searchsorted(self.times, t, side="right") - 1, 0, None)
        if (
            self.lifted
        ):  # at a switch the solution is that of the phase before, with its own kind of state
            met = self.times[which] == t
            states[met] = self.states[which[met]]
        return Points(t, states, self.phases[which], False)

    def _grow(self, wanted: int) -> None:
        capacity = max(wanted, 2 * self._times.size)
        times, phases = np.empty(capacity), np.empty(capacity, dtype=np.int64)
        states, norms = np.empty((capacity, self.dim)), np.empty(capacity)
        times[: self.size], phases[: self.size] = self.times, self.phases
        states[: self.size], norms[: self.size] = self.states, self.norms
        self._times, self._phases, self._states, self._norms = times, phases, states, norms


@dataclass(frozen=True)
class _Padded:
    """A piece of the continuous solution of a phase with a shorter state."""

    piece: Any
    dim: int

    def __call__(self, t: float | Array) -> Array:
        state = np.asarray(self.piece(t))
        padded = np.zeros((self.dim, *state.shape[1:]))
        padded[: len(state)] = state
        return padded


@dataclass(frozen=True)
class _Constant:
    """A piece of the continuous solution at rest: called as SciPy's interpolants are."""

    state: Array

    def __call__(self, t: float | Array) -> Array:
        return self.state if np.ndim(t) == 0 else np.repeat(self.state[:, None], np.size(t), axis=1)
