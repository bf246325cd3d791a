"""Load public names on first use, so that ``import maml_ode`` imports no Numba, SciPy or matplotlib."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["attach"]


def attach(
    package: str,
    names: Mapping[str, str],
    submodules: tuple[str, ...] | Mapping[str, str] = (),
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for ``package`` (PEP 562).

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    names : mapping of str to str
        Public name -> absolute module that defines it.
    submodules : tuple of str or mapping of str to str
        Submodules reachable as attributes; a mapping names the absolute module behind each.
    """

    def __getattr__(name: str) -> Any:
        if name in names:
            found = getattr(importlib.import_module(names[name]), name)
        elif name in submodules:
            where = submodules[name] if isinstance(submodules, Mapping) else f"{package}.{name}"
            found = importlib.import_module(where)
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        # From now on the package itself has it, and nobody asks here again.
        setattr(sys.modules[package], name, found)
        return found

    def __dir__() -> list[str]:
        return sorted([*names, *submodules])

    return __getattr__, __dir__
