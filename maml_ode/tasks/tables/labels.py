"""Which rows of a table belong to which task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import shown
from maml_ode.tasks.tables.columns import is_missing, listed

__all__ = ["Groups", "read_groups"]


@dataclass(frozen=True, eq=False)
class Groups:
    """The rows of a table sorted by their task.

    Attributes
    ----------
    names : tuple of length M
        The labels in the order of ``np.unique``, as they were given.
    order : ndarray of shape (N,)
        The rows task by task; within a task as they were given.
    starts : ndarray of shape (M + 1,)
        Where each task begins in ``order``.
    """

    names: tuple[Any, ...]
    order: npt.NDArray[np.intp]
    starts: npt.NDArray[np.intp]

    @property
    def sizes(self) -> npt.NDArray[np.intp]:
        """The numbers of rows n_i, shape (M,)."""
        return np.diff(self.starts)

    def task_of(self, row: int) -> Any:
        """Return the label of a row of the table."""
        place = int(np.flatnonzero(self.order == row)[0])
        return self.names[int(np.searchsorted(self.starts, place, side="right")) - 1]


def read_groups(name: str, values: Any, n_rows: int) -> Groups:
    """Sort the rows by their labels.

    Raises
    ------
    ValueError
        For labels that are missing, categories that no row has, or not one label per row.
    TypeError
        For labels that have no common order.
    """
    if isinstance(values, (list, tuple)):  # NumPy would make texts of numbers beside texts
        labels = np.fromiter(values, dtype=object, count=len(values))
    else:
        labels = np.asarray(values)
    masked = np.ma.getmaskarray(values) if np.ma.isMaskedArray(values) else np.zeros(1, dtype=bool)
    hidden = np.flatnonzero(masked)
    if hidden.size:
        raise ValueError(_missing(name, hidden))
    if labels.shape != (n_rows,):
        hint = f"; use np.ravel({name})" if labels.shape == (n_rows, 1) else ""
        raise ValueError(
            f"{name} must have shape ({n_rows},), one label per row of X, but it has shape "
            f"{labels.shape}{hint}."
        )
    if n_rows == 0:
        raise ValueError("X must hold at least one row, but it is empty.")
    found, codes = _factorized(name, labels)
    _check_categories(name, values, found)
    # Labels of at most 65536 tasks are sorted by radix, in time proportional to N.
    small = codes.astype(np.uint16) if len(found) <= np.iinfo(np.uint16).max else codes
    order = np.argsort(small, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(found)))])
    return Groups(tuple(found), order, starts)


def _factorized(name: str, labels: npt.NDArray[Any]) -> tuple[list[Any], npt.NDArray[np.intp]]:
    """Return the labels in order, and which of them each row has."""
    if labels.dtype.kind in "OUST":
        entries = labels.tolist()
        try:
            distinct = set(entries)
        except TypeError:
            raise TypeError(
                f"{name} must hold labels such as numbers or texts, not objects."
            ) from None
        missing = {label for label in distinct if is_missing(label)}
        if missing:
            rows = np.flatnonzero([is_missing(label) for label in entries])
            raise ValueError(_missing(name, rows))
        try:
            found = sorted(distinct)
        except TypeError:
            kinds = sorted({type(label).__name__ for label in distinct})
            raise TypeError(
                f"{name} must hold labels of one kind, but it holds {' and '.join(kinds)}; "
                f"use np.asarray({name}).astype(str)."
            ) from None
        number = {label: k for k, label in enumerate(found)}
        return found, np.fromiter(map(number.__getitem__, entries), np.intp, len(entries))
    missing_rows = np.flatnonzero(labels != labels)  # NaN and NaT
    if missing_rows.size:
        raise ValueError(_missing(name, missing_rows))
    if labels.dtype.kind not in "biufMm":
        raise TypeError(f"{name} must hold labels such as numbers or texts, not {shown(labels)}.")
    unique, codes = np.unique(labels, return_inverse=True)
    # Times would become plain numbers in a list of Python's objects.
    found = list(unique) if labels.dtype.kind in "Mm" else unique.tolist()
    return found, codes


def _missing(name: str, rows: npt.NDArray[np.intp]) -> str:
    more = f" and in {rows.size - 1} more" if rows.size > 1 else ""
    return (
        f"{name} must say to which task every row belongs, but the label is missing in row {rows[0]}{more}; "
        "leave these rows out, or give them a label of their own."
    )


def _check_categories(name: str, values: Any, found: list[Any]) -> None:
    """Refuse categories that were declared, of which there is no row: their tasks would have no samples."""
    declared = getattr(getattr(values, "dtype", None), "categories", None)
    if declared is None or not hasattr(declared, "__iter__"):  # polars counts those of all frames
        return
    known = set(found)
    unused = [label for label in declared if label not in known]
    if unused:
        in_pandas = hasattr(getattr(values, "cat", values), "remove_unused_categories")
        remedy = "its remove_unused_categories()" if in_pandas else "a cast to text"
        raise ValueError(
            f"{name} declares categories of which there is no row: {listed(unused)}; drop them by {remedy}."
        )
