"""A task family made of Python functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, check_count, real_array, shown
from maml_ode.tasks.base import MissingDerivative, Smoothness, TaskFamily

__all__ = ["CallableFamily", "from_callables"]

_KINDS = ("losses", "gradients", "hessians", "hvps", "thirds", "third_vectors")
_NEEDED = _KINDS[:2]

Callbacks = Callable[..., Any] | Sequence[Callable[..., Any]]


def from_callables(
    losses: Callbacks,
    gradients: Callbacks,
    hessians: Callbacks | None = None,
    hvps: Callbacks | None = None,
    *,
    n_tasks: int,
    dim: int,
    thirds: Callbacks | None = None,
    third_vectors: Callbacks | None = None,
    weights: npt.ArrayLike | None = None,
    smoothness: Smoothness = Smoothness.SMOOTH,
) -> CallableFamily:
    """Make a task family from Python functions.

    Each group of functions is either a sequence of M callables, one per task, or one callable that
    takes the task index as its first argument. What they are called with and what they must return:

    ================= ===================== ==========================================
    argument          called with           returns
    ================= ===================== ==========================================
    ``losses``        ``(w)``               f_i(w), a number
    ``gradients``     ``(w)``               grad f_i(w), shape (d,)
    ``hessians``      ``(w)``               Hess f_i(w), shape (d, d)
    ``hvps``          ``(w, v)``            Hess f_i(w) v, shape (d,)
    ``thirds``        ``(w, v)``            D^3 f_i(w)[v, ., .], shape (d, d)
    ``third_vectors`` ``(w, v, q)``         D^3 f_i(w)[v, q, .], shape (d,)
    ================= ===================== ==========================================

    Every function receives copies of its arguments, and what it returns is copied. In each
    evaluation of the family it is called exactly once per task, in the order of the tasks, with
    these exceptions: of ``hessians`` and ``hvps``, and of ``thirds`` and ``third_vectors``, a
    missing one is made from the other, a product with a matrix by one call per task, a matrix by d
    calls with the unit vectors. An exception raised by a function is passed on; NaN and infinite
    results are passed on too.

    Parameters
    ----------
    losses, gradients : callable or sequence of M callables
    hessians, hvps : callable or sequence of M callables, optional
        The MAML gradient needs one of the two.
    n_tasks, dim : int
        M and d.
    thirds, third_vectors : callable or sequence of M callables, optional
        The Hessian of the MAML loss needs one of the two.
    weights : array_like of shape (M,), optional
        Task weights p_i; uniform by default.
    smoothness : Smoothness, default Smoothness.SMOOTH
        How many derivatives of the losses are continuous.

    Returns
    -------
    CallableFamily

    Raises
    ------
    TypeError
        If something that should be callable is not; at an evaluation, if a result does not hold real
        numbers.
    ValueError
        If a sequence does not hold M callables; at an evaluation, if a result has the wrong shape.
    MissingDerivative
        At an evaluation, if a derivative is asked for that was not given and cannot be made.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.from_callables(
    ...     losses=lambda i, w: (w[0] - i) ** 2,
    ...     gradients=lambda i, w: 2.0 * (w - i),
    ...     hessians=lambda i, w: [[2.0]],
    ...     n_tasks=2,
    ...     dim=1,
    ... )
    >>> tasks.gradients([3.0])
    array([[6.],
           [4.]])
    """
    return CallableFamily(
        losses,
        gradients,
        hessians,
        hvps,
        n_tasks=n_tasks,
        dim=dim,
        thirds=thirds,
        third_vectors=third_vectors,
        weights=weights,
        smoothness=smoothness,
    )


class CallableFamily(TaskFamily):
    """The family that ``from_callables`` returns; it runs at the speed of its Python functions."""

    def __init__(
        self,
        losses: Callbacks,
        gradients: Callbacks,
        hessians: Callbacks | None,
        hvps: Callbacks | None,
        *,
        n_tasks: int,
        dim: int,
        thirds: Callbacks | None,
        third_vectors: Callbacks | None,
        weights: npt.ArrayLike | None,
        smoothness: Smoothness,
    ) -> None:
        # Before the weights: a number of tasks that the sequences do not have must not become an array.
        n_tasks = check_count("n_tasks", n_tasks)
        for name, given in zip(
            _KINDS, (losses, gradients, hessians, hvps, thirds, third_vectors), strict=True
        ):
            if given is not None or name in _NEEDED:
                _check_callables(name, given, n_tasks)
        super().__init__(n_tasks, dim, weights, smoothness)
        vector, matrix = (self.dim,), (self.dim, self.dim)
        self._loss = self._required("losses", losses, ())
        self._gradient = self._required("gradients", gradients, vector)
        self._hessian = self._optional("hessians", hessians, matrix)
        self._hvp = self._optional("hvps", hvps, vector)
        self._third = self._optional("thirds", thirds, matrix)
        self._third_vector = self._optional("third_vectors", third_vectors, vector)

    @property
    def has_hvps(self) -> bool:
        """Whether ``hvps`` or ``hessians`` was given."""
        return self._hvp is not None or self._hessian is not None

    @property
    def has_thirds(self) -> bool:
        """Whether ``thirds`` or ``third_vectors`` was given."""
        return self._third is not None or self._third_vector is not None

    def _restricted(self, chosen: npt.NDArray[np.intp], weights: Array) -> CallableFamily:
        family = CallableFamily.__new__(CallableFamily)
        family.__dict__.update(self.__dict__)
        TaskFamily.__init__(family, chosen.size, self.dim, weights, self.smoothness)
        for name, one in self.__dict__.items():
            if isinstance(one, _TaskFunctions):
                setattr(family, name, one.of(chosen))
        return family

    def _required(self, name: str, given: Callbacks, shape: tuple[int, ...]) -> _TaskFunctions:
        functions = given if callable(given) else tuple(given)
        return _TaskFunctions(name, functions, self.n_tasks, shape)

    def _optional(
        self, name: str, given: Callbacks | None, shape: tuple[int, ...]
    ) -> _TaskFunctions | None:
        return None if given is None else self._required(name, given, shape)

    def _losses(self, w: Array) -> Array:
        return self._loss(w)

    def _gradients(self, w: Array) -> Array:
        return self._gradient(w)

    def _hessians(self, w: Array) -> Array:
        if self._hessian is not None:
            return self._hessian(w)
        if self._hvp is not None:
            return self._columns(self._hvp, w)
        raise MissingDerivative(
            "Hessians were asked for, but this family has neither hessians nor hvps; "
            "pass hessians= to from_callables."
        )

    def _hvps(self, w: Array, v: Array) -> Array:
        if self._hvp is not None:
            return self._hvp(w, v)
        if self._hessian is not None:
            return _products(self._hessian(w), v)
        raise MissingDerivative(
            "Hessian-vector products were asked for, but this family has neither hvps nor "
            "hessians; pass hvps= (or hessians=) to from_callables."
        )

    def _thirds(self, w: Array, v: Array) -> Array:
        if self._third is not None:
            return self._third(w, v)
        if self._third_vector is not None:
            return self._columns(self._third_vector, w, v)
        raise MissingDerivative(
            "third derivatives were asked for, but this family has neither thirds nor "
            "third_vectors; pass thirds= to from_callables."
        )

    def _third_vectors(self, w: Array, v: Array, q: Array) -> Array:
        if self._third_vector is not None:
            return self._third_vector(w, v, q)
        if self._third is not None:
            return _products(self._third(w, v), q)
        raise MissingDerivative(
            "contracted third derivatives were asked for, but this family has neither "
            "third_vectors nor thirds; pass third_vectors= (or thirds=) to from_callables."
        )

    def _columns(self, product: _TaskFunctions, *points: Array) -> Array:
        """Return the matrices of a product linear in its last argument, column by column."""
        out = np.empty((self.n_tasks, self.dim, self.dim))
        for k, unit in enumerate(np.eye(self.dim)):
            out[:, :, k] = product(*points, unit.reshape(1, self.dim))
        return out


def _check_callables(name: str, given: Any, n_tasks: int) -> None:
    if callable(given):
        return
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise TypeError(
            f"{name} must be a callable whose first argument is the task index, or a sequence "
            f"of {shown(n_tasks)} callables, not {type(given).__name__}."
        )
    if len(given) != n_tasks:
        raise ValueError(
            f"{name} must hold n_tasks={n_tasks} callables, but it holds {len(given)}."
        )
    for i, function in enumerate(given):
        if not callable(function):
            raise TypeError(f"{name}[{i}] must be callable, not {type(function).__name__}.")


def _products(matrices: Array, vectors: Array) -> Array:
    """Return the products of M matrices with one vector or with one vector each."""
    out: Array = (matrices @ vectors[:, :, np.newaxis])[:, :, 0]
    return out


@dataclass(frozen=True)
class _TaskFunctions:
    """One kind of callback for all tasks: calls, copies, and checks what comes back.

    ``numbers`` are those by which the functions know the tasks, where they are not 0, ..., M - 1.
    """

    name: str
    functions: Callable[..., Any] | tuple[Callable[..., Any], ...]
    n_tasks: int
    shape: tuple[int, ...]
    numbers: tuple[int, ...] | None = None

    def of(self, chosen: npt.NDArray[np.intp]) -> _TaskFunctions:
        """Return the same for some of the tasks."""
        known = range(self.n_tasks) if self.numbers is None else self.numbers
        numbers = tuple(known[i] for i in chosen.tolist())
        return replace(self, n_tasks=len(numbers), numbers=numbers)

    def __call__(self, *points: Array) -> Array:
        """Return the results stacked along the task; each of ``points`` has 1 or M rows."""
        out = np.empty((self.n_tasks, *self.shape))
        for k, i in enumerate(range(self.n_tasks) if self.numbers is None else self.numbers):
            arguments = [rows[k if len(rows) > 1 else 0].copy() for rows in points]
            result = (
                self.functions(i, *arguments)
                if callable(self.functions)
                else self.functions[i](*arguments)
            )
            out[k] = self._checked(i, result)
        return out

    def _checked(self, i: int, result: Any) -> npt.NDArray[Any]:
        array = (
            result
            if type(result) is np.ndarray and result.dtype == np.float64
            else real_array(f"the result of {self.name} of task {i}", result)
        )
        if array.shape != self.shape:
            raise ValueError(
                f"{self.name} of task {i} must return shape {self.shape}, "
                f"but it returned shape {array.shape}."
            )
        return array
