"""A phase that an explicit method of ours follows in compiled code, as the native stepper handles it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.integrate import OdeSolver

from maml_ode._validation import Array
from maml_ode.integrate.evaluation import FieldEvaluator
from maml_ode.integrate.norms import all_finite
from maml_ode.integrate.plan import Tolerances
from maml_ode.integrate.solvers import DOP853, Tsit5
from maml_ode.integrate.solvers.dense import NestedDenseOutput
from maml_ode.integrate.solvers.explicit import ExplicitRungeKutta, dense_rows
from maml_ode.integrate.steppers.attention import UNLIMITED
from maml_ode.integrate.watch.finding import Batch, Interpolant, Step

__all__ = ["EXPLICIT", "NativePhase", "fresh_record"]

# A subclass may do anything at a step, so these classes themselves.
EXPLICIT: tuple[type[OdeSolver], ...] = (Tsit5, DOP853)
MOST_ROWS, FEWEST_ROWS, MOST_ENTRIES = 128, 8, 2**18


class NativePhase:
    """A buffer of accepted steps, and the compiled loop that fills it from where it came to last.

    Parameters
    ----------
    method : type
        One of `EXPLICIT`.
    evaluator : FieldEvaluator
        Of a field with a native handle.
    t, w, value
        Where the phase begins, and the field there.
    t_bound : float
        Where it ends.
    tolerances : Tolerances
    first_step : float or None
    max_step : float
    target, sign, threshold, watches_stall, **heeds
        What makes a step worth a look: entries of ``kernels.phase_record.PHASE_DTYPE``.
    """

    def __init__(
        self,
        method: type[ExplicitRungeKutta],
        evaluator: FieldEvaluator,
        t: float,
        w: Array,
        value: Array,
        t_bound: float,
        tolerances: Tolerances,
        first_step: float | None,
        max_step: float,
        *,
        target: float = 0.0,
        sign: float = 0.0,
        threshold: float = 0.0,
        watches_stall: bool = False,
        **heeds: float,
    ) -> None:
        self._kernels = _kernels()
        self._method = method
        self._evaluator = evaluator
        dim = w.size
        self.rows = (
            MOST_ROWS if MOST_ROWS * dim <= MOST_ENTRIES else max(FEWEST_ROWS, MOST_ENTRIES // dim)
        )
        rows = self.rows + 1
        self.times, self.norms = np.empty(rows), np.empty(rows)
        self.states, self.values = np.empty((rows, dim)), np.empty((rows, dim))
        self.times[0], self.states[0], self.values[0] = t, w, value
        self._rtol, self._atol = _filled(dim, tolerances.rtol), _filled(dim, tolerances.atol)
        self._K = np.zeros((_stages(method), dim))
        if first_step is None:
            # The explicit loop chooses it in its first call.
            chooses = type(self) is NativePhase
            first_step = math.nan if chooses else self._first_step(t_bound - t, max_step)
        known: Any = method  # mypy takes a class for unhashable
        entries = bytearray(fresh_record(known))
        # An entry read or written here costs a tenth of one by its name.
        (pack_heeds, at), (pack_step, at_step) = self._kernels.packings
        pack_heeds(
            entries, at, t_bound, max_step, target, sign, threshold, watches_stall, tolerances.rtol,
            tolerances.atol,
        )  # fmt: skip
        pack_step(entries, at_step, first_step)
        self._integers: memoryview[int] = memoryview(entries).cast("q")
        self._record = np.frombuffer(entries, self._kernels.dtype)[0]
        for name, entry in heeds.items():
            self._record[name] = entry
        self._steps, self._evaluations, self._rejections, self._bad_guess = self._kernels.counts
        self._room, self._pause, self._most_evaluations = self._kernels.limits
        self._interpolant: Interpolant | None = None
        self._prepare()

    @staticmethod
    def takes(evaluator: FieldEvaluator) -> bool:
        """Whether the compiled loop can follow a field that has a native handle."""
        return True

    def _prepare(self) -> None:
        """Make what the method needs besides."""

    @property
    def steps(self) -> int:
        """Accepted steps of the last call."""
        return int(self._integers[self._steps])

    @property
    def evaluations(self) -> int:
        """Evaluations of the last call."""
        return int(self._integers[self._evaluations])

    @property
    def rejections(self) -> int:
        """Trials that the last call rejected on the way to its accepted steps."""
        return int(self._integers[self._rejections])

    @property
    def t(self) -> float:
        """How far the phase has come."""
        return float(self.times[self.steps])

    @property
    def w(self) -> Array:
        """The state there; the next call overwrites it."""
        return np.asarray(self.states[self.steps])

    def advance(self, room: int, pause: int) -> int:
        """Take up to ``room`` steps and about ``pause`` evaluations; return why the loop came back.

        The run's limit on evaluations is kept to the trial step, that on time between calls.
        """
        self.settle()
        tally, integers = self._evaluator.tally, self._integers
        tally.check_limits()
        most = tally.max_evaluations
        integers[self._room] = min(room, self.rows)
        integers[self._pause] = pause
        integers[self._most_evaluations] = UNLIMITED if most is None else most - tally.nfev
        self._interpolant = None
        return self._call()

    def settle(self) -> None:
        """Begin where the last call ended: its steps have been seen, and are not shown again."""
        integers, last = self._integers, self.steps
        if last:
            self.times[0] = self.times[last]
            self.states[0], self.values[0] = self.states[last], self.values[last]
        integers[self._steps] = integers[self._evaluations] = integers[self._rejections] = 0

    def _call(self) -> int:
        tableau = self._method.tableau
        code = self._kernels.explicit_phase(
            self._evaluator.native, self._record, tableau.A, tableau.error, self._method.second_error,
            self._rtol, self._atol, self.times, self.states, self.values, self.norms, self._K,
        )  # fmt: skip
        return int(code)

    def book(self) -> None:
        """Count what the last call has done."""
        evaluations, integers = self.evaluations, self._integers
        if evaluations:
            self._evaluator.book(evaluations)
        if integers[self._bad_guess]:
            self._evaluator.non_finite += 1
            integers[self._bad_guess] = 0

    def batches(self, apart: bool) -> Iterator[Step]:
        """Yield the steps of the last call as one batch, or the last of them ``apart``."""
        last = self.steps
        if apart and last > 1:
            yield self._batch(1, last - 1)
            yield self._batch(last, last)
        elif last:
            yield self._batch(1, last)

    def interpolant(self) -> Interpolant:
        """Return the interpolant of the last step."""
        if self._interpolant is None:
            self._interpolant = self._interpolate()
        return self._interpolant

    def _interpolate(self) -> Interpolant:
        t_old, w_old = float(self.times[self.steps - 1]), self.states[self.steps - 1].copy()
        t, w, h = self.t, self.w, self.t - t_old
        A = self._method.tableau.A

        def more_stages(first: int, last: int) -> None:
            self._evaluator.charge(last - first)
            self._kernels.native_stages(
                self._evaluator.native, first, last, A, w_old, h, self._K, np.empty(w.size)
            )

        rows = dense_rows(self._method.tableau, self._K, h, w_old, w, more_stages)
        return NestedDenseOutput(t_old, t, w_old, rows)

    def _batch(self, first: int, last: int) -> Step:
        t, w, value = self.times, self.states, self.values
        norm = self._evaluator.norm(w[last], value[last])
        batch = None
        if last > first:
            self.norms[last] = norm
            steps = slice(first, last + 1)
            batch = Batch(t[steps], w[steps], self.norms[steps])
        return Step(
            float(t[last - 1]), w[last - 1], value[last - 1], float(t[last]), w[last], value[last],
            norm, self.interpolant, batch,
        )  # fmt: skip

    def _first_step(self, length: float, max_step: float) -> float:
        evaluator, y_1, f_1 = self._evaluator, self.states[1], self.values[1]
        evaluator.charge(1)
        h, evaluations = self._kernels.first_step(
            evaluator.native, self.times[0], 1.0, length, max_step, self._method.error_order - 1,
            self._rtol, self._atol, self.states[0], self.values[0], y_1, f_1,
        )  # fmt: skip
        evaluator.charge(evaluations - 1)
        if not all_finite(f_1):
            evaluator.remember(y_1, f_1)
        return float(h)


def _stages(method: Any) -> int:
    """Return how many stages a method keeps: those of its tableau, if it has one."""
    return len(method.tableau.c) if hasattr(method, "tableau") else 0


@cache
def _kernels() -> Any:
    """Return the compiled functions; late, because Numba compiles them on the first import on a machine."""
    from maml_ode.compiled.unasked import unasked
    from maml_ode.integrate.solvers.kernels import (
        phase_loop,
        phase_record,
        runge_kutta,
        step_control,
    )

    def places(*names: str) -> tuple[int, ...]:
        return tuple((phase_record.PHASE_DTYPE.names or ()).index(name) for name in names)

    return SimpleNamespace(
        explicit_phase=unasked(phase_loop.explicit_phase.from_python.compiled),
        native_stages=runge_kutta.native_stages,
        first_step=step_control.first_step,
        packings=(
            phase_record.packing(
                "t_bound",
                "max_step",
                "target",
                "sign",
                "threshold",
                "watches_stall",
                "rtol",
                "atol",
            ),
            phase_record.packing("h"),
        ),
        dtype=phase_record.PHASE_DTYPE,
        counts=places("steps", "evaluations", "rejections", "bad_guess"),
        limits=places("room", "pause", "most_evaluations"),
    )


@lru_cache(maxsize=16)
def _filled(size: int, entry: float) -> Array:
    """Return an array that nobody writes to, which the loop is not told, as it is compiled for one that is."""
    return np.full(size, entry)


@cache
def fresh_record(method: Any) -> bytes:
    """Return the loop's record for a method at its beginning, as bytes: NumPy copies those much faster."""
    from maml_ode.integrate.solvers.kernels.phase_record import new_phases

    control = method.make_controller()
    names = ("order", "integral", "proportional", "safety", "smallest", "largest", "predictive")
    return new_phases(  # type: ignore[no-any-return]
        **{name: getattr(control, name) for name in names},
        error_order=method.error_order,
        error_before=1e-4 if control.proportional else 0.0,
        stages=getattr(getattr(method, "tableau", None), "n_stages", _stages(method)),
        best=math.inf,
    ).tobytes()
