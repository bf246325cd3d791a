"""CyRK's C++ integrators, with a compiled callback, over the time span that this package found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.problems import Affine

__all__ = ["solve_affine_compiled", "solve_affine_from_python", "solve_margin"]


def _affine_callback(problem: Affine, compile_it: Callable[[Any], Any]) -> Any:
    """Return dw/dt = c - G w as compiled code that CyRK calls; G and c are constants in it."""
    G, c = problem.G, problem.c
    d = len(c)

    def field(dy, t, w, args):  # type: ignore[no-untyped-def]
        for i in range(d):
            total = c[i]
            for j in range(d):
                total -= G[i, j] * w[j]
            dy[i] = total

    return compile_it(field)


def solve_affine_compiled(
    problem: Affine, t_end: float, rtol: float, atol: float
) -> Callable[[Any], Any]:
    """Return w0 -> w(t_end) by CyRK's compiled entry, which calls the callback's address."""
    from CyRK import cyjit, nbsolve2_ivp

    callback = _affine_callback(problem, cyjit)
    address = callback.address

    def run(w0: np.ndarray) -> np.ndarray:
        found = nbsolve2_ivp(address, (0.0, t_end), w0, "DOP853", rtol=rtol, atol=atol)
        end = np.array(found.y[:, -1])
        found.free()  # CyRK leaves that to the caller
        return end

    run.callback = callback  # type: ignore[attr-defined]  # its machine code lives as long as it does
    return run


def solve_affine_from_python(
    problem: Affine, t_end: float, rtol: float, atol: float
) -> Callable[[Any], Any]:
    """Return w0 -> w(t_end) by CyRK's Python entry with a Numba function."""
    from CyRK import pysolve_ivp
    from numba import njit

    G, c = problem.G, problem.c

    @njit
    def field(dy, t, w):  # type: ignore[no-untyped-def]
        for i in range(w.size):
            total = c[i]
            for j in range(w.size):
                total -= G[i, j] * w[j]
            dy[i] = total

    def run(w0: np.ndarray) -> np.ndarray:
        found = pysolve_ivp(
            field, (0.0, t_end), w0, method="DOP853", rtol=rtol, atol=atol, pass_dy_as_arg=True
        )
        return np.asarray(found.y[:, -1])

    return run


def solve_margin(
    gradient: Callable[[Any], Any], t_end: float, rtol: float, atol: float
) -> Callable[[Any], Any]:
    """Return w0 -> w(t_end) with this package's kernel called back for the field."""
    from CyRK import pysolve_ivp

    def field(dy: np.ndarray, t: float, w: np.ndarray) -> None:
        np.negative(gradient(np.array(w)), out=dy)

    def run(w0: np.ndarray) -> np.ndarray:
        found = pysolve_ivp(
            field, (0.0, t_end), w0, method="DOP853", rtol=rtol, atol=atol, pass_dy_as_arg=True
        )
        return np.asarray(found.y[:, -1])

    return run
