"""Task families of torch modules and functions, differentiated and batched by ``torch.func``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, check_callable, shown
from maml_ode.tasks.adapters.agreement import Route, first_confirmed
from maml_ode.tasks.adapters.autodiff import MATRICES, VECTORS, AutodiffFamily, Points
from maml_ode.tasks.adapters.digest import digest_of_functions
from maml_ode.tasks.base import Smoothness, TaskFamily

if TYPE_CHECKING:
    from maml_ode.tasks.adapters.torch_programs import TorchPrograms
    from maml_ode.tasks.adapters.torch_steps import TorchSteps

__all__ = ["TorchFamily", "from_torch"]

# Tasks at which routes are compared: one after the other is slow.
COMPARED = 8


def from_torch(
    loss: Callable[[Any, Any], Any],
    params: Any,
    data: Any,
    *,
    weights: npt.ArrayLike | None = None,
    smoothness: Smoothness = Smoothness.SMOOTH,
) -> TorchFamily:
    """Make a task family from a torch loss: f_i(w) = loss(model with parameters w, data_i).

    Losses, gradients, Hessian-vector products, third derivatives and Hessians are made by ``torch.func``, in
    double precision whatever comes in, each in one batched call for all tasks; so is the gradient of the MAML
    loss, with all its inner steps. Every product is compared, here, with one that goes task by task, at one
    point near ``params``.

    Parameters
    ----------
    loss : callable
        ``loss(model, task_data)`` -> a scalar tensor, a function of its arguments alone. For a module, ``model``
        is called as the module is; for a dict, it is the dict.
    params : torch.nn.Module or dict of str to tensor
        The parameters; their values become ``w0``. Of a module, which is copied and stays as it is, those that do
        not require gradients are held fixed, as buffers are.
    data : tensor or nested tuples, lists and dicts of them
        The tasks' data: tensors or arrays whose leading axis is the task, length M. Floating ones become double,
        others keep their type.
    weights : array_like of shape (M,), optional
        Task weights p_i; uniform by default.
    smoothness : Smoothness, default Smoothness.SMOOTH
        How many derivatives of the losses are continuous; ``Smoothness.CONTINUOUS`` for ReLU networks.

    Returns
    -------
    TorchFamily
        With ``w0``, shape (d,), and ``unravel(w)``, which gives a dict of the names to double tensors.

    Raises
    ------
    ImportError
        If torch is not installed.
    TypeError, ValueError
        If ``params`` hold anything but finite real floating tensors, the leading axes of ``data`` differ, the
        loss is no real scalar, or it is not a function of its arguments.

    Examples
    --------
    >>> import numpy as np, maml_ode as mo
    >>> def loss(model, data):
    ...     x, y = data
    ...     return ((model(x) - y) ** 2).mean()
    >>> x = np.array([[[0.0], [1.0]], [[1.0], [2.0]]])
    >>> tasks = mo.tasks.from_torch(loss, torch.nn.Linear(1, 1), (x, 2.0 * x))  # doctest: +SKIP
    >>> run = mo.solve(mo.maml_flow(tasks, 0.1), tasks.w0)  # doctest: +SKIP
    >>> tasks.unravel(run.w)["weight"]  # doctest: +SKIP
    tensor([[2.0000]], dtype=torch.float64)
    """
    return TorchFamily(loss, params, data, weights, smoothness)


class TorchFamily(AutodiffFamily):
    """The family that ``from_torch`` returns."""

    def __init__(
        self,
        loss: Callable[[Any, Any], Any],
        params: Any,
        data: Any,
        weights: npt.ArrayLike | None,
        smoothness: Smoothness,
    ) -> None:
        _require_torch()
        from maml_ode.tasks.adapters.torch_inputs import laid_out, task_data

        self._loss = check_callable("loss", loss, "loss(model, task_data)")
        self._model, self._layout, w0 = laid_out(params)
        self._data, n_tasks = task_data(data)
        super().__init__(n_tasks, w0, weights, smoothness)
        self._check_loss()
        self._routes  # noqa: B018 - a wrong product is to be found here, not in a run

    def unravel(self, w: npt.ArrayLike) -> dict[str, Any]:
        """Return ``w``, shape (d,), as a dict of names to double tensors, as ``functional_call`` takes them."""
        import torch

        return self._layout.unravel(torch.from_numpy(self._flat(w)))

    @cached_property
    def identity(self) -> str | None:
        """A digest of the loss, the module's classes, the data and the weights; None if one is unknown."""
        from maml_ode.tasks.adapters.torch_inputs import described, mapped

        model = () if self._model is None else tuple(described(self._model, self._layout))
        leaves: list[Any] = []
        form = repr(mapped(self._data, lambda x: leaves.append(x)))
        facts = (repr(self._layout), model, form, tuple(leaves), self.weights)
        return digest_of_functions(type(self).__name__, *facts, int(self.smoothness), self._loss)

    def fused_steps(self, query: TaskFamily, count: int) -> TorchSteps | None:
        """Return the inner steps in one call, if the query has parameters of the same form."""
        if count < 1 or not isinstance(query, TorchFamily) or query._layout != self._layout:
            return None
        if not (self._batches and query._batches):
            return None
        from maml_ode.tasks.adapters.torch_steps import TorchSteps

        return TorchSteps(self, query, count)

    @property
    def _batches(self) -> bool:
        """Whether the loss goes through ``vmap`` and forward differentiation, as the products are wanted first."""
        return all(self._ways[name] == 0 for name in VECTORS)

    @cached_property
    def _programs(self) -> TorchPrograms:
        from maml_ode.tasks.adapters.torch_programs import TorchPrograms

        return TorchPrograms(self._loss, self._layout, self._model)

    @cached_property
    def _checked_at(self) -> Points:
        """Where routes are compared: the first place at which the gradients are finite, or the last."""
        from maml_ode.tasks.adapters.torch_inputs import mapped

        some = mapped(self._data, lambda x: x[:COMPARED])
        one_by_one = self._all_ways("gradients")[-1]
        for place in self._checkpoints():
            w, v, q = (p[:COMPARED] for p in place)
            if np.isfinite(self._called(one_by_one, some, w)).all():
                break
        return w, v, q

    @cached_property
    def _ways(self) -> dict[str, int]:
        """Which of the ways of `_all_ways` each product takes."""
        products = (*VECTORS, *MATRICES) if self._matrices_at_once else VECTORS
        return {name: self._first_way(name) for name in products}

    def _confirmed(self) -> dict[str, Route]:
        return {
            name: partial(self._called, self._all_ways(name)[way], self._data)
            for name, way in self._ways.items()
        }

    def _all_ways(self, name: str) -> list[Callable[..., Any]]:
        """Return a product in a batch, by forward or by backward differentiation, and task by task."""
        from maml_ode.tasks.adapters.torch_programs import batched, task_by_task

        forward, backward = (self._programs.of_one_task(name, f) for f in (True, False))
        return [batched(forward), batched(backward), task_by_task(forward), task_by_task(backward)]

    def _first_way(self, name: str) -> int:
        """Return the first way that works and that another one confirms.

        Not every operation has a rule for batches or for forward differentiation; what torch says of the last way
        is passed on, since none of those before it worked either.
        """
        from maml_ode.tasks.adapters.torch_inputs import mapped

        some = mapped(self._data, lambda x: x[:COMPARED])
        w, v, q = self._checked_at
        arguments = {"hvps": (w, v), "thirds": (w, v), "third_vectors": (w, v, q)}.get(name, (w,))
        ways = self._all_ways(name)
        working: list[int] = []
        for number, way in enumerate(ways):
            try:
                self._called(way, some, *(p[:1] for p in arguments), tasks=1)
            except (RuntimeError, NotImplementedError) as error:
                _refuse_randomness(error)
                if number == len(ways) - 1 and not working:
                    raise
            else:
                working.append(number)
        routes: list[Route] = [partial(self._called, ways[number], some) for number in working]
        # Those before the last are confirmed by it; one that is alone is seen twice.
        chosen = first_confirmed(name, routes[:-1] or routes, routes[-1], arguments)
        return working[routes.index(chosen)]

    def _called(
        self, function: Callable[..., Any], data: Any, *points: Array, tasks: int | None = None
    ) -> Array:
        import torch

        from maml_ode.tasks.adapters.torch_inputs import mapped
        from maml_ode.tasks.adapters.torch_programs import double_precision

        with double_precision():
            rows = [torch.from_numpy(np.array(p)) for p in points]
            given = data if tasks is None else mapped(data, lambda x: x[:tasks])
            return np.array(function(*rows, given).detach().numpy(), dtype=np.float64)

    def _check_loss(self) -> None:
        import torch

        from maml_ode.tasks.adapters.torch_inputs import mapped
        from maml_ode.tasks.adapters.torch_programs import double_precision

        with double_precision():
            w = torch.from_numpy(np.array(self.w0))
            result = self._programs.loss(w, mapped(self._data, lambda x: x[0]))
        if not isinstance(result, torch.Tensor):
            raise TypeError(f"loss(model, task_data) must return a tensor, not {shown(result)}.")
        if result.shape != ():
            raise ValueError(
                f"loss(model, task_data) must return one scalar, but it returned shape {tuple(result.shape)}; "
                "take the mean or the sum over the samples."
            )
        if not result.is_floating_point():
            raise TypeError(
                f"loss(model, task_data) must return a real number, not {result.dtype}."
            )

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("_programs", None)
        return state


def _require_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise ImportError(
            "from_torch needs torch; install it with pip install 'maml_ode[torch]'."
        ) from None


def _refuse_randomness(error: Exception) -> None:
    if "randomness" in str(error):
        raise ValueError(
            "loss draws random numbers, so that it is no function of its arguments; call model.eval() on a module "
            "with dropout before it is passed, or put the numbers into data."
        ) from error
