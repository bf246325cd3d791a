"""The compiled inner loop with its tasks shared among threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from maml_ode._validation import Array
from maml_ode.compiled import shares
from maml_ode.compiled.decorators import compiled
from maml_ode.objectives.compiled_loop import CompiledLoop

__all__ = ["ThreadedLoop"]

# Tasks differ in size: more shares than threads, so that none waits long for the slowest.
SHARES = 4

_pools: dict[int, ThreadPoolExecutor] = {}
if hasattr(os, "register_at_fork"):
    # The threads of a pool do not exist in a forked process.
    os.register_at_fork(after_in_child=_pools.clear)


@dataclass(frozen=True, eq=False)
class ThreadedLoop(CompiledLoop):
    """A `CompiledLoop` whose tasks, or points, are shared among threads, with the same results to the last bit.

    Every task's contribution is a row of its own, and the rows are added up in the order of the tasks. Compiled
    steppers run in one thread, so that there are no handles for them. Hessians, adapted points, and means over
    some of the tasks are evaluated in one thread.
    """

    threads: int

    def value(self, w: Array) -> float:
        """Return sum_i p_i g_i(u_i)."""
        return float(self._sum(shares.values, 1, 1, w)[0])

    def gradient(self, w: Array) -> Array:
        """Return the gradient of `value`."""
        return self._sum(shares.gradients, 1, w.size, w)

    def first_order_gradient(self, w: Array) -> Array:
        """Return sum_i p_i grad g_i(u_i)."""
        return self._sum(shares.first_order_gradients, 1, w.size, w)

    def reptile_gradient(self, w: Array) -> Array:
        """Return sum_i p_i (w - u_i)/alpha, the weighted sum of the inner gradients."""
        return self._sum(shares.reptile_gradients, self.count, w.size, w)

    def hvp(self, w: Array, v: Array) -> Array:
        """Return the Hessian of `value` times ``v``."""
        return self._sum(shares.hvps, 1, w.size, w, v, curved=True)

    def values(self, points: Array) -> Array:
        """Return `value` at the rows of ``points``, shape (n,)."""
        out = np.empty(len(points))
        self._at_rows(self._loops.values, super().values, points, out)
        return out

    def gradients(self, points: Array) -> Array:
        """Return `gradient` at the rows of ``points``, shape (n, d)."""
        out = np.empty_like(points)
        self._at_rows(self._loops.gradients, super().gradients, points, out)
        return out

    def native_gradient_field(self) -> Any | None:
        """Return None."""
        return None

    def native_curved_field(self) -> Any | None:
        """Return None."""
        return None

    def native_first_order_field(self) -> Any | None:
        """Return None."""
        return None

    def native_reptile_field(self) -> Any | None:
        """Return None."""
        return None

    def native_modified_field(self, step_size: float) -> Any | None:
        """Return None."""
        return None

    def _sum(
        self, kernel: Any, each: int, width: int, *arguments: Array, curved: bool = False
    ) -> Array:
        """Return sum_i p_i of what the kernel says of every task in ``each`` rows."""
        problems, evaluate = self._curved if curved else self._problems, compiled(kernel)
        n_tasks = self.tasks.n_tasks
        rows, out = np.empty((n_tasks * each, width)), np.empty(width)

        def fill(first: int, last: int) -> None:
            evaluate(*problems, *arguments, self.alpha, self.count, first, last, rows)

        self._share(n_tasks, fill)
        shares.add_up(problems[0], rows, out)
        return out

    def _at_rows(
        self, kernel: Any, evaluate: Callable[[Array], Array], points: Array, out: Array
    ) -> None:
        compiled(kernel)

        def fill(first: int, last: int) -> None:
            out[first:last] = evaluate(points[first:last])

        self._share(len(points), fill)

    def _share(self, count: int, work: Callable[[int, int], None]) -> None:
        """Call ``work`` for parts of range(count), in this thread and in others."""
        ends = np.linspace(0, count, min(count, SHARES * self.threads) + 1).astype(int).tolist()
        parts = deque(pairwise(ends))

        def take() -> None:
            while parts:
                try:
                    first, last = parts.popleft()
                except IndexError:  # another thread was quicker
                    return
                work(first, last)

        pool = _pool(self.threads - 1)
        others = [pool.submit(take) for _ in range(self.threads - 1)]
        try:
            take()
        finally:
            wait(others)
        for other in others:
            other.result()


def _pool(threads: int) -> ThreadPoolExecutor:
    if threads not in _pools:
        _pools[threads] = ThreadPoolExecutor(threads, thread_name_prefix="maml_ode")
    return _pools[threads]
