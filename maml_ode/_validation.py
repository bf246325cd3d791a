"""Turn user input into float64 C-ordered arrays, or refuse it in a sentence that says what to do."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from maml_ode._real_numbers import real_array, real_number, shown

Array = npt.NDArray[np.float64]
AnyArray = TypeVar("AnyArray", bound=npt.NDArray[Any])

LARGEST_SEED = 2**64 - 1
# The sum of so few squares is quick, and finite where all of them are.
SHORT = 4096
# Smaller numbers have rounding errors that double precision cannot hold with all their digits.
_DOUBLE = np.dtype(np.float64)
_PRECISION = float(np.finfo(np.float64).eps)

__all__ = [
    "LARGEST_SEED",
    "Array",
    "as_array",
    "as_labels",
    "as_point",
    "as_points",
    "as_rng",
    "as_seed",
    "as_sequence",
    "as_weights",
    "check_callable",
    "check_choice",
    "check_count",
    "check_finite",
    "check_flag",
    "check_real",
    "check_text",
    "copy_into",
    "evaluation_point",
    "freeze",
    "precision_of",
    "real_array",
    "shown",
    "unknown_name",
]


def as_array(
    name: str, value: Any, shape: tuple[int | None, ...] | None = None, *, booleans: bool = False
) -> Array:
    """Return a fresh float64 C-ordered copy of ``value``.

    Parameters
    ----------
    name : str
        The argument's name, for the error message.
    value : array_like
        Real numbers, as `maml_ode._real_numbers.real_array` understands them: no text, no masked,
        complex or boolean entries, no dates.
    shape : tuple of (int or None), optional
        The wanted shape; ``None`` in a place accepts any length there.
    booleans : bool
        Whether True and False are accepted as 1 and 0. Samples are read so, as in NumPy and
        scikit-learn; points, weights and coefficients are not.

    Raises
    ------
    TypeError
        If the entries are not real numbers.
    ValueError
        If the shape is wrong (both shapes are named) or an entry is NaN, infinite or masked.
    """
    given = real_array(name, value, booleans=booleans)
    if shape is not None:
        matches = given.ndim == len(shape) and all(
            want is None or have == want for have, want in zip(given.shape, shape, strict=True)
        )
        if not matches:
            wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape)
            wanted += ",)" if len(shape) == 1 else ")"
            raise ValueError(f"{name} must have shape {wanted}, but it has shape {given.shape}.")
    array: Array = np.array(given, dtype=np.float64, order="C")
    check_finite(name, array)
    return array


def copy_into(name: str, value: Any, out: Array, *, booleans: bool = False) -> None:
    """Copy ``value`` into ``out``, with the checks of ``as_array`` and no second copy.

    Raises
    ------
    TypeError
        If the entries are not real numbers.
    ValueError
        If the shape is not that of ``out`` or an entry is NaN, infinite or masked.
    """
    given = real_array(name, value, booleans=booleans)
    if given.shape != out.shape:
        raise ValueError(f"{name} must have shape {out.shape}, but it has shape {given.shape}.")
    out[...] = given
    check_finite(name, out)


def check_finite(name: str, array: Array) -> None:
    """Refuse an array with a NaN or infinite entry; the first one is named."""
    if array.size < SHORT and math.isfinite(np.vdot(array, array)):
        return
    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(int(k) for k in np.argwhere(~finite)[0])
        entry = f"{name}[{', '.join(map(str, where))}]" if where else name
        raise ValueError(
            f"{name} must be finite, but {entry} is {array[where]}; "
            "remove or replace the non-finite entries."
        )


def as_point(name: str, value: Any, dim: int) -> Array:
    """Return ``value`` as one point of shape ``(dim,)``; a scalar is accepted when ``dim`` is 1."""
    if type(value) is np.ndarray and value.dtype == _DOUBLE and value.shape == (dim,):
        array: Array = np.array(value, order="C")
        check_finite(name, array)
        return array
    given = real_array(name, value)
    return as_array(name, given.reshape(1) if given.ndim == 0 and dim == 1 else given, (dim,))


def as_points(name: str, value: Any, n_tasks: int, dim: int) -> Array:
    """Return one shared point as shape ``(1, dim)``, or one point per task as ``(n_tasks, dim)``."""
    given = real_array(name, value)
    if given.ndim == 0 and dim == 1:
        given = given.reshape(1)
    if given.ndim == 1:
        return as_array(name, given, (dim,)).reshape(1, dim)
    if given.shape == (n_tasks, dim):
        return as_array(name, given)
    raise ValueError(
        f"{name} must have shape ({dim},) (one point for all tasks) or ({n_tasks}, {dim}) "
        f"(one point per task), but it has shape {given.shape}."
    )


def evaluation_point(name: str, value: Any, dim: int) -> Array:
    """Return a point for an evaluation in which NaN gives NaN: finiteness is not asked for.

    The integrators' arrays pass without a copy. Others are made contiguous and writable, for which the
    compiled layer is typed; it never writes to its inputs.
    """
    if (
        type(value) is np.ndarray
        and value.shape == (dim,)
        and value.dtype == _DOUBLE
        and value.flags.carray
    ):
        return value
    given = real_array(name, value)
    if given.shape != (dim,) and not (given.ndim == 0 and dim == 1):
        raise ValueError(f"{name} must have shape ({dim},), but it has shape {given.shape}.")
    return np.array(given, dtype=np.float64, order="C").reshape(dim)


def as_weights(weights: Any, n_tasks: int) -> Array:
    """Return task weights p_i >= 0 with sum 1 (uniform when ``weights`` is None).

    Weights that do not sum to 1 are refused, never silently rescaled: F would change its value. Weights of
    a shorter type than double may miss 1 by that type's rounding, and then the sum is made 1 in double.
    """
    if weights is None:
        return np.full(n_tasks, 1.0 / n_tasks)
    given = real_array("weights", weights)
    p = as_array("weights", given, (n_tasks,))
    if (p < 0).any():
        k = int(np.argmin(p))
        raise ValueError(f"weights must not be negative, but weights[{k}] is {p[k]:g}.")
    largest = float(p.max(initial=0.0))
    total = math.fsum(p) if math.isfinite(largest * n_tasks) else math.inf
    precision = precision_of(given)
    # A sum and its quotients, rounded one by one: sqrt(M) + a few units, as a random walk.
    tolerance = max(1e-9, (4.0 + math.sqrt(n_tasks)) * precision)
    if total == 0.0:
        raise ValueError(
            "weights must sum to 1, but all are 0; pass weights=None for uniform ones."
        )
    if math.isinf(total):
        raise ValueError(
            "weights must sum to 1, but their sum is too large for double precision; divide them by "
            "np.max(weights), and then by their sum."
        )
    if abs(total - 1.0) > tolerance:
        raise ValueError(
            f"weights must sum to 1, but they sum to {total:.12g}; "
            "pass weights / np.sum(weights) if proportions are meant."
        )
    return p / total if precision > _PRECISION else p


def precision_of(given: npt.NDArray[Any]) -> float:
    """Return the unit in the last place of 1 of the type given; that of double for integers."""
    return (
        max(_PRECISION, float(np.finfo(given.dtype).eps)) if given.dtype.kind == "f" else _PRECISION
    )


def as_labels(name: str, value: Any, shape: tuple[int | None, ...]) -> Array:
    """Return class labels as floats in {-1, +1}."""
    y = as_array(name, value, shape, booleans=True)
    wrong = y[(y != 1.0) & (y != -1.0)]
    if wrong.size:
        binary = set(np.unique(y)) <= {0.0, 1.0}
        hint = "for labels 0/1 " if binary else "for one class against the rest "
        which = "1" if binary else "the_class"
        raise ValueError(
            f"{name} must hold the labels -1 and +1, but it holds {wrong[0]:g}; {hint}"
            f"use np.where(np.asarray({name}) == {which}, 1, -1)."
        )
    return y


def check_real(name: str, value: Any, *, minimum: float = -math.inf, strict: bool = False) -> float:
    """Return a finite float that is at least (``strict``: above) ``minimum``."""
    number = real_number(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, not {number}.")
    if number < minimum or (strict and number == minimum):
        relation = "greater than" if strict else "at least"
        raise ValueError(f"{name} must be {relation} {minimum:g}, not {number:g}.")
    return number


def _is_integer(value: Any) -> bool:
    # To Python a bool is an int, to NumPy a time difference is a signed integer.
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64))


def check_count(name: str, value: Any, *, minimum: int = 1, maximum: int | None = 2**63 - 1) -> int:
    """Return an integer that is at least ``minimum`` and at most ``maximum``."""
    if type(value) is int and value >= minimum and (maximum is None or value <= maximum):
        return value
    if not _is_integer(value):
        raise TypeError(f"{name} must be an integer, not {shown(value)}.")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, not {shown(value)}.")
    if maximum is not None and value > maximum:
        raise ValueError(f"{name} must be at most {maximum}, not {shown(value)}.")
    return int(value)


def check_flag(name: str, value: Any) -> bool:
    """Return True or False."""
    if value is True or value is False:
        return bool(value)
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {shown(value)}.")
    return bool(value)


def check_text(name: str, value: Any) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text, not {shown(value)}.")
    return str(value)


def check_callable(name: str, value: Any, call: str) -> Callable[..., Any]:
    """Return a callable; ``call`` says how it will be called."""
    if not callable(value):
        raise TypeError(f"{name} must be callable as {call}, not {shown(value)}.")
    function: Callable[..., Any] = value
    return function


def as_sequence(name: str, value: Any, what: str) -> list[Any]:
    """Return the entries of a sequence of ``what``; a text is not taken for a sequence of letters."""
    letters = isinstance(value, (str, bytes, bytearray, Mapping))
    try:
        entries = None if letters else iter(value)
    except TypeError:
        entries = None
    if entries is None:
        raise TypeError(f"{name} must be a sequence of {what}, not {shown(value)}.")
    return list(entries)


def as_seed(name: str, value: Any) -> int:
    """Return a seed, an integer with 0 <= seed < 2^64, which every generator takes."""
    seed = check_count(name, value, minimum=0, maximum=None)
    if seed > LARGEST_SEED:
        raise ValueError(f"{name} must be less than 2**64, not {shown(seed)}; take a smaller one.")
    return seed


def as_rng(name: str, value: Any, default: int = 0) -> np.random.Generator:
    """Return a generator: ``value`` itself, or a new one from a seed (``default`` for None)."""
    if isinstance(value, np.random.Generator):
        return value
    if value is not None and not _is_integer(value):
        raise TypeError(
            f"{name} must be a numpy.random.Generator or an integer seed, not {shown(value)}; pass "
            "np.random.default_rng(seed)."
        )
    return np.random.default_rng(default if value is None else as_seed(name, value))


def unknown_name(kind: str, given: object, known: Iterable[str]) -> str:
    """Return the sentence that refuses an unknown name and suggests the nearest known one."""
    names = list(known)
    by_lower = {name.lower(): name for name in names}
    text = given.lower() if isinstance(given, str) else ""
    near = difflib.get_close_matches(text, list(by_lower), n=1, cutoff=0.5)
    hint = f" Did you mean {by_lower[near[0]]!r}?" if near else ""
    return f"unknown {kind} {shown(given)}.{hint} Known: {', '.join(map(repr, names))}."


def check_choice(name: str, value: Any, known: Iterable[str]) -> str:
    """Return ``value`` if it is among ``known``; otherwise raise with the near match named."""
    names = known if isinstance(known, tuple) else list(known)
    if not isinstance(value, str) or value not in names:
        raise ValueError(unknown_name(name, value, names))
    return str(value)


def freeze(array: AnyArray) -> AnyArray:
    """Mark an array read-only and return it."""
    array.flags.writeable = False
    return array
