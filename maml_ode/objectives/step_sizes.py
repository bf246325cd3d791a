"""The inner step size alpha: one number, or an array over inner steps, tasks and coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np

from maml_ode._validation import Array, as_array, check_real, freeze, real_array

__all__ = ["Alpha", "checked_alpha", "key_of", "largest_size", "of_steps", "of_tasks", "written"]

Alpha = float | Array
"""One number of either sign, or an array that broadcasts against (k, M, d)."""

# Arrays of more entries are named by their shape and their range.
WRITTEN_OUT = 6


def checked_alpha(value: Any, inner_steps: int, n_tasks: int, dim: int) -> Alpha:
    """Return a number, or a read-only array of the caller's shape that broadcasts against (k, M, d).

    Raises
    ------
    TypeError
        If it holds anything but real numbers.
    ValueError
        If an entry is not finite, or the shape is not one of (d,), (M, 1), (k, 1, 1) and what broadcasts with
        them.
    """
    is_text = isinstance(value, (str, bytes, bytearray))
    if is_text or not (hasattr(value, "__len__") or hasattr(value, "__array__")):
        return check_real("alpha", value)
    given = real_array("alpha", value)
    if given.ndim == 0:
        return check_real("alpha", value)
    alpha = as_array("alpha", given)
    full = (inner_steps, n_tasks, dim)
    fits = alpha.ndim <= 3 and all(
        have in (1, want) for have, want in zip(reversed(alpha.shape), reversed(full), strict=False)
    )
    if not fits or (alpha.ndim == 1 and alpha.size != dim):
        raise ValueError(
            f"alpha must be a number, or an array of shape (d,) = ({dim},) for each coordinate, (M, 1) = "
            f"({n_tasks}, 1) for each task, (k, 1, 1) = ({inner_steps}, 1, 1) for each inner step, or what "
            f"broadcasts with these against {full}, but it has shape {alpha.shape}{_hint(alpha, full)}."
        )
    return freeze(alpha)


def _hint(alpha: Array, full: tuple[int, int, int]) -> str:
    if alpha.ndim != 1:
        return ""
    if alpha.size == full[1]:
        return "; for one number a task pass np.reshape(alpha, (-1, 1))"
    if alpha.size == full[0]:
        return "; for one number an inner step pass np.reshape(alpha, (-1, 1, 1))"
    return ""


def of_steps(alpha: Alpha, inner_steps: int) -> list[Any]:
    """Return the step size of every inner step: numbers, or arrays that broadcast against (M, d)."""
    if not isinstance(alpha, np.ndarray):
        return [alpha] * inner_steps
    if alpha.ndim < 3 or len(alpha) == 1:
        return [alpha.reshape(alpha.shape[-2:])] * inner_steps
    return list(alpha)


def of_tasks(alpha: Alpha, chosen: Any) -> Alpha:
    """Return the step sizes of the chosen tasks."""
    if not isinstance(alpha, np.ndarray) or alpha.ndim < 2 or alpha.shape[-2] == 1:
        return alpha
    return alpha[..., chosen, :]


def largest_size(alpha: Alpha) -> float:
    """Return the largest absolute value."""
    return float(np.abs(alpha).max())


def key_of(alpha: Alpha) -> Any:
    """Return what tells step sizes apart as the key of a dictionary."""
    if not isinstance(alpha, np.ndarray):
        return alpha
    return alpha.shape, alpha.tobytes()


def written(alpha: Alpha) -> str:
    """Return the step size for a repr."""
    if not isinstance(alpha, np.ndarray):
        return f"{alpha:g}"
    if alpha.size <= WRITTEN_OUT:
        numbers = np.array2string(
            alpha, separator=", ", formatter={"float_kind": lambda x: f"{x:g}"}
        )
        return numbers.replace("\n", "")
    return f"<{alpha.min():g} to {alpha.max():g}, shape {alpha.shape}>"
