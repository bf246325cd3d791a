"""What every task family is: M losses f_i on a shared parameter w in R^d, with weights p_i."""

from __future__ import annotations

import enum
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_points, as_weights, check_count, freeze, shown

if TYPE_CHECKING:
    from maml_ode.compiled.batches import BatchedKernels
    from maml_ode.compiled.contract import Kernels, TapedKernels
    from maml_ode.tasks.least_squares import LeastSquares

__all__ = [
    "CompiledFamily",
    "MissingDerivative",
    "QuadraticTerms",
    "Smoothness",
    "TaskFamily",
    "checked_family",
]


class Smoothness(enum.IntEnum):
    """How many derivatives of each f_i are continuous.

    The MAML loss evaluates f_i after a gradient step, so it loses one: with ``CONTINUOUS`` losses
    (the plain hinge) F itself jumps, with ``GRADIENT`` (the squared hinge) grad F jumps.
    """

    CONTINUOUS = 0
    GRADIENT = 1
    HESSIAN = 2
    SMOOTH = 3


class MissingDerivative(TypeError):
    """A family was asked for a derivative that it was not given."""


@dataclass(frozen=True, eq=False)
class QuadraticTerms:
    """The terms of f_i(w) = w'H_i w/2 - b_i'w + c_i: H (M, d, d), b (M, d), c (M,).

    ``H_error`` and ``b_error``, both (M,), bound the 2-norms of the rounding of H_i and b_i where they were
    formed from data; None where they are the data.
    """

    H: Array
    b: Array
    c: Array
    H_error: Array | None = None
    b_error: Array | None = None


class TaskFamily(ABC):
    """M task losses f_i on a shared parameter w in R^d with weights p_i >= 0, sum p_i = 1.

    Every public method takes ``w`` of shape ``(d,)`` (all tasks at one point) or ``(M, d)`` (one
    point per task) and returns a fresh array whose first axis is the task. Concrete families
    implement the underscored methods, which receive validated ``(1 or M, d)`` arrays.

    Parameters
    ----------
    n_tasks, dim : int
        M and d.
    weights : array_like of shape (M,), optional
        p_i; uniform by default. Refused if negative or not summing to 1; float32 and float16 weights may
        miss 1 by their own rounding.
    smoothness : Smoothness
        How many derivatives of the losses are continuous.
    """

    n_tasks: int
    dim: int
    weights: Array
    smoothness: Smoothness

    def __init__(
        self,
        n_tasks: int,
        dim: int,
        weights: npt.ArrayLike | None = None,
        smoothness: Smoothness = Smoothness.SMOOTH,
    ) -> None:
        self.n_tasks = check_count("n_tasks", n_tasks)
        self.dim = check_count("dim", dim)
        if not isinstance(smoothness, Smoothness):
            raise TypeError(
                f"smoothness must be a member of maml_ode.tasks.Smoothness, not {shown(smoothness)}."
            )
        self.weights = freeze(as_weights(weights, self.n_tasks))
        self.smoothness = smoothness

    @property
    def problem(self) -> Any | None:
        """The native handle for the compiled layer, or None for a family that runs in Python."""
        return None

    @property
    def curved_problem(self) -> Any | None:
        """`problem` with whatever Hessians of the losses and third derivatives need."""
        return self.problem

    @property
    def batched_kernels(self) -> BatchedKernels | None:
        """Kernels that evaluate many points at once, or None where these would gain nothing."""
        return None

    @property
    def points_at_once(self) -> int:
        """At how many points the batched kernels are to be asked at once."""
        return 1

    @property
    def quadratic(self) -> QuadraticTerms | None:
        """The terms H, b, c if every f_i is quadratic and they are worth forming, else None."""
        return None

    @property
    def identity(self) -> str | None:
        """A digest of the losses and their weights; None where they are Python functions."""
        return None

    @property
    def _least_squares(self) -> LeastSquares | None:
        """The losses as s_i ||y_i - X_i w||^2 where they are that and X_i can be factored, else None."""
        return None

    @property
    def has_hvps(self) -> bool:
        """Whether Hessian-vector products are available (the MAML gradient needs them)."""
        return True

    @property
    def has_thirds(self) -> bool:
        """Whether third derivatives are available (the Hessian of the MAML loss needs them)."""
        return True

    def losses(self, w: npt.ArrayLike) -> Array:
        """Return f_i(w), shape (M,)."""
        return self._losses(self._points(w))

    def gradients(self, w: npt.ArrayLike) -> Array:
        """Return grad f_i(w), shape (M, d)."""
        return self._gradients(self._points(w))

    def hessians(self, w: npt.ArrayLike) -> Array:
        """Return Hess f_i(w), shape (M, d, d)."""
        return self._hessians(self._points(w))

    def hvps(self, w: npt.ArrayLike, v: npt.ArrayLike) -> Array:
        """Return Hess f_i(w) v, shape (M, d); ``v`` has shape (d,) or (M, d)."""
        return self._hvps(self._points(w), self._points(v, "v"))

    def third(self, w: npt.ArrayLike, v: npt.ArrayLike) -> Array:
        """Return D^3 f_i(w)[v, ., .], shape (M, d, d); ``v`` has shape (d,) or (M, d)."""
        return self._thirds(self._points(w), self._points(v, "v"))

    def third_vectors(self, w: npt.ArrayLike, v: npt.ArrayLike, q: npt.ArrayLike) -> Array:
        """Return D^3 f_i(w)[v, q, .], shape (M, d), without a d x d matrix where possible."""
        return self._third_vectors(self._points(w), self._points(v, "v"), self._points(q, "q"))

    def _points(self, w: npt.ArrayLike, name: str = "w") -> Array:
        return as_points(name, w, self.n_tasks, self.dim)

    @abstractmethod
    def _losses(self, w: Array) -> Array: ...

    @abstractmethod
    def _gradients(self, w: Array) -> Array: ...

    @abstractmethod
    def _hessians(self, w: Array) -> Array: ...

    @abstractmethod
    def _hvps(self, w: Array, v: Array) -> Array: ...

    @abstractmethod
    def _thirds(self, w: Array, v: Array) -> Array: ...

    @abstractmethod
    def _third_vectors(self, w: Array, v: Array, q: Array) -> Array: ...

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        freeze(self.weights)  # a copied or unpickled array is writable

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n_tasks={self.n_tasks}, dim={self.dim})"


def checked_family(tasks: TaskFamily, name: str = "tasks") -> TaskFamily:
    """Return ``tasks`` if it is a task family.

    Raises
    ------
    TypeError
        If it is not.
    """
    if not isinstance(tasks, TaskFamily):
        raise TypeError(
            f"{name} must be a task family such as mo.tasks.Quadratic(...), not {type(tasks).__name__}; "
            "wrap your own functions with mo.tasks.from_callables."
        )
    return tasks


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
        """The native handle for the compiled layer; second and third derivatives may be NaN (`curved_problem`)."""
        from maml_ode.compiled.contract import pack
        from maml_ode.compiled.curvature import without_curvature

        floats, integers = self._packed()
        return pack(without_curvature(self._kernels()), self.weights, floats, integers)

    @cached_property
    def curved_problem(self) -> Any:
        """The same handle once it has the kernels of second and third order too, which are compiled for it."""
        from maml_ode.compiled.curvature import complete

        complete(self.problem, self._kernels())
        return self.problem

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
        for name in ("problem", "curved_problem"):  # a native handle; rebuilt on the other side
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
