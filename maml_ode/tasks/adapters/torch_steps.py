"""Inner steps in torch, and what is differentiated through them, in one call for all tasks.

Imported only where torch is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.func import grad, jvp, vmap

from maml_ode._validation import Array
from maml_ode.tasks.adapters.torch_inputs import mapped
from maml_ode.tasks.adapters.torch_programs import double_precision

if TYPE_CHECKING:
    from maml_ode.tasks.adapters.torch import TorchFamily

__all__ = ["TorchSteps"]


@dataclass(frozen=True, eq=False)
class TorchSteps:
    """`FusedSteps` of two torch families."""

    tasks: TorchFamily
    query: TorchFamily
    count: int
    chosen: npt.NDArray[np.int64] | None = None

    def adapt(self, w: Array, alpha: Any) -> Array:
        """Return the points u_i, shape (M, d)."""
        return self._run(self._adapted, w, alpha)

    def value(self, w: Array, alpha: Any) -> float:
        """Return F(w)."""
        return float(self._run(self._weighted(self._judged), w, alpha))

    def gradient(self, w: Array, alpha: Any) -> Array:
        """Return grad F(w), shape (d,)."""
        return self._run(self._weighted(grad(self._judged)), w, alpha)

    def hvp(self, w: Array, v: Array, alpha: Any) -> Array:
        """Return Hess F(w) v, shape (d,)."""
        gradient = self._weighted(grad(self._judged))

        def product(w: Any, v: Any, a: Any) -> Any:
            return jvp(lambda z: gradient(z, a), (w,), (v,))[1]

        return self._run(product, w, v, alpha)

    def over(self, chosen: npt.NDArray[np.int64]) -> TorchSteps:
        """Return the steps for the plain mean over some tasks, which may repeat."""
        return replace(self, chosen=chosen)

    def _data_of(self, family: TorchFamily) -> Any:
        if self.chosen is None:
            return family._data
        places = torch.from_numpy(np.array(self.chosen))
        return mapped(family._data, lambda x: x[places])

    def _adapted(self, w: Any, alpha: Any) -> Any:
        steps = self.tasks._programs.adapted
        of_task = vmap(lambda a, d: steps(w, a, self.count, d), in_dims=(_axis(alpha), 0))
        return of_task(alpha, self._data_of(self.tasks))

    def _judged(self, w: Any, alpha: Any, d: Any, e: Any) -> Any:
        u = self.tasks._programs.adapted(w, alpha, self.count, d)
        return self.query._programs.loss(u, e)

    def _weighted(self, of_task: Callable[..., Any]) -> Callable[[Any, Any], Any]:
        """Return sum_i p_i of_task(w, ...), all tasks in one call."""
        count = 0 if self.chosen is None else self.chosen.size
        weights = np.full(count, 1.0 / count) if count else np.array(self.tasks.weights)
        p = torch.from_numpy(weights)

        def total(w: Any, alpha: Any) -> Any:
            all_tasks = vmap(of_task, in_dims=(None, _axis(alpha), 0, 0))
            return p @ all_tasks(w, alpha, self._data_of(self.tasks), self._data_of(self.query))

        return total

    def _run(self, function: Callable[..., Any], *arrays: Any) -> Array:
        with double_precision():
            given = [torch.from_numpy(np.array(a, dtype=np.float64)) for a in arrays]
            return np.array(function(*given).detach().numpy())


def _axis(alpha: Any) -> int | None:
    return 1 if alpha.ndim else None
