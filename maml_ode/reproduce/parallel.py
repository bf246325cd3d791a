"""Independent pieces of a computation, one after another or in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

__all__ = ["run_pieces"]

Result = TypeVar("Result")


def run_pieces(
    function: Callable[..., Result],
    pieces: Sequence[tuple[Any, ...]],
    jobs: int = 1,
    progress: Callable[[float, str], None] | None = None,
    share: tuple[float, float] = (0.0, 1.0),
) -> list[Result]:
    """Return ``[function(*piece) for piece in pieces]``, in this order whatever ``jobs`` is.

    Parameters
    ----------
    function : callable
        Module-level, as other processes have to find it.
    pieces : sequence of tuple
        The arguments of every call. Put the longest first.
    jobs : int
        Number of processes; with 1 everything runs in this one.
    progress : callable, optional
        ``progress(fraction, note)`` after every piece.
    share : (float, float)
        The part of the progress bar that these pieces fill.
    """
    low, high = share
    done = 0

    def report(piece: tuple[Any, ...]) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(low + (high - low) * done / len(pieces), " ".join(map(str, piece[:2])))

    if jobs == 1 or len(pieces) < 2:
        results = []
        for piece in pieces:
            results.append(function(*piece))
            report(piece)
        return results
    # A forked copy of a process with threads (BLAS, Numba) may hang, so each process starts afresh.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(pieces)), mp_context=context) as pool:
        futures = {pool.submit(function, *piece): piece for piece in pieces}
        try:
            for future in as_completed(futures):
                future.result()
                report(futures[future])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]
