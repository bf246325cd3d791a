"""One thread a side, set before any library is loaded."""

from __future__ import annotations

import os

ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_X64": "1",
    # Dispatching to another thread costs JAX a third of a small kernel's time.
    "JAX_CPU_ENABLE_ASYNC_DISPATCH": "0",
}


def use_one_thread() -> None:
    """Give every library of this process one thread, and JAX double precision and no asynchronous dispatch."""
    os.environ.update(ONE_THREAD)
