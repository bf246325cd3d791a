"""The inner loop in compiled code, for families that are packed for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.compiled import fields, maml
from maml_ode.compiled.loops import FOR_ALL, Loops
from maml_ode.tasks.base import TaskFamily

__all__ = ["CompiledLoop"]

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CompiledLoop:
    """An `InnerLoop` on ``maml_ode.compiled.maml``, where the formulas stand."""

    tasks: TaskFamily
    query: TaskFamily
    alpha: float
    count: int

    @property
    def _problems(self) -> tuple[Any, Any]:
        # Asked for anew each time: native handles do not survive a pickle, the families do.
        return self.tasks.problem, self.query.problem

    @property
    def _curved(self) -> tuple[Any, Any]:
        # Those that Hessians of the losses and third derivatives may be asked of.
        return self.tasks.curved_problem, self.query.curved_problem

    @property
    def _loops(self) -> Loops:
        # Those of the families' own, if both have the same.
        own = self.tasks.loops
        return own if own is not None and own is self.query.loops else FOR_ALL

    def adapt(self, w: Array) -> Array:
        """Return the adapted points u_i, shape (M, d)."""
        out = np.empty((self.tasks.n_tasks, w.size))
        maml.adapt(self.tasks.problem, w, self.alpha, self.count, out)
        return out

    def value(self, w: Array) -> float:
        """Return sum_i p_i g_i(u_i)."""
        return float(maml.value(*self._problems, w, self.alpha, self.count))

    def gradient(self, w: Array) -> Array:
        """Return the gradient of `value`."""
        out = np.empty(w.size)
        self._loops.gradient(*self._problems, w, self.alpha, self.count, out)
        return out

    def values(self, points: Array) -> Array:
        """Return `value` at the rows of ``points``, shape (n,), in one compiled call."""
        out = np.empty(len(points))
        self._loops.values(*self._problems, points, self.alpha, self.count, out)
        return out

    def gradients(self, points: Array) -> Array:
        """Return `gradient` at the rows of ``points``, shape (n, d), in one compiled call."""
        out = np.empty_like(points)
        self._loops.gradients(*self._problems, points, self.alpha, self.count, out)
        return out

    def looks_with(self, points: Array, alphas: Array) -> tuple[Array, Array]:
        """Return `value` and `gradient` at the rows of ``points``, each with its own alpha, in one call."""
        losses, gradients = np.empty(len(points)), np.empty_like(points)
        self._loops.looks_with(*self._problems, points, alphas, self.count, losses, gradients)
        return losses, gradients

    def hvp(self, w: Array, v: Array) -> Array:
        """Return the Hessian of `value` times ``v``."""
        from maml_ode.compiled import hvp

        out = np.empty(w.size)
        hvp.hvp(*self._curved, w, v, self.alpha, self.count, out)
        return out

    def hessian(self, w: Array) -> Array:
        """Return the Hessian of `value`, exactly symmetric."""
        from maml_ode.compiled import matrices

        out = np.empty((w.size, w.size))
        matrices.hessian(*self._curved, w, self.alpha, self.count, out)
        return out

    def first_order_gradient(self, w: Array) -> Array:
        """Return sum_i p_i grad g_i(u_i)."""
        out = np.empty(w.size)
        self._loops.first_order_gradient(*self._problems, w, self.alpha, self.count, out)
        return out

    def reptile_gradient(self, w: Array) -> Array:
        """Return sum_i p_i (w - u_i)/alpha, the weighted sum of the inner gradients."""
        out = np.empty(w.size)
        maml.reptile_gradient(self.tasks.problem, w, self.alpha, self.count, out)
        return out

    def gradient_over(self, w: Array, tasks: Integers) -> Array:
        """Return the plain mean of the gradients of g_i(u_i) over some tasks, which may repeat."""
        from maml_ode.compiled import sampled

        out = np.empty(w.size)
        sampled.gradient(*self._problems, w, self.alpha, self.count, tasks, out)
        return out

    def first_order_gradient_over(self, w: Array, tasks: Integers) -> Array:
        """Return the plain mean of grad g_i(u_i) over some tasks."""
        from maml_ode.compiled import sampled

        out = np.empty(w.size)
        sampled.first_order_gradient(*self._problems, w, self.alpha, self.count, tasks, out)
        return out

    def reptile_gradient_over(self, w: Array, tasks: Integers) -> Array:
        """Return the plain mean of the sums of the inner gradients over some tasks."""
        from maml_ode.compiled import sampled

        out = np.empty(w.size)
        sampled.reptile_gradient(self.tasks.problem, w, self.alpha, self.count, tasks, out)
        return out

    def first_order_jacobians(self, w: Array) -> tuple[Array, Array]:
        """Return the Jacobians of `first_order_gradient` and of `reptile_gradient`."""
        from maml_ode.compiled import matrices

        fomaml, reptile = np.empty((w.size, w.size)), np.empty((w.size, w.size))
        matrices.first_order_jacobians(*self._curved, w, self.alpha, self.count, fomaml, reptile)
        return fomaml, reptile

    def native_gradient_field(self) -> Any:
        """Return the handle of minus `gradient` for compiled steppers."""
        return fields.family_field(
            fields.MAML, *self._problems, self.alpha, self.count, self._loops.gradient
        )

    def native_curved_field(self) -> Any:
        """Return the handle of minus `gradient` for compiled steppers that ask for its derivative too."""
        return fields.family_field(
            fields.MAML, *self._curved, self.alpha, self.count, self._loops.gradient
        )

    def native_first_order_field(self) -> Any:
        """Return the handle of minus `first_order_gradient` for compiled steppers."""
        return fields.family_field(
            fields.FIRST_ORDER,
            *self._problems,
            self.alpha,
            self.count,
            self._loops.first_order_gradient,
        )

    def native_reptile_field(self) -> Any:
        """Return the handle of minus `reptile_gradient` for compiled steppers."""
        return fields.family_field(fields.REPTILE, *self._problems, self.alpha, self.count)

    def native_modified_field(self, step_size: float) -> Any:
        """Return the handle of -(g + step_size/2 Hess g), g being `gradient`, for compiled steppers."""
        from maml_ode.compiled import modified

        return modified.modified_field(self.native_curved_field(), step_size)
