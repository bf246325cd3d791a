"""``reproduce``: make the artefacts, or keep what an earlier run has finished."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from maml_ode._validation import check_choice
from maml_ode.reproduce import ARTEFACTS, ON_FILES, load_artefact
from maml_ode.reproduce.artefact import Settings
from maml_ode.reproduce.making import (
    DamagedError,
    NothingToRedrawError,
    Outcome,
    Production,
    Reporter,
)
from maml_ode.reproduce.page import write_page
from maml_ode.runs.executor import Workers

__all__ = ["DAMAGED", "NothingToRedrawError", "Outcome", "planned", "reproduce"]

DAMAGED = "what an earlier run left is damaged; made again"


def reproduce(
    output: str | os.PathLike[str] = "maml_ode_figures",
    only: str | Iterable[str] | None = None,
    settings: Settings | None = None,
    redraw: bool = False,
    resume: bool = True,
    progress: Reporter | None = None,
) -> list[Outcome]:
    """Make the artefacts and write them to a folder.

    Per artefact: its pictures as PNG and SVG, their data as CSV, and ``<name>.json`` with settings,
    constants, versions, caption, wall-clock times, the command that makes it and the SHA-256 of
    each table. Every file is written whole or not at all, and neither an artefact nor a piece of
    one (a run of one experiment and seed, say) that is finished is computed again, so an
    interrupted call goes on where it stopped. The pictures are drawn from what is written. With
    ``settings.jobs`` > 1 the work of all artefacts, drawing included, is shared by that many
    processes. The CSV files depend on the settings alone. At the
    end ``index.html`` shows all that is finished in the folder, on one page that needs nothing else.

    Parameters
    ----------
    output : path-like
        Folder; made if it is missing.
    only : str or iterable of str, optional
        Names of artefacts; all by default, ``mnist`` among them if ``settings.mnist`` is given. What they
        require is made too.
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
        For an unknown artefact (the nearest is suggested), or ``mnist`` without MNIST's files.
    NothingToRedrawError
        With ``redraw``, if the tables are missing or were changed.
    """
    settings = Settings() if settings is None else settings
    folder = Path(output)
    names = planned(only, settings, redraw)
    if not redraw:
        if "mnist" in names:
            from maml_ode.reproduce.mnist import check_images

            check_images(settings)
        folder.mkdir(parents=True, exist_ok=True)
    artefacts = [load_artefact(name) for name in names]
    report = progress or _silent
    fresh = set() if resume else set(names)
    while True:
        production = Production(folder, settings, fresh, report)
        try:
            with Workers(settings.jobs, production.started) as production.workers:
                (production.redraw if redraw else production.make)(artefacts)
            write_page(folder)
            return [production.outcomes[name] for name in names]
        except DamagedError as error:
            fresh |= error.names
            for name in sorted(error.names):
                report(name, 0.0, DAMAGED)


def _silent(name: str, fraction: float, note: str) -> None:
    return


def planned(
    only: str | Iterable[str] | None, settings: Settings, redraw: bool = False
) -> list[str]:
    """Return the artefacts that `reproduce` makes, in order."""
    if only is None:
        only = [*ARTEFACTS, *([] if settings.mnist is None else ON_FILES)]
    return _in_order(only, with_requirements=not redraw)


def _in_order(only: str | Iterable[str], with_requirements: bool) -> list[str]:
    """Return the artefacts to make in the registry's order, which puts requirements first."""
    known = ARTEFACTS | ON_FILES
    asked = [only] if isinstance(only, str) else list(only)
    wanted: set[str] = set()
    while asked:
        name = check_choice("artefact", asked.pop(), known)
        if name not in wanted:
            wanted.add(name)
            if with_requirements:
                asked.extend(load_artefact(name).requires)
    return [name for name in known if name in wanted]
