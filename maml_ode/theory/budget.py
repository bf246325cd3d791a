"""A limit on the time that theory may spend, known to every loop without being passed to each."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["OutOfTime", "check_time", "time_limit"]


class OutOfTime(Exception):
    """The time allowed is spent; whoever set the limit catches this."""


_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


@contextmanager
def time_limit(max_seconds: float | None) -> Iterator[None]:
    """Let `check_time` raise once ``max_seconds`` have passed; an outer limit still holds."""
    now = time.monotonic()
    end = math.inf if max_seconds is None else now + max_seconds
    token = _deadline.set(min(end, _deadline.get()))
    try:
        yield
    finally:
        _deadline.reset(token)


def check_time() -> None:
    """Raise `OutOfTime` when a limit set around this call has passed."""
    if time.monotonic() > _deadline.get():
        raise OutOfTime
