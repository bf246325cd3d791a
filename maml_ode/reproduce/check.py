"""``maml-ode reproduce --check``: tables against those that the package was released with."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from maml_ode.reproduce import ARTEFACTS
from maml_ode.reproduce.artefact import Settings, Tables
from maml_ode.reproduce.record import read_record, read_tables
from maml_ode.runs.tables import Table

__all__ = ["Check", "Tolerance", "check", "pack"]

SHIPPED = "expected.zip"
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # a ZIP file's zero; the same tables give the same bytes


@dataclass(frozen=True)
class Tolerance:
    """|found - expected| <= relative * |expected| + absolute * (the column's largest |expected|) + counts."""

    relative: float = 1e-9
    absolute: float = 1e-15
    counts: float = 0.0

    def allows(self, found: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Return where a column agrees; NaN agrees with NaN, and infinity with itself."""
        finite = np.isfinite(expected) & np.isfinite(found)
        size = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
        with np.errstate(invalid="ignore"):
            distance = np.abs(found - expected)
            limit = self.relative * np.abs(expected) + self.absolute * size + self.counts
        same = (found == expected) | (np.isnan(found) & np.isnan(expected))
        agrees: np.ndarray = same | (finite & (distance <= limit))
        return agrees


EXACT = Tolerance()
# How many passes a solver takes depends on the last bit of its arithmetic, and with it the last of its errors.
_PASSES = Tolerance(relative=0.05, counts=12.0)
# Flows without a closed form are integrated to 1e-6: where their field jumps, rounding decides where a step is
# taken again. On one curve, the heavy ball on the digits, F is not convex on the way: a last digit becomes 4e-5.
_INTEGRATED = Tolerance(relative=1e-4, absolute=1e-5)
TOLERANCES: Mapping[str, Mapping[str, Tolerance]] = {
    "fig3_work_precision": {
        "error": Tolerance(relative=0.05, absolute=1e-7),
        **dict.fromkeys(
            ("work", "gradients", "hvps", "hessians", "thirds", "third_vectors"), _PASSES
        ),
        **dict.fromkeys(("factorizations", "steps"), _PASSES),
    },
    "fig5_flows": {"loss": _INTEGRATED, "gap": _INTEGRATED},
    "fig3_reference": {"uncertainty": Tolerance(relative=1.0, absolute=1.0)},
}


@dataclass(frozen=True)
class Check:
    """How an artefact's tables compare.

    Attributes
    ----------
    name : str
    verdict : str
        "equal", "agrees" (within the tolerances), "differs", "not made" or "other settings".
    detail : str
        The largest difference, or what to do.
    """

    name: str
    verdict: str
    detail: str = ""

    @property
    def differs(self) -> bool:
        """Whether a difference was found."""
        return self.verdict == "differs"


def check(folder: Path) -> list[Check]:
    """Compare the tables in a folder with the shipped ones, artefact by artefact.

    Every number of every table is compared at a tolerance per column: 1e-9 relative, but for how many passes a
    solver took and for the errors that go with them (Figure 3), and for flows that are integrated (Figure 5).

    Parameters
    ----------
    folder : Path
        What `reproduce` wrote with its default settings.

    Returns
    -------
    list of Check

    Raises
    ------
    ValueError
        If nothing in the folder is finished.
    """
    found = [_check(folder, name) for name in ARTEFACTS]
    if all(entry.verdict == "not made" for entry in found):
        raise ValueError(
            f"{folder} holds no finished artefact; run maml-ode reproduce --output {folder} first."
        )
    return found


def _check(folder: Path, name: str) -> Check:
    record = read_record(folder, name)
    if record is None:
        return Check(name, "not made", f"maml-ode reproduce --only {name} makes it")
    if record["settings"] != Settings().to_dict():
        return Check(name, "other settings", "the shipped tables are those of the default settings")
    tables = read_tables(folder, record)
    if tables is None:
        return Check(name, "differs", "a table is missing or was changed since it was written")
    shipped = {stem: table for stem, table in _shipped().items() if stem.split("_")[0] == name}
    return _compare(name, {k: t for k, t in tables.items() if not t.timing}, shipped)


def _compare(name: str, found: Tables, shipped: Tables) -> Check:
    if set(found) != set(shipped):
        odd = ", ".join(sorted(set(found) ^ set(shipped)))
        return Check(name, "differs", f"not both have the tables {odd}")
    equal = True
    for stem, table in shipped.items():
        difference = _difference(found[stem], table, TOLERANCES.get(stem, {}))
        if difference is not None:
            return Check(name, "differs", f"{stem}.csv: {difference}")
        equal &= found[stem].to_csv() == table.to_csv()
    return Check(name, "equal" if equal else "agrees")


def _difference(found: Table, expected: Table, tolerances: Mapping[str, Tolerance]) -> str | None:
    """Return what differs beyond its tolerance, in words, or None."""
    if list(found.columns) != list(expected.columns):
        return "the columns are others"
    if len(found) != len(expected):
        return f"{len(found)} rows where {len(expected)} are expected"
    for column, values in expected.columns.items():
        here = found[column]
        if values.dtype.kind == "f" or (values.dtype.kind in "iu" and here.dtype.kind in "iuf"):
            a, b = here.astype(float), values.astype(float)
            agrees = tolerances.get(column, EXACT).allows(a, b)
        else:
            a, b = here, values
            agrees = here == values
        if not np.all(agrees):
            row = int(np.flatnonzero(~agrees)[0])
            count = int((~agrees).sum())
            return f"{column}, row {row}: {a[row]} where {b[row]} is expected ({count} rows differ)"
    return None


@cache
def _shipped() -> dict[str, Table]:
    """Return the tables that came with the package."""
    packed = files("maml_ode.reproduce").joinpath(SHIPPED).read_bytes()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {
            Path(name).stem: Table.from_csv(Path(name).stem, archive.read(name).decode())
            for name in archive.namelist()
        }


def pack(folder: Path) -> bytes:
    """Return the ZIP file of a folder's tables that the package ships; the same tables give the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(folder.glob("*.csv")):
            entry = zipfile.ZipInfo(path.name, _EARLIEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return packed.getvalue()
