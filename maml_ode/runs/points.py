"""Finished points of a sweep in one SQLite file: numbers as columns, arrays as .npy blobs, no pickles."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from maml_ode.runs.values import decode, encode

__all__ = ["PointStore"]

FORMAT = "maml_ode sweep 1"
# How long to wait for somebody else who is writing to the same file.
PATIENCE = 60.0
OWN_COLUMNS = ("_key", "_kinds", "_seconds", "exception", "traceback")


class PointStore:
    """The points of one function, one row each, which outlive the process that writes them.

    Every point is one transaction, written ahead (WAL) and synchronised: after a crash it is there as a
    whole or not at all. A failed point is a row with its ``exception`` and ``traceback``. Other programs may read
    the file meanwhile.

    Parameters
    ----------
    path : path-like
        Made if it is missing.
    identity : mapping of str to str
        What the points depend on beside their values: a file with another identity is refused.
    names : sequence of str
        The names of a point's values.

    Raises
    ------
    ValueError
        If the file is no such store, or one of another identity or of other names.
    """

    def __init__(
        self, path: str | os.PathLike[str], identity: Mapping[str, str], names: tuple[str, ...]
    ) -> None:
        self._path = Path(path)
        if not self._path.absolute().parent.is_dir():
            raise ValueError(f"store {self._path}: there is no such folder; make it first.")
        if self._path.is_dir():
            raise ValueError(f"store {self._path} is a folder; name a file in it.")
        self._names = names
        self._columns: dict[str, str] = {}
        with self._reading():
            self._base = sqlite3.connect(self._path, timeout=PATIENCE, isolation_level=None)
            try:
                self._open(dict(identity))
            except BaseException:
                self._base.close()
                raise

    def __enter__(self) -> PointStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The last one to close takes what was written ahead into the file itself.
        self._base.close()

    def load(self, key: str) -> dict[str, Any] | None:
        """Return the values of a finished point, its own and its results; None if it failed or is missing.

        Raises
        ------
        ValueError
            If the row is damaged.
        """
        with self._reading():
            cursor = self._base.execute(
                'SELECT * FROM points WHERE "_key" = ? AND "exception" IS NULL', (key,)
            )
            found = cursor.fetchone()
            if found is None:
                return None
            row = dict(zip((entry[0] for entry in cursor.description), found, strict=True))
            self._read_columns()  # another process may have added some
            try:
                kinds = json.loads(row["_kinds"])
                return {
                    name: decode(kind, row[self._columns[name]]) for name, kind in kinds.items()
                }
            except ValueError as error:
                raise KeyError(str(error)) from error

    def save(
        self,
        key: str,
        values: Mapping[str, Any],
        seconds: float,
        exception: str | None = None,
        traceback: str | None = None,
    ) -> None:
        """Keep what came of a point; a failed one does not take the place of a finished one.

        Parameters
        ----------
        key : str
            The point's `maml_ode.runs.values.digest`.
        values : mapping
            Its own values and its results, plain.
        seconds : float
            How long it took.
        exception, traceback : str, optional
            Why it failed.
        """
        encoded = {name: encode(value) for name, value in values.items()}
        kinds = {name: kind for name, (kind, _) in encoded.items()}
        with self._transaction():
            if exception is not None and self.load(key) is not None:
                return
            for name in kinds:
                if name not in self._columns:
                    self._add_column(name)
            columns = [*OWN_COLUMNS, *(self._columns[name] for name in kinds)]
            row = [key, json.dumps(kinds), seconds, _text(exception), _text(traceback)]
            row += [stored for _, stored in encoded.values()]
            self._base.execute(
                f"INSERT OR REPLACE INTO points ({', '.join(map(_quoted, columns))}) "
                f"VALUES ({', '.join('?' * len(row))})",
                row,
            )

    def _open(self, identity: dict[str, str]) -> None:
        tables = {name for (name,) in self._base.execute("SELECT name FROM sqlite_master")}
        if tables and not {"about", "points", "names"} <= tables:
            raise ValueError(f"{self._path} is a database of something else; {ANOTHER_FILE}")
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT)"
            )
            self._base.execute(
                'CREATE TABLE IF NOT EXISTS names (name TEXT PRIMARY KEY, "column" TEXT)'
            )
            own = ", ".join(
                f'"{name}" {"TEXT PRIMARY KEY" if name == "_key" else ""}' for name in OWN_COLUMNS
            )
            self._base.execute(f"CREATE TABLE IF NOT EXISTS points ({own})")
            found = dict(self._base.execute("SELECT name, value FROM about"))
            if not found:
                known = {"format": FORMAT, "names": json.dumps(sorted(self._names)), **identity}
                self._base.executemany("INSERT INTO about VALUES (?, ?)", known.items())
            else:
                self._check(found, identity)
            self._read_columns()
            for name in self._names:
                if name not in self._columns:
                    self._add_column(name)

    def _check(self, found: Mapping[str, str], identity: Mapping[str, str]) -> None:
        if found.get("format") != FORMAT:
            raise ValueError(
                f"{self._path} has the format {found.get('format')!r}, not {FORMAT!r}; {ANOTHER_FILE}"
            )
        for what, value in identity.items():
            if found.get(what) != value:
                raise ValueError(
                    f"{self._path} holds the points of another {what}: {found.get(what)}, and this is {value}; "
                    f"{ANOTHER_FILE}"
                )
        if found.get("names") != json.dumps(sorted(self._names)):
            names = ", ".join(json.loads(found.get("names", "[]")))
            raise ValueError(
                f"{self._path} holds points with the names {names}, not {', '.join(sorted(self._names))}; "
                f"{ANOTHER_FILE}"
            )

    def _add_column(self, name: str) -> None:
        """Give a name a column; SQLite takes upper and lower case of a letter for the same."""
        self._read_columns()
        if name in self._columns:
            return
        taken = {column.lower() for column in (*OWN_COLUMNS, *self._columns.values())}
        spelt = name.replace("\0", " ").encode("utf-8", "replace").decode() or " "
        column, number = spelt, 1
        while column.lower() in taken:
            number += 1
            column = f"{spelt}_{number}"
        # No type: a column keeps every value as it is.
        self._base.execute(f"ALTER TABLE points ADD COLUMN {_quoted(column)}")
        # Spelt in JSON, in which every text of Python's can be kept.
        self._base.execute("INSERT INTO names VALUES (?, ?)", (json.dumps(name), column))
        self._columns[name] = column

    def _read_columns(self) -> None:
        listed = self._base.execute('SELECT name, "column" FROM names')
        self._columns = {json.loads(name): column for name, column in listed}

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Say of a file that cannot be read what to do."""
        try:
            yield
        except (sqlite3.DatabaseError, KeyError, TypeError, AttributeError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in OF_THE_MACHINE:
                raise  # SQLite says which it is
            raise ValueError(
                f"{self._path} is no store of points, or a damaged one ({error}); {ANOTHER_FILE}"
            ) from error


# The disk is full, the file is locked or cannot be written: not what is in it.
OF_THE_MACHINE = (
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
)  # fmt: skip
ANOTHER_FILE = "name another file, or remove this one if its points are no longer wanted."


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()
