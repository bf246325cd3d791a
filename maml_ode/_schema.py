"""What the arrays and the header of a saved result must be, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "EACH",
    "REQUIRED",
    "Column",
    "Value",
    "count",
    "flag",
    "number",
    "one_of",
    "or_none",
    "record",
    "text",
]

AnyArray = npt.NDArray[Any]

REQUIRED: Any = object()
# The name of a length that every array of a list has for itself.
EACH = "each"


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Column:
    """An array of a file.

    Parameters
    ----------
    shape : tuple of str
        Names of lengths; those of the same name are equal throughout the file.
    kind : {"f", "i", "U"}
        float64, int64, or a string.
    must, holds : str and callable, optional
        A further condition in words and as ``holds(array)``.
    listed : bool
        A list of such arrays, each with its own length `EACH`.
    default : Any
        What a file without it stands for; by default every file has it.
    """

    shape: tuple[str, ...]
    kind: str = "f"
    must: str = ""
    holds: Callable[[AnyArray], bool] | None = None
    listed: bool = False
    default: Any = REQUIRED

    def check(self, name: str, array: AnyArray, lengths: dict[str, int], place: int = 0) -> None:
        """Refuse an array of another kind or shape; learn the lengths that are not known yet.

        Raises
        ------
        ValueError
            With what is wrong, to follow the name of the file.
        """
        if not self.is_kind(array.dtype):
            raise ValueError(f"{name!r} holds {array.dtype}")
        keys = [f"{EACH} {place}" if length == EACH else length for length in self.shape]
        if array.ndim != len(keys) or any(
            lengths.setdefault(key, have) != have
            for key, have in zip(keys, array.shape, strict=True)
        ):
            known = [f"{key} = {lengths[key]}" for key in self.shape if key in lengths]
            needed = ", ".join([f"({', '.join(self.shape)})", *known])
            raise ValueError(f"{name!r} must have the shape {needed}, not {array.shape}")
        if self.holds is not None and not self.holds(array):
            raise ValueError(f"{name!r} must {self.must}")

    def is_kind(self, dtype: np.dtype[Any]) -> bool:
        """Whether entries of a type are what stands in this column."""
        return dtype.kind == self.kind and (dtype.kind == "U" or dtype.itemsize == 8)


@dataclass(frozen=True)
class Value:
    """An entry of a file's header.

    Parameters
    ----------
    read : callable
        ``read(plain)`` turns JSON's value into the result's, or raises a ValueError that completes
        "it must be".
    plain : callable
        ``plain(value)``, the way back.
    default : Any
        What a file without it stands for; by default every file has it.
    """

    read: Callable[[Any], Any]
    plain: Callable[[Any], Any] = _as_it_is
    default: Any = REQUIRED


def text(plain: Any) -> str:
    """Return a string."""
    if not isinstance(plain, str):
        raise ValueError(f"text, not {plain!r}")
    return plain


def flag(plain: Any) -> bool:
    """Return a boolean."""
    if not isinstance(plain, bool):
        raise ValueError(f"true or false, not {plain!r}")
    return plain


def count(plain: Any) -> int:
    """Return an integer that is not negative."""
    if isinstance(plain, bool) or not isinstance(plain, int) or plain < 0:
        raise ValueError(f"a count, not {plain!r}")
    return plain


def number(plain: Any) -> float:
    """Return a number; NaN and the infinities are some."""
    if isinstance(plain, bool) or not isinstance(plain, (int, float)):
        raise ValueError(f"a number, not {plain!r}")
    return float(plain)


def one_of(choices: Mapping[Any, Any]) -> Callable[[Any], Any]:
    """Accept what is among the keys of ``choices``, with its type, and return what stands there."""

    def read(plain: Any) -> Any:
        if not any(type(plain) is type(choice) and plain == choice for choice in choices):
            raise ValueError(f"one of {', '.join(map(repr, choices))}, not {plain!r}")
        return choices[plain]

    return read


def or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Accept JSON's null beside what ``read`` accepts."""
    return lambda plain: None if plain is None else read(plain)


def record(
    make: Callable[..., Any],
    needed: Mapping[str, Callable[[Any], Any]],
    optional: Mapping[str, Callable[[Any], Any]] | None = None,
) -> Callable[[Any], Any]:
    """Accept a table of named entries, and make something of them."""
    known = {**needed, **(optional or {})}

    def read(plain: Any) -> Any:
        if not isinstance(plain, dict) or not set(needed) <= set(plain) <= set(known):
            raise ValueError(f"a table of {', '.join(known)}")
        given = {}
        for name, value in plain.items():
            try:
                given[name] = known[name](value)
            except ValueError as error:
                raise ValueError(f"a table whose {name!r} is {error}") from error
        return make(**given)

    return read
