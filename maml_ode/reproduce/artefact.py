"""What an artefact is: tables that a computation fills, and pictures drawn from them alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maml_ode._validation import check_count, shown
from maml_ode.experiments.idx import find_training_files
from maml_ode.experiments.splitmix64 import LARGEST_SEED, check_seed
from maml_ode.runs.executor import Task, Workers
from maml_ode.runs.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Artefact", "Inputs", "ReportProgress", "Settings", "Tables"]


@dataclass(frozen=True)
class Settings:
    """What the user of `reproduce` chooses.

    Attributes
    ----------
    seed : int
        The first seed; runs over several seeds use seed, seed + 1, ...
    seeds : int
        Number of seeds behind bands and medians.
    quick : bool
        A coarser, faster version of everything.
    jobs : int
        Number of processes; results do not depend on it.
    mnist : path-like, optional
        Folder with MNIST's two training files (IDX), from which panels 2d and 2h are made too.

    Raises
    ------
    ValueError
        For a number out of range, or a folder without MNIST's training files.
    TypeError
        If ``quick`` is not a bool or ``mnist`` no path.
    """

    seed: int = 0
    seeds: int = 20
    quick: bool = False
    jobs: int = 1
    mnist: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        check_count("seeds", self.seeds)
        check_seed(self.seed)
        if self.seed + self.seeds - 1 > LARGEST_SEED:
            raise ValueError(
                f"the last of {self.seeds} seeds from {self.seed} on must be below 2**64."
            )
        check_count("jobs", self.jobs)
        if not isinstance(self.quick, bool):
            raise TypeError(f"quick must be True or False, not {self.quick!r}.")
        if self.mnist is not None:
            if not isinstance(self.mnist, (str, os.PathLike)):
                raise TypeError(f"mnist must be a folder's path, not {shown(self.mnist)}.")
            find_training_files(Path(self.mnist), "mnist")

    @property
    def seed_range(self) -> range:
        """The seeds in order."""
        return range(self.seed, self.seed + self.seeds)

    def to_dict(self) -> dict[str, Any]:
        """Return what the results depend on: neither ``jobs`` nor where MNIST lies."""
        return {"seed": self.seed, "seeds": self.seeds, "quick": self.quick}


Tables = Mapping[str, Table]
Inputs = Mapping[str, Tables]
ReportProgress = Callable[[float, str], None]


def _no_texts(tables: Tables, settings: Settings) -> dict[str, str]:
    return {}


def _no_key_numbers(tables: Tables) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Artefact:
    """One thing that `reproduce` makes.

    Parameters
    ----------
    name : str
        Short name, as in ``--only fig1``; the stem of the metadata file.
    title : str
    caption : str
        What a reader of the pictures must know, choices of ours included.
    pieces : callable
        ``pieces(settings) -> list of Task``: the work, in tasks that do not depend on each other.
        What they return is kept as JSON until the tables are written.
    combine : callable
        ``combine(settings, values, inputs) -> {table name: Table}``, from what the pieces returned,
        in their order (after an interruption, arrays come back as lists);
        ``inputs[artefact][table]`` holds the tables of the artefacts that this one requires. Table
        names begin with the artefact's name.
    draw : callable
        ``draw(tables, settings) -> {file stem: Figure}``, from the tables alone: they come from the
        CSV files, wall-clock times from the metadata. Stems begin with the artefact's name. The
        house style (`maml_ode.plotting.style`) is in force while it runs.
    constants : callable
        ``constants(settings) -> dict``: every constant behind the numbers, in JSON's types, with
        what the paper leaves out under "ours".
    requires : tuple of str
        Artefacts whose tables ``combine`` needs.
    alone : bool
        Whether ``combine`` takes times, so that nothing else may run beside it.
    texts : callable
        ``texts(tables, settings) -> {file name: text}``: further files to write.
    key_numbers : callable
        ``key_numbers(tables) -> {quantity: value}``, for the closing table of the command line.
    """

    name: str
    title: str
    caption: str
    pieces: Callable[[Settings], list[Task]]
    combine: Callable[[Settings, list[Any], Inputs], dict[str, Table]]
    draw: Callable[[Tables, Settings], dict[str, Figure]]
    constants: Callable[[Settings], dict[str, Any]]
    requires: tuple[str, ...] = ()
    alone: bool = False
    texts: Callable[[Tables, Settings], dict[str, str]] = field(default=_no_texts)
    key_numbers: Callable[[Tables], dict[str, str]] = field(default=_no_key_numbers)

    def compute(self, settings: Settings, progress: ReportProgress, inputs: Inputs) -> Tables:
        """Run all pieces with ``settings.jobs`` processes and combine them."""
        tasks = self.pieces(settings)
        done = 0
        with Workers(settings.jobs, lambda task: progress(done / len(tasks), task.note)) as workers:
            for task in tasks:
                workers.add(task)
            for _ in workers.completed():
                done += 1
        return self.combine(settings, [task.value for task in tasks], inputs)
