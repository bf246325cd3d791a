"""Kernels of f_i(w) = s_i sum_j phi(t_ij) + (l2/2) ||D w||^2, for every phi, dense or sparse X.

D = I, or it takes out the intercept, which is the last coordinate.

Every derivative at a point is one traversal of the task's samples. Slope, curvature and bend of a sample come
from one look at its prediction, and the latter two stay on the tape, so that the MAML loss of one inner step
costs 12 n d flops a gradient and 22 n d a Hessian-vector product.

Tape, from its first line on: [s phi''(t_j) (m), s phi'''(t_j) c_j (m), x_j'v (m), scratch], as far as the order
asks for them. m is n rounded up to whole lines, so that each begins on one.

Where the samples are read again after a gradient or a product that went over them from the first to the last,
the blocks are taken from the last to the first: the last ones are still in the cache.

Each phi and each form of X has kernels of its own (`kernels`), so that a run compiles what it follows.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import types

from maml_ode.compiled.contract import (
    INDEX,
    LOSS,
    TAPE_SIZE,
    TAPED_ADJOINT,
    TAPED_GRADIENT,
    TAPED_HVP,
    TAPED_MATRIX,
    VECTOR,
    TapedKernels,
)
from maml_ode.compiled.decorators import inner, kernel, kernel_on_demand
from maml_ode.compiled.scratch import borrowed
from maml_ode.tasks.dense_samples import LINE
from maml_ode.tasks.kernels.dense_products import add_products
from maml_ode.tasks.kernels.margin_losses import (
    HINGE,
    LOOK_ROWS,
    SQUARED,
    SQUARED_HINGE,
    loss_functions,
)
from maml_ode.tasks.kernels.samples import (
    RIDGE,
    block_size,
    last_start,
    on_lines,
    sample_functions,
    whole_lines,
)


@inner(types.void(RIDGE, VECTOR, VECTOR), forceinline=True)
def _set_ridge(ridge, v, out):
    """Set out = l2 D v; with factor 0 an infinite v still makes NaN."""
    l2, penalized = ridge
    for k in range(min(penalized, out.size)):
        out[k] = l2 * v[k]
    for k in range(penalized, out.size):
        out[k] = 0.0 * v[k]


def _loss(kind: int, sparse: bool) -> Any:
    phi, samples = loss_functions(kind), sample_functions(sparse)
    look, sum_of, task, predict = phi.look, phi.total, samples.task, samples.predict

    @kernel(LOSS)
    def loss(i, w, data):
        """Return s sum_j phi(t_j) + (l2/2) ||D w||^2."""
        X, y, scale, ridge, smoothing = task(i, data)
        n = X[2]
        block = block_size(n, w.size)
        room = (LOOK_ROWS + 1) * block
        scratch = np.empty(room + 1)
        c, seen, square = scratch[:block], scratch[block:room], scratch[room:]
        total = 0.0
        for start in range(0, n, block):
            stop = min(start + block, n)
            predict(X, start, stop, w, c)
            labels = y[start:stop]
            look(smoothing, c, labels, seen)
            total += sum_of(smoothing, c, labels, seen)
        total *= scale
        if sparse:
            # A NaN at a coordinate without entries must show, as it does with dense data.
            for k in range(w.size):
                total += 0.0 * w[k]
        l2, penalized = ridge
        if l2 != 0.0:
            square[0] = 0.0
            add_products(w, w.size, 0, 1, 0, penalized, w, square)
            total += 0.5 * l2 * square[0]
        return total

    return loss


@inner(INDEX(INDEX, INDEX))
def _kept(order, n):
    """Return how many numbers are kept of n samples: none, or one or three for each."""
    return max(0, 2 * order - 1) * whole_lines(n)


@kernel(TAPE_SIZE)
def tape_size(order, data):
    """Return the largest task's kept numbers and scratch for a block."""
    integers = data[1]
    n = 0
    for i in range(integers[0]):
        n = max(n, integers[5 + i] - integers[4 + i])
    return LINE + _kept(order, n) + (LOOK_ROWS + 1) * block_size(n, integers[1])


def _gradient(kind: int, sparse: bool, bent: bool) -> Any:
    """Return the function of the gradient, for order 2 if ``bent``, else for 0 and 1."""
    phi, samples = loss_functions(kind), sample_functions(sparse)
    look = phi.bent_look if bent else phi.look
    slopes, derivatives = phi.slopes, phi.bent_derivatives if bent else phi.derivatives
    task, predict, accumulate = samples.task, samples.predict, samples.accumulate

    def gradient(i, w, order, data, tape, out):
        """Set out = s sum_j phi'(t_j) c_j x_j + l2 D w, if it has entries, and keep the next derivatives."""
        w, tape, out = borrowed(w), on_lines(tape), borrowed(out)
        X, y, scale, ridge, smoothing = task(i, data)
        n, lines = X[2], whole_lines(X[2])
        block = block_size(n, w.size)
        scratch = tape[_kept(order, n) :]
        c, seen = scratch[:block], scratch[block:]
        _set_ridge(ridge, w, out)
        last = last_start(n, block)
        for first in range(0, n, block):
            start = first if order > 0 else last - first
            stop = min(start + block, y.size)
            labels = y[start:stop]
            predict(X, start, stop, w, c)
            look(smoothing, c, labels, seen)
            if order > 0:
                curvature = tape[start:stop]
                bend = tape[lines + start : lines + stop] if bent else curvature
                derivatives(smoothing, scale, labels, seen, curvature, bend, c)
            else:
                slopes(smoothing, scale, labels, seen, c, c, c)
            if out.size > 0:
                accumulate(X, start, stop, c, out)

    return gradient


def _hvp(flat: bool, sparse: bool) -> Any:
    """Return the function of the Hessian-vector product; ``flat`` where phi'' is 0."""
    samples = sample_functions(sparse)
    task, predict, accumulate = samples.task, samples.predict, samples.accumulate

    @kernel(TAPED_HVP)
    def hvp(i, v, order, data, tape, out):
        """Set out = s sum_j phi''(t_j) (x_j'v) x_j + l2 D v."""
        v, tape, out = borrowed(v), on_lines(tape), borrowed(out)
        X, y, _, ridge, _ = task(i, data)
        _set_ridge(ridge, v, out)
        if flat:
            return
        n, lines = X[2], whole_lines(X[2])
        block = block_size(n, v.size)
        c = tape[_kept(order, n) :]
        last = last_start(n, block)
        for first in range(0, n, block):
            start = first if order < 2 else last - first
            stop = min(start + block, y.size)
            predict(X, start, stop, v, c)
            if order > 1:
                along = tape[2 * lines + start : 2 * lines + stop]
                for j in range(along.size):
                    along[j] = c[j]
            if out.size > 0:
                curvature = tape[start:stop]
                for j in range(curvature.size):
                    c[j] *= curvature[j]
                accumulate(X, start, stop, c, out)

    return hvp


def _adjoint(flat: bool, sparse: bool) -> Any:
    samples = sample_functions(sparse)
    task, predict, accumulate = samples.task, samples.predict, samples.accumulate

    @kernel_on_demand(TAPED_ADJOINT)
    def adjoint(i, q, b, data, tape, out, other):
        """Set out = H b + D^3 f_i(w)[v, q, .] and, if it has entries, other = H q."""
        q, b, tape = borrowed(q), borrowed(b), on_lines(tape)
        out, other = borrowed(out), borrowed(other)
        X, y, _, ridge, _ = task(i, data)
        _set_ridge(ridge, b, out)
        _set_ridge(ridge, q, other)
        if flat:
            return
        n, lines = X[2], whole_lines(X[2])
        block = block_size(n, b.size)
        scratch = tape[_kept(2, n) :]
        c, along_q = scratch[:block], scratch[block : 2 * block]
        last = last_start(n, block)
        for first in range(0, n, block):
            start = last - first
            stop = min(start + block, y.size)
            curvature, bend = tape[start:stop], tape[lines + start : lines + stop]
            along = tape[2 * lines + start : 2 * lines + stop]
            predict(X, start, stop, q, along_q)
            predict(X, start, stop, b, c)
            for j in range(curvature.size):
                c[j] = curvature[j] * c[j] + bend[j] * along[j] * along_q[j]
                along_q[j] *= curvature[j]
            accumulate(X, start, stop, c, out)
            if other.size > 0:
                accumulate(X, start, stop, along_q, other)

    return adjoint


def _matrix(flat: bool, straight: bool, sparse: bool) -> Any:
    """Return the function of the matrices; ``straight`` where phi''' is 0."""
    samples = sample_functions(sparse)
    task, weighted_gram = samples.task, samples.weighted_gram

    @kernel_on_demand(TAPED_MATRIX)
    def matrix(i, order, data, tape, out):
        """Set out = Hess f_i(w), or with order 2 out = D^3 f_i(w)[v, ., .]."""
        tape = on_lines(tape)
        X, _, _, ridge, _ = task(i, data)
        n, lines = X[2], whole_lines(X[2])
        c = tape[:n]
        l2, penalized = ridge
        if order > 1:
            l2 = 0.0
            bend, along = tape[lines : lines + n], tape[2 * lines : 2 * lines + n]
            for j in range(n):
                c[j] = bend[j] * along[j]
        if flat or (order > 1 and straight):
            out[:, :] = 0.0
        else:
            weighted_gram(X, c, out)
        for k in range(penalized):
            out[k, k] += l2

    return matrix


@cache
def kernels(kind: int, sparse: bool) -> TapedKernels:
    """Return the kernels of a loss with dense or sparse samples."""
    flat, straight = kind == HINGE, kind in (SQUARED, SQUARED_HINGE)
    return TapedKernels(
        loss=_loss(kind, sparse),
        tape_size=tape_size,
        gradient=kernel(TAPED_GRADIENT)(_gradient(kind, sparse, False)),
        bent_gradient=kernel_on_demand(TAPED_GRADIENT)(_gradient(kind, sparse, True)),
        hvp=_hvp(flat, sparse),
        adjoint=_adjoint(flat, sparse),
        matrix=_matrix(flat, straight, sparse),
    )
