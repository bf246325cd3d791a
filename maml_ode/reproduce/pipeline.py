"""``reproduce``: make the artefacts, or keep what an earlier run has finished."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maml_ode._files import write_atomically
from maml_ode._validation import check_choice
from maml_ode.reproduce import ARTEFACTS, load_artefact
from maml_ode.reproduce.artefact import Artefact, Settings
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
from maml_ode.runs.files import write_figure
from maml_ode.runs.store import Unfinished

__all__ = ["NothingToRedrawError", "Outcome", "reproduce"]

# The share of an artefact's progress that is done when its tables are.
COMPUTED = 0.95

Progress = Callable[[str, float, str], None]


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


def reproduce(
    output: str | os.PathLike[str] = "maml_ode_figures",
    only: str | Iterable[str] | None = None,
    settings: Settings | None = None,
    redraw: bool = False,
    resume: bool = True,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Make the artefacts and write them to a folder.

    Per artefact: its pictures as PNG and SVG, their data as CSV, and ``<name>.json`` with settings,
    constants, versions, caption, wall-clock times, the command that makes it and the SHA-256 of
    each table. Every file is written whole or not at all, and neither an artefact nor a piece of
    one (a run of one experiment and seed, say) that is finished is computed again, so an
    interrupted call goes on where it stopped. The pictures are drawn from what is written. With
    ``settings.jobs`` > 1 the work of all artefacts, drawing included, is shared by that many
    processes. The CSV files depend on the settings alone.

    Parameters
    ----------
    output : path-like
        Folder; made if it is missing.
    only : str or iterable of str, optional
        Names of artefacts; all by default. What they require is made too.
    settings : Settings, optional
    redraw : bool
        Draw the pictures again from the tables, with the settings of these, and compute nothing.
    resume : bool
        Whether to keep what an earlier run has finished.
    progress : callable, optional
        ``progress(artefact, fraction, note)``.

    Returns
    -------
    list of Outcome

    Raises
    ------
    ValueError
        For an unknown artefact (the nearest is suggested).
    NothingToRedrawError
        With ``redraw``, if the tables are missing or were changed.
    """
    settings = Settings() if settings is None else settings
    folder = Path(output)
    names = _in_order(only, with_requirements=not redraw)
    if not redraw:
        folder.mkdir(parents=True, exist_ok=True)
    run = _Run(folder, settings, resume, progress or _silent)
    with Workers(settings.jobs, run.started) as workers:
        run.workers = workers
        artefacts = [load_artefact(name) for name in names]
        return run.redraw(artefacts) if redraw else run.make(artefacts)


def _silent(name: str, fraction: float, note: str) -> None:
    return


def _in_order(only: str | Iterable[str] | None, with_requirements: bool) -> list[str]:
    """Return the artefacts to make in the registry's order, which puts requirements first."""
    if only is None:
        return list(ARTEFACTS)
    asked = [only] if isinstance(only, str) else list(only)
    wanted: set[str] = set()
    while asked:
        name = check_choice("artefact", asked.pop(), ARTEFACTS)
        if name not in wanted:
            wanted.add(name)
            if with_requirements:
                asked.extend(load_artefact(name).requires)
    return [name for name in ARTEFACTS if name in wanted]


@dataclass(eq=False)
class _Making:
    """An artefact on its way: its pieces, or its drawing, and what they have cost so far."""

    artefact: Artefact
    record: Record
    status: str
    pieces: list[Task] = field(default_factory=list)
    unfinished: Unfinished | None = None
    done: int = 0
    seconds: float = 0.0
    begun: bool = False

    @property
    def fraction(self) -> float:
        return COMPUTED * self.done / len(self.pieces) if self.pieces else COMPUTED


class _Run:
    """One call of `reproduce`."""

    workers: Workers

    def __init__(self, folder: Path, settings: Settings, resume: bool, report: Progress) -> None:
        self.folder, self.settings, self.resume, self.report = folder, settings, resume, report
        self.makers: dict[Task, _Making] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.have_tables: set[str] = set()
        self.to_start: list[Artefact] = []
        self.to_combine_alone: list[_Making] = []

    def make(self, artefacts: list[Artefact]) -> list[Outcome]:
        """Compute and draw what is not finished."""
        self.to_start = list(artefacts)
        while True:
            self._start_those_that_can()
            for task in self.workers.completed():
                self._take(task)
                self._start_those_that_can()
            if not self.to_combine_alone:
                return [self.outcomes[artefact.name] for artefact in artefacts]
            making = self.to_combine_alone.pop(0)
            self.report(making.artefact.name, making.fraction, "timing")
            self._combine(making)

    def redraw(self, artefacts: list[Artefact]) -> list[Outcome]:
        """Draw what has tables; refuse before anything is drawn if one has none."""
        found = []
        for artefact in artefacts:
            record = read_record(self.folder, artefact.name)
            if record is None or read_tables(self.folder, record) is None:
                raise NothingToRedrawError(
                    f"{self.folder} has no complete tables of {artefact.name} (a CSV file is "
                    "missing or was changed, or the metadata are); run without redraw first."
                )
            found.append(_Making(artefact, record, "redrawn"))
        for making in found:
            self._draw(making, first=False)
        for task in self.workers.completed():
            self._take(task)
        return [self.outcomes[artefact.name] for artefact in artefacts]

    def started(self, task: Task) -> None:
        """Tell the user what begins."""
        making = self.makers[task]
        if not making.begun:
            making.begun = True
            self.report(making.artefact.name, 0.0, "")
        self.report(making.artefact.name, making.fraction, task.note)

    def _start_those_that_can(self) -> None:
        # In the registry's order, so that what is kept can serve the next one at once.
        for artefact in list(self.to_start):
            if self.have_tables.issuperset(artefact.requires):
                self.to_start.remove(artefact)
                self._start(artefact)

    def _start(self, artefact: Artefact) -> None:
        wanted = identity(self.folder, artefact, self.settings)
        record = read_record(self.folder, artefact.name)
        if (
            self.resume
            and record is not None
            and all(record.get(key) == wanted[key] for key in wanted)
            and (tables := read_tables(self.folder, record)) is not None
        ):
            self.have_tables.add(artefact.name)
            if all_there(self.folder, record):
                self._finish(_Making(artefact, record, "kept"), artefact.key_numbers(tables))
            else:
                self._draw(_Making(artefact, record, "redrawn"))
            return
        unfinished = Unfinished(self.folder, artefact.name, wanted)
        if not self.resume:
            unfinished.clear()
        pieces = artefact.pieces(self.settings)
        making = _Making(artefact, dict(wanted), "computed", pieces, unfinished)
        for number, task in enumerate(pieces):
            saved = unfinished.load(number)
            if saved is None:
                self.makers[task] = making
            else:
                task.value, seconds = saved
                making.done += 1
                making.seconds += seconds
        for task in pieces:
            if task in self.makers:
                self.workers.submit(task)
        if making.done == len(pieces):
            self._combine_when_possible(making)

    def _take(self, task: Task) -> None:
        making = self.makers.pop(task)
        making.seconds += task.seconds
        if task not in making.pieces:
            key_numbers, drawn = task.value
            making.record |= drawn
            write_record(self.folder, making.artefact.name, making.record)
            self._finish(making, key_numbers)
            return
        making.done += 1
        if making.unfinished is not None:
            making.unfinished.save(making.pieces.index(task), task.value, task.seconds)
        self.report(making.artefact.name, making.fraction, task.note)
        if making.done == len(making.pieces):
            self._combine_when_possible(making)

    def _combine_when_possible(self, making: _Making) -> None:
        if making.artefact.alone:
            self.to_combine_alone.append(making)
        else:
            self._combine(making)

    def _combine(self, making: _Making) -> None:
        artefact = making.artefact
        start = time.perf_counter()
        inputs = {}
        for name in artefact.requires:
            record = read_record(self.folder, name)
            tables = None if record is None else read_tables(self.folder, record)
            if tables is None:
                raise RuntimeError(
                    f"the tables of {name} went missing from {self.folder} during the run."
                )
            inputs[name] = tables
        values = [task.value for task in making.pieces]
        tables = self.workers.here(artefact.combine, self.settings, values, inputs)
        for key, table in tables.items():
            _check_name(artefact, key)
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
        if making.unfinished is not None:
            making.unfinished.clear()
        self.have_tables.add(artefact.name)
        self._draw(making)

    def _draw(self, making: _Making, first: bool = True) -> None:
        task = Task(draw, (self.folder, making.artefact.name), "drawing")
        self.makers[task] = making
        self.workers.submit(task, first=first)

    def _finish(self, making: _Making, key_numbers: Mapping[str, str]) -> None:
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


def draw(folder: Path, name: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Draw an artefact from the tables in its folder.

    Returns
    -------
    key_numbers : dict
    drawn : dict
        What the record says of pictures and texts.
    """
    from maml_ode.plotting.style import house_style

    artefact = load_artefact(name)
    record = read_record(folder, name)
    tables = None if record is None else read_tables(folder, record)
    if record is None or tables is None:
        raise RuntimeError(f"the tables of {name} went missing from {folder} during the run.")
    settings = Settings(**record["settings"])
    figures, texts = [], []
    with house_style():
        for stem, figure in artefact.draw(tables, settings).items():
            _check_name(artefact, stem)
            figures += [path.name for path in write_figure(folder, stem, figure)]
    for file, text in artefact.texts(tables, settings).items():
        _check_name(artefact, file)
        write_atomically(folder / file, text)
        texts.append(file)
    key_numbers = artefact.key_numbers(tables)
    return key_numbers, {
        "caption": artefact.caption,
        "figures": figures,
        "texts": texts,
        "key_numbers": key_numbers,
        "drawn_with": versions(),
    }


def _check_name(artefact: Artefact, name: str) -> None:
    if not name.startswith(artefact.name) or "/" in name:
        raise ValueError(
            f"what {artefact.name} writes must be named after it, not {name!r}, since the folder "
            "is shared."
        )
