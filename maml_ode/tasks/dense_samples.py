"""Where the dense samples of a linear model lie: in the flat layout of its kernels, on the lines of the cache."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, copy_into, freeze

__all__ = ["LINE", "LONG", "DenseSamples"]

Integers = npt.NDArray[np.int64]

LINE = 8
"""Numbers in a line of the cache, which is what the widest vector registers hold.

Whatever is read across two lines takes as long as both.
"""

LONG = 32
"""From so many samples on, the features of a task begin on lines; fewer are small beside the room for that."""


class DenseSamples:
    """The samples X_i of all tasks, dense, in one buffer of floats behind what the model keeps there.

    The block of task i is X_i row by row, or, where n_i > d, X_i', and from n_i = `LONG` on with zeros after each
    of its rows up to a multiple of `LINE`. The buffer of integers goes on with [first number of each block (M),
    their sum].

    Parameters
    ----------
    sizes : list of int
        n_i.
    dim : int
        d.
    n_floats : int
        How many floats the model keeps in front; behind them a line of the cache begins.
    n_integers : int
        How many integers the model keeps in front.
    """

    def __init__(self, sizes: list[int], dim: int, n_floats: int, n_integers: int) -> None:
        self._sizes, self._dim = sizes, dim
        widths = [-(-n // LINE) * LINE if n >= LONG else n for n in sizes]
        self._stored = [
            (dim, width) if n > dim else (n, dim) for n, width in zip(sizes, widths, strict=True)
        ]
        self._values = n_floats
        self._starts = n_integers

    def pack(
        self, samples: list[Any], head: Array, integer_head: Integers
    ) -> tuple[Array, Integers]:
        """Return new buffers that hold the samples behind these heads.

        Raises
        ------
        TypeError, ValueError
            If the entries are not finite real numbers.
        """
        starts = np.cumsum([0, *(rows * columns for rows, columns in self._stored)])
        integers = np.concatenate([integer_head, starts])
        floats = self._on_lines(self._values + int(starts[-1]))
        floats[: head.size] = head
        for i, (X, view) in enumerate(zip(samples, self._views(floats, integers), strict=True)):
            copy_into(f"X[{i}]", X, view, booleans=True)
        return floats, integers

    def placed(self, floats: Array) -> Array:
        """Return a copy of the floats on the lines of the cache, which they leave when they are unpickled."""
        copy = self._on_lines(floats.size)
        copy[:] = floats
        return copy

    def views(self, floats: Array, integers: Integers, dim: int) -> tuple[Array, ...]:
        """Return the samples as arrays of shape (n_i, d) that share the buffer, read-only."""
        return tuple(freeze(view) for view in self._views(floats, integers))

    def _views(self, floats: Array, integers: Integers) -> Iterator[Array]:
        starts = (self._values + integers[self._starts :]).tolist()
        blocks = itertools.pairwise(starts)
        for (start, stop), shape, n in zip(blocks, self._stored, self._sizes, strict=True):
            stored = floats[start:stop].reshape(shape)
            yield stored[:, :n].T if n > self._dim else stored

    def _on_lines(self, size: int) -> Array:
        """Return zeros, the first of which behind the head begins a line."""
        room = np.zeros(size + LINE - 1)
        skipped = -(room.ctypes.data // room.itemsize + self._values) % LINE
        return room[skipped : skipped + size]
