"""Task families of torch modules and functions, differentiated and batched by ``torch.func``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, check_callable, shown
from maml_ode.tasks.adapters.agreement import Route, agree
from maml_ode.tasks.adapters.autodiff import MATRICES, VECTORS, AutodiffFamily, Points
from maml_ode.tasks.adapters.digest import digest_of_functions
from maml_ode.tasks.base import Smoothness, TaskFamily

if TYPE_CHECKING:
    from maml_ode.tasks.adapters.torch_programs import TorchPrograms
    from maml_ode.tasks.adapters.torch_steps import TorchSteps

__all__ = ["TorchFamily", "from_torch"]

# Tasks at which routes are compared: one after the other is slow.
COMPARED = 8
# Of a difference quotient, and to which share it is a derivative.
STEP = 1e-5
AS_A_QUOTIENT = 1e-4


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

    @property
    def _some_data(self) -> Any:
        from maml_ode.tasks.adapters.torch_inputs import mapped

        return mapped(self._data, lambda x: x[:COMPARED])

    @cached_property
    def _checked_at(self) -> Points:
        """Where routes are compared: the first place at which the gradients are finite, or the last."""
        one_by_one = self._all_ways("gradients")[-1]
        for place in self._checkpoints():
            w, v, q = (p[:COMPARED] for p in place)
            if np.isfinite(self._called(one_by_one, self._some_data, w)).all():
                break
        return w, v, q

    @cached_property
    def _ways(self) -> dict[str, int]:
        """Which of the ways of `_all_ways` each product takes."""
        ways: dict[str, int] = {}
        for name in VECTORS:
            ways[name] = self._first_way(name, ways)
        for name in MATRICES if self._matrices_at_once else ():
            ways[name] = self._first_way_of_matrix(name, ways)
        return ways

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

    def _first_way(self, name: str, known: dict[str, int]) -> int:
        """Return the first way that works and that another one confirms.

        Not every operation has a rule for batches or for forward differentiation; what torch says of the last way
        is passed on, since none of those before it worked either. And not every rule is right: where forward and
        backward differentiation differ, a difference quotient decides.
        """
        some, (w, v, q) = self._some_data, self._checked_at
        arguments = {"hvps": (w, v), "third_vectors": (w, v, q)}.get(name, (w,))
        ways = self._all_ways(name)
        results: dict[int, Array] = {}
        for number, way in enumerate(ways):
            try:
                results[number] = self._called(way, some, *arguments)
            except (RuntimeError, NotImplementedError) as error:
                _refuse_randomness(error)
                if number == len(ways) - 1 and not results:
                    raise
        last = max(results)
        first = min(results)
        if agree(results[first], self._called(ways[last], some, *arguments)):
            return first
        below = {"hvps": "gradients", "third_vectors": "hvps"}.get(name)
        if below is not None:
            lower = self._all_ways(below)[known[below]]
            quotient = self._quotient(lower, arguments)
            for number, result in results.items():
                if agree(result, quotient, AS_A_QUOTIENT):
                    return number
        raise ValueError(
            f"the {name} of this loss came out differently by two ways of torch's to compute them: the loss is no "
            "function of its arguments alone, or torch has no right derivative of so high an order for one of its "
            "operations, such as torch.nn.functional.batch_norm; write that one out."
        )

    def _quotient(self, function: Callable[..., Any], arguments: tuple[Array, ...]) -> Array:
        """Return the central difference quotient along the last argument."""
        w, *others, direction = arguments
        step = STEP * max(1.0, float(np.abs(w).max()))
        ends = [
            self._called(function, self._some_data, w + sign * step * direction, *others)
            for sign in (1.0, -1.0)
        ]
        return (ends[0] - ends[1]) / (2.0 * step)

    def _first_way_of_matrix(self, name: str, known: dict[str, int]) -> int:
        """Return the first way whose product with a vector is the one that has been confirmed."""
        some, (w, v, q) = self._some_data, self._checked_at
        vector, points, last = {
            "hessians": ("hvps", (w,), v),
            "thirds": ("third_vectors", (w, v), q),
        }[name]
        expected = self._called(self._all_ways(vector)[known[vector]], some, *points, last)
        ways = self._all_ways(name)
        for number in sorted(range(len(ways)), key=lambda k: k != known[vector]):
            try:
                matrices = self._called(ways[number], some, *points)
            except (RuntimeError, NotImplementedError):
                continue
            if agree(np.einsum("mij,mj->mi", matrices, last), expected):
                return number
        raise ValueError(
            f"the {name} of this loss differ from its {vector}, whichever way torch computes them; leave out its "
            "operations one by one to see which torch differentiates wrongly, and write that one out."
        )

    def _called(self, function: Callable[..., Any], data: Any, *points: Array) -> Array:
        import torch

        from maml_ode.tasks.adapters.torch_programs import double_precision

        with double_precision():
            rows = [torch.from_numpy(np.array(p)) for p in points]
            return np.array(function(*rows, data).detach().numpy(), dtype=np.float64)

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

    def _rows_of_data(self, chosen: npt.NDArray[np.intp]) -> Any:
        from maml_ode.tasks.adapters.torch_inputs import mapped

        return mapped(self._data, lambda x: x[np.array(chosen)])

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
