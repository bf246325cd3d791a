"""torchdiffeq, given our aggregation and our end time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.problems import Affine

__all__ = ["solve_affine"]


def solve_affine(problem: Affine, t_end: float, rtol: float, atol: float) -> Callable[[Any], Any]:
    """Return w0 -> w(t_end) by dopri8 of the aggregated field."""
    import torch
    from torchdiffeq import odeint

    torch.set_num_threads(1)
    G, c = torch.from_numpy(problem.G), torch.from_numpy(problem.c)
    span = torch.tensor([0.0, t_end], dtype=torch.float64)

    def run(w0: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            field = lambda t, w: c - G @ w
            path = odeint(field, torch.from_numpy(w0), span, rtol=rtol, atol=atol, method="dopri8")
        return np.asarray(path[-1].numpy())

    return run
