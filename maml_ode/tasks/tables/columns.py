"""Columns out of arrays, data frames, sparse matrices and svmlight files, without a library for any of them.

A data frame is what has named columns, ``frame[name]`` of which NumPy understands: pandas, polars, pyarrow.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, real_array, shown, unknown_name
from maml_ode.tasks.sparse_samples import is_sparse

__all__ = ["Columns", "is_missing", "listed", "one_value_per_row", "read_columns"]

_MOST_LISTED = 5
_ENCODE = "encode the column as numbers first, or leave it out"
_RECODE = "write targets as numbers, and two classes as -1 and +1"
# What an svmlight file holds beside its features may be asked for by these names.
_FILE_TARGETS, _FILE_GROUPS = ("target", "label", "y"), ("qid", "query_id", "groups")


@dataclass(frozen=True)
class Columns:
    """The parts of a table.

    Attributes
    ----------
    X : ndarray or sparse array of shape (N, k)
        The features: real numbers of any type, not looked at for NaN.
    feature_names : tuple of length k
    y : array_like of shape (N,)
    y_name : str
        What sentences call it.
    groups : array_like of shape (N,)
    groups_name : str
    """

    X: Any
    feature_names: tuple[Any, ...]
    y: Any
    y_name: str
    groups: Any
    groups_name: str


def read_columns(X: Any, y: Any, groups: Any) -> Columns:
    """Return the parts of a table in whatever form it comes.

    Raises
    ------
    TypeError
        For a column of anything but numbers, or a name where there are no names.
    ValueError
        For an unknown or repeated column, or an X that is not two-dimensional.
    """
    if isinstance(X, (str, os.PathLike)):
        return _of_file(X, y, groups)
    if _is_frame(X):
        return _of_frame(X, y, groups)
    for name, given in (("y", y), ("groups", groups)):
        if isinstance(given, (str, bytes)):
            raise TypeError(
                f"{name}={given!r} names a column, but X is {shown(X)} without column names; pass the "
                f"values themselves, shape (N,), or a data frame."
            )
        if given is None:
            raise TypeError(f"{name} is missing; pass its values, shape (N,).")
    samples = X if is_sparse(X) else real_array("X", X, booleans=True)
    if len(samples.shape) != 2:
        raise ValueError(
            f"X must have shape (N, k), one row per sample, but it has shape {samples.shape}"
            f"{'; use np.reshape(X, (-1, 1)) for a single feature' if len(samples.shape) == 1 else ''}."
        )
    return Columns(samples, _numbered(samples.shape[1]), y, "y", groups, "groups")


def listed(names: Iterable[Any]) -> str:
    """Return names as a sentence lists them, the first few of many."""
    texts = [repr(name) for name in names]
    if len(texts) > _MOST_LISTED:
        texts = [*texts[:_MOST_LISTED], f"and {len(texts) - _MOST_LISTED} more"]
    return ", ".join(texts)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"x{k}" for k in range(count))


def _is_frame(X: Any) -> bool:
    """Whether X has named columns; a structured array has fields, which are none."""
    return not is_sparse(X) and (hasattr(X, "column_names") or hasattr(X, "columns"))


def _of_frame(X: Any, y: Any, groups: Any) -> Columns:
    names = list(X.column_names if hasattr(X, "column_names") else X.columns)
    repeated = (
        {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()
    )
    if repeated:
        raise ValueError(
            f"X must name every column once, but it repeats {listed(sorted(repeated, key=str))}."
        )
    left = dict.fromkeys(names)
    parts = {}
    for what, given in (("y", y), ("groups", groups)):
        if given is None:
            raise TypeError(f"{what} is missing; pass the name of a column of X, or the values.")
        if not _is_name(given, names):
            parts[what] = given, what
            continue
        if given not in left:
            if given in names:
                raise ValueError(f"y and groups must be two columns, but both are {given!r}.")
            raise ValueError(unknown_name(f"column {what} =", given, map(str, names)))
        del left[given]
        parts[what] = X[given], str(given)
    features = tuple(left)
    if not features:
        raise ValueError("X must hold a column of features beside those of y and groups.")
    matrix = np.empty((len(X[names[0]]), len(features)))
    for k, name in enumerate(features):
        matrix[:, k] = _numbers(f"column {name!r}", X[name], _ENCODE)
    return Columns(matrix, features, *parts["y"], *parts["groups"])


def _is_name(given: Any, names: list[Any]) -> bool:
    """Whether an argument names a column rather than holding its values."""
    if isinstance(given, tuple):  # a name in several levels, as pandas has them, or values
        return given in names
    return isinstance(given, (str, int, np.integer)) and not isinstance(given, bool)


def _numbers(name: str, column: Any, remedy: str) -> npt.NDArray[Any]:
    """Return one column of a frame as numbers; missing ones, however they are marked, as NaN."""
    if getattr(getattr(column, "dtype", None), "categories", None) is not None:
        raise TypeError(f"{name} must hold real numbers, not categories; {remedy}.")
    # Sequences and masks are looked into by whoever reads numbers.
    array: Any = column if isinstance(column, (list, tuple)) else np.asanyarray(column)
    if isinstance(array, np.ndarray) and array.dtype == object and array.ndim == 1:
        present = np.array([not is_missing(entry) for entry in array.tolist()])
        if not present.all():
            numbers = np.full(array.shape, np.nan)
            numbers[present] = _numbers(name, array[present], remedy)
            return numbers
    try:
        return real_array(name, array, booleans=True)
    except TypeError as error:
        raise TypeError(f"{str(error).partition(';')[0].removesuffix('.')}; {remedy}.") from None


def is_missing(entry: Any) -> bool:
    """Whether an entry stands for no value: None, NaN, NaT, or pandas' NA."""
    if entry is None or type(entry).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(entry, (float, np.floating, np.datetime64, np.timedelta64)) and bool(
        entry != entry
    )


def _of_file(path: Any, y: Any, groups: Any) -> Columns:
    from sklearn.datasets import load_svmlight_file

    if not os.path.isfile(path):
        raise ValueError(
            f"X, {shown(os.fspath(path))}, is taken for the path of a file in svmlight format, but there is no "
            f"such file in {os.getcwd()}."
        )
    name = os.path.basename(os.fspath(path))
    try:
        X, targets, query = load_svmlight_file(os.fspath(path), query_id=True)
    except ValueError as error:
        raise ValueError(f"X, {name!r}, is no file in svmlight format: {error}") from error
    if isinstance(groups, str) and groups in _FILE_GROUPS:
        groups = None
    if isinstance(y, str) and y in _FILE_TARGETS:
        y = None
    for what, given, known in (("y", y, _FILE_TARGETS), ("groups", groups, _FILE_GROUPS)):
        if isinstance(given, str):
            raise ValueError(unknown_name(f"{what} of an svmlight file", given, known))
    if groups is None and query.shape[0] != X.shape[0]:
        raise ValueError(
            f"{name} gives no qid to its rows, so nothing says to which task they belong; pass groups, one "
            "label per row, or write the file with sklearn.datasets.dump_svmlight_file(..., query_id=...)."
        )
    return Columns(
        X,
        _numbered(X.shape[1]),
        targets if y is None else y,
        "the label" if y is None else "y",
        query if groups is None else groups,
        "qid" if groups is None else "groups",
    )


def one_value_per_row(name: str, values: Any, n_rows: int) -> Array:
    """Return ``values`` as N real numbers; NaN is left for the caller to name."""
    numbers = _numbers(name, values, _RECODE)
    if numbers.shape != (n_rows,):
        hint = f"; use np.ravel({name})" if numbers.shape == (n_rows, 1) else ""
        raise ValueError(
            f"{name} must have shape ({n_rows},), one value per row of X, but it has shape "
            f"{numbers.shape}{hint}."
        )
    return np.array(numbers, dtype=np.float64)
