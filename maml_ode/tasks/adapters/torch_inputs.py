"""What torch users bring: modules, named tensors and nested data, copied, laid out and brought to double.

Imported only where torch is installed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from maml_ode._validation import Array, as_array, shown

__all__ = ["Layout", "described", "laid_out", "mapped", "task_data"]


@dataclass(frozen=True)
class Layout:
    """How named tensors lie in a vector: one after the other, each in C order."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    def unravel(self, w: Any) -> dict[str, Any]:
        """Return the named tensors that the vector holds."""
        parts = torch.split(w, [torch.Size(shape).numel() for shape in self.shapes])
        named = zip(self.names, parts, self.shapes, strict=True)
        return {name: part.reshape(shape) for name, part, shape in named}


def mapped(data: Any, function: Callable[[Any], Any]) -> Any:
    """Return nested tuples, lists and dicts with ``function`` applied to what they hold."""
    if isinstance(data, dict):
        return type(data)((key, mapped(entry, function)) for key, entry in data.items())
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(mapped(entry, function) for entry in data))
    if isinstance(data, (tuple, list)):
        return type(data)(mapped(entry, function) for entry in data)
    return function(data)


class BatchStatistics(torch.nn.Module):  # type: ignore[misc]
    """Batch normalisation by the batch's own statistics, in operations that torch differentiates rightly.

    The third derivatives of torch's own (2.13) are wrong by the size of themselves, forward and backward. It keeps
    no running statistics: a loss does not change its model.
    """

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.eps = norm.eps
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Any) -> Any:
        """Return (x - mean)/sqrt(variance + eps), scaled and shifted, channel by channel."""
        axes = [axis for axis in range(x.ndim) if axis != 1]
        centred = x - x.mean(dim=axes, keepdim=True)
        normal = centred / torch.sqrt((centred**2).mean(dim=axes, keepdim=True) + self.eps)
        if self.weight is None:
            return normal
        shape = [1, -1] + [1] * (x.ndim - 2)
        return normal * self.weight.reshape(shape) + self.bias.reshape(shape)


def _own_copy(module: Any) -> Any:
    """Return a copy of a module in double, in the same training mode, that shares nothing with it."""
    with torch.no_grad():
        twin = copy.deepcopy(module).double().cpu()
    twin = _by_batch_statistics(twin)
    for part in list(twin.modules()):
        for name, child in list(part.named_children()):
            setattr(part, name, _by_batch_statistics(child))
    for parameter in twin.parameters():
        parameter.grad = None
    return twin


def _by_batch_statistics(part: Any) -> Any:
    """Return what stands for a module: itself, unless it is batch normalisation that looks at its batch."""
    kinds = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)
    looks = isinstance(part, kinds) and (part.training or part.running_mean is None)
    return BatchStatistics(part).train(part.training) if looks else part


def laid_out(params: Any) -> tuple[Any, Layout, Array]:
    """Return the module or None, how the parameters lie in a vector, and that vector."""
    model = _own_copy(params) if isinstance(params, torch.nn.Module) else None
    if model is not None:
        named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not named:
            raise ValueError(
                "params holds no parameter that requires gradients; call params.requires_grad_(True), or pass a "
                "dict of tensors."
            )
    elif isinstance(params, dict):
        named = params
    else:
        raise TypeError(
            f"params must be a torch.nn.Module or a dict of names to tensors, not {shown(params)}."
        )
    leaves = []
    for name, tensor in named.items():
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            found = tensor.dtype if isinstance(tensor, torch.Tensor) else shown(tensor)
            raise TypeError(
                f"params[{name!r}] must be a real floating tensor, which a loss can be differentiated by, not "
                f"{found}; put what is not trained into data or into the loss."
            )
        leaves.append(as_array(f"params[{name!r}]", tensor.detach().double().cpu().numpy()))
    w0 = np.concatenate([np.ravel(leaf) for leaf in leaves]) if leaves else np.empty(0)
    if w0.size == 0:
        raise ValueError("params must hold at least one number.")
    if model is not None:
        model.requires_grad_(False)
    return model, Layout(tuple(named), tuple(leaf.shape for leaf in leaves)), w0


def task_data(data: Any) -> tuple[Any, int]:
    """Return the data as tensors of ours, floating ones in double, and the number of tasks."""
    lengths: list[int] = []

    def tensor_of(leaf: Any) -> Any:
        array = leaf if isinstance(leaf, torch.Tensor) else np.asarray(leaf)
        if not isinstance(array, torch.Tensor) and array.dtype.kind not in "biufc":
            raise TypeError(f"data must hold tensors or arrays of numbers, not {shown(leaf)}.")
        own = array if isinstance(array, torch.Tensor) else torch.from_numpy(np.array(array))
        own = own.detach().cpu().clone()
        if own.ndim == 0:
            raise ValueError(
                "data must have the task as the leading axis everywhere, but it holds a single number; put what "
                "all tasks share into the loss, or repeat it M times."
            )
        lengths.append(len(own))
        if lengths[-1] != lengths[0]:
            raise ValueError(
                f"the leading axis of data is the task: one array has {lengths[0]} of them, but another has "
                f"{lengths[-1]}."
            )
        return own.double() if own.is_floating_point() else own

    own = mapped(data, tensor_of)
    if not lengths or lengths[0] == 0:
        raise ValueError(
            "data must hold tensors whose leading axis is the task, of length at least 1."
        )
    return own, lengths[0]


def described(model: Any, layout: Layout) -> Iterator[tuple[Any, ...]]:
    """Yield the classes of a module's parts, their settings, and the tensors that the family does not move."""
    for name, part in model.named_modules():
        settings = {key: value for key, value in vars(part).items() if not key.startswith("_")}
        yield name, type(part), tuple(sorted(settings.items()))
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if name not in layout.names:
            yield name, tensor
