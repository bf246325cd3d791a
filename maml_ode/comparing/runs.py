"""The runs of a comparison: each ends as a row, whatever becomes of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from maml_ode._norms import row_norms
from maml_ode._validation import Array
from maml_ode.comparing.comparison import COUNTED
from maml_ode.comparing.reference import Reference, reached, states_at
from maml_ode.flows import Flow
from maml_ode.integrate import euler, solve
from maml_ode.stop import StopReason
from maml_ode.trajectory import Trajectory

__all__ = ["Runs"]

# What is run before a method is timed, so that no time holds a compilation: this part of the horizon.
WARM_UP = 1e-6

Run = tuple[Trajectory, Array]


@dataclass(frozen=True, eq=False)
class Runs:
    """One flow from one start, measured by one reference.

    Attributes
    ----------
    flow : Flow
    w0 : ndarray of shape (d,)
    times : ndarray of shape (n,)
        At which errors are taken; the last one is the horizon.
    reference : Reference
    prices : mapping of str to float
    limits : mapping
        Further keywords of `solve`.
    """

    flow: Flow
    w0: Array
    times: Array
    reference: Reference
    prices: Mapping[str, float]
    limits: Mapping[str, Any] = field(default_factory=dict)

    @property
    def horizon(self) -> float:
        """The last time."""
        return float(self.times[-1])

    def euler(self, step_size: float) -> dict[str, Any] | None:
        """Return the row of Euler's round(t_max/h) steps; None if Ctrl-C has ended them."""
        labels = {"method": "Euler", "rtol": None, "step_size": step_size}
        return self._row(labels, lambda: self._stepped(step_size))

    def method(self, label: str, method: Any, rtol: float | None) -> dict[str, Any] | None:
        """Return the row of a method at a tolerance; None if Ctrl-C has ended it."""
        labels = {"method": label, "rtol": rtol, "step_size": None}
        return self._row(labels, lambda: self._solved(method, rtol))

    def warm_up(self, method: Any) -> None:
        """Have compiled what a method needs."""
        try:
            self._solved(method, 1e-2, WARM_UP)
        except Exception:  # it will be a row
            return

    def _stepped(self, step_size: float) -> Run:
        n = round(self.horizon / step_size)
        few = self.times.size == 1
        every = n if few else 1
        run = euler(
            self.flow, self.w0, step_size, max_iter=n, record_every=every, diagnostics=False
        )
        if few:
            return run, run.final_state[:, None]
        nearest = np.rint(self.times / step_size).astype(int)
        return run, run.y[:, np.minimum(nearest, run.t.size - 1)]

    def _solved(self, method: Any, rtol: float | None, part: float = 1.0) -> Run:
        few = self.times.size == 1
        more: dict[str, Any] = dict(self.limits)
        if rtol is not None:
            scale = self.reference.travelled(self.w0) / math.sqrt(self.flow.dim)
            more |= {"rtol": rtol, "atol": rtol * scale}
        if not few:  # reporting costs evaluations, so that it is asked for where it is needed alone
            more["t_eval"] = self.times * part
        run = solve(
            self.flow,
            self.w0,
            tol=0.0,
            t_max=self.horizon * part,
            method=method,
            diagnostics=False,
            **more,
        )
        return run, run.final_state[:, None] if few else states_at(run, self.times)

    def _row(self, labels: dict[str, Any], call: Callable[[], Run]) -> dict[str, Any] | None:
        begin = time.perf_counter()
        try:
            run, path = call()
        except Exception as error:  # whatever a method, or a function of the user's, stumbles over
            reason = f"{type(error).__name__}: {error}"
            row = labels | {"error": math.nan, "work": math.nan} | dict.fromkeys(COUNTED, 0)
            seconds = time.perf_counter() - begin
            return row | {"seconds": seconds, "stop": reason, "message": str(error)}
        if run.stop is StopReason.INTERRUPTED:
            return None
        counts = run.counts
        work = counts.gradient_equivalents(self.prices["hvp"], self.prices["hessian"])
        return labels | {
            "error": self._error(run, path, labels["method"]),
            "work": work + self.prices["factorization"] * counts.factorizations,
            **{name: getattr(counts, name) for name in COUNTED},
            "seconds": run.elapsed,
            "stop": run.stop.name,
            "message": run.message,
        }

    def _error(self, run: Trajectory, path: Array, method: str) -> float:
        done = run.success if method == "Euler" else reached(run)
        if not done or path.shape != self.reference.states.shape:
            return math.nan
        with np.errstate(over="ignore"):
            gaps = row_norms((path - self.reference.states).T)
        return float(gaps.max()) / self.reference.travelled(self.w0)
