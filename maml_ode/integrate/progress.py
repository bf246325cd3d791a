"""The progress bar of a run: how far the field's norm has fallen, or how far time has come."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any

__all__ = ["SILENT", "Progress"]


class Progress:
    """A context manager that shows a bar, or nothing when ``show`` is False.

    The fraction is the larger of t/t_max and log(n0/n)/log(n0/tol), n being the field's norm.
    """

    def __init__(self, show: bool, label: str, t_max: float, tol: float) -> None:
        self.show = show
        self.label = label
        self.t_max = t_max
        self.tol = tol
        self._first = math.nan
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if self.show:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%  {task.fields[state]}", markup=False),
                TimeElapsedColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self.label, total=1.0, state="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, t: float, norm: float) -> None:
        """Show the state after a step."""
        if self._bar is None:
            return
        if math.isnan(self._first):
            self._first = norm
        self.display(self.fraction(t, norm), f"t = {t:.4g}, |field| = {norm:.3g}")

    def display(self, fraction: float, state: str) -> None:
        """Show a fraction done, and what is to be said of it."""
        if self._bar is not None:
            self._bar.update(self._task, completed=fraction, state=state)

    def fraction(self, t: float, norm: float) -> float:
        """Return the fraction done, between 0 and 1."""
        done = t / self.t_max if math.isfinite(self.t_max) and self.t_max > 0 else 0.0
        if self.tol > 0 and norm > 0 and self._first > self.tol:
            done = max(done, math.log(self._first / norm) / math.log(self._first / self.tol))
        return min(max(done, 0.0), 1.0)


# For runs that are over before a bar could be drawn.
SILENT = Progress(False, "", math.inf, 0.0)
