"""``reproduce``: make the artefacts, or keep what an earlier run has finished."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maml_ode import __version__
from maml_ode._validation import check_choice
from maml_ode.reproduce import ARTEFACTS, load_artefact
from maml_ode.reproduce.artefact import Artefact, Settings, Table, Tables
from maml_ode.reproduce.files import sha256, to_json, write_atomically, write_figure

__all__ = ["NothingToRedrawError", "Outcome", "reproduce"]

FORMAT = "maml_ode artefact 1"
PACKAGES = ("numpy", "scipy", "numba", "sympy", "matplotlib", "scikit-learn")

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
        Seconds, this time.
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
    constants, versions, caption, the command that makes it and the SHA-256 of each table. Every
    file is written whole or not at all, and an artefact that is finished is not computed again, so
    an interrupted call goes on where it stopped. The pictures are drawn from the CSV files.

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
    report = progress or _silent
    names = _in_order(only, with_requirements=not redraw)
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for name in names:
        artefact = load_artefact(name)
        if redraw:
            outcomes.append(_redraw(folder, artefact, report))
        else:
            outcomes.append(_make(folder, artefact, settings, resume, report))
        report(name, 1.0, outcomes[-1].status)
    return outcomes


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


def _make(
    folder: Path, artefact: Artefact, settings: Settings, resume: bool, report: Progress
) -> Outcome:
    start = time.perf_counter()
    report(artefact.name, 0.0, "")
    identity = _identity(folder, artefact, settings)
    old = _metadata(folder, artefact.name)
    tables = None
    if resume and old is not None and all(old.get(key) == identity[key] for key in identity):
        tables = _read_tables(folder, old)
    if tables is None:
        old = None
        inputs = {name: _tables_of(folder, name) for name in artefact.requires}
        computed = artefact.compute(
            settings, lambda fraction, note: report(artefact.name, 0.95 * fraction, note), inputs
        )
        hashes = {}
        for key, table in computed.items():
            _check_name(artefact, key)
            if key != table.name:
                raise ValueError(f"{artefact.name} gives the table {table.name!r} the key {key!r}.")
            path = folder / f"{key}.csv"
            write_atomically(path, table.to_csv())
            hashes[path.name] = {
                "sha256": sha256(path),
                "rows": len(table),
                "timing": table.timing,
            }
        metadata = identity | {
            "tables": hashes,
            "figures": [],
            "texts": [],
            "versions": _versions(),
            "elapsed_seconds": round(time.perf_counter() - start, 3),
        }
        write_atomically(folder / f"{artefact.name}.json", to_json(metadata))
        tables = {key: _read_table(folder, key, table.timing) for key, table in computed.items()}
    elif old is not None and old["figures"] and _all_there(folder, old):
        return _outcome(folder, artefact, "kept", old, tables, start)
    else:
        metadata = dict(old or {})
    status = "computed" if old is None else "redrawn"
    metadata = _draw(folder, artefact, settings, tables, metadata, report)
    return _outcome(folder, artefact, status, metadata, tables, start)


def _redraw(folder: Path, artefact: Artefact, report: Progress) -> Outcome:
    start = time.perf_counter()
    report(artefact.name, 0.0, "")
    metadata = _metadata(folder, artefact.name)
    tables = None if metadata is None else _read_tables(folder, metadata)
    if metadata is None or tables is None:
        raise NothingToRedrawError(
            f"{folder} has no complete tables of {artefact.name} (a CSV file is missing or was "
            "changed, or the metadata are); run without redraw first."
        )
    settings = Settings(**metadata["settings"])
    metadata = _draw(folder, artefact, settings, tables, metadata, report)
    return _outcome(folder, artefact, "redrawn", metadata, tables, start)


def _draw(
    folder: Path,
    artefact: Artefact,
    settings: Settings,
    tables: Tables,
    metadata: dict[str, Any],
    report: Progress,
) -> dict[str, Any]:
    """Write pictures and texts, then the metadata that list them."""
    from maml_ode.plotting.style import house_style

    report(artefact.name, 0.95, "drawing")
    figures, texts = [], []
    with house_style():
        for stem, figure in artefact.draw(tables, settings).items():
            _check_name(artefact, stem)
            figures += [path.name for path in write_figure(folder, stem, figure)]
    for name, text in artefact.texts(tables, settings).items():
        _check_name(artefact, name)
        write_atomically(folder / name, text)
        texts.append(name)
    metadata = metadata | {
        "caption": artefact.caption,
        "figures": figures,
        "texts": texts,
        "key_numbers": artefact.key_numbers(tables),
    }
    write_atomically(folder / f"{artefact.name}.json", to_json(metadata))
    return metadata


def _identity(folder: Path, artefact: Artefact, settings: Settings) -> dict[str, Any]:
    """Return what the tables depend on, as JSON gives it back."""
    required = {}
    for name in artefact.requires:
        old = _metadata(folder, name)
        required[name] = None if old is None else old["tables"]
    identity = {
        "format": FORMAT,
        "artefact": artefact.name,
        "title": artefact.title,
        "maml_ode": __version__,
        "command": _command(artefact.name, settings),
        "settings": settings.to_dict(),
        "constants": artefact.constants(settings),
        "requires": required,
    }
    plain: dict[str, Any] = json.loads(to_json(identity))
    return plain


def _command(name: str, settings: Settings) -> str:
    command = f"maml-ode reproduce --only {name} --seed {settings.seed} --seeds {settings.seeds}"
    return command + (" --quick" if settings.quick else "")


def _versions() -> dict[str, str]:
    found = {"maml_ode": __version__, "python": platform.python_version()}
    return found | {package: importlib.metadata.version(package) for package in PACKAGES}


def _check_name(artefact: Artefact, name: str) -> None:
    if not name.startswith(artefact.name) or "/" in name:
        raise ValueError(
            f"what {artefact.name} writes must be named after it, not {name!r}, since the folder "
            "is shared."
        )


def _metadata(folder: Path, name: str) -> dict[str, Any] | None:
    """Return the metadata of an earlier run, or None if there are none that can be read."""
    try:
        found = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    known = isinstance(found, dict) and found.get("format") == FORMAT
    return found if known else None


def _read_table(folder: Path, name: str, timing: bool) -> Table:
    return Table.from_csv(name, (folder / f"{name}.csv").read_text(encoding="utf-8"), timing)


def _read_tables(folder: Path, metadata: Mapping[str, Any]) -> dict[str, Table] | None:
    """Return the tables that the metadata list, or None if one is missing or was changed."""
    tables = {}
    for file, entry in metadata["tables"].items():
        path = folder / file
        if not path.is_file() or sha256(path) != entry["sha256"]:
            return None
        tables[path.stem] = _read_table(folder, path.stem, entry["timing"])
    return tables


def _tables_of(folder: Path, name: str) -> dict[str, Table]:
    metadata = _metadata(folder, name)
    tables = None if metadata is None else _read_tables(folder, metadata)
    if tables is None:
        raise RuntimeError(f"the tables of {name} went missing from {folder} during the run.")
    return tables


def _all_there(folder: Path, metadata: Mapping[str, Any]) -> bool:
    return all((folder / name).is_file() for name in (*metadata["figures"], *metadata["texts"]))


def _outcome(
    folder: Path,
    artefact: Artefact,
    status: str,
    metadata: Mapping[str, Any],
    tables: Tables,
    start: float,
) -> Outcome:
    names = [*metadata["figures"], *metadata["tables"], *metadata["texts"], f"{artefact.name}.json"]
    return Outcome(
        name=artefact.name,
        title=artefact.title,
        status=status,
        files=tuple(folder / name for name in names),
        elapsed=time.perf_counter() - start,
        key_numbers=artefact.key_numbers(tables),
    )
