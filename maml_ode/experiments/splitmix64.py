"""SplitMix64: a generator of sixty-four bits and five lines, the same in every language.

State s; each draw adds the constant below to s and returns a mix of the new s (Steele, Lea and
Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, DOI 10.1145/2660193.2660195).
The state after k draws is s + k * constant mod 2^64, so that n draws are one vectorised expression.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import LARGEST_SEED, Array, as_seed

__all__ = ["LARGEST_SEED", "SplitMix64", "check_seed"]

_INCREMENT = 0x9E3779B97F4A7C15
_MASK = LARGEST_SEED


def check_seed(seed: Any) -> int:
    """Return a seed that every generator of the experiments takes.

    Raises
    ------
    TypeError, ValueError
        If it is not an integer with 0 <= seed < 2^64.
    """
    return as_seed("seed", seed)


class SplitMix64:
    """A stream of 64-bit integers, uniforms and normals that any language reproduces.

    Parameters
    ----------
    seed : int
        The initial state, 0 <= seed < 2^64.

    Raises
    ------
    TypeError, ValueError
        If ``seed`` is not an integer of that range.

    Examples
    --------
    >>> from maml_ode.experiments.splitmix64 import SplitMix64
    >>> hex(SplitMix64(0).bits(1)[0])
    '0xe220a8397b1dcdaf'
    """

    def __init__(self, seed: int) -> None:
        self._state = check_seed(seed)

    def bits(self, n: int) -> npt.NDArray[np.uint64]:
        """Return the next ``n`` integers, uniform on [0, 2^64)."""
        steps = np.arange(1, n + 1, dtype=np.uint64)
        z = np.uint64(self._state) + steps * np.uint64(_INCREMENT)
        self._state = (self._state + n * _INCREMENT) & _MASK
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))

    def uniforms(self, n: int) -> Array:
        """Return the next ``n`` numbers u = (z >> 11) 2^-53, uniform on [0, 1)."""
        return (self.bits(n) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normals(self, *shape: int) -> Array:
        """Return standard normals of the given shape, in C order, by Box and Muller's method.

        Uniforms are taken in pairs (u1, u2); with r = sqrt(-2 ln(1 - u1)) a pair gives r cos(2 pi
        u2), then r sin(2 pi u2). For an odd number of normals the last sine is dropped.
        """
        n = math.prod(shape)
        u1, u2 = self.uniforms(2 * ((n + 1) // 2)).reshape(-1, 2).T
        radius = np.sqrt(-2.0 * np.log(1.0 - u1))
        angle = 2.0 * np.pi * u2
        pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        return pairs.ravel()[:n].reshape(shape)

    def choose(self, population: npt.NDArray[np.intp], n: int) -> npt.NDArray[np.intp]:
        """Return ``n`` distinct entries of ``population`` in random order.

        Each entry gets one draw as its key and the ``n`` smallest keys win, so that the choice
        involves integers only.
        """
        keys = self.bits(population.size)
        return population[np.argsort(keys, kind="stable")[:n]]
