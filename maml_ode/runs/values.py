"""Plain values, numbers, texts and arrays, and the columns and bytes in which a file keeps them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from maml_ode._validation import shown

__all__ = ["decode", "digest", "encode", "plain"]

# Beyond this SQLite has no integers.
LARGEST_INTEGER = 2**63


def plain(name: str, value: Any) -> Any:
    """Return a value without NumPy's scalar types, an array as a copy, and a list as a tuple.

    Raises
    ------
    TypeError
        If it is neither a real number, a text, True, False, None, an array of numbers, nor a tuple or list
        of such values other than arrays.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufcUSMm":
        return np.array(value, order="C")
    if isinstance(value, np.generic) and value.dtype.kind in "biuU":
        return value.item()
    if isinstance(value, np.floating):
        return float(value)
    if isinstance(value, (tuple, list)) and not any(isinstance(one, np.ndarray) for one in value):
        return tuple(plain(name, one) for one in value)
    for kind in (
        bool,
        int,
        float,
        str,
    ):  # also what is derived from them, such as an enumeration's texts
        if isinstance(value, kind):
            return kind(value)
    if value is None:
        return None
    raise TypeError(
        f"{name} must be a number, a text, True, False, None, an array of numbers or a tuple of such values, "
        f"not {shown(value)}; pass a number or a name, and build the object from it inside the function."
    )


def encode(value: Any) -> tuple[str, Any]:
    """Return the kind of a plain value, and what a column of SQLite holds of it.

    The column alone is for readers of the file: SQLite makes NaN NULL and knows no truth values. With the
    kind, `decode` gives back the value to the last bit.
    """
    if value is None:
        return "none", None
    if isinstance(value, bool):
        return "bool", int(value)
    if isinstance(value, int):
        fits = -LARGEST_INTEGER <= value < LARGEST_INTEGER
        return ("int", value) if fits else ("large int", hex(value))
    if isinstance(value, float):
        return ("nan", None) if value != value else ("float", value)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return "surrogates", value.encode("utf-8", "surrogatepass")
        return "text", value
    if isinstance(value, tuple):
        return "tuple", json.dumps(value)
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=False)
    return "array", buffer.getvalue()


def decode(kind: str, stored: Any) -> Any:
    """Return the value of which `encode` made ``kind`` and ``stored``.

    Raises
    ------
    ValueError
        If they do not belong together.
    """
    if kind in ("none", "nan"):
        return None if kind == "none" else float("nan")
    if kind == "bool" and isinstance(stored, int):
        return bool(stored)
    if kind == "int" and isinstance(stored, int):
        return stored
    if kind == "float" and isinstance(stored, float):
        return stored
    if kind == "text" and isinstance(stored, str):
        return stored
    if kind == "large int" and isinstance(stored, str):
        return int(stored, 16)
    if kind == "surrogates" and isinstance(stored, bytes):
        return stored.decode("utf-8", "surrogatepass")
    if kind == "tuple" and isinstance(stored, str):
        return _tuples(json.loads(stored))
    if kind == "array" and isinstance(stored, bytes):
        return np.load(io.BytesIO(stored), allow_pickle=False)
    raise ValueError(f"{shown(stored)} is not a value of the kind {kind!r}")


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


def digest(values: Mapping[str, Any]) -> str:
    """Return a name for a point: the same for the same plain values, whatever their order.

    1, 1.0 and True are three values: a function may tell them apart.
    """
    found = hashlib.sha256()
    for name in sorted(values):
        kind, stored = encode(values[name])
        content = stored if isinstance(stored, bytes) else repr(stored).encode("utf-8", "replace")
        for part in (name.encode("utf-8", "surrogatepass"), kind.encode(), content):
            found.update(len(part).to_bytes(8, "little") + part)
    return found.hexdigest()
