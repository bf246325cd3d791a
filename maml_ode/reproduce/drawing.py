"""From an artefact's tables to its pictures and texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maml_ode._files import write_atomically
from maml_ode.reproduce import load_artefact
from maml_ode.reproduce.artefact import Artefact, Settings
from maml_ode.reproduce.record import Record, belongs, read_record, read_tables, versions
from maml_ode.runs.files import write_figure
from maml_ode.runs.tables import Table

__all__ = ["UNSUITABLE", "check_name", "draw_artefact", "tables_of"]

# What code raises that gets other tables, or other pieces, than it expects.
UNSUITABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def tables_of(folder: Path, name: str) -> tuple[Record, dict[str, Table]]:
    """Return the record and the tables that this run has written or found.

    Raises
    ------
    FileNotFoundError
        If somebody has taken them away meanwhile.
    """
    record = read_record(folder, name)
    tables = None if record is None else read_tables(folder, record)
    if record is None or tables is None:
        raise FileNotFoundError(f"the tables of {name} went missing from {folder} during the run")
    return record, tables


def draw_artefact(
    folder: Path, name: str, trusted: bool
) -> tuple[dict[str, str], dict[str, Any]] | None:
    """Draw an artefact from the tables in its folder.

    Returns
    -------
    key_numbers : dict
    drawn : dict
        What the record says of pictures and texts.

    None instead, if the tables are not trusted (an earlier run has left them) and do not hold what is to
    be drawn.
    """
    record, tables = tables_of(folder, name)
    try:
        return _drawn(folder, load_artefact(name), tables, Settings(**record["settings"]))
    except UNSUITABLE:
        if trusted:
            raise
        return None


def _drawn(
    folder: Path, artefact: Artefact, tables: dict[str, Table], settings: Settings
) -> tuple[dict[str, str], dict[str, Any]]:
    from maml_ode.plotting.style import house_style

    figures, texts = [], []
    with house_style():
        for stem, figure in artefact.draw(tables, settings).items():
            check_name(artefact, stem)
            figures += [path.name for path in write_figure(folder, stem, figure)]
    for file, text in artefact.texts(tables, settings).items():
        check_name(artefact, file)
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


def check_name(artefact: Artefact, name: str) -> None:
    """Refuse a file or table that is not called after its artefact."""
    if not belongs(name, artefact.name):
        raise ValueError(
            f"what {artefact.name} writes must be named after it, not {name!r}, since the folder "
            "is shared."
        )
