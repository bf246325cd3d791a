"""Inner steps on every task, and what is differentiated through them.

`InnerSteps` says which steps on which losses; an `InnerLoop` runs them. Families that are packed for compiled code
have one there, one with the tasks shared among threads, and one for an array of step sizes; families that only
Python can evaluate have one in NumPy, and one that asks for their own code where they have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, check_count
from maml_ode.objectives.step_sizes import Alpha, checked_alpha
from maml_ode.tasks.base import TaskFamily, checked_family

__all__ = ["InnerLoop", "InnerSteps"]

Integers = npt.NDArray[np.int64]


class InnerLoop(Protocol):
    """k gradient steps of size alpha on every task from a shared w, judged by query losses.

    Arguments are writable, contiguous and of shape (d,); what comes back is fresh.
    """

    def adapt(self, w: Array) -> Array:
        """Return the adapted points u_i, shape (M, d)."""
        ...

    def value(self, w: Array) -> float:
        """Return sum_i p_i g_i(u_i)."""
        ...

    def gradient(self, w: Array) -> Array:
        """Return the gradient of `value`."""
        ...

    def values(self, points: Array) -> Array:
        """Return `value` at the rows of ``points``, shape (n,)."""
        ...

    def gradients(self, points: Array) -> Array:
        """Return `gradient` at the rows of ``points``, shape (n, d)."""
        ...

    def hvp(self, w: Array, v: Array) -> Array:
        """Return the Hessian of `value` times ``v``."""
        ...

    def hessian(self, w: Array) -> Array:
        """Return the Hessian of `value`, exactly symmetric."""
        ...

    def first_order_gradient(self, w: Array) -> Array:
        """Return sum_i p_i grad g_i(u_i)."""
        ...

    def reptile_gradient(self, w: Array) -> Array:
        """Return sum_i p_i (w - u_i)/alpha, the weighted sum of the inner gradients."""
        ...

    def gradient_over(self, w: Array, tasks: Integers) -> Array:
        """Return the plain mean of the gradients of g_i(u_i) over some tasks, which may repeat."""
        ...

    def first_order_gradient_over(self, w: Array, tasks: Integers) -> Array:
        """Return the plain mean of grad g_i(u_i) over some tasks."""
        ...

    def reptile_gradient_over(self, w: Array, tasks: Integers) -> Array:
        """Return the plain mean of the sums of the inner gradients over some tasks."""
        ...

    def first_order_jacobians(self, w: Array) -> tuple[Array, Array]:
        """Return the Jacobians of `first_order_gradient` and of `reptile_gradient`."""
        ...

    def native_gradient_field(self) -> Any | None:
        """Return the handle of minus `gradient` for compiled steppers, or None."""
        ...

    def native_curved_field(self) -> Any | None:
        """Return the handle of minus `gradient` for steppers that ask for its derivative too, or None."""
        ...

    def native_first_order_field(self) -> Any | None:
        """Return the handle of minus `first_order_gradient` for compiled steppers, or None."""
        ...

    def native_reptile_field(self) -> Any | None:
        """Return the handle of minus `reptile_gradient` for compiled steppers, or None."""
        ...

    def native_modified_field(self, step_size: float) -> Any | None:
        """Return the handle of -(g + step_size/2 Hess g), g being `gradient`, or None."""
        ...


@dataclass(frozen=True, eq=False)
class InnerSteps:
    """Which inner steps are taken, and which losses judge their result.

    Attributes
    ----------
    tasks, query : TaskFamily
        f_i, on which the steps are taken, and g_i, which judge the adapted points.
    alpha : float, or ndarray that broadcasts against (count, M, d)
        Inner step size.
    count : int
        Number k of steps; 0 for the expected loss.
    threads : int
        How many threads share the tasks.
    """

    tasks: TaskFamily
    query: TaskFamily
    alpha: Alpha
    count: int
    threads: int = 1

    def __post_init__(self) -> None:
        if check_count("threads", self.threads) > 1 and (
            isinstance(self.alpha, np.ndarray) or not self._is_packed
        ):
            raise ValueError(
                "threads share the kernels of compiled families at one number alpha; leave threads out for "
                "functions of Python, JAX or torch and for an array alpha."
            )

    @classmethod
    def checked(
        cls,
        tasks: TaskFamily,
        alpha: Any,
        inner_steps: int,
        query: TaskFamily | None,
        threads: int = 1,
    ) -> InnerSteps:
        """Return the steps that a caller asked for.

        Raises
        ------
        ValueError, TypeError
            For an ``alpha`` that is not finite or does not broadcast against (inner_steps, M, d), ``inner_steps``
            or ``threads`` below 1, something that is no family, a query family whose size or weights differ, or
            several threads for what has no kernels.
        """
        family, judge = checked_family(tasks), _checked_query(tasks, query)
        count = check_count("inner_steps", inner_steps)
        step = checked_alpha(alpha, count, family.n_tasks, family.dim)
        return cls(family, judge, step, count, threads)

    @classmethod
    def none(cls, tasks: TaskFamily, threads: int) -> InnerSteps:
        """Return no steps at all: what is judged is w itself."""
        return cls(checked_family(tasks), tasks, 0.0, 0, threads)

    @property
    def _is_packed(self) -> bool:
        return self.tasks.problem is not None and self.query.problem is not None

    @cached_property
    def loop(self) -> InnerLoop:
        """The engine that runs the steps, chosen when something is first evaluated."""
        if isinstance(self.alpha, np.ndarray):
            if self._is_packed:
                from maml_ode.objectives.array_loop import ArrayLoop

                return ArrayLoop(self.tasks, self.query, self.alpha, self.count)
        elif self._is_packed:
            if self.threads > 1:
                from maml_ode.objectives.threaded_loop import ThreadedLoop

                return ThreadedLoop(self.tasks, self.query, self.alpha, self.count, self.threads)
            from maml_ode.objectives.compiled_loop import CompiledLoop

            return CompiledLoop(self.tasks, self.query, self.alpha, self.count)
        if self.count and self.tasks.fused_steps(self.query, self.count) is not None:
            from maml_ode.objectives.fused_loop import FusedLoop

            return FusedLoop(self.tasks, self.query, self.alpha, self.count)
        from maml_ode.objectives.numpy_loop import NumpyLoop

        return NumpyLoop(self.tasks, self.query, self.alpha, self.count)


def _checked_query(tasks: TaskFamily, query: TaskFamily | None) -> TaskFamily:
    if query is None:
        return tasks
    checked_family(query, "query")
    if (query.n_tasks, query.dim) != (tasks.n_tasks, tasks.dim):
        raise ValueError(
            f"query must have the tasks' size (M, d) = ({tasks.n_tasks}, {tasks.dim}), but it has "
            f"({query.n_tasks}, {query.dim})."
        )
    if not np.allclose(query.weights, tasks.weights, rtol=0.0, atol=1e-12):
        raise ValueError(
            "query must have the same weights as tasks, since F has one p_i per task; pass the same "
            "weights= to both families."
        )
    return query
