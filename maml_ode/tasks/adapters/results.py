"""What the user's functions return: checked for shape, and looked at for its precision."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, precision_of, real_array
from maml_ode.tasks.base import DOUBLE_PRECISION, PrecisionWarning

__all__ = ["BatchedFunction", "Precision", "TaskFunctions"]


class Precision:
    """The coarsest unit in the last place of 1 among the results seen so far.

    The first result of a shorter type than double is told of, once for a family.
    """

    def __init__(self) -> None:
        self.eps = DOUBLE_PRECISION

    def see(self, name: str, result: npt.NDArray[Any]) -> None:
        """Look at the type of a result of the function called ``name``."""
        eps = precision_of(result)
        if eps <= self.eps:
            return
        first = self.eps == DOUBLE_PRECISION
        self.eps = eps
        if first:
            digits = int(-np.log10(eps))
            warnings.warn(
                f"{name} returned {result.dtype}, about {digits} digits: default tolerances, floors and "
                f"check_derivatives follow its eps = {eps:.2g}, and gradient norms will not fall much below "
                f"{eps:.0e} of what they are summed from. Compute in double for more; "
                "mo.tasks.from_jax and mo.tasks.from_torch do.",
                PrecisionWarning,
                stacklevel=2,
            )


@dataclass(frozen=True)
class TaskFunctions:
    """One kind of callback, called task by task: calls, copies, and checks what comes back."""

    name: str
    functions: Callable[..., Any] | tuple[Callable[..., Any], ...]
    n_tasks: int
    shape: tuple[int, ...]
    precision: Precision
    # By which numbers the functions know the tasks, where these are not 0, ..., M - 1.
    numbers: tuple[int, ...] | None = None

    @property
    def called(self) -> Any:
        """The user's functions, with the tasks that they are asked for if not all."""
        functions = (self.functions,) if callable(self.functions) else self.functions
        return functions if self.numbers is None else (*functions, self.numbers)

    def of(self, chosen: npt.NDArray[np.intp]) -> TaskFunctions:
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
        if type(result) is np.ndarray and result.dtype == np.float64:
            array: npt.NDArray[Any] = result
        else:
            array = real_array(f"the result of {self.name} of task {i}", result)
            self.precision.see(f"{self.name} of task {i}", array)
        if array.shape != self.shape:
            raise ValueError(
                f"{self.name} of task {i} must return shape {self.shape}, "
                f"but it returned shape {array.shape}."
            )
        return array


@dataclass(frozen=True)
class BatchedFunction:
    """One kind of callback, called once for all tasks: with copies, one row a task; the result is checked."""

    name: str
    function: Callable[..., Any]
    n_tasks: int
    shape: tuple[int, ...]
    precision: Precision

    @property
    def called(self) -> tuple[Callable[..., Any], ...]:
        """The user's function."""
        return (self.function,)

    def __call__(self, *points: Array) -> Array:
        """Return the results along the task; each of ``points`` has 1 or M rows, the function sees M."""
        rows = [np.array(np.broadcast_to(p, (self.n_tasks, p.shape[1])), order="C") for p in points]
        result = self.function(*rows)
        array = real_array(f"the result of {self.name}", result)
        self.precision.see(self.name, array)
        wanted = (self.n_tasks, *self.shape)
        if array.shape != wanted:
            raise ValueError(
                f"{self.name} must return shape {wanted} for points of shape {rows[0].shape}, but it returned "
                f"shape {array.shape}; with batched=True it is called once for all tasks."
            )
        return np.array(array, dtype=np.float64, order="C")
