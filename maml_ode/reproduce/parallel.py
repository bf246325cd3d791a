"""Run independent jobs, in this process or in several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, TypeVar

__all__ = ["run_jobs"]

Result = TypeVar("Result")


def run_jobs(
    function: Callable[..., Result],
    arguments: Sequence[tuple[Any, ...]],
    jobs: int,
    progress: Callable[[float, str], None],
) -> list[Result]:
    """Return ``[function(*a) for a in arguments]``, computed by ``jobs`` processes.

    ``function`` must be defined at the top of a module. The order of the results does not depend on
    ``jobs``.
    """
    total = len(arguments)
    if jobs == 1 or total <= 1:
        results = []
        for done, one in enumerate(arguments):
            progress(done / total, _note(one))
            results.append(function(*one))
        return results
    # A fresh interpreter per process: forking one whose threads hold locks may hang.
    context = get_context("spawn")
    with ProcessPoolExecutor(min(jobs, total), mp_context=context) as executor:
        futures = [executor.submit(function, *one) for one in arguments]
        place = {future: k for k, future in enumerate(futures)}
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                progress(done / total, _note(arguments[place[future]]))
                future.result()
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]


def _note(argument: tuple[Any, ...]) -> str:
    return ", ".join(str(part) for part in argument if isinstance(part, (str, int)))
