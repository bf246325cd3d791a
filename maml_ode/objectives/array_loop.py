"""Inner steps whose sizes are an array, in compiled code where the families are packed for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from maml_ode._validation import Array
from maml_ode.compiled import array_steps
from maml_ode.objectives.numpy_loop import NumpyLoop

__all__ = ["ArrayLoop"]


@dataclass(frozen=True, eq=False)
class ArrayLoop(NumpyLoop):
    """A `NumpyLoop` that leaves what runs evaluate to ``maml_ode.compiled.array_steps``.

    Matrices, and means over some of the tasks, stay in NumPy. Compiled steppers are typed for one number alpha,
    so that there are no handles for them.
    """

    def adapt(self, w: Array) -> Array:
        """Return the adapted points u_i, shape (M, d)."""
        out = np.empty((self.tasks.n_tasks, w.size))
        array_steps.adapt(self.tasks.problem, w, self._steps, out)
        return out

    def value(self, w: Array) -> float:
        """Return sum_i p_i g_i(u_i)."""
        problem, query = self.tasks.problem, self.query.problem
        return float(array_steps.value(problem, query, w, self._steps))

    def gradient(self, w: Array) -> Array:
        """Return the gradient of `value`."""
        out = np.empty(w.size)
        array_steps.gradient(self.tasks.problem, self.query.problem, w, self._steps, out)
        return out

    def hvp(self, w: Array, v: Array) -> Array:
        """Return the Hessian of `value` times ``v``."""
        out = np.empty(w.size)
        problem, query = self.tasks.curved_problem, self.query.curved_problem
        array_steps.hvp(problem, query, w, v, self._steps, out)
        return out

    def first_order_gradient(self, w: Array) -> Array:
        """Return sum_i p_i grad g_i(u_i)."""
        problem, query, out = self.tasks.problem, self.query.problem, np.empty(w.size)
        array_steps.first_order_gradient(problem, query, w, self._steps, out)
        return out

    def reptile_gradient(self, w: Array) -> Array:
        """Return the weighted sum of the inner gradients."""
        out = np.empty(w.size)
        array_steps.reptile_gradient(self.tasks.problem, w, self._steps, out)
        return out

    @cached_property
    def _steps(self) -> Array:
        """The step sizes, shape (k, M, d)."""
        shape = (self.count, self.tasks.n_tasks, self.tasks.dim)
        return np.array(np.broadcast_to(self.alpha, shape), dtype=np.float64, order="C")
