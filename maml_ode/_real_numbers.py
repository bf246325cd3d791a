"""What counts as a real number: arrays and scalars are read strictly, or refused in a sentence.

NumPy turns masks, text, booleans, complex numbers and dates into floats where it can, and says nothing of
what is lost. Here such values are refused, wherever they stand in nested sequences.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["real_array", "real_number", "shown"]

Numbers = npt.NDArray[Any]

# Types of list entries that need no look; all others are looked at one by one.
_PLAIN = frozenset({float, int, np.float64, np.float32, np.int64, np.int32})
_DEEPEST = 8
_LONGEST_TEXT = 60
_LARGEST_SHOWN = 10**30

_BOOLEAN = "pass np.asarray(..., dtype=float) if the numbers 0 and 1 are meant"
_TEXT = "convert numbers written as text with np.asarray(..., dtype=float)"
_COMPLEX = "pass np.real(...) if the imaginary part is nothing but rounding"
_TIMES = "pass numbers, for instance (t - t[0]) / np.timedelta64(1, 's')"
_MASKED = (
    "leave masked entries out (np.ma.getmaskarray says which they are), or put numbers in their place "
    "with np.ma.filled(..., value)"
)


def real_array(name: str, value: Any, *, booleans: bool = False) -> Numbers:
    """Return ``value`` as an array of real numbers that double holds, without a copy where it is one.

    The dtype stays what it is, any integer or floating type of at most 64 bits. Masked arrays are accepted
    if nothing is masked, arrays of objects if every entry is a real number.

    Parameters
    ----------
    name : str
        The argument's name, for the error message.
    value : array_like
    booleans : bool
        Whether True and False are accepted as 1 and 0.

    Raises
    ------
    TypeError
        If an entry is not a real number: text, None, complex, a date, a boolean, any other object.
    ValueError
        If nested sequences are ragged, an entry is masked, or a finite one exceeds double precision.
    """
    if type(value) is np.ndarray and value.dtype.kind in "iuf" and value.itemsize <= 8:
        return value
    if hasattr(value, "tocsr"):
        raise TypeError(
            f"{name} must be dense; pass {name}.toarray(), or np.ravel of it where one row is meant."
        )
    _look_inside(name, name, value, booleans)
    try:
        given = np.asanyarray(value)
    except OverflowError:
        raise ValueError(f"{name} holds a number that is too large for double precision.") from None
    except ValueError as error:
        if "inhomogeneous" not in str(error):  # the object's own
            raise
        raise ValueError(
            f"{name} must be a rectangular array of numbers, but its rows differ in length."
        ) from None
    return _without_subclass(name, given, booleans)


def real_number(name: str, value: Any, *, booleans: bool = False) -> float:
    """Return ``value``, one real number, as a float; NaN and infinity pass.

    Raises
    ------
    TypeError
        If it is not one real number.
    ValueError
        If it is masked or exceeds double precision.
    """
    if type(value) is float:
        return value
    if isinstance(value, np.ndarray) and value.ndim == 0:
        _check_mask(name, value)
        if type(value) is not np.ndarray:
            value = np.asarray(value)
        value = value[()]
    hint = _unreal(value, booleans)
    if hint is not None:
        raise TypeError(f"{name} must be one real number, not {shown(value)}{hint}.")
    several = getattr(value, "shape", ()) != () or isinstance(value, (list, tuple, dict, set))
    try:
        number = math.nan if several else float(value)
    except OverflowError:
        raise ValueError(f"{name} is too large for double precision.") from None
    except (TypeError, ValueError):
        several = True
    if several:
        raise TypeError(f"{name} must be one real number, not {shown(value)}.")
    if math.isinf(number) and not bool(value == number):
        raise ValueError(f"{name} is too large for double precision.")
    return number


def shown(value: Any) -> str:
    """Describe a refused value briefly; nothing of its own is run but the repr of plain scalars."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, int) and not -_LARGEST_SHOWN < value < _LARGEST_SHOWN:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, (str, bytes)):
        text = repr(value)
        return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
    if value is None or type(value) in (bool, int, float, complex) or isinstance(value, np.generic):
        return repr(value)
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def _unreal(value: Any, booleans: bool) -> str | None:
    """Say what to do about a scalar that is no real number, or return None for one that may be."""
    if isinstance(value, (bool, np.bool_)):
        return None if booleans else f"; {_BOOLEAN}"
    if isinstance(value, (str, bytes, bytearray)):
        return f"; {_TEXT}"
    if isinstance(value, (complex, np.complexfloating)):
        return f"; {_COMPLEX}"
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return f"; {_TIMES}"
    return "" if value is None else None


def _look_inside(name: str, entry: str, value: Any, booleans: bool, depth: int = 0) -> None:
    """Refuse what would be lost on the way from nested sequences to an array; ``entry`` names a part."""
    if isinstance(value, (list, tuple)):
        if depth == _DEEPEST:
            raise ValueError(f"{name} is nested too deeply for an array of numbers.")
        unusual = set(map(type, value)) - _PLAIN
        if unusual:
            for k, part in enumerate(value):
                if type(part) in unusual:
                    _look_inside(name, f"{entry}[{k}]", part, booleans, depth + 1)
        return
    hint = _unreal(value, booleans)
    if hint is not None:
        found = f"but {entry} is" if depth else "not"
        raise TypeError(f"{name} must hold real numbers, {found} {shown(value)}{hint}.")
    if depth and hasattr(value, "tocsr"):
        raise TypeError(f"{name} must be dense; pass {entry}.toarray() in its place.")
    if depth and hasattr(value, "__array__"):
        _without_subclass(entry, np.asanyarray(value), booleans)


def _check_mask(name: str, array: Numbers) -> None:
    if isinstance(array, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(array)
        if mask.dtype.names is None and mask.any():
            where = ", ".join(str(int(k)) for k in np.argwhere(mask)[0])
            found = f"but {name}[{where}] is masked" if where else "but it is"
            raise ValueError(f"{name} must have no masked entry, {found}; {_MASKED}.")


def _without_subclass(name: str, given: Numbers, booleans: bool) -> Numbers:
    """Return an array of numbers as a plain one, or say what its entries are instead."""
    _check_mask(name, given)
    array = np.asarray(given)
    kind = array.dtype.kind
    if kind in "iuf" or (kind == "b" and booleans):
        return array if array.itemsize <= 8 else _shortened(name, array)
    if kind == "O":
        return _numbers_of_objects(name, array, booleans)
    hints = {
        "b": _BOOLEAN,
        "U": _TEXT,
        "S": _TEXT,
        "T": _TEXT,
        "c": _COMPLEX,
        "M": _TIMES,
        "m": _TIMES,
    }
    hint = f"; {hints[kind]}" if kind in hints else ""
    raise TypeError(f"{name} must hold real numbers, not {array.dtype}{hint}.")


def _shortened(name: str, array: Numbers) -> Numbers:
    with np.errstate(over="ignore", under="ignore"):
        doubles = array.astype(np.float64)
    lost = np.isinf(doubles) & np.isfinite(array)
    if lost.any():
        where = ", ".join(str(int(k)) for k in np.argwhere(lost)[0])
        raise ValueError(f"{name}[{where}] is too large for double precision.")
    return doubles


def _numbers_of_objects(name: str, objects: Numbers, booleans: bool) -> Numbers:
    if objects.ndim == 0:
        return np.array(real_number(name, objects[()], booleans=booleans))
    out = np.empty(objects.shape)
    for where, entry in np.ndenumerate(objects):
        label = f"{name}[{', '.join(map(str, where))}]"
        out[where] = real_number(label, entry, booleans=booleans)
    return out
