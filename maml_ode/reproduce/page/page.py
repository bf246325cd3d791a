"""Put the verdicts, the pictures and how they were made on one self-contained page."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maml_ode._files import write_atomically
from maml_ode.reproduce import ARTEFACTS, ON_FILES, load_artefact
from maml_ode.reproduce.record import read_record, read_tables

if TYPE_CHECKING:
    from maml_ode.runs.tables import Table

__all__ = ["PAGE", "write_page"]

PAGE = "index.html"
STATEMENTS = {"report": ("report_statements", "report_seconds"), "mnist": ("mnist_statements",)}
_REFERENCE = re.compile(r'(\bid="|(?:xlink:)?href="#|url\(#)')


def write_page(folder: Path) -> Path | None:
    """Write ``index.html`` from what lies finished in a folder; return its path.

    The page holds the verdicts, sortable and filterable, and for every artefact its pictures (SVG, inline),
    caption, key numbers, settings, versions, seconds, and links to the tables beside it. It asks no server
    for anything.

    Parameters
    ----------
    folder : Path
        What `reproduce` wrote.

    Returns
    -------
    Path or None
        None if no artefact in the folder is finished.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = [
        entry for name in (ARTEFACTS | ON_FILES) if (entry := _entry(folder, name)) is not None
    ]
    if not found:
        return None
    environment = Environment(
        loader=PackageLoader("maml_ode.reproduce.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("index.html.j2").render(
        artefacts=found,
        statements=_statements(folder, found),
        versions=found[-1]["versions"],
        seconds=sum(entry["seconds"] for entry in found),
    )
    path = folder / PAGE
    write_atomically(path, text)
    return path


def _entry(folder: Path, name: str) -> dict[str, Any] | None:
    record = read_record(folder, name)
    if record is None or not record["figures"]:
        return None
    artefact = load_artefact(name)
    stems = [Path(file).stem for file in record["figures"] if file.endswith(".svg")]
    return {
        "name": name,
        "title": artefact.title,
        "caption": record.get("caption", artefact.caption),
        "pictures": [_inline(folder / f"{stem}.svg", stem) for stem in stems],
        "tables": sorted(record["tables"]),
        "key_numbers": record.get("key_numbers", {}),
        "settings": record["settings"],
        "command": record.get("command", ""),
        "seconds": float(record.get("elapsed_seconds", 0.0)),
        "versions": record.get("versions", {}),
        "functions": [_spelt(artefact.combine), _spelt(artefact.draw)],
        "record": record,
    }


def _spelt(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _inline(path: Path, stem: str) -> str:
    """Return an SVG file's element, its names made its own so that pictures on one page do not meet."""
    text = path.read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    named = _REFERENCE.sub(lambda match: f"{match.group(0)}{stem}-", text)
    # A fixed size in points would not shrink on a narrow screen; the viewBox keeps the proportions.
    named = re.sub(r'^<svg([^>]*?) (?:width|height)="[^"]*"', r"<svg\1", named, count=1)
    named = re.sub(r'^<svg([^>]*?) (?:width|height)="[^"]*"', r"<svg\1", named, count=1)
    return named.replace("<svg", '<svg role="img" aria-label="' + stem + '"', 1)


def _statements(folder: Path, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the verdicts of the report and on MNIST, each with where its picture and its numbers are."""
    rows: dict[str, dict[str, Any]] = {}
    for entry in found:
        tables = read_tables(folder, entry["record"]) or {}
        for name in STATEMENTS.get(entry["name"], ()):
            # Both artefacts have the verdicts on the stand-in, which are shown once.
            for row in _rows(tables[name], entry["name"]) if name in tables else ():
                rows.setdefault(row["statement"], row)
    return list(rows.values())


def _rows(table: Table, artefact: str) -> list[dict[str, Any]]:
    rows = []
    for k in range(len(table)):
        row = {name: column[k] for name, column in table.columns.items()}
        rows.append(
            {
                "statement": str(row["statement"]),
                "place": str(row["place"]),
                "claim": str(row["claim"]),
                "verdict": str(row["verdict"]),
                "criterion": str(row["criterion"]),
                "why": str(row["why"]),
                "setting": str(row["setting"]),
                "median": float(row["median"]),
                "measured": _range(row),
                "picture": _picture(str(row["place"]), artefact),
                "data": f"{artefact}.json" if table.timing else f"{table.name}.csv",
                "function": str(row["measure"]),
            }
        )
    return rows


def _range(row: Mapping[str, Any]) -> str:
    numbers = [float(row[name]) for name in ("median", "lowest", "highest")]
    if not math.isfinite(numbers[0]):
        return ""
    middle, low, high = (f"{number:.3g}" for number in numbers)
    return middle if low == high else f"{middle} [{low}, {high}]"


def _picture(place: str, artefact: str) -> str:
    if artefact == "mnist":
        return artefact
    if "panel 2b" in place or "panel 2f" in place:
        return "diabetes"
    return "fig2" if "panel 2" in place else "report"
