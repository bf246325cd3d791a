"""How far many independent points have come, and how long the rest may take."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

__all__ = ["PointProgress", "in_words"]

# Where the output is no terminal: seconds until the first line, and between lines.
SILENCE = 10.0


class PointProgress:
    """A context manager that shows a bar on a terminal, and elsewhere a line from time to time.

    The time left is that of the points done so far, times those that are left.

    Parameters
    ----------
    show : bool
    total : int
        Number of points.
    done : int
        How many of them were there before.
    """

    def __init__(self, show: bool, total: int, done: int = 0) -> None:
        self._show, self._total, self._before = show, total, done
        self._done, self._failed = done, 0
        self._start = self._said = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> PointProgress:
        self._start = self._said = time.monotonic()
        if self._show and self._done < self._total and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            self._bar = Progress(
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=self._total, completed=self._done, note="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def seconds_left(self) -> float:
        """Return the estimate of the time that the rest takes; NaN before the first point is done."""
        new = self._done - self._before
        if new == 0:
            return float("nan")
        return (time.monotonic() - self._start) / new * (self._total - self._done)

    def advance(self, failed: bool) -> None:
        """Say that one more point is done."""
        self._done += 1
        self._failed += failed
        words = f"{self._failed} failed, " if self._failed else ""
        words += f"{in_words(self.seconds_left())} left" if self._done < self._total else "done"
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, note=words)
        elif self._show and time.monotonic() - self._said >= SILENCE:
            self._said = time.monotonic()
            self._say(f"{self._done} of {self._total} points, {words}")

    def note(self, text: str) -> None:
        """Say something out of the ordinary."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        elif self._show:
            self._say(text)

    def _say(self, text: str) -> None:
        if sys.stderr is not None:  # a program without a console has none
            sys.stderr.write(text + "\n")
            sys.stderr.flush()


def in_words(seconds: float) -> str:
    """Return a time for people: 45 s, 12 min, 3.5 h.

    >>> in_words(44.6), in_words(700), in_words(12600)
    ('45 s', '12 min', '3.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
