"""Inner steps on every task, and what is differentiated through them: compiled, or in NumPy.

The formulas are those of ``maml_ode.compiled.maml``, which runs where every family is packed. The NumPy
branches serve families that only Python can evaluate; they work on all tasks at once.
"""

from __future__ import annotations

import numpy as np

from maml_ode._validation import Array, check_count, check_real
from maml_ode.tasks.base import TaskFamily, checked_family

__all__ = ["InnerLoop"]


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


class InnerLoop:
    """k gradient steps of size alpha on every task from a shared w, judged by query losses.

    Parameters
    ----------
    tasks : TaskFamily
        f_i, on which the inner steps are taken.
    alpha : float
        Inner step size, at least 0.
    inner_steps : int
        k, at least 1.
    query : TaskFamily, optional
        g_i of the same size and weights; f_i by default.
    """

    def __init__(
        self, tasks: TaskFamily, alpha: float, inner_steps: int, query: TaskFamily | None
    ) -> None:
        self.tasks = checked_family(tasks)
        self.alpha = check_real("alpha", alpha, minimum=0.0)
        self.inner_steps = check_count("inner_steps", inner_steps)
        self.query = _checked_query(tasks, query)

    @property
    def compiled(self) -> bool:
        """Whether both families are packed for the compiled layer."""
        return self.tasks.problem is not None and self.query.problem is not None

    def adapt(self, w: Array) -> Array:
        """Return the adapted points u_i, shape (M, d)."""
        if self.tasks.problem is None:
            return self._path(w)[-1]
        from maml_ode.compiled import maml

        out = np.empty((self.tasks.n_tasks, w.size))
        maml.adapt(self.tasks.problem, w, self.alpha, self.inner_steps, out)
        return out

    def value(self, w: Array) -> float:
        """Return sum_i p_i g_i(u_i)."""
        if not self.compiled:
            return float(self.tasks.weights @ self.query._losses(self._path(w)[-1]))
        from maml_ode.compiled import maml

        problems = self.tasks.problem, self.query.problem
        return float(maml.value(*problems, w, self.alpha, self.inner_steps))

    def gradient(self, w: Array) -> Array:
        """Return the gradient of `value`."""
        if not self.compiled:
            path = self._path(w)
            adjoint = self.query._gradients(path[-1])
            for u in reversed(path[:-1]):
                adjoint = adjoint - self.alpha * self.tasks._hvps(u, adjoint)
            return np.asarray(self.tasks.weights @ adjoint)
        from maml_ode.compiled import maml

        out = np.empty(w.size)
        problems = self.tasks.problem, self.query.problem
        maml.gradient(*problems, w, self.alpha, self.inner_steps, out)
        return out

    def hvp(self, w: Array, v: Array) -> Array:
        """Return the Hessian of `value` times ``v``."""
        if self.compiled:
            from maml_ode.compiled import maml

            out = np.empty(w.size)
            problems = self.tasks.problem, self.query.problem
            maml.hvp(*problems, w, v, self.alpha, self.inner_steps, out)
            return out
        path = self._path(w)
        tangents = [np.tile(v, (self.tasks.n_tasks, 1))]
        for u in path[:-1]:
            tangents.append(tangents[-1] - self.alpha * self.tasks._hvps(u, tangents[-1]))
        adjoint = self.query._gradients(path[-1])
        adjoint_tangent = self.query._hvps(path[-1], tangents[-1])
        for j in range(self.inner_steps - 1, -1, -1):
            u = path[j]
            third = self.tasks._third_vectors(u, tangents[j], adjoint)
            product = self.tasks._hvps(u, adjoint_tangent)
            adjoint_tangent = adjoint_tangent - self.alpha * (product + third)
            if j > 0:
                adjoint = adjoint - self.alpha * self.tasks._hvps(u, adjoint)
        return np.asarray(self.tasks.weights @ adjoint_tangent)

    def hessian(self, w: Array) -> Array:
        """Return the Hessian of `value`, exactly symmetric."""
        if self.compiled:
            from maml_ode.compiled import maml

            out = np.empty((w.size, w.size))
            problems = self.tasks.problem, self.query.problem
            maml.hessian(*problems, w, self.alpha, self.inner_steps, out)
            return out
        path = self._path(w)
        adjoint = self.query._gradients(path[-1])
        curvature = self.query._hessians(path[-1])
        for u in reversed(path[:-1]):
            contraction = np.eye(w.size) - self.alpha * self.tasks._hessians(u)
            third = self.tasks._thirds(u, adjoint)
            curvature = contraction @ curvature @ contraction - self.alpha * third
            adjoint = np.einsum("mij,mj->mi", contraction, adjoint)
        total = np.tensordot(self.tasks.weights, curvature, 1)
        return np.asarray(0.5 * (total + total.T))

    def first_order_gradient(self, w: Array) -> Array:
        """Return sum_i p_i grad g_i(u_i)."""
        if not self.compiled:
            return np.asarray(self.tasks.weights @ self.query._gradients(self._path(w)[-1]))
        from maml_ode.compiled import maml

        out = np.empty(w.size)
        problems = self.tasks.problem, self.query.problem
        maml.first_order_gradient(*problems, w, self.alpha, self.inner_steps, out)
        return out

    def reptile_gradient(self, w: Array) -> Array:
        """Return sum_i p_i (w - u_i)/alpha, the weighted sum of the inner gradients."""
        if self.tasks.problem is None:
            u = np.tile(w, (self.tasks.n_tasks, 1))
            total = np.zeros_like(u)
            for _ in range(self.inner_steps):
                gradients = self.tasks._gradients(u)
                total += gradients
                u = u - self.alpha * gradients
            return np.asarray(self.tasks.weights @ total)
        from maml_ode.compiled import maml

        out = np.empty(w.size)
        maml.reptile_gradient(self.tasks.problem, w, self.alpha, self.inner_steps, out)
        return out

    def first_order_jacobians(self, w: Array) -> tuple[Array, Array]:
        """Return the Jacobians of `first_order_gradient` and of `reptile_gradient`."""
        d = w.size
        if self.compiled:
            from maml_ode.compiled import maml

            fomaml, reptile = np.empty((d, d)), np.empty((d, d))
            problems = self.tasks.problem, self.query.problem
            maml.first_order_jacobians(*problems, w, self.alpha, self.inner_steps, fomaml, reptile)
            return fomaml, reptile
        path = self._path(w)
        inner = np.tile(np.eye(d), (self.tasks.n_tasks, 1, 1))
        slopes = np.zeros_like(inner)
        for u in path[:-1]:
            product = self.tasks._hessians(u) @ inner
            slopes += product
            inner = inner - self.alpha * product
        p = self.tasks.weights
        fomaml = np.tensordot(p, self.query._hessians(path[-1]) @ inner, 1)
        return fomaml, np.tensordot(p, slopes, 1)

    def _path(self, w: Array) -> list[Array]:
        """Return u_0, ..., u_k, each (M, d)."""
        path = [np.tile(w, (self.tasks.n_tasks, 1))]
        for _ in range(self.inner_steps):
            path.append(path[-1] - self.alpha * self.tasks._gradients(path[-1]))
        return path
