"""Frozen dataclasses of many fields, made at once instead of by one guarded assignment a field."""

from __future__ import annotations

from typing import Any, TypeVar

__all__ = ["made"]

AnyClass = TypeVar("AnyClass")


def made(cls: type[AnyClass], values: dict[str, Any] | None = None, **others: Any) -> AnyClass:
    """Return an instance with these values, for a class that checks nothing; every field is to be named.

    The constructor of a frozen dataclass takes several times as long, which shows where a run is short. A
    dictionary of ``values`` becomes the instance's own.
    """
    instance = object.__new__(cls)
    if values is None:
        values = others
    else:
        values.update(others)
    object.__setattr__(instance, "__dict__", values)
    return instance
