"""A task family made of Python functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, check_count, check_flag, shown
from maml_ode.tasks.adapters.digest import digest_of_functions
from maml_ode.tasks.adapters.results import BatchedFunction, Precision, TaskFunctions
from maml_ode.tasks.base import MissingDerivative, Smoothness, TaskFamily

__all__ = ["CallableFamily", "from_callables"]

_KINDS = ("losses", "gradients", "hessians", "hvps", "thirds", "third_vectors")
_NEEDED = _KINDS[:2]

Callbacks = Callable[..., Any] | Sequence[Callable[..., Any]]
_Functions = TaskFunctions | BatchedFunction


def from_callables(
    losses: Callbacks,
    gradients: Callbacks,
    hessians: Callbacks | None = None,
    hvps: Callbacks | None = None,
    *,
    n_tasks: int,
    dim: int,
    batched: bool = False,
    thirds: Callbacks | None = None,
    third_vectors: Callbacks | None = None,
    weights: npt.ArrayLike | None = None,
    smoothness: Smoothness = Smoothness.SMOOTH,
) -> CallableFamily:
    """Make a task family from Python functions.

    Each group of functions is either a sequence of M callables, one per task, or one callable that
    takes the task index as its first argument; with ``batched=True`` it is one callable for all tasks. What
    they are called with and what they must return, here with w, v, q of shape (d,) and W, V, Q of shape
    (M, d), one row a task:

    ================= =============== ============================= ============= ============
    argument          called with     returns                       batched       returns
    ================= =============== ============================= ============= ============
    ``losses``        ``(w)``         f_i(w), a number              ``(W)``       (M,)
    ``gradients``     ``(w)``         grad f_i(w), shape (d,)       ``(W)``       (M, d)
    ``hessians``      ``(w)``         Hess f_i(w), shape (d, d)     ``(W)``       (M, d, d)
    ``hvps``          ``(w, v)``      Hess f_i(w) v, shape (d,)     ``(W, V)``    (M, d)
    ``thirds``        ``(w, v)``      D^3 f_i(w)[v, ., .], (d, d)   ``(W, V)``    (M, d, d)
    ``third_vectors`` ``(w, v, q)``   D^3 f_i(w)[v, q, .], (d,)     ``(W, V, Q)`` (M, d)
    ================= =============== ============================= ============= ============

    Every function receives copies of its arguments, and what it returns is copied. In each
    evaluation of the family it is called exactly once per task, in the order of the tasks (once for all of
    them with ``batched=True``), with these exceptions: of ``hessians`` and ``hvps``, and of ``thirds`` and
    ``third_vectors``, a missing one is made from the other, a product with a matrix by one call per task, a
    matrix by d calls with the unit vectors. An exception raised by a function is passed on; NaN and infinite
    results are passed on too.

    Functions that return float32 are told of in a `PrecisionWarning`, once; default tolerances, floors and
    `check_derivatives` then follow the eps of that type.

    Parameters
    ----------
    losses, gradients : callable or sequence of M callables
    hessians, hvps : callable or sequence of M callables, optional
        The MAML gradient needs one of the two.
    n_tasks, dim : int
        M and d.
    batched : bool, default False
        Whether every function is called once for all tasks.
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
        If something that should be callable is not (a sequence is not, with ``batched=True``); at an
        evaluation, if a result does not hold real numbers.
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

    The same in one call for both tasks:

    >>> import numpy as np
    >>> centres = np.array([[0.0], [1.0]])
    >>> tasks = mo.tasks.from_callables(
    ...     losses=lambda W: ((W - centres) ** 2)[:, 0],
    ...     gradients=lambda W: 2.0 * (W - centres),
    ...     hvps=lambda W, V: 2.0 * V,
    ...     n_tasks=2,
    ...     dim=1,
    ...     batched=True,
    ... )
    >>> tasks.hvps([3.0], [1.0])
    array([[2.],
           [2.]])
    """
    return CallableFamily(
        losses,
        gradients,
        hessians,
        hvps,
        n_tasks=n_tasks,
        dim=dim,
        batched=batched,
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
        batched: bool,
        thirds: Callbacks | None,
        third_vectors: Callbacks | None,
        weights: npt.ArrayLike | None,
        smoothness: Smoothness,
    ) -> None:
        # Before the weights: a number of tasks that the sequences do not have must not become an array.
        n_tasks = check_count("n_tasks", n_tasks)
        self._batched = check_flag("batched", batched)
        for name, given in zip(
            _KINDS, (losses, gradients, hessians, hvps, thirds, third_vectors), strict=True
        ):
            if given is not None or name in _NEEDED:
                _check_callables(name, given, n_tasks, self._batched)
        super().__init__(n_tasks, dim, weights, smoothness)
        self._precision = Precision()
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

    @property
    def precision(self) -> float:
        """Return eps of the coarsest type that a function has returned so far; of double to begin with."""
        return self._precision.eps

    @cached_property
    def identity(self) -> str | None:
        """A digest of the functions' code with all that it refers to, and of the weights.

        None where that cannot be told: mutable containers, objects of the user's classes, functions that
        write to variables outside themselves.
        """
        groups = (self._loss, self._gradient, self._hessian, self._hvp)
        functions = [
            None if group is None else (group.name, group.called)
            for group in (*groups, self._third, self._third_vector)
        ]
        facts = (self.n_tasks, self.dim, self.weights, int(self.smoothness), self._batched)
        return digest_of_functions(type(self).__name__, *facts, *functions)

    def _restricted(self, chosen: npt.NDArray[np.intp], weights: Array) -> TaskFamily:
        if self._batched:  # one function for all tasks
            return super()._restricted(chosen, weights)
        family = CallableFamily.__new__(CallableFamily)
        family.__dict__.update(self.__dict__)
        family.__dict__.pop("identity", None)
        TaskFamily.__init__(family, chosen.size, self.dim, weights, self.smoothness)
        for name, one in self.__dict__.items():
            if isinstance(one, TaskFunctions):
                setattr(family, name, one.of(chosen))
        return family

    def _required(self, name: str, given: Callbacks, shape: tuple[int, ...]) -> _Functions:
        if self._batched and callable(given):
            return BatchedFunction(name, given, self.n_tasks, shape, self._precision)
        functions = given if callable(given) else tuple(given)
        return TaskFunctions(name, functions, self.n_tasks, shape, self._precision)

    def _optional(
        self, name: str, given: Callbacks | None, shape: tuple[int, ...]
    ) -> _Functions | None:
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

    def _columns(self, product: _Functions, *points: Array) -> Array:
        """Return the matrices of a product linear in its last argument, column by column."""
        out = np.empty((self.n_tasks, self.dim, self.dim))
        for k, unit in enumerate(np.eye(self.dim)):
            out[:, :, k] = product(*points, unit.reshape(1, self.dim))
        return out


def _check_callables(name: str, given: Any, n_tasks: int, batched: bool) -> None:
    if callable(given):
        return
    if batched:
        raise TypeError(
            f"{name} must be one callable for all tasks with batched=True, not {shown(given)}; a sequence of "
            "callables, one per task, needs batched=False."
        )
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
