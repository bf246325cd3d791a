"""Arrays of compiled code that cost nothing to make: views that own nothing, and room on the stack.

What Numba allocates takes as long as a small task's gradient, and so does counting the references to an array:
each count is an atomic operation. An array without an owner is not counted. Who makes one sees to it that the
numbers outlive it: a handle that keeps the owner beside the view, or the frame of the function that works on it.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from maml_ode.compiled.decorators import inner

__all__ = ["address", "borrowed", "matrix_in", "stack"]

# Numbers on the stack for one array: 2 kB, a path of two points of 128 parameters.
ROOM = 256
POINTER = types.CPointer(types.float64)


@intrinsic
def borrowed(typing_context, array):
    """Return the same array without its owner."""

    def generate(context, builder, signature, arguments):
        view = context.make_array(array)(context, builder, value=arguments[0])
        view.meminfo = ir.Constant(view.meminfo.type, None)
        view.parent = ir.Constant(view.parent.type, None)
        return view._getvalue()

    return array(array), generate


@intrinsic
def address(typing_context, array):
    """Return where in memory an array's first number lies."""

    def generate(context, builder, signature, arguments):
        view = context.make_array(array)(context, builder, value=arguments[0])
        return builder.ptrtoint(view.data, ir.IntType(64))

    return types.int64(array), generate


@intrinsic
def stack(typing_context):
    """Return room for ROOM numbers in the frame of the calling function."""

    def generate(context, builder, signature, arguments):
        with builder.goto_entry_block():
            return builder.alloca(ir.DoubleType(), ROOM)

    return POINTER(), generate


@intrinsic
def _matrix_at(typing_context, pointer, rows, columns):
    """Return the matrix without an owner whose rows begin where a pointer says."""
    kind = types.float64[:, ::1]

    def generate(context, builder, signature, arguments):
        start, rows, columns = arguments
        size = ir.Constant(columns.type, 8)
        view = context.make_array(kind)(context, builder)
        populate_array(
            view,
            data=start,
            shape=(rows, columns),
            strides=(builder.mul(columns, size), size),
            itemsize=size,
            meminfo=None,
        )
        return view._getvalue()

    return kind(pointer, types.int64, types.int64), generate


@inner(types.float64[:, ::1](POINTER, types.int64, types.int64))
def matrix_in(room, rows, columns):
    """Return a matrix in a room of the caller's `stack`, or one of its own if that is too small."""
    if rows * columns <= ROOM:
        return _matrix_at(room, rows, columns)
    return np.empty((rows, columns))
