"""How long a run of `reproduce` will still take, by what the last one in its folder took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from maml_ode.reproduce.artefact import Settings
from maml_ode.reproduce.record import read_record

__all__ = ["Remaining", "in_words"]

# Seconds of work on the machine that wrote the shipped tables: the default settings, and the quick version.
SHIPPED = {
    "fig1": (3.0, 2.0),
    "diabetes": (0.5, 0.5),
    "fig2": (13.0, 3.0),
    "fig3": (26.0, 8.0),
    "fig4": (74.0, 12.0),
    "fig5": (25.0, 4.0),
    "report": (45.0, 8.0),
    "mnist": (30.0, 5.0),
}
SHIPPED_SEEDS = 20
# By then what was expected is corrected by how fast it went.
ENOUGH_DONE = 0.1


class Remaining:
    """The time left, from the seconds of an earlier run and the progress of this one.

    Parameters
    ----------
    folder : Path
        Where the records of an earlier run may lie; without one with the same settings, what the package was
        released with is taken.
    names : iterable of str
        The artefacts that are made.
    settings : Settings
    clock : callable, optional
    """

    def __init__(
        self,
        folder: Path,
        names: Iterable[str],
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._expected = {name: _expected(folder, name, settings) for name in names}
        self._fraction = dict.fromkeys(self._expected, 0.0)
        self._jobs, self._clock, self._start = settings.jobs, clock, clock()

    def update(self, name: str, fraction: float, note: str) -> None:
        """Note an artefact's progress; one that is kept or only drawn again is no work."""
        if note in ("kept", "redrawn"):
            self._expected[name] = 0.0
        if name in self._fraction:
            self._fraction[name] = fraction

    @property
    def fraction(self) -> float:
        """The part of the work that is done."""
        total = sum(self._expected.values())
        return 1.0 - self._work_left() / total if total > 0 else min(self._fraction.values())

    def seconds(self) -> float:
        """Return how long it will still take."""
        done = self.fraction
        if done >= ENOUGH_DONE:
            return (self._clock() - self._start) * (1.0 - done) / done
        return self._work_left() / self._jobs

    def _work_left(self) -> float:
        return sum((1.0 - self._fraction[name]) * each for name, each in self._expected.items())


def _expected(folder: Path, name: str, settings: Settings) -> float:
    record = read_record(folder, name)
    if record is not None and record["settings"] == settings.to_dict():
        seconds = record.get("elapsed_seconds")
        if isinstance(seconds, (int, float)) and seconds > 0:
            return float(seconds)
    usual, quick = SHIPPED.get(name, (0.0, 0.0))
    return quick if settings.quick else usual * settings.seeds / SHIPPED_SEEDS


def in_words(seconds: float) -> str:
    """Return a time left as a reader wants it: no more digits than it has."""
    if seconds < 10:
        return "a few seconds left"
    if seconds < 90:
        return f"about {10 * round(seconds / 10)} s left"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min left"
    return f"about {seconds / 3600:.1f} h left"
