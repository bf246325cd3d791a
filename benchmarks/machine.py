"""What the machine is, and what one core of it can do."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from pathlib import Path

import numpy as np

__all__ = ["describe", "peaks"]

LIBRARIES = [
    "maml_ode",
    "numpy",
    "scipy",
    "numba",
    "jax",
    "diffrax",
    "torch",
    "torchdiffeq",
    "CyRK",
    "extensisq",
    "sundials4py",
]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def describe() -> dict[str, str]:
    """Return the processor, the system and the versions of what takes part."""
    facts = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": platform.system(),
        "python": platform.python_version(),
    }
    for library in LIBRARIES:
        try:
            facts[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            facts[library] = "not installed"
    return facts


def _best(call: object, repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        call()  # type: ignore[operator]
        best = min(best, time.perf_counter() - began)
    return best


def peaks() -> dict[str, float]:
    """Return GFLOP/s of a matrix product, and GB/s of reading from the caches and from memory, on one core."""
    A = np.ones((800, 800))
    found = {"dgemm GFLOP/s": 2 * 800**3 / _best(lambda: A @ A, 9) / 1e9}
    for name, megabytes in [("L2", 0.5), ("L3", 8.0), ("memory", 256.0)]:
        x = np.ones(round(megabytes * 2**20 / 8))
        inner = max(1, round(64 / megabytes))
        seconds = _best(lambda x=x, inner=inner: [x.dot(x) for _ in range(inner)], 7)
        found[f"{name} GB/s"] = x.nbytes * inner / seconds / 1e9
    return found
