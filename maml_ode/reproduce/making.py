"""One call of `reproduce`: the artefacts in order, and one pool of processes for the work of all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from maml_ode.reproduce.artefact import Artefact, Settings
from maml_ode.reproduce.drawing import UNSUITABLE, check_name, draw_artefact, tables_of
from maml_ode.reproduce.record import (
    Record,
    all_there,
    identity,
    read_record,
    read_tables,
    versions,
    write_record,
    write_tables,
)
from maml_ode.runs.executor import Task, Workers
from maml_ode.runs.store import Unfinished

__all__ = ["DamagedError", "NothingToRedrawError", "Outcome", "Production", "Reporter"]

# The share of an artefact's progress that is done when its tables are.
COMPUTED = 0.95

Reporter = Callable[[str, float, str], None]


class NothingToRedrawError(ValueError):
    """There are no tables to draw from; run without ``redraw`` first."""


@dataclass(frozen=True)
class Outcome:
    """What became of one artefact.

    Attributes
    ----------
    name, title : str
    status : {"computed", "redrawn", "kept"}
        "kept": an earlier run with the same settings, constants and version had finished it.
    files : tuple of Path
        Tables, pictures, texts and metadata.
    elapsed : float
        Seconds of work, this time, summed over the processes.
    key_numbers : mapping of str to str
    """

    name: str
    title: str
    status: str
    files: tuple[Path, ...]
    elapsed: float
    key_numbers: Mapping[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class Making:
    """An artefact on its way: its record so far, its pieces if it is computed, and what they cost."""

    artefact: Artefact
    record: Record
    status: str
    unfinished: Unfinished
    pieces: list[Task] = field(default_factory=list)
    done: int = 0
    # Whether some of the pieces are what a file of an earlier run said.
    found: bool = False
    seconds: float = 0.0
    begun: bool = False

    @property
    def fraction(self) -> float:
        return COMPUTED * self.done / len(self.pieces) if self.pieces else COMPUTED

    @property
    def computed(self) -> bool:
        return self.done == len(self.pieces)


class Production:
    """One call of `reproduce`: an ordered list of artefacts, and one pool of processes for their work."""

    workers: Workers

    def __init__(self, folder: Path, settings: Settings, fresh: set[str], report: Reporter) -> None:
        self.folder, self.settings, self.fresh, self.report = folder, settings, fresh, report
        self.outcomes: dict[str, Outcome] = {}
        self._owners: dict[Task, Making] = {}
        self._have_tables: set[str] = set()
        self._status: dict[str, str] = {}

    def make(self, artefacts: list[Artefact]) -> None:
        """Compute and draw what is not finished."""
        waiting, making = list(artefacts), []
        while waiting or self._owners:
            for artefact in list(waiting):
                if self._have_tables.issuperset(artefact.requires):
                    waiting.remove(artefact)
                    making.append(self._begin(artefact))
                    self._status[artefact.name] = making[-1].status
            self._work()
            # Those that take times had to wait until nothing else runs; then come those that need them.
            for one in making:
                if one.artefact.name not in self._have_tables:
                    self.report(one.artefact.name, one.fraction, "timing")
                    self._combine(one)

    def redraw(self, artefacts: list[Artefact]) -> None:
        """Draw what has tables; refuse before anything is drawn if one has none."""
        found = []
        for artefact in artefacts:
            record = read_record(self.folder, artefact.name)
            if record is None or _key_numbers(self.folder, artefact, record) is None:
                raise NothingToRedrawError(
                    f"{self.folder} has no complete tables of {artefact.name} (a CSV file is "
                    "missing or was changed, or the metadata are); run without redraw first."
                )
            unfinished = Unfinished(self.folder, artefact.name, {})
            found.append(Making(artefact, record, "redrawn", unfinished))
        for making in found:
            self._draw(making)
        try:
            self._work()
        except DamagedError as error:
            (name,) = error.names
            raise NothingToRedrawError(
                f"the tables of {name} in {self.folder} do not hold what its pictures show; run without "
                "redraw first."
            ) from error

    def started(self, task: Task) -> None:
        """Tell the user what begins."""
        making = self._owners[task]
        if not making.begun:
            making.begun = True
            self.report(making.artefact.name, 0.0, "")
        self.report(making.artefact.name, making.fraction, task.note)

    def _work(self) -> None:
        """Take what comes from the processes until nothing is left to do."""
        for task in self.workers.completed():
            making = self._owners.pop(task)
            making.seconds += task.seconds
            if task not in making.pieces:
                self._take_drawing(making, task)
                continue
            making.done += 1
            making.unfinished.save(making.pieces.index(task), task.value, task.seconds)
            self.report(making.artefact.name, making.fraction, task.note)
            if making.computed and not making.artefact.alone:
                self._combine(making)

    def _begin(self, artefact: Artefact) -> Making:
        """Take what an earlier run has left, and submit the rest."""
        wanted = identity(self.folder, artefact, self.settings)
        unfinished = Unfinished(self.folder, artefact.name, wanted)
        record = read_record(self.folder, artefact.name)
        if artefact.name in self.fresh:
            unfinished.clear()
        elif record is not None and all(record.get(key) == wanted[key] for key in wanted):
            numbers = _key_numbers(self.folder, artefact, record)
            if numbers is not None:
                unfinished.clear()
                self._have_tables.add(artefact.name)
                making = Making(artefact, record, "kept", unfinished)
                if all_there(self.folder, record):
                    self._finish(making, numbers)
                else:
                    making.status = "redrawn"
                    self._draw(making, first=True)
                return making
        making = Making(artefact, wanted, "computed", unfinished, artefact.pieces(self.settings))
        missing = []
        for number, task in enumerate(making.pieces):
            saved = unfinished.load(number)
            if saved is None:
                missing.append(task)
                self._owners[task] = making
                continue
            task.value, seconds = saved
            making.found = True
            making.done += 1
            making.seconds += seconds
        for task in missing:
            self.workers.add(task)
        if making.computed and not artefact.alone:
            self._combine(making)
        return making

    def _combine(self, making: Making) -> None:
        """Put the pieces together, write the tables, and have them drawn."""
        artefact = making.artefact
        start = time.perf_counter()
        inputs = {name: tables_of(self.folder, name)[1] for name in artefact.requires}
        values = [task.value for task in making.pieces]
        try:
            tables = self.workers.here(artefact.combine, self.settings, values, inputs)
        except UNSUITABLE as error:
            # Pieces or tables that earlier runs have left may be to blame.
            suspects = {name for name in artefact.requires if self._status[name] != "computed"}
            suspects |= {artefact.name} if making.found else set()
            if suspects <= self.fresh:
                raise
            raise DamagedError(suspects) from error
        for key, table in tables.items():
            check_name(artefact, key)
            if key != table.name:
                raise ValueError(f"{artefact.name} gives the table {table.name!r} the key {key!r}.")
        making.seconds += time.perf_counter() - start
        making.record |= write_tables(self.folder, tables)
        making.record |= {
            "figures": [],
            "texts": [],
            "versions": versions(),
            "elapsed_seconds": round(making.seconds, 3),
        }
        write_record(self.folder, artefact.name, making.record)
        making.unfinished.clear()
        self._have_tables.add(artefact.name)
        self._draw(making, first=True)

    def _draw(self, making: Making, first: bool = False) -> None:
        trusted = making.status == "computed"
        task = Task(draw_artefact, (self.folder, making.artefact.name, trusted), "drawing")
        self._owners[task] = making
        self.workers.add(task, first=first)

    def _take_drawing(self, making: Making, task: Task) -> None:
        if task.value is None:
            raise DamagedError({making.artefact.name})
        key_numbers, drawn = task.value
        making.record |= drawn
        write_record(self.folder, making.artefact.name, making.record)
        self._finish(making, key_numbers)

    def _finish(self, making: Making, key_numbers: Mapping[str, str]) -> None:
        artefact, record = making.artefact, making.record
        names = [*record["figures"], *record["tables"], *record["texts"], f"{artefact.name}.json"]
        self.outcomes[artefact.name] = Outcome(
            name=artefact.name,
            title=artefact.title,
            status=making.status,
            files=tuple(self.folder / name for name in names),
            elapsed=making.seconds,
            key_numbers=key_numbers,
        )
        self.report(artefact.name, 1.0, making.status)


class DamagedError(Exception):
    """What earlier runs have left of some artefacts cannot be used."""

    def __init__(self, names: set[str]) -> None:
        super().__init__(", ".join(sorted(names)))
        self.names = names


def _key_numbers(folder: Path, artefact: Artefact, record: Record) -> dict[str, str] | None:
    """Return the key numbers of the tables that a record lists; None if they are not all there."""
    tables = read_tables(folder, record)
    try:
        return None if tables is None else artefact.key_numbers(tables)
    except UNSUITABLE:
        return None
