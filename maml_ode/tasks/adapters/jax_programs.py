"""What JAX compiles for a loss: its products for all tasks, and inner steps with their derivatives.

Imported only where JAX is installed. Everything here is called within `double_precision`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maml_ode._validation import Array
from maml_ode.tasks.adapters.agreement import first_confirmed
from maml_ode.tasks.adapters.autodiff import VECTORS, Points
from maml_ode.tasks.adapters.jax_inputs import Layout

__all__ = [
    "FusedPrograms",
    "Layout",
    "Programs",
    "double_precision",
    "shared_programs",
    "signature_of",
]

Tree = Any
# Inner steps up to this many are written out one after the other, more of them as a loop.
UNROLLED = 8
# Losses whose compiled products are kept, with the data's shapes.
KEPT = 16


def double_precision() -> AbstractContextManager[Any]:
    """Return a context in which JAX computes in double, on this thread; its global flag stays what it is."""
    if hasattr(jax, "enable_x64"):
        context: AbstractContextManager[Any] = jax.enable_x64(True)
    else:  # JAX before 0.8
        from jax.experimental import enable_x64

        context = enable_x64(True)
    return context


def signature_of(data: Tree) -> Hashable:
    """Return what a compiled function depends on of its data: structure, shapes and types."""
    leaves, tree = jax.tree.flatten(data)
    return tree, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)


@lru_cache(maxsize=KEPT)
def shared_programs(loss: Callable[..., Any], digest: str, layout: Layout) -> Programs:
    """Return the programs of a loss, the same for all families of it; ``digest`` says what it refers to."""
    return Programs(loss, layout)


class Programs:
    """The products of one task's loss, as JAX compiles them for all tasks.

    Parameters
    ----------
    loss : callable
        ``loss(params, task_data)``.
    layout : Layout
    """

    def __init__(self, loss: Callable[..., Any], layout: Layout) -> None:
        self.loss = loss
        self.layout = layout
        self._confirmed: dict[Hashable, dict[str, Callable[..., Any]]] = {}
        self._fused: dict[tuple[Programs, int], FusedPrograms] = {}
        self.of_one_task: dict[str, Callable[..., Any]] = {
            "losses": self._loss,
            "gradients": self._gradient,
            "hvps": self._hvp,
            "third_vectors": self._third_vector,
            "hessians": lambda w, d: jax.jacfwd(lambda z: self._gradient(z, d))(w),
            "thirds": lambda w, v, d: jax.jacfwd(lambda z: self._hvp(z, v, d))(w),
        }

    def _loss(self, w: Any, d: Tree) -> Any:
        return self.loss(self.layout.unravel(w), d)

    def _gradient(self, w: Any, d: Tree) -> Any:
        return self.layout.ravel(jax.grad(self.loss)(self.layout.unravel(w), d))

    def _hvp(self, w: Any, v: Any, d: Tree) -> Any:
        return jax.jvp(lambda z: self._gradient(z, d), (w,), (v,))[1]

    def _third_vector(self, w: Any, v: Any, q: Any, d: Tree) -> Any:
        return jax.jvp(lambda z: self._hvp(z, v, d), (w,), (q,))[1]

    def confirmed(
        self, products: tuple[str, ...], data: Tree, places: list[Points]
    ) -> dict[str, Callable[..., Any]]:
        """Return a compiled function (W, ..., data) for each product, compared with another route once.

        XLA has been seen to compile a third derivative of a batch wrongly without a word. The other route is one
        program for everything that goes task by task; matrices are compared by their products with a vector.
        """
        key = (products, signature_of(data))
        if key not in self._confirmed:
            task_by_task = looped(self._all_products)
            for w, v, q in places:
                found = [np.asarray(x) for x in task_by_task(w, v, q, data)]
                if all(np.isfinite(x).all() for x in found):
                    break
            witness = dict(zip(VECTORS, found, strict=True))
            arguments = {
                "losses": (w,),
                "gradients": (w,),
                "hvps": (w, v),
                "third_vectors": (w, v, q),
                "hessians": (w, v),
                "thirds": (w, v, q),
            }
            chosen = {}
            for name in products:
                vector = {"hessians": "hvps", "thirds": "third_vectors"}.get(name, name)
                chosen[name] = self._choose(name, data, witness[vector], arguments[name])
            self._confirmed[key] = chosen
        return self._confirmed[key]

    def _choose(
        self, name: str, data: Tree, witness: Array, arguments: tuple[Array, ...]
    ) -> Callable[..., Any]:
        """Return the first of three ways to compile a product that another one confirms."""
        ways = [way(self.of_one_task[name]) for way in (batched, looped, uncompiled)]
        of_matrix = name in ("hessians", "thirds")

        def seen(way: Callable[..., Any]) -> Callable[..., Array]:
            def result(*points: Array) -> Array:
                if not of_matrix:
                    return np.asarray(way(*points, data))
                matrices = np.asarray(way(*points[:-1], data))
                return np.asarray(np.einsum("mij,mj->mi", matrices, points[-1]))

            return result

        routes = [seen(way) for way in ways]
        chosen = first_confirmed(name, routes, lambda *_: witness, arguments)
        return ways[routes.index(chosen)]

    def _all_products(self, w: Any, v: Any, q: Any, d: Tree) -> tuple[Any, ...]:
        return (
            self._loss(w, d),
            self._gradient(w, d),
            self._hvp(w, v, d),
            self._third_vector(w, v, q, d),
        )

    def fused(self, query: Programs, count: int) -> FusedPrograms:
        """Return the programs of ``count`` inner steps on this loss that another one judges."""
        key = (query, count)
        if key not in self._fused:
            self._fused[key] = FusedPrograms(self, query, count)
        return self._fused[key]


def batched(of_one_task: Callable[..., Any]) -> Callable[..., Any]:
    """Return one compiled function for all tasks, whose operations are those of a batch."""
    return jax.jit(jax.vmap(of_one_task))  # type: ignore[no-any-return]


def looped(of_one_task: Callable[..., Any]) -> Callable[..., Any]:
    """Return one compiled function for all tasks that goes from task to task."""
    return jax.jit(lambda *rows: jax.lax.map(lambda row: of_one_task(*row), rows))  # type: ignore[no-any-return]


def uncompiled(of_one_task: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function for all tasks that calls one operation after the other, task by task."""

    def all_tasks(*rows: Any) -> Any:
        count = rows[0].shape[0]
        results = [of_one_task(*jax.tree.map(lambda x, i=i: x[i], rows)) for i in range(count)]
        return jax.tree.map(lambda *parts: jnp.stack(parts), *results)

    return all_tasks


class FusedPrograms:
    """F(w) = sum_i p_i g_i(u_i) with its derivatives, each one compiled call.

    alpha is a number or (k, M, d), p the weights, D and E the support and query data.
    """

    def __init__(self, support: Programs, query: Programs, count: int) -> None:
        self.support, self.query, self.count = support, query, count
        self.adapt: Callable[..., Any] = jax.jit(self._adapt)
        self.value: Callable[..., Any] = jax.jit(self._value)
        self.gradient: Callable[..., Any] = jax.jit(self._gradient)
        self.hvp: Callable[..., Any] = jax.jit(self._hvp)

    def _steps(self, params: Tree, alpha: Any, d: Tree) -> Tree:
        """Take the inner steps of one task; ``alpha`` is a number or (k, d)."""
        sizes = jax.vmap(self.support.layout.unravel)(alpha) if alpha.ndim else None

        def step(params: Tree, size: Tree) -> tuple[Tree, None]:
            slope = jax.grad(self.support.loss)(params, d)
            if size is None:
                return jax.tree.map(lambda x, g: x - alpha * g, params, slope), None
            return jax.tree.map(lambda x, a, g: x - a * g, params, size, slope), None

        unrolled = min(self.count, UNROLLED)
        return jax.lax.scan(step, params, sizes, length=self.count, unroll=unrolled)[0]

    def _judged(self, params: Tree, alpha: Any, d: Tree, e: Tree) -> Any:
        return self.query.loss(self._steps(params, alpha, d), e)

    def _adapt(self, w: Any, alpha: Any, D: Tree) -> Any:
        layout = self.support.layout

        def of_task(alpha: Any, d: Tree) -> Any:
            return layout.ravel(self._steps(layout.unravel(w), alpha, d))

        return jax.vmap(of_task, (_task_axis(alpha), 0))(alpha, D)

    def _value(self, w: Any, alpha: Any, p: Any, D: Tree, E: Tree) -> Any:
        axes = (None, _task_axis(alpha), 0, 0)
        return p @ jax.vmap(self._judged, axes)(self.support.layout.unravel(w), alpha, D, E)

    def _gradient(self, w: Any, alpha: Any, p: Any, D: Tree, E: Tree) -> Any:
        layout, axes = self.support.layout, (None, _task_axis(alpha), 0, 0)
        slopes = jax.vmap(jax.grad(self._judged), axes)(layout.unravel(w), alpha, D, E)
        return layout.ravel(jax.tree.map(lambda x: jnp.tensordot(p, x, 1), slopes))

    def _hvp(self, w: Any, v: Any, alpha: Any, p: Any, D: Tree, E: Tree) -> Any:
        return jax.jvp(lambda z: self._gradient(z, alpha, p, D, E), (w,), (v,))[1]


def _task_axis(alpha: Any) -> int | None:
    return 1 if alpha.ndim else None
