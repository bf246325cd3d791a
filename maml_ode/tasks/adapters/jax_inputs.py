"""What JAX users bring: pytrees of parameters and of data, laid out and brought to double.

Imported only where JAX is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_array, shown

__all__ = ["Layout", "laid_out", "plain", "task_data"]


@dataclass(frozen=True)
class Layout:
    """How a pytree of parameters lies in a vector: leaf after leaf, each in C order."""

    tree: Any
    shapes: tuple[tuple[int, ...], ...]

    def unravel(self, w: Any) -> Any:
        """Return the pytree whose leaves the vector holds."""
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self.shapes)])
        leaves = [w[ends[k] : ends[k + 1]].reshape(shape) for k, shape in enumerate(self.shapes)]
        return jax.tree.unflatten(self.tree, leaves)

    def ravel(self, params: Any) -> Any:
        """Return the vector that holds the leaves."""
        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(params)])


def laid_out(params: Any) -> tuple[Layout, Array]:
    """Return how the parameters lie in a vector, and that vector."""
    found, tree = jax.tree_util.tree_flatten_with_path(params)
    leaves = []
    for path, leaf in found:
        name = f"params{jax.tree_util.keystr(path)}"
        array = _as_numpy(name, leaf)
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise TypeError(
                f"{name} must be a real floating array, which a loss can be differentiated by, not "
                f"{array.dtype}; put what is not trained into data or into the loss."
            )
        leaves.append(as_array(name, array.astype(np.float64)))
    w0 = np.concatenate([np.ravel(leaf) for leaf in leaves]) if leaves else np.empty(0)
    if w0.size == 0:
        raise ValueError("params must hold at least one number.")
    return Layout(tree, tuple(leaf.shape for leaf in leaves)), w0


def task_data(data: Any) -> tuple[Any, int]:
    """Return the data on the host, floating arrays in double, and the number of tasks."""
    found, tree = jax.tree_util.tree_flatten_with_path(data)
    leaves, first = [], ""
    n_tasks: int | None = None
    for path, leaf in found:
        name = f"data{jax.tree_util.keystr(path)}"
        array = leaf if _is_key(leaf) else _as_numpy(name, leaf)
        if array.ndim == 0:
            raise ValueError(
                f"{name} must have the task as its leading axis, but it is a single number; put what all "
                "tasks share into the loss, or repeat it with np.full(M, ...)."
            )
        if n_tasks is None:
            n_tasks, first = int(array.shape[0]), name
        elif array.shape[0] != n_tasks:
            raise ValueError(
                f"the leading axis of data is the task: {first} has {n_tasks} of them, but {name} has "
                f"{array.shape[0]}."
            )
        if not _is_key(array) and jnp.issubdtype(array.dtype, jnp.floating):
            array = array.astype(np.float64)
        leaves.append(array)
    if not n_tasks:
        raise ValueError(
            "data must hold arrays whose leading axis is the task, of length at least 1."
        )
    return jax.tree.unflatten(tree, leaves), n_tasks


def _as_numpy(name: str, leaf: Any) -> npt.NDArray[Any]:
    array = np.array(leaf)  # a copy: JAX may compute on the very memory
    if array.dtype.kind not in "biufcV" or array.dtype.names is not None:
        raise TypeError(f"{name} must be an array of numbers, not {shown(leaf)}.")
    return array


def _is_key(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and bool(jax.dtypes.issubdtype(dtype, jax.dtypes.extended))


def plain(leaf: Any) -> npt.NDArray[Any]:
    """Return a leaf of the data as numbers, a random key too."""
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
