"""What inner steps pass on: derivatives of grad F, FO-MAML and Reptile by alpha, weights and along a vector.

With u_0 = w, u_{j+1} = u_j - D_j g_j, g_j = grad f_i(u_j), D_j = diag(alpha_j), q_k = grad g_i(u_k) and
q_j = q_{j+1} - Hess f_i(u_j) D_j q_{j+1}, so that grad F_i = q_0, a change delta_j of the step sizes gives

    t_0 = 0,    t_{j+1} = t_j - D_j Hess f_i(u_j) t_j - delta_j g_j,    dq_k = Hess g_i(u_k) t_k,
    dq_j = dq_{j+1} - Hess f_i(u_j)(D_j dq_{j+1} + delta_j q_{j+1}) - D^3 f_i(u_j)[t_j, D_j q_{j+1}],

all tasks at once: a change of every task's step size is told apart by task, since tasks do not mix.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.objectives.inner_loop import InnerSteps
from maml_ode.objectives.step_sizes import of_steps

__all__ = ["InnerDerivatives"]


class InnerDerivatives:
    """Derivatives of the three sums over tasks that fields are made of.

    Parameters
    ----------
    steps : InnerSteps
    kind : {"maml", "fomaml", "reptile"}
        sum p_i grad(g_i(u_i)), sum p_i grad g_i(u_i), or the weighted sum of the inner gradients.
    """

    def __init__(self, steps: InnerSteps, kind: str) -> None:
        self.steps, self.kind = steps, kind
        self.tasks, self.query = steps.tasks, steps.query
        self.weights: Array = steps.tasks.weights
        self._sizes: list[Any] = of_steps(steps.alpha, steps.count)

    @cached_property
    def alpha_passes(self) -> int:
        """How many passes over the tasks the derivatives by all entries of alpha take."""
        return sum(1 for _ in self._changes())

    def cost(self, alpha: bool, weights: bool, columns: int) -> Counts:
        """Return what `by_alpha`, `by_weights` and ``columns`` of `products` cost together, with their path."""
        k, passes = self.steps.count, self.alpha_passes if alpha else 0
        gradients, hvps, thirds = k, 0, 0
        if self.kind == "maml":
            gradients += 1
            hvps += (k if weights else max(k - 1, 0)) + passes * 2 * k
            thirds += passes * max(k - 1, 0)
        elif self.kind == "fomaml":
            gradients += int(weights)
            hvps += passes * k + columns * (k + 1)
        else:
            hvps += passes * max(k - 1, 0) + columns * k
        return Counts(gradients=gradients, hvps=hvps, third_vectors=thirds)

    def at(self, w: Array) -> _AtPoint:
        """Return the derivatives at ``w``."""
        return _AtPoint(self, w)

    def _changes(self) -> Iterator[tuple[list[Any], bool]]:
        """Yield changes of the step sizes, and whether each task's is another entry of alpha; in C order."""
        k, d = self.steps.count, self.tasks.dim
        alpha = self.steps.alpha
        if not isinstance(alpha, np.ndarray):
            yield [1.0] * k, False
            return
        shape = (1,) * (3 - alpha.ndim) + alpha.shape
        for step, coordinate in product(range(shape[0]), range(shape[2])):
            row = np.ones(d) if shape[2] == 1 else np.eye(d)[coordinate]
            yield (
                [row if shape[0] == 1 or j == step else np.zeros(d) for j in range(k)],
                shape[1] > 1,
            )

    def in_order(self, passes: list[Array]) -> Array:
        """Return the columns of all passes in the C order of alpha, one a row."""
        alpha = self.steps.alpha
        if not isinstance(alpha, np.ndarray):
            return np.array(passes)
        first, tasks, last = (1,) * (3 - alpha.ndim) + alpha.shape
        d = self.tasks.dim
        blocks = np.array(passes).reshape(first, last, tasks, d)
        return np.ascontiguousarray(blocks.transpose(0, 2, 1, 3)).reshape(-1, d)


class _AtPoint:
    """The derivatives at one point, which share the path of the inner steps."""

    def __init__(self, owner: InnerDerivatives, w: Array) -> None:
        self._of, tasks = owner, owner.tasks
        self._u, self._g = [np.tile(w, (tasks.n_tasks, 1))], []
        for size in owner._sizes:
            self._g.append(tasks._gradients(self._u[-1]))
            self._u.append(self._u[-1] - size * self._g[-1])

    @cached_property
    def _q(self) -> list[Array]:
        """q_1, ..., q_k, and before them nothing; q_0 is found where weights ask for it."""
        of, k = self._of, self._of.steps.count
        q = [of.query._gradients(self._u[-1])]
        for j in range(k - 1, 0, -1):
            q.append(q[-1] - of.tasks._hvps(self._u[j], of._sizes[j] * q[-1]))
        return q[::-1]

    def by_weights(self) -> Array:
        """Return the derivatives of the sum by every p_i, one a row, shape (M, d)."""
        of = self._of
        if of.kind == "fomaml":
            return of.query._gradients(self._u[-1])
        if of.kind == "reptile":
            return np.asarray(sum(self._g))
        if of.steps.count == 0:
            return self._q[0]
        return self._q[0] - of.tasks._hvps(self._u[0], of._sizes[0] * self._q[0])

    def by_alpha(self) -> Array:
        """Return the derivatives of the sum by every entry of alpha, one a row."""
        of, passes = self._of, []
        for change, by_task in of._changes():
            of_tasks = self._one_change(change)
            passes.append(
                of.weights[:, np.newaxis] * of_tasks if by_task else of.weights @ of_tasks
            )
        return of.in_order(passes)

    def products(self, directions: Array) -> Array:
        """Return the sum's Jacobian times every row of ``directions``, for FO-MAML and Reptile."""
        of = self._of
        out = np.empty_like(directions)
        for row, direction in enumerate(directions):
            t, total = np.tile(direction, (of.tasks.n_tasks, 1)), np.zeros_like(self._u[0])
            for u, size in zip(self._u, of._sizes, strict=False):
                slope = of.tasks._hvps(u, t)
                total += slope
                t = t - size * slope
            if of.kind == "fomaml":
                total = of.query._hvps(self._u[-1], t)
            out[row] = of.weights @ total
        return out

    def _one_change(self, change: list[Any]) -> Array:
        """Return the change of every task's term, shape (M, d)."""
        of, k = self._of, self._of.steps.count
        t, total = [np.zeros_like(self._u[0])], np.zeros_like(self._u[0])
        for j in range(k):
            moved = t[-1] - change[j] * self._g[j]
            if j > 0:
                slope = of.tasks._hvps(self._u[j], t[-1])
                total += slope
                moved -= of._sizes[j] * slope
            t.append(moved)
        if of.kind == "reptile":
            return total
        dq = of.query._hvps(self._u[-1], t[-1])
        if of.kind == "fomaml":
            return dq
        for j in range(k - 1, -1, -1):
            q, size = self._q[j], of._sizes[j]
            back = of.tasks._hvps(self._u[j], size * dq + change[j] * q)
            if j > 0:
                back = back + of.tasks._third_vectors(self._u[j], t[j], size * q)
            dq = dq - back
        return dq
