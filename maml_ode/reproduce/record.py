"""What is written beside an artefact's tables: how they were made, and whether that still holds."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from maml_ode import __version__
from maml_ode._files import write_atomically
from maml_ode.reproduce import ON_FILES
from maml_ode.reproduce.artefact import Artefact, Settings, Tables
from maml_ode.runs.files import read_json, sha256, to_json
from maml_ode.runs.tables import Table

__all__ = [
    "all_there",
    "belongs",
    "identity",
    "read_record",
    "read_tables",
    "versions",
    "write_record",
    "write_tables",
]

FORMAT = "maml_ode artefact 2"
PACKAGES = ("numpy", "scipy", "numba", "sympy", "matplotlib", "scikit-learn")

Record = dict[str, Any]


def identity(folder: Path, artefact: Artefact, settings: Settings) -> Record:
    """Return what the tables depend on, as JSON gives it back."""
    required = {}
    for name in artefact.requires:
        record = read_record(folder, name)
        required[name] = None if record is None else _digest(record)
    found = {
        "format": FORMAT,
        "artefact": artefact.name,
        "title": artefact.title,
        "maml_ode": __version__,
        "command": _command(artefact.name, settings),
        "settings": settings.to_dict(),
        "constants": artefact.constants(settings),
        "requires": required,
    }
    plain: Record = json.loads(to_json(found))
    return plain


def _digest(record: Record) -> dict[str, str]:
    """Return the SHA-256 of each table of a record, and of its times."""
    hashes = {file: entry["sha256"] for file, entry in record["tables"].items()}
    times = hashlib.sha256(to_json(record["times"]).encode()).hexdigest()
    return hashes | {"times": times}


def _command(name: str, settings: Settings) -> str:
    only = f"{name} --mnist FOLDER" if name in ON_FILES else name
    command = f"maml-ode reproduce --only {only} --seed {settings.seed} --seeds {settings.seeds}"
    return command + (" --quick" if settings.quick else "")


def versions() -> dict[str, str]:
    """Return the versions of everything that has a part in the numbers and pictures."""
    found = {"maml_ode": __version__, "python": platform.python_version()}
    return found | {package: _version(package) for package in PACKAGES}


@cache
def _version(package: str) -> str:
    return importlib.metadata.version(package)


def read_record(folder: Path, name: str) -> Record | None:
    """Return the record of an earlier run, or None if there is none that is whole."""
    found = read_json(folder / f"{name}.json")
    return found if _whole(found, name) else None


def _whole(record: Any, name: str) -> bool:
    """Whether a record is one of ours, which names files of its artefact and no others."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        return False
    kinds = {"settings": dict, "tables": dict, "times": dict, "figures": list, "texts": list}
    if not all(isinstance(record.get(key), kind) for key, kind in kinds.items()):
        return False
    files = [*record["tables"], *record["times"], *record["figures"], *record["texts"]]
    if not all(isinstance(file, str) and belongs(file, name) for file in files):
        return False
    entries = record["tables"].values()
    if not all(isinstance(entry, dict) and {"sha256", "rows"} <= set(entry) for entry in entries):
        return False
    try:
        Settings(**record["settings"])
    except (TypeError, ValueError):
        return False
    return True


def belongs(file: str, name: str) -> bool:
    """Whether a file or table is called after an artefact and lies in the folder that all share."""
    return re.fullmatch(rf"{re.escape(name)}[A-Za-z0-9_.-]*", file) is not None


def write_record(folder: Path, name: str, record: Record) -> None:
    """Write ``<name>.json``."""
    write_atomically(folder / f"{name}.json", to_json(record))


def write_tables(folder: Path, tables: Tables) -> Record:
    """Write the CSV files; return what the record says of the tables.

    Wall-clock times differ from run to run: they stand in the record, so that the CSV files agree.
    """
    files, times = {}, {}
    for name, table in tables.items():
        if table.timing:
            times[name] = dict(table.columns)
            continue
        path = folder / f"{name}.csv"
        write_atomically(path, table.to_csv())
        files[path.name] = {"sha256": sha256(path), "rows": len(table)}
    return {"tables": files, "times": times}


def read_tables(folder: Path, record: Record) -> dict[str, Table] | None:
    """Return the tables that a record lists, or None if one is missing, was changed or is none."""
    tables = {}
    try:
        for file, entry in record["tables"].items():
            path = folder / file
            if not path.is_file() or sha256(path) != entry["sha256"]:
                return None
            tables[path.stem] = Table.from_csv(path.stem, path.read_text(encoding="utf-8"))
            if len(tables[path.stem]) != entry["rows"]:
                return None
        for name, columns in record["times"].items():
            tables[name] = Table(name, columns, timing=True)
    except (ArithmeticError, AttributeError, RecursionError, TypeError, ValueError):
        return None
    return tables


def all_there(folder: Path, record: Mapping[str, Any]) -> bool:
    """Whether an artefact was drawn, and its pictures and texts are still in the folder."""
    files = (*record["figures"], *record["texts"])
    return bool(record["figures"]) and all((folder / name).is_file() for name in files)
