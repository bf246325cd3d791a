"""What families made by automatic differentiation share: JAX's and torch's."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_point, freeze
from maml_ode.tasks.adapters.agreement import Route
from maml_ode.tasks.base import Smoothness, TaskFamily

__all__ = ["MATRICES", "VECTORS", "AutodiffFamily", "Points"]

VECTORS = ("losses", "gradients", "hvps", "third_vectors")
MATRICES = ("hessians", "thirds")

Points = tuple[Array, Array, Array]
# Numbers in M matrices of d x d up to which they are made in one call: 8 MB.
ENTRIES_AT_ONCE = 2**20


class AutodiffFamily(TaskFamily):
    """M losses that a framework differentiates, in double precision, one batched call a product.

    Attributes
    ----------
    w0 : ndarray of shape (d,)
        The parameters that the family was made with.
    """

    w0: Array
    _data: Any

    def __init__(self, n_tasks: int, w0: Array, weights: Any, smoothness: Smoothness) -> None:
        super().__init__(n_tasks, w0.size, weights, smoothness)
        self.w0 = freeze(w0)

    @abstractmethod
    def unravel(self, w: Any) -> Any:
        """Return the parameters that ``w``, of shape (d,), holds, in double precision."""

    @abstractmethod
    def _confirmed(self) -> dict[str, Route]:
        """Return a route (W, ...) -> result for every product, each confirmed by a second one."""

    @cached_property
    def _routes(self) -> dict[str, Route]:
        return self._confirmed()

    @property
    def _matrices_at_once(self) -> bool:
        return self.n_tasks * self.dim**2 <= ENTRIES_AT_ONCE

    def _checkpoints(self) -> list[Points]:
        """Return where routes may be compared, a point and two directions a task: near w0, on no kink, or there.

        The second is for losses that are not finite at the first.
        """
        rng = np.random.default_rng(0)
        shape = (self.n_tasks, self.dim)
        spread = 0.1 * (math.sqrt(float(np.mean(self.w0**2))) or 1.0)
        near = self.w0 + spread * rng.standard_normal(shape)
        v, q = rng.standard_normal((2, *shape)) / math.sqrt(self.dim)
        return [(near, v, q), (np.tile(self.w0, (self.n_tasks, 1)), v, q)]

    def _flat(self, w: Any) -> Array:
        return as_point("w", w, self.dim)

    def _all(self, product: str, *points: Array) -> Array:
        shape = (self.n_tasks, self.dim)
        return self._routes[product](*(np.broadcast_to(p, shape) for p in points))

    def _losses(self, w: Array) -> Array:
        return self._all("losses", w)

    def _gradients(self, w: Array) -> Array:
        return self._all("gradients", w)

    def _hvps(self, w: Array, v: Array) -> Array:
        return self._all("hvps", w, v)

    def _third_vectors(self, w: Array, v: Array, q: Array) -> Array:
        return self._all("third_vectors", w, v, q)

    def _hessians(self, w: Array) -> Array:
        if self._matrices_at_once:
            return self._all("hessians", w)
        return self._by_columns("hvps", w)

    def _thirds(self, w: Array, v: Array) -> Array:
        if self._matrices_at_once:
            return self._all("thirds", w, v)
        return self._by_columns("third_vectors", w, v)

    def _by_columns(self, product: str, *points: Array) -> Array:
        out = np.empty((self.n_tasks, self.dim, self.dim))
        for k in range(self.dim):
            unit = np.zeros((1, self.dim))
            unit[0, k] = 1.0
            out[:, :, k] = self._all(product, *points, unit)
        return out

    @abstractmethod
    def _rows_of_data(self, chosen: npt.NDArray[np.intp]) -> Any:
        """Return the data of the chosen tasks."""

    def _restricted(self, chosen: npt.NDArray[np.intp], weights: Array) -> TaskFamily:
        part = copy.copy(self)
        part._data = self._rows_of_data(chosen)
        part.n_tasks, part.weights = len(chosen), freeze(np.array(weights))
        for name in ("identity", "_checked_at"):
            part.__dict__.pop(name, None)
        return part

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_routes", None)  # compiled, and confirmed, anew on the other side
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        freeze(self.w0)
