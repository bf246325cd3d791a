"""What the families in compiled code share: their packed data, their kernels, their native handle."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.tasks.base import TaskFamily

if TYPE_CHECKING:
    from maml_ode.compiled.contract import Kernels, TapedKernels
    from maml_ode.compiled.loops import Loops

__all__ = ["CompiledFamily"]


class CompiledFamily(TaskFamily):
    """A family that is its packed data and its Numba kernels (``maml_ode.compiled.contract``).

    A subclass provides ``_kernels()`` and ``_packed()``; both are called once, at the first
    evaluation, so that building a family compiles nothing.
    """

    @abstractmethod
    def _kernels(self) -> Kernels | TapedKernels:
        """Return the family's kernels (importing their module here keeps construction light)."""

    @abstractmethod
    def _packed(self) -> tuple[Array, npt.NDArray[np.int64]]:
        """Return the data in the flat layout that the kernels read."""

    @cached_property
    def problem(self) -> Any:
        """The native handle for the compiled layer, maybe without higher derivatives (`curved_problem`)."""
        from maml_ode.compiled.contract import pack
        from maml_ode.compiled.curvature import complete, waits

        kernels = self._kernels()
        handle = pack(kernels, self.weights, *self._packed())
        if not waits(kernels):
            complete(handle, kernels)
        return handle

    @cached_property
    def curved_problem(self) -> Any:
        """The same handle once it has the kernels of second and third order too, which are compiled for it."""
        from maml_ode.compiled.curvature import complete, waits

        handle, kernels = self.problem, self._kernels()
        if waits(kernels):
            complete(handle, kernels)
        return handle

    @cached_property
    def loops(self) -> Loops | None:
        """Loops over tasks and inner steps for the kind of kernels that the family has, if there are any."""
        from maml_ode.compiled.contract import TapedKernels
        from maml_ode.compiled.loops import FOR_TAPED

        return FOR_TAPED if isinstance(self._kernels(), TapedKernels) else None

    @cached_property
    def identity(self) -> str:
        """A digest of the class, the formula, the packed data and the weights."""
        digest = hashlib.sha256(f"{type(self).__name__} {self._formula()}".encode())
        for array in (np.array([self.n_tasks, self.dim]), self.weights, *self._content()):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _content(self) -> Iterable[npt.NDArray[Any]]:
        """Return what `identity` reads: the packed data, unless their layout is a matter of speed."""
        return self._packed()

    def _formula(self) -> str:
        """Return what tells this family's losses from others with the same class and packed data."""
        return ""

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        # Native handles and compiled functions; found again on the other side.
        for name in ("problem", "curved_problem", "loops"):
            state.pop(name, None)
        return state

    def _losses(self, w: Array) -> Array:
        from maml_ode.compiled import family

        out = np.empty(self.n_tasks)
        family.losses(self.problem, w, out)
        return out

    def _gradients(self, w: Array) -> Array:
        from maml_ode.compiled import family

        out = np.empty((self.n_tasks, self.dim))
        family.gradients(self.problem, w, out)
        return out

    def _hessians(self, w: Array) -> Array:
        from maml_ode.compiled import family

        out = np.empty((self.n_tasks, self.dim, self.dim))
        family.hessians(self.curved_problem, w, out)
        return out

    def _hvps(self, w: Array, v: Array) -> Array:
        from maml_ode.compiled import family

        out = np.empty((self.n_tasks, self.dim))
        family.hvps(self.problem, w, v, out)
        return out

    def _thirds(self, w: Array, v: Array) -> Array:
        from maml_ode.compiled import family

        out = np.empty((self.n_tasks, self.dim, self.dim))
        family.thirds(self.curved_problem, w, v, out)
        return out

    def _third_vectors(self, w: Array, v: Array, q: Array) -> Array:
        from maml_ode.compiled import family

        out = np.empty((self.n_tasks, self.dim))
        family.third_vectors(self.curved_problem, w, v, q, out)
        return out
