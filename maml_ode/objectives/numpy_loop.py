"""The inner loop in NumPy, for families that only Python can evaluate: all tasks at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.objectives.step_sizes import Alpha, of_steps, of_tasks
from maml_ode.tasks.base import TaskFamily

__all__ = ["Integers", "NumpyLoop"]

Integers = npt.NDArray[np.int64]

# As in compiled code: what overflows is infinite, and those who integrate see it.
_overflows_quietly = np.errstate(over="ignore", invalid="ignore")


@dataclass(frozen=True, eq=False)
class NumpyLoop:
    """An `InnerLoop` on the families' batched evaluations; the formulas are those of the compiled one.

    Nothing is evaluated that the result does not need: without inner steps the Hessian needs no gradient.
    """

    tasks: TaskFamily
    query: TaskFamily
    alpha: Alpha
    count: int

    @_overflows_quietly
    def adapt(self, w: Array) -> Array:
        """Return the adapted points u_i, shape (M, d)."""
        return self._path(w)[-1]

    @_overflows_quietly
    def value(self, w: Array) -> float:
        """Return sum_i p_i g_i(u_i)."""
        return float(self.tasks.weights @ self.query._losses(self._path(w)[-1]))

    @_overflows_quietly
    def gradient(self, w: Array) -> Array:
        """Return the gradient of `value`."""
        path = self._path(w)
        adjoint = self.query._gradients(path[-1])
        for j in reversed(range(self.count)):
            adjoint = adjoint - self._hessian_of_step(path[j], self._alphas[j], adjoint)
        return np.asarray(self.tasks.weights @ adjoint)

    def values(self, points: Array) -> Array:
        """Return `value` at the rows of ``points``, shape (n,)."""
        return np.array([self.value(w) for w in points])

    def gradients(self, points: Array) -> Array:
        """Return `gradient` at the rows of ``points``, shape (n, d)."""
        return np.array([self.gradient(w) for w in points]).reshape(points.shape)

    @_overflows_quietly
    def hvp(self, w: Array, v: Array) -> Array:
        """Return the Hessian of `value` times ``v``."""
        path = self._path(w)
        tangents = [self._shared(v)]
        for u, alpha in zip(path, self._alphas, strict=False):
            tangents.append(tangents[-1] - alpha * self.tasks._hvps(u, tangents[-1]))
        adjoint_tangent = self.query._hvps(path[-1], tangents[-1])
        adjoint = self.query._gradients(path[-1]) if self.count else adjoint_tangent
        for j in reversed(range(self.count)):
            u, alpha = path[j], self._alphas[j]
            left, right, factor = adjoint_tangent, adjoint, alpha
            if isinstance(alpha, np.ndarray):
                left, right, factor = alpha * left, alpha * right, 1.0
            third = self.tasks._third_vectors(u, tangents[j], right)
            product = self.tasks._hvps(u, left)
            adjoint_tangent = adjoint_tangent - factor * (product + third)
            if j > 0:
                adjoint = adjoint - self._hessian_of_step(u, alpha, adjoint)
        return np.asarray(self.tasks.weights @ adjoint_tangent)

    @_overflows_quietly
    def hessian(self, w: Array) -> Array:
        """Return the Hessian of `value`, exactly symmetric."""
        path = self._path(w)
        curvature = self.query._hessians(path[-1])
        adjoint = self.query._gradients(path[-1]) if self.count else curvature
        for j in reversed(range(self.count)):
            u, alpha = path[j], self._alphas[j]
            if isinstance(alpha, np.ndarray):
                contraction = np.eye(w.size) - alpha[:, :, np.newaxis] * self.tasks._hessians(u)
                third = self.tasks._thirds(u, alpha * adjoint)
                back = contraction.transpose(0, 2, 1)
            else:
                contraction = np.eye(w.size) - alpha * self.tasks._hessians(u)
                third = alpha * self.tasks._thirds(u, adjoint)
                back = contraction
            curvature = back @ curvature @ contraction - third
            adjoint = np.einsum("mij,mj->mi", back, adjoint)
        total = np.tensordot(self.tasks.weights, curvature, 1)
        return np.asarray(0.5 * (total + total.T))

    @_overflows_quietly
    def first_order_gradient(self, w: Array) -> Array:
        """Return sum_i p_i grad g_i(u_i)."""
        return np.asarray(self.tasks.weights @ self.query._gradients(self._path(w)[-1]))

    @_overflows_quietly
    def reptile_gradient(self, w: Array) -> Array:
        """Return the weighted sum of the inner gradients, sum_i p_i (w - u_i)/alpha for a number alpha."""
        u = np.tile(w, (self.tasks.n_tasks, 1))
        total = np.zeros_like(u)
        for alpha in self._alphas:
            gradients = self.tasks._gradients(u)
            total += gradients
            u = u - alpha * gradients
        return np.asarray(self.tasks.weights @ total)

    def gradient_over(self, w: Array, tasks: Integers) -> Array:
        """Return the plain mean of the gradients of g_i(u_i) over some tasks, which may repeat."""
        return self._over(tasks).gradient(w)

    def first_order_gradient_over(self, w: Array, tasks: Integers) -> Array:
        """Return the plain mean of grad g_i(u_i) over some tasks."""
        return self._over(tasks).first_order_gradient(w)

    def reptile_gradient_over(self, w: Array, tasks: Integers) -> Array:
        """Return the plain mean of the sums of the inner gradients over some tasks."""
        return self._over(tasks).reptile_gradient(w)

    def _over(self, tasks: Integers) -> NumpyLoop:
        p = np.full(tasks.size, 1.0 / tasks.size)
        support = self.tasks._restricted(tasks, p)
        query = support if self.query is self.tasks else self.query._restricted(tasks, p)
        return NumpyLoop(support, query, of_tasks(self.alpha, tasks), self.count)

    @_overflows_quietly
    def first_order_jacobians(self, w: Array) -> tuple[Array, Array]:
        """Return the Jacobians of `first_order_gradient` and of `reptile_gradient`."""
        path = self._path(w)
        inner = np.tile(np.eye(w.size), (self.tasks.n_tasks, 1, 1))
        slopes = np.zeros_like(inner)
        for u, alpha in zip(path, self._alphas, strict=False):
            product = self.tasks._hessians(u) @ inner
            slopes += product
            rows = alpha[:, :, np.newaxis] if isinstance(alpha, np.ndarray) else alpha
            inner = inner - rows * product
        p = self.tasks.weights
        fomaml = np.tensordot(p, self.query._hessians(path[-1]) @ inner, 1)
        return fomaml, np.tensordot(p, slopes, 1)

    def native_gradient_field(self) -> None:
        """Return None: only Python can evaluate these losses."""

    native_curved_field = native_gradient_field
    native_first_order_field = native_gradient_field
    native_reptile_field = native_gradient_field

    def _path(self, w: Array) -> list[Array]:
        """Return u_0, ..., u_k: (M, d) each, or (1, d) where all tasks stay at w."""
        path = [self._shared(w)]
        for alpha in self._alphas:
            path.append(path[-1] - alpha * self.tasks._gradients(path[-1]))
        return path

    @cached_property
    def _alphas(self) -> list[Any]:
        """The step size of every step: a number, or an array (1 or M, 1 or d)."""
        return [np.atleast_2d(a) if np.ndim(a) else a for a in of_steps(self.alpha, self.count)]

    def _hessian_of_step(self, u: Array, alpha: Any, adjoint: Array) -> Array:
        """Return Hess f_i(u) D q, D = diag(alpha): for an array the order matters."""
        if isinstance(alpha, np.ndarray):
            return self.tasks._hvps(u, alpha * adjoint)
        return np.asarray(alpha * self.tasks._hvps(u, adjoint))

    def _shared(self, w: Array) -> Array:
        return np.tile(w, (self.tasks.n_tasks if self.count else 1, 1))

    def native_modified_field(self, step_size: float) -> None:
        """Return None, likewise."""
