"""What torch differentiates of a loss: its products for all tasks, and inner steps.

Imported only where torch is installed. Everything here is called within `double_precision`.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.func import functional_call, grad, jacfwd, jacrev, jvp, vmap

from maml_ode.tasks.adapters.torch_inputs import Layout, mapped

__all__ = [
    "TorchPrograms",
    "batched",
    "double_precision",
    "task_by_task",
]


Tree = Any

with warnings.catch_warnings():
    # The first forward derivative loads parts of torch that warn of each other.
    warnings.simplefilter("ignore", DeprecationWarning)
    jvp(torch.sin, (torch.zeros(1),), (torch.ones(1),))


class _DefaultDtype:
    """torch's default type as double, for as long as any thread is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = torch.float32

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = torch.get_default_dtype()
                torch.set_default_dtype(torch.float64)
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                torch.set_default_dtype(self._before)


_default = _DefaultDtype()


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """Let tensors that a loss makes be double; torch's default type is afterwards what it was."""
    _default.enter()
    try:
        yield
    finally:
        _default.leave()


def batched(of_one_task: Callable[..., Any]) -> Callable[..., Any]:
    """Return one function for all tasks, whose operations are those of a batch."""
    return vmap(of_one_task)  # type: ignore[no-any-return]


def task_by_task(of_one_task: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function for all tasks that goes from one to the next."""

    def all_tasks(*rows: Any) -> Any:
        count = rows[0].shape[0]
        return torch.stack([of_one_task(*_of_task(i, rows)) for i in range(count)])

    return all_tasks


def _of_task(i: int, rows: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(mapped(row, lambda x: x[i]) for row in rows)


class TorchPrograms:
    """One task's loss and its derivatives, as functions of a vector.

    Parameters
    ----------
    loss : callable
    layout : Layout
    model : nn.Module or None
        What the loss is given, called with the parameters; without it the loss is given their dict.
    """

    def __init__(self, loss: Callable[..., Any], layout: Layout, model: Any) -> None:
        self._user_loss, self._layout, self._model = loss, layout, model

    def loss(self, w: Any, d: Tree) -> Any:
        """Return the loss of one task."""
        params = self._layout.unravel(w)
        if self._model is None:
            return self._user_loss(params, d)

        def model(*arguments: Any, **keywords: Any) -> Any:
            return functional_call(self._model, params, arguments, keywords)

        return self._user_loss(model, d)

    def gradient(self, w: Any, d: Tree) -> Any:
        """Return the gradient of one task's loss."""
        return grad(self.loss)(w, d)

    def of_one_task(self, name: str, forward: bool) -> Callable[..., Any]:
        """Return a product by forward differentiation of the gradient, or by backward once more."""
        if name == "losses":
            return self.loss
        if name == "gradients":
            return self.gradient
        push = _forward if forward else _backward
        jacobian = jacfwd if forward else jacrev

        def hvp(w: Any, v: Any, d: Tree) -> Any:
            return push(lambda z: self.gradient(z, d), w, v)

        def third_vector(w: Any, v: Any, q: Any, d: Tree) -> Any:
            return push(lambda z: hvp(z, v, d), w, q)

        products: dict[str, Callable[..., Any]] = {
            "hvps": hvp,
            "third_vectors": third_vector,
            "hessians": lambda w, d: jacobian(lambda z: self.gradient(z, d))(w),
            "thirds": lambda w, v, d: jacobian(lambda z: hvp(z, v, d))(w),
        }
        return products[name]

    def adapted(self, w: Any, alpha: Any, count: int, d: Tree) -> Any:
        """Return where ``count`` inner steps on one task lead; ``alpha`` is a number or (k, d)."""
        for j in range(count):
            w = w - (alpha if alpha.ndim == 0 else alpha[j]) * self.gradient(w, d)
        return w


def _forward(gradient: Callable[[Any], Any], w: Any, v: Any) -> Any:
    """Return the Jacobian of a gradient, or of a product with it, times a vector."""
    return jvp(gradient, (w,), (v,))[1]


def _backward(gradient: Callable[[Any], Any], w: Any, v: Any) -> Any:
    """Return the same by the symmetry of that Jacobian."""
    return grad(lambda z: torch.dot(gradient(z), v))(w)
