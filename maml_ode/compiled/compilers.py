"""Which compiler a function gets: ours, which do less, with the versions of Numba that they are made for.

They rest on how Numba works within, which the next version may change. With any other, Numba's own compiler takes
all functions: it takes half as long again, for the same results.
"""

from __future__ import annotations

from typing import Any

import numba

__all__ = ["MADE_FOR", "options_of"]

MADE_FOR = ((0, 68),)
"""Major and minor versions of Numba."""


def options_of(kind: str) -> dict[str, Any]:
    """Return Numba's options for a function.

    Parameters
    ----------
    kind : {"inner", "driver", "kernel"}
        A function that only compiled code calls; one that spends its time in the functions that it calls; any
        other.
    """
    if numba.version_info.short not in MADE_FOR:
        return {}
    from maml_ode.compiled.bitcode import BitcodeCompiler, DriverCompiler
    from maml_ode.compiled.pipeline import KernelCompiler

    ours = {"inner": BitcodeCompiler, "driver": DriverCompiler, "kernel": KernelCompiler}
    return {"pipeline_class": ours[kind]}
