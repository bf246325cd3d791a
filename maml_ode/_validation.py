"""Turn user input into float64 C-ordered arrays, or refuse it in a sentence that says what to do."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
AnyArray = TypeVar("AnyArray", bound=npt.NDArray[Any])

__all__ = [
    "Array",
    "as_array",
    "as_labels",
    "as_point",
    "as_points",
    "as_weights",
    "check_choice",
    "check_count",
    "check_finite",
    "check_real",
    "copy_into",
    "freeze",
    "unknown_name",
]


def as_array(name: str, value: Any, shape: tuple[int | None, ...] | None = None) -> Array:
    """Return a fresh float64 C-ordered copy of ``value``.

    Parameters
    ----------
    name : str
        The argument's name, for the error message.
    value : array_like
        Real numbers; complex, text and object arrays are refused.
    shape : tuple of (int or None), optional
        The wanted shape; ``None`` in a place accepts any length there.

    Raises
    ------
    TypeError
        If the entries are not real numbers.
    ValueError
        If the shape is wrong (both shapes are named) or an entry is NaN or infinite.
    """
    array = np.array(_as_real(name, value), dtype=np.float64, order="C")
    if shape is not None:
        matches = array.ndim == len(shape) and all(
            want is None or have == want for have, want in zip(array.shape, shape, strict=True)
        )
        if not matches:
            wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape)
            wanted += ",)" if len(shape) == 1 else ")"
            raise ValueError(f"{name} must have shape {wanted}, but it has shape {array.shape}.")
    check_finite(name, array)
    return array


def copy_into(name: str, value: Any, out: Array) -> None:
    """Copy ``value`` into ``out``, with the checks of ``as_array`` and no second copy.

    Raises
    ------
    TypeError
        If the entries are not real numbers.
    ValueError
        If the shape is not that of ``out`` or an entry is NaN or infinite.
    """
    given = _as_real(name, value)
    if given.shape != out.shape:
        raise ValueError(f"{name} must have shape {out.shape}, but it has shape {given.shape}.")
    out[...] = given
    check_finite(name, out)


def _as_real(name: str, value: Any) -> npt.NDArray[Any]:
    try:
        given = np.asarray(value)
    except ValueError as error:  # ragged nested sequences
        raise ValueError(f"{name} must be a rectangular array of numbers: {error}.") from None
    if given.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} must hold real numbers, not {given.dtype}; convert it with np.asarray(..., float)."
        )
    return given


def check_finite(name: str, array: Array) -> None:
    """Refuse an array with a NaN or infinite entry; the first one is named."""
    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(int(k) for k in np.argwhere(~finite)[0])
        raise ValueError(
            f"{name} must be finite, but {name}[{', '.join(map(str, where))}] is {array[where]}; "
            "remove or replace the non-finite entries."
        )


def as_point(name: str, value: Any, dim: int) -> Array:
    """Return ``value`` as one point of shape ``(dim,)``; a scalar is accepted when ``dim`` is 1."""
    if np.ndim(value) == 0 and dim == 1:
        value = np.reshape(value, (1,))
    return as_array(name, value, (dim,))


def as_points(name: str, value: Any, n_tasks: int, dim: int) -> Array:
    """Return one shared point as shape ``(1, dim)``, or one point per task as ``(n_tasks, dim)``."""
    if np.ndim(value) == 0 and dim == 1:
        value = np.reshape(value, (1,))
    if np.ndim(value) == 1:
        return as_array(name, value, (dim,)).reshape(1, dim)
    if np.ndim(value) == 2 and np.shape(value) == (n_tasks, dim):
        return as_array(name, value)
    raise ValueError(
        f"{name} must have shape ({dim},) (one point for all tasks) or ({n_tasks}, {dim}) "
        f"(one point per task), but it has shape {np.shape(value)}."
    )


def as_weights(weights: Any, n_tasks: int) -> Array:
    """Return task weights p_i >= 0 with sum 1 (uniform when ``weights`` is None).

    Weights that do not sum to 1 are refused, never silently rescaled: F would change its value.
    """
    if weights is None:
        return np.full(n_tasks, 1.0 / n_tasks)
    p = as_array("weights", weights, (n_tasks,))
    if (p < 0).any():
        k = int(np.argmin(p))
        raise ValueError(f"weights must not be negative, but weights[{k}] is {p[k]:g}.")
    total = math.fsum(p)
    if abs(total - 1.0) > 1e-9:
        raise ValueError(
            f"weights must sum to 1, but they sum to {total:.12g}; "
            "pass weights / np.sum(weights) if proportions are meant."
        )
    return p


def as_labels(name: str, value: Any, shape: tuple[int | None, ...]) -> Array:
    """Return class labels as floats in {-1, +1}."""
    y = as_array(name, value, shape)
    wrong = y[(y != 1.0) & (y != -1.0)]
    if wrong.size:
        hint = "use 2*y - 1 for labels 0/1" if set(np.unique(y)) <= {0.0, 1.0} else "recode them"
        raise ValueError(
            f"{name} must hold the labels -1 and +1, but it holds {wrong[0]:g}; {hint}."
        )
    return y


def check_real(name: str, value: Any, *, minimum: float = -math.inf, strict: bool = False) -> float:
    """Return a finite float that is at least (``strict``: above) ``minimum``."""
    if isinstance(value, (str, bytes)) or np.ndim(value) != 0:
        raise TypeError(f"{name} must be one real number, not {value!r}.")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be one real number, not {value!r}.") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, not {number}.")
    if number < minimum or (strict and number == minimum):
        relation = "greater than" if strict else "at least"
        raise ValueError(f"{name} must be {relation} {minimum:g}, not {number:g}.")
    return number


def check_count(name: str, value: Any, *, minimum: int = 1) -> int:
    """Return an integer that is at least ``minimum``."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, not {value!r}.")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, not {value}.")
    return int(value)


def unknown_name(kind: str, given: object, known: Iterable[str]) -> str:
    """Return the sentence that refuses an unknown name and suggests the nearest known one."""
    names = list(known)
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(str(given).lower(), list(by_lower), n=1, cutoff=0.5)
    hint = f" Did you mean {by_lower[near[0]]!r}?" if near else ""
    return f"unknown {kind} {given!r}.{hint} Known: {', '.join(map(repr, names))}."


def check_choice(name: str, value: Any, known: Iterable[str]) -> str:
    """Return ``value`` if it is among ``known``; otherwise raise with the near match named."""
    names = list(known)
    if value not in names:
        raise ValueError(unknown_name(name, value, names))
    return str(value)


def freeze(array: AnyArray) -> AnyArray:
    """Mark an array read-only and return it."""
    array.flags.writeable = False
    return array
