"""Task families of JAX functions: any pytree, differentiated, batched and compiled by JAX."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, check_callable
from maml_ode.tasks.adapters.agreement import Route
from maml_ode.tasks.adapters.autodiff import MATRICES, VECTORS, AutodiffFamily
from maml_ode.tasks.adapters.digest import digest_of_functions
from maml_ode.tasks.base import Smoothness, TaskFamily

if TYPE_CHECKING:
    from maml_ode.tasks.adapters.jax_programs import Programs
    from maml_ode.tasks.adapters.jax_steps import JaxSteps

__all__ = ["JaxFamily", "from_jax"]


def from_jax(
    loss: Callable[[Any, Any], Any],
    params: Any,
    data: Any,
    *,
    weights: npt.ArrayLike | None = None,
    smoothness: Smoothness = Smoothness.SMOOTH,
) -> JaxFamily:
    """Make a task family from a JAX loss: f_i(w) = loss(unravel(w), data_i).

    Losses, gradients, Hessian-vector products, third derivatives and Hessians are made by automatic
    differentiation, in double precision whatever comes in, each one compiled call for all tasks; so is the
    gradient of the MAML loss, with all its inner steps. JAX's global ``jax_enable_x64`` flag stays what it is.

    Compilers err: every product is compared, here, with a second program that goes task by task, at one point
    near ``params``, and what agrees is taken. That takes seconds for a network, once for all families of a loss.

    Parameters
    ----------
    loss : callable
        ``loss(params, task_data)`` -> a scalar, with JAX operations only, and a function of its arguments alone.
    params : pytree
        The parameters, real arrays of any floating type; their values become ``w0``.
    data : pytree
        The tasks' data: arrays whose leading axis is the task, length M. Floating ones become double, others keep
        their type. Tasks of different sizes are padded, and masked in ``loss``.
    weights : array_like of shape (M,), optional
        Task weights p_i; uniform by default.
    smoothness : Smoothness, default Smoothness.SMOOTH
        How many derivatives of the losses are continuous; ``Smoothness.CONTINUOUS`` for ReLU networks.

    Returns
    -------
    JaxFamily
        With ``w0``, shape (d,), and ``unravel(w)``, which gives a pytree like ``params`` with double NumPy arrays.

    Raises
    ------
    ImportError
        If JAX is not installed.
    TypeError, ValueError
        If ``params`` hold anything but finite real floating arrays, the leading axes of ``data`` differ, the
        loss is no real scalar, or it is not a function of its arguments.

    Examples
    --------
    >>> import numpy as np, maml_ode as mo
    >>> def loss(params, data):
    ...     x, y = data
    ...     return ((x * params["slope"] + params["offset"] - y) ** 2).mean()
    >>> x = np.array([[0.0, 1.0], [1.0, 2.0]])
    >>> params = {"slope": np.zeros(()), "offset": np.zeros(())}
    >>> tasks = mo.tasks.from_jax(loss, params, (x, 2.0 * x))  # doctest: +SKIP
    >>> run = mo.solve(mo.maml_flow(tasks, 0.1), tasks.w0)  # doctest: +SKIP
    >>> tasks.unravel(run.w)["slope"]  # doctest: +SKIP
    array(2.)
    """
    return JaxFamily(loss, params, data, weights, smoothness)


class JaxFamily(AutodiffFamily):
    """The family that ``from_jax`` returns."""

    def __init__(
        self,
        loss: Callable[[Any, Any], Any],
        params: Any,
        data: Any,
        weights: npt.ArrayLike | None,
        smoothness: Smoothness,
    ) -> None:
        _require_jax()
        from maml_ode.tasks.adapters.jax_inputs import laid_out, task_data

        self._loss = check_callable("loss", loss, "loss(params, task_data)")
        self._layout, w0 = laid_out(params)
        self._data, n_tasks = task_data(data)
        super().__init__(n_tasks, w0, weights, smoothness)
        self._check_loss()
        self._routes  # noqa: B018 - a wrong product is to be found here, not in a run

    def unravel(self, w: npt.ArrayLike) -> Any:
        """Return ``w``, shape (d,), as a pytree like the parameters, its leaves double NumPy arrays."""
        return self._layout.unravel(self._flat(w))

    @cached_property
    def identity(self) -> str | None:
        """A digest of the loss with all that it refers to, the data and the weights; None if that is unknown."""
        import jax

        from maml_ode.tasks.adapters.jax_inputs import plain

        leaves, tree = jax.tree.flatten(self._data)
        facts = (repr(self._layout), repr(tree), tuple(map(plain, leaves)), self.weights)
        return digest_of_functions(type(self).__name__, *facts, int(self.smoothness), self._loss)

    def fused_steps(self, query: TaskFamily, count: int) -> JaxSteps | None:
        """Return the inner steps as JAX compiles them, if the query has parameters of the same form."""
        if count < 1 or not isinstance(query, JaxFamily) or query._layout != self._layout:
            return None
        from maml_ode.tasks.adapters.jax_steps import JaxSteps

        return JaxSteps(self, query, self._programs.fused(query._programs, count))

    @cached_property
    def _programs(self) -> Programs:
        from maml_ode.tasks.adapters.jax_programs import Programs, shared_programs

        digest = digest_of_functions(self._loss)
        try:
            hash(self._loss)
        except TypeError:
            digest = None
        if digest is None:  # it may refer to what changes: nobody else's is surely the same
            return Programs(self._loss, self._layout)
        return shared_programs(self._loss, digest, self._layout)

    @cached_property
    def _device_data(self) -> Any:
        import jax
        import jax.numpy as jnp

        from maml_ode.tasks.adapters.jax_programs import double_precision

        with double_precision():  # whoever asks first, also for a copy or a part of the family
            return jax.tree.map(jnp.asarray, self._data)

    def _confirmed(self) -> dict[str, Route]:
        from maml_ode.tasks.adapters.jax_programs import double_precision

        products = (*VECTORS, *MATRICES) if self._matrices_at_once else VECTORS
        with double_precision():
            chosen = self._programs.confirmed(products, self._device_data, self._checkpoints())
        return {name: partial(self._called, function) for name, function in chosen.items()}

    def _called(self, function: Callable[..., Any], *points: Array) -> Array:
        from maml_ode.tasks.adapters.jax_programs import double_precision

        with double_precision():
            return np.array(function(*points, self._device_data), dtype=np.float64)

    def _check_loss(self) -> None:
        import jax

        from maml_ode.tasks.adapters.jax_programs import double_precision

        with double_precision():
            one = jax.tree.map(lambda x: x[0], self._device_data)
            result = jax.eval_shape(self._loss, self._layout.unravel(np.array(self.w0)), one)
        leaves = jax.tree.leaves(result)
        if len(leaves) != 1 or leaves[0].shape != ():
            found = ", ".join(str(leaf.shape) for leaf in leaves) or "nothing"
            raise ValueError(
                f"loss(params, task_data) must return one scalar, but it returned {found}; take the mean or the "
                "sum over the samples."
            )
        if leaves[0].dtype.kind != "f":
            raise TypeError(
                f"loss(params, task_data) must return a real number, not {leaves[0].dtype}."
            )

    def _rows_of_data(self, chosen: npt.NDArray[np.intp]) -> Any:
        import jax

        return jax.tree.map(lambda x: x[chosen], self._data)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        for name in ("_programs", "_device_data"):
            state.pop(name, None)
        return state


def _require_jax() -> None:
    try:
        import jax  # noqa: F401
    except ImportError:
        raise ImportError(
            "from_jax needs JAX; install it with pip install 'maml_ode[jax]'."
        ) from None
