"""Families of linear models out of tables."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, check_choice, check_flag, freeze, unknown_name
from maml_ode.tasks.sparse_samples import is_sparse
from maml_ode.tasks.tables.columns import listed, one_value_per_row, read_columns
from maml_ode.tasks.tables.labels import Groups, read_groups

__all__ = ["INTERCEPT", "family_of_table"]

INTERCEPT = "intercept"
# Sparse columns are full once they are centred: up to this many numbers, 2 GB.
MOST_CENTRED = 2**28

Family = TypeVar("Family")


def family_of_table(
    build: Callable[..., Family],
    X: Any,
    y: Any,
    groups: Any,
    *,
    classes: bool,
    fit_intercept: bool,
    standardize: bool,
    weights: npt.ArrayLike,
    options: dict[str, Any],
) -> Family:
    """Return ``build(samples, targets, weights=..., **options)`` with the names of its tasks and features.

    ``classes`` says whether y holds the labels -1 and +1.
    """
    known = [
        name
        for name in inspect.signature(build).parameters
        if name not in ("X", "y", "weights", INTERCEPT)
    ]
    for name in options:
        if name == INTERCEPT:
            raise TypeError("from_table adds the intercept itself; pass fit_intercept=True.")
        if name not in known:
            raise TypeError(unknown_name("argument of from_table", name, known))
    fit_intercept = check_flag("fit_intercept", fit_intercept)
    standardize = check_flag("standardize", standardize)
    table = read_columns(X, y, groups)
    n_rows = table.X.shape[0]
    if fit_intercept and INTERCEPT in table.feature_names:
        raise ValueError(
            f"X has a column {INTERCEPT!r} already; leave fit_intercept out, or the column."
        )
    tasks = read_groups(table.groups_name, table.groups, n_rows)
    targets = one_value_per_row(table.y_name, table.y, n_rows)
    _check_numbers(table.y_name, targets, tasks)
    if classes:
        _check_labels(table.y_name, targets)
        _check_both_classes(table.y_name, targets, tasks)
    samples, mean, scale = _samples(table.X, table.feature_names, tasks, fit_intercept, standardize)
    if fit_intercept and INTERCEPT in inspect.signature(build).parameters:
        options = {**options, INTERCEPT: True}
    family: Any = build(
        samples,
        np.split(targets[tasks.order], tasks.starts[1:-1]),
        weights=_weights(weights, tasks),
        **options,
    )
    family.names = tasks.names
    family.feature_names = (*table.feature_names, *([INTERCEPT] if fit_intercept else []))
    family.mean, family.scale = mean, scale
    result: Family = family
    return result


def _weights(weights: npt.ArrayLike, tasks: Groups) -> npt.ArrayLike | None:
    if not isinstance(weights, str):
        return weights
    if check_choice("weights", weights, ("uniform", "samples")) == "uniform":
        return None
    return np.asarray(tasks.sizes / tasks.order.size)


def _check_numbers(name: str, values: Array, tasks: Groups) -> None:
    """Refuse numbers that are not finite; the column, a row and its task are named."""
    rows = np.flatnonzero(~np.isfinite(values))
    if rows.size:
        row = int(rows[0])
        more = f", and in {rows.size - 1} more" if rows.size > 1 else ""
        raise ValueError(
            f"{name} must be finite, but it is {values[row]} in row {row}, of group {tasks.task_of(row)!r}{more}; "
            "leave these rows out, or put numbers in their place."
        )


def _check_labels(name: str, labels: Array) -> None:
    wrong = labels[np.abs(labels) != 1.0]
    if wrong.size:
        raise ValueError(
            f"{name} must hold the labels -1 and +1, but it holds {wrong[0]:g}; recode it first, as "
            "np.where(values == the_class, 1, -1) does."
        )


def _check_both_classes(name: str, labels: Array, tasks: Groups) -> None:
    positive = np.add.reduceat(labels[tasks.order] > 0, tasks.starts[:-1], dtype=np.intp)
    single = np.flatnonzero((positive == 0) | (positive == tasks.sizes))
    if single.size:
        raise ValueError(
            f"every group must hold both classes of {name}, but there is only one in "
            f"{listed(tasks.names[i] for i in single)}; leave these groups out, or join them with others."
        )


def _samples(
    X: Any, names: tuple[Any, ...], tasks: Groups, fit_intercept: bool, standardize: bool
) -> tuple[list[Any], Array | None, Array | None]:
    """Return the samples task by task, and what every column was centred at and divided by."""
    from_sparse = is_sparse(X)
    if from_sparse and standardize:
        if X.shape[0] * X.shape[1] > MOST_CENTRED:
            raise ValueError(
                f"standardize=True would fill the sparse X of shape {X.shape}, since centred columns have no "
                "zeros; leave it out, or divide the columns by their size: "
                "sklearn.preprocessing.MaxAbsScaler().fit_transform(X)."
            )
        X = X.toarray()
    elif from_sparse:
        return _sparse_samples(X, names, tasks, fit_intercept), None, None
    block = np.empty((X.shape[0], X.shape[1] + int(fit_intercept)))
    block[:, X.shape[1] :] = 1.0
    values = block[:, : X.shape[1]]
    values[...] = X[tasks.order]
    finite = np.isfinite(values)
    if not finite.all():
        k = int(np.flatnonzero(~finite.all(axis=0))[0])
        _check_numbers(f"column {names[k]!r}", np.asarray(X[:, k], dtype=np.float64), tasks)
    mean = scale = None
    if standardize:
        mean, scale = _standardize(values, names)
    return np.split(block, tasks.starts[1:-1]), mean, scale


def _standardize(values: Array, names: tuple[Any, ...]) -> tuple[Array, Array]:
    """Centre the columns and divide them by their standard deviation, in place; return both."""
    low, high = values.min(axis=0), values.max(axis=0)
    # What differs by rounding alone, as 0.1 + 0.2 does from 0.3, is no spread to divide by.
    one = np.spacing(np.maximum(np.abs(low), np.abs(high)))
    constant = np.flatnonzero(high / 4.0 - low / 4.0 <= one)
    if constant.size:
        raise ValueError(
            f"standardize=True cannot divide by 0, but these columns are constant: "
            f"{listed(names[k] for k in constant)}; leave them out, and pass fit_intercept=True for one of ones."
        )
    # Powers of two, which round nothing: the squares of no column overflow or vanish.
    unit = np.ldexp(1.0, np.frexp(np.abs(values).max(axis=0))[1] - 1)
    values /= unit
    mean = values.mean(axis=0)
    values -= mean
    scale = np.sqrt(np.einsum("jk,jk->k", values, values) / values.shape[0])
    values /= scale
    return freeze(mean * unit), freeze(scale * unit)


def _sparse_samples(
    X: Any, names: tuple[Any, ...], tasks: Groups, fit_intercept: bool
) -> list[Any]:
    from scipy.sparse import csr_array, hstack

    rows = csr_array(X)[tasks.order]
    finite = np.isfinite(rows.data) if rows.data.dtype.kind == "f" else np.ones(0, bool)
    if not finite.all():
        k = int(rows.indices[np.argmin(finite)])
        _check_numbers(f"column {names[k]!r}", csr_array(X)[:, [k]].toarray().ravel(), tasks)
    if fit_intercept:
        rows = csr_array(hstack([rows, csr_array(np.ones((rows.shape[0], 1)))]))
    return [rows[a:b] for a, b in pairwise(tasks.starts)]
