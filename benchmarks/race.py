"""Time several ways to the same result against each other, in interleaved rounds.

A contender is built (first call apart), warmed up, and then called in rounds in a shuffled order, so that what
else the machine does hits all of them alike. CPU and wall seconds of one call are the median over rounds; the
spread is the middle half.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Contender", "Timing", "race"]

ROUND_SECONDS = 0.05  # a contender's share of one round, unless one call takes longer


@dataclass(frozen=True)
class Contender:
    """One way to a result.

    Parameters
    ----------
    name : str
    build : callable
        Returns ``(call, error)``: ``call()`` computes the result, ``error(result)`` is its distance from the
        truth. May raise; then the row says why.
    ours : bool
    calls : float
        How many units (solves, steps, members) one call does; times are per unit.
    note : str
    """

    name: str
    build: Callable[[], tuple[Callable[[], Any], Callable[[Any], float]]]
    ours: bool = False
    calls: float = 1
    note: str = ""


@dataclass
class Timing:
    """What was measured of one contender; seconds are per unit of work."""

    row: str
    name: str
    ours: bool
    note: str = ""
    cpu: float = float("nan")
    wall: float = float("nan")
    cpu_spread: tuple[float, float] = (float("nan"), float("nan"))
    first_call: float = float("nan")
    error: float = float("nan")
    failure: str = ""
    rounds: int = 0
    unit: str = ""
    samples: list[float] = field(default_factory=list, repr=False)


def race(
    row: str, contenders: Sequence[Contender], *, unit: str, rounds: int = 15, seed: int = 0
) -> list[Timing]:
    """Time the contenders of one row; one that fails is a result that says so."""
    results, runners = [], []
    for contender in contenders:
        timing = Timing(row, contender.name, contender.ours, contender.note, unit=unit)
        results.append(timing)
        try:
            began = time.perf_counter()
            call, error = contender.build()
            result = call()
            timing.first_call = time.perf_counter() - began
            timing.error = float(error(result))
            began = time.perf_counter()
            call()
            one = time.perf_counter() - began
        except Exception as reason:  # a peer that fails is a row of the table, whatever it raises
            text = str(reason).splitlines()
            timing.failure = f"{type(reason).__name__}: {text[0] if text else ''}"[:200]
            continue
        repeats = max(1, round(ROUND_SECONDS / max(one, 1e-9)))
        runners.append((timing, call, repeats, contender.calls, []))
    order = random.Random(seed)
    for _ in range(rounds):
        order.shuffle(runners)
        for timing, call, repeats, calls, walls in runners:
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(repeats):
                call()
            timing.samples.append((time.process_time() - cpu) / repeats / calls)
            walls.append((time.perf_counter() - wall) / repeats / calls)
    for timing, _, _, _, walls in runners:
        quarter = statistics.quantiles(timing.samples, n=4) if rounds > 1 else timing.samples * 3
        timing.cpu, timing.cpu_spread = quarter[1], (quarter[0], quarter[2])
        timing.wall, timing.rounds = statistics.median(walls), rounds
    return results
