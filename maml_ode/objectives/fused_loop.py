"""The inner loop as a family's own code runs it, in one call for all tasks and all steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from maml_ode._validation import Array
from maml_ode.objectives.numpy_loop import Integers, NumpyLoop
from maml_ode.tasks.base import FusedSteps

__all__ = ["FusedLoop"]

# Far above what the order of additions changes, far below what a wrong program does.
SAME = 1e-8


@dataclass(frozen=True, eq=False)
class FusedLoop(NumpyLoop):
    """An `InnerLoop` on ``TaskFamily.fused_steps``, each of whose results `NumpyLoop` confirms once.

    The two are different programs for the same numbers; where they differ, those of the families' own products,
    which have been confirmed one by one, are taken from then on.
    """

    _trusted: dict[str, bool] = field(default_factory=dict)

    @property
    def _steps(self) -> FusedSteps:
        # Asked for anew each time: compiled programs do not survive a pickle, the families do.
        steps = self.tasks.fused_steps(self.query, self.count)
        if steps is None:
            raise RuntimeError("the families have no fused steps; this is a defect of maml_ode.")
        return steps

    @property
    def _alpha(self) -> Any:
        alpha = np.asarray(self.alpha, dtype=np.float64)
        shape = (self.count, self.tasks.n_tasks, self.tasks.dim)
        return alpha if alpha.ndim == 0 else np.broadcast_to(alpha, shape)

    def adapt(self, w: Array) -> Array:
        """Return the adapted points u_i, shape (M, d)."""
        if self._trusted.get("adapt", True):
            return np.asarray(self._confirmed("adapt", self._steps.adapt(w, self._alpha), w))
        return super().adapt(w)

    def value(self, w: Array) -> float:
        """Return sum_i p_i g_i(u_i)."""
        if self._trusted.get("value", True):
            return float(self._confirmed("value", self._steps.value(w, self._alpha), w))
        return super().value(w)

    def gradient(self, w: Array) -> Array:
        """Return the gradient of `value`."""
        if self._trusted.get("gradient", True):
            return np.asarray(self._confirmed("gradient", self._steps.gradient(w, self._alpha), w))
        return super().gradient(w)

    def hvp(self, w: Array, v: Array) -> Array:
        """Return the Hessian of `value` times ``v``."""
        if self._trusted.get("hvp", True):
            return np.asarray(self._confirmed("hvp", self._steps.hvp(w, v, self._alpha), w, v))
        return super().hvp(w, v)

    def gradient_over(self, w: Array, tasks: Integers) -> Array:
        """Return the plain mean of the gradients of g_i(u_i) over some tasks, which may repeat."""
        if self._trusted.get("gradient_over", True):
            alpha = self._alpha
            own = alpha if alpha.ndim == 0 else alpha[:, tasks]
            result = self._steps.over(tasks).gradient(w, own)
            return np.asarray(self._confirmed("gradient_over", result, w, tasks))
        return super().gradient_over(w, tasks)

    def _confirmed(self, name: str, result: Any, *arguments: Any) -> Any:
        """Return the result; the first finite one of its kind is compared with the other engine's."""
        if name in self._trusted or not np.isfinite(result).all():
            return result
        other = getattr(NumpyLoop, name)(self, *arguments)
        gap = float(np.abs(result - other).max())
        self._trusted[name] = bool(gap <= SAME * float(np.abs(other).max()))
        return result if self._trusted[name] else other
