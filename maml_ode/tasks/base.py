"""What every task family is: M losses f_i on a shared parameter w in R^d, with weights p_i."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_points, as_weights, check_count, freeze, shown
from maml_ode.tasks.subset import PartialEvaluation, chosen_tasks, shares

if TYPE_CHECKING:
    from maml_ode.compiled.batches import BatchedKernels
    from maml_ode.compiled.loops import Loops
    from maml_ode.tasks.least_squares import LeastSquares

__all__ = [
    "DOUBLE_PRECISION",
    "FusedSteps",
    "MissingDerivative",
    "PrecisionWarning",
    "QuadraticTerms",
    "Smoothness",
    "TaskFamily",
    "abbreviated",
    "checked_family",
]

DOUBLE_PRECISION = float(np.finfo(np.float64).eps)


class Smoothness(enum.IntEnum):
    """How many derivatives of each f_i are continuous.

    The MAML loss evaluates f_i after a gradient step, so it loses one: with ``CONTINUOUS`` losses
    (the plain hinge) F itself jumps, with ``GRADIENT`` (the squared hinge) grad F jumps.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.SVM([[[1.0], [2.0]]], [[1, -1]], loss="squared_hinge")
    >>> tasks.smoothness.name, mo.MAMLLoss(tasks, 0.1).smoothness
    ('GRADIENT', 0)
    """

    CONTINUOUS = 0
    GRADIENT = 1
    HESSIAN = 2
    SMOOTH = 3


class MissingDerivative(TypeError):
    """A family was asked for a derivative that it was not given."""


class PrecisionWarning(UserWarning):
    """A family's functions return numbers of a shorter type than double."""


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


class FusedSteps(Protocol):
    """A family's own code for F(w) = sum_i p_i g_i(u_i), u_i the result of gradient steps on f_i from w.

    ``alpha`` is the step size, a number or an array of shape (k, M, d). Results are fresh.
    """

    def adapt(self, w: Array, alpha: Any) -> Array:
        """Return the points u_i, shape (M, d)."""
        ...

    def value(self, w: Array, alpha: Any) -> float:
        """Return F(w)."""
        ...

    def gradient(self, w: Array, alpha: Any) -> Array:
        """Return grad F(w), shape (d,)."""
        ...

    def hvp(self, w: Array, v: Array, alpha: Any) -> Array:
        """Return Hess F(w) v, shape (d,)."""
        ...

    def over(self, chosen: npt.NDArray[np.int64]) -> FusedSteps:
        """Return the same for the plain mean over some tasks, which may repeat; ``alpha`` is theirs."""
        ...


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

    Examples
    --------
    >>> import maml_ode as mo
    >>> import numpy as np
    >>> class Quartic(mo.tasks.TaskFamily):
    ...     def __init__(self, a): super().__init__(len(a), 1); self.a = np.array(a)[:, None]
    ...     def _losses(self, w): return (self.a * w**4)[:, 0]
    ...     def _gradients(self, w): return 4 * self.a * w**3
    ...     def _hvps(self, w, v): return 12 * self.a * w**2 * v
    ...     def _hessians(self, w): return (12 * self.a * w**2)[:, :, None]
    ...     def _thirds(self, w, v): return (24 * self.a * w * v)[:, :, None]
    ...     def _third_vectors(self, w, v, q): return 24 * self.a * w * v * q
    ...
    >>> mo.check_derivatives(mo.MAMLLoss(Quartic([1.0, 2.0]), 0.01), w=[0.4]).ok
    True
    """

    n_tasks: int
    dim: int
    weights: Array
    smoothness: Smoothness
    names: tuple[Any, ...] | None = None
    """What the tasks are called, where they are called anything: the labels of a table."""

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
    def loops(self) -> Loops | None:
        """The family's own compiled loops over tasks and inner steps (``maml_ode.compiled.loops``), if any."""
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
        """A digest of the losses and their weights; None where it cannot be told what they are."""
        return None

    @property
    def precision(self) -> float:
        """The unit in the last place of 1 of the type in which the losses are computed."""
        return DOUBLE_PRECISION

    def fused_steps(self, query: TaskFamily, count: int) -> FusedSteps | None:
        """Return the family's own code for ``count`` inner steps judged by ``query``, if it has such."""
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

    def subset(self, indices: Any) -> TaskFamily:
        """Return the same family restricted to some of its tasks, their weights made to sum to 1.

        Parameters
        ----------
        indices : array_like of int, array_like of bool of shape (M,), or slice
            As NumPy reads it: negative numbers count from the end, and a task named twice is there twice.

        Raises
        ------
        TypeError, ValueError
            If ``indices`` is none of these, is out of range, or chooses no task or none with a weight.

        Examples
        --------
        >>> import maml_ode as mo
        >>> tasks = mo.tasks.Sinusoid([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.5, 0.3, 0.2])
        >>> some = tasks.subset([0, 2])
        >>> some.a, some.weights.round(3)
        (array([1., 3.]), array([0.714, 0.286]))
        """
        chosen = chosen_tasks(indices, self.n_tasks)
        family = self._restricted(chosen, shares(self.weights, chosen))
        if self.names is not None:
            family.names = tuple(self.names[int(i)] for i in chosen)
        return family

    def _restricted(self, chosen: npt.NDArray[np.intp], weights: Array) -> TaskFamily:
        """Return the family of the chosen tasks; a class that can hold their data alone does."""
        return _PartOfFamily(self, chosen, weights)

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
        names = "" if self.names is None else f", names={abbreviated(self.names)}"
        return f"{type(self).__name__}(n_tasks={self.n_tasks}, dim={self.dim}{names})"

    def name_of(self, i: int) -> str:
        """Return what tables and legends call task i: its name, else its number."""
        return str(i if self.names is None else self.names[i])


class _PartOfFamily(TaskFamily):
    """Some tasks of a family that is only evaluated as a whole."""

    def __init__(self, whole: TaskFamily, chosen: npt.NDArray[np.intp], weights: Array) -> None:
        super().__init__(chosen.size, whole.dim, weights, whole.smoothness)
        self._evaluate = PartialEvaluation(whole, chosen)

    def __getattr__(self, key: str) -> Any:
        # What a family of a network knows of its parameters is the same for some of its tasks.
        if key in ("w0", "unravel") and "_evaluate" in self.__dict__:
            return getattr(self._evaluate.whole, key)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {key!r}")

    @property
    def has_hvps(self) -> bool:
        return self._evaluate.whole.has_hvps  # type: ignore[no-any-return]

    @property
    def has_thirds(self) -> bool:
        return self._evaluate.whole.has_thirds  # type: ignore[no-any-return]

    def _losses(self, w: Array) -> Array:
        return self._evaluate("_losses", w)

    def _gradients(self, w: Array) -> Array:
        return self._evaluate("_gradients", w)

    def _hessians(self, w: Array) -> Array:
        return self._evaluate("_hessians", w)

    def _hvps(self, w: Array, v: Array) -> Array:
        return self._evaluate("_hvps", w, v)

    def _thirds(self, w: Array, v: Array) -> Array:
        return self._evaluate("_thirds", w, v)

    def _third_vectors(self, w: Array, v: Array, q: Array) -> Array:
        return self._evaluate("_third_vectors", w, v, q)


def abbreviated(names: tuple[Any, ...]) -> str:
    """Return the repr of a tuple, of a long one its ends."""
    if len(names) <= 6:
        return repr(names)
    ends = (*map(repr, names[:3]), "...", repr(names[-1]))
    return f"({', '.join(ends)})"


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
