"""Tables of numbers that survive their CSV file bit by bit."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Table", "as_table"]

Column = npt.NDArray[Any]

_INTEGER = re.compile(r"[+-]?\d+")
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|inf|nan)")


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of equal length, which a CSV file holds without loss.

    Parameters
    ----------
    name : str
        The stem of the CSV file; it begins with the artefact's name.
    columns : mapping of str to array_like
        Floats, integers, booleans or strings. Kept as one-dimensional arrays.
    timing : bool
        Whether the table holds wall-clock times, which differ from run to run and therefore stand in
        the metadata instead of a CSV file.

    Raises
    ------
    ValueError
        For unequal lengths, or a string column that a reader of the CSV would take for numbers.
    TypeError
        For entries of another kind.

    Examples
    --------
    >>> from maml_ode.runs.tables import Table
    >>> table = Table("fig0_example", {"k": [0, 1], "loss": [0.1, 0.30000000000000004]})
    >>> print(table.to_csv())
    k,loss
    0,0.1
    1,0.30000000000000004
    <BLANKLINE>
    """

    name: str
    columns: Mapping[str, Column]
    timing: bool = False

    def __init__(
        self, name: str, columns: Mapping[str, npt.ArrayLike | Sequence[Any]], timing: bool = False
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_]+", name):
            raise ValueError(f"a table's name is a file's stem, so {name!r} cannot be one.")
        kept = {key: _as_column(name, key, values) for key, values in columns.items()}
        if len({column.size for column in kept.values()}) > 1:
            sizes = ", ".join(f"{key}: {column.size}" for key, column in kept.items())
            raise ValueError(f"the columns of {name} must have equal lengths, not {sizes}.")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "columns", kept)
        object.__setattr__(self, "timing", timing)

    def __len__(self) -> int:
        """Return the number of rows."""
        return next((column.size for column in self.columns.values()), 0)

    def __getitem__(self, key: str) -> Column:
        """Return a column."""
        return self.columns[key]

    def where(self, **values: Any) -> Table:
        """Return the rows in which every named column has the given value."""
        mask = np.ones(len(self), dtype=bool)
        for key, value in values.items():
            mask &= self.columns[key] == value
        return Table(
            self.name, {key: column[mask] for key, column in self.columns.items()}, self.timing
        )

    def to_csv(self) -> str:
        """Return the CSV file's text: a header, then one line a row, floats to the last bit."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(zip(*(_texts(column) for column in self.columns.values()), strict=True))
        return buffer.getvalue()

    @classmethod
    def from_csv(cls, name: str, text: str) -> Table:
        """Rebuild what `to_csv` wrote.

        Raises
        ------
        ValueError
            If the text is not such a table.
        """
        try:
            rows = list(csv.reader(io.StringIO(text)))
        except csv.Error as error:
            raise ValueError(f"the CSV of {name} cannot be read: {error}.") from error
        if not rows:
            raise ValueError(f"the CSV of {name} is empty; it lacks even a header.")
        header, body = rows[0], rows[1:]
        if len(set(header)) != len(header):
            raise ValueError(f"the CSV of {name} has two columns of the same name.")
        if any(len(row) != len(header) for row in body):
            raise ValueError(f"the CSV of {name} has rows of unequal length.")
        return cls(name, {key: _read([row[k] for row in body]) for k, key in enumerate(header)})


def as_table(name: str, rows: Sequence[Mapping[str, Any]], timing: bool = False) -> Table:
    """Return rows with the same keys as a table."""
    return Table(name, {key: [row[key] for row in rows] for key in rows[0]}, timing)


def _as_column(table: str, key: str, values: Any) -> Column:
    column = np.array(values)
    if column.ndim != 1:
        raise ValueError(f"column {key!r} of {table} must be one-dimensional, not {column.shape}.")
    if column.size == 0:
        return np.empty(0)
    kind = column.dtype.kind
    if kind in "iu":
        column = column.astype(np.int64)
    elif kind == "f":
        column = column.astype(np.float64)
    elif kind == "U" and not all(isinstance(value, str) for value in values):
        # np.array turns [1.0, "a"] into two strings without a word.
        raise TypeError(f"column {key!r} of {table} mixes strings with other things.")
    elif kind not in "bU":
        raise TypeError(
            f"column {key!r} of {table} must hold floats, integers, booleans or strings, "
            f"not {column.dtype}."
        )
    if kind == "U" and _read(column.tolist()).dtype.kind != "U":
        raise ValueError(
            f"column {key!r} of {table} holds strings that its CSV would give back as numbers or "
            f"booleans, such as {str(column[0])!r}; store the numbers, or reword the strings."
        )
    column.flags.writeable = False
    return column


def _texts(column: Column) -> list[str]:
    if column.dtype.kind == "b":
        return ["true" if value else "false" for value in column]
    if column.dtype.kind == "f":
        return [repr(value) for value in column.tolist()]
    return [str(value) for value in column.tolist()]


def _read(texts: list[str]) -> Column:
    if all(text in ("true", "false") for text in texts):
        return np.array([text == "true" for text in texts], dtype=bool)
    if all(_INTEGER.fullmatch(text) for text in texts):
        try:
            return np.array([int(text) for text in texts], dtype=np.int64)
        except OverflowError as error:
            raise ValueError(f"a column has integers beyond 64 bits: {error}.") from error
    if all(_FLOAT.fullmatch(text) for text in texts):
        return np.array([float(text) for text in texts])
    return np.array(texts, dtype=np.str_)
