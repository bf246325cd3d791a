"""What identifies a Python function: its code, and everything that the code refers to."""

from __future__ import annotations

import dis
import functools
import hashlib
import sys
import types
from typing import Any

import numpy as np

__all__ = ["digest_of_functions"]

_PLAIN = (bool, int, float, complex, str, bytes, np.generic, type(None), type(Ellipsis))
_WRITES = {"STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF", "DELETE_DEREF"}


class _Unknown(Exception):
    """Something that may differ between two processes without showing."""


def digest_of_functions(*parts: Any) -> str | None:
    """Return a digest of functions, arrays, plain values and tuples of them.

    Functions of installed packages count by their name and the package's version; others by their bytecode,
    defaults, and the closure and global variables they use.

    Returns
    -------
    str or None
        None if something cannot be compared with another process's: a container or an object that may change,
        a function that writes to variables outside itself.
    """
    digest = hashlib.sha256()
    try:
        _feed(digest, parts, [])
    except _Unknown:
        return None
    return digest.hexdigest()


def _feed(digest: Any, value: Any, open_: list[Any]) -> None:
    if any(value is other for other in open_):  # a function that calls itself
        digest.update(b" again ")
        return
    digest.update(f" {type(value).__qualname__} ".encode())
    if isinstance(value, _PLAIN):
        digest.update(repr(value).encode())
    elif isinstance(value, tuple):
        digest.update(f"{len(value)} ".encode())
        for entry in value:
            _feed(digest, entry, open_)
    elif isinstance(value, frozenset):
        _feed(digest, tuple(sorted(map(repr, value))), open_)
    elif isinstance(value, types.CodeType):
        _feed_code(digest, value, open_)
    elif isinstance(value, types.ModuleType):
        digest.update(_versioned(value.__name__))
    elif isinstance(value, functools.partial):
        keywords = tuple(sorted(value.keywords.items()))
        _feed(digest, (value.func, value.args, keywords), open_)
    elif isinstance(value, types.MethodType):
        _feed(digest, (value.__func__, value.__self__), open_)
    elif isinstance(value, types.FunctionType) and not _is_installed(value):
        _feed_function(digest, value, [*open_, value])
    elif isinstance(value, type) and not _is_installed(value):
        _feed_class(digest, value, [*open_, value])
    elif _is_array(value):
        array = np.asarray(value)
        if array.dtype.kind not in "biufcSU":
            raise _Unknown
        digest.update(f"{array.shape} {array.dtype.str} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    elif callable(value) and hasattr(value, "__wrapped__"):  # a jitted function
        _feed(digest, value.__wrapped__, open_)
    elif callable(value) and hasattr(value, "__qualname__"):
        digest.update(_versioned(getattr(value, "__module__", None) or ""))
        digest.update(value.__qualname__.encode())
    else:
        raise _Unknown


def _feed_function(digest: Any, function: types.FunctionType, open_: list[Any]) -> None:
    code = function.__code__
    _feed(digest, (code, function.__defaults__), open_)
    _feed(digest, tuple(sorted((function.__kwdefaults__ or {}).items())), open_)
    for cell in function.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:
            raise _Unknown from None
        _feed(digest, content, open_)
    for name in sorted(_names_in(code)):
        if name in function.__globals__:
            _feed(digest, (name, function.__globals__[name]), open_)


def _feed_class(digest: Any, kind: type, open_: list[Any]) -> None:
    """Feed what a user's class does: its functions and plain attributes, and those of its bases."""
    skipped = {"__dict__", "__weakref__", "__doc__", "__module__"}
    for name, entry in sorted(vars(kind).items()):
        if name in skipped or name.startswith(("__static", "__firstline", "__annot")):
            continue
        plain = entry.fget if isinstance(entry, property) else entry
        plain = getattr(plain, "__func__", plain)
        if isinstance(plain, types.CellType):
            continue
        _feed(digest, (name, plain), open_)
    _feed(digest, kind.__bases__, open_)


def _feed_code(digest: Any, code: types.CodeType, open_: list[Any]) -> None:
    for instruction in dis.get_instructions(code):
        if instruction.opname in _WRITES and (
            "GLOBAL" in instruction.opname or instruction.argval in code.co_freevars
        ):
            raise _Unknown
    digest.update(code.co_code)
    _feed(digest, (code.co_names, code.co_varnames, code.co_freevars, code.co_consts), open_)


def _names_in(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_in(constant)
    return names


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") and hasattr(value, "dtype") and hasattr(value, "shape")


def _is_installed(value: Any) -> bool:
    """Whether a function or class is of a package whose version says what it does."""
    try:
        _versioned(getattr(value, "__module__", None) or "")
    except _Unknown:
        return False
    return True


def _versioned(module: str) -> bytes:
    """Return a module's name with the version of its package.

    Raises
    ------
    _Unknown
        If there is none: the module is the user's own.
    """
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names and top != "__main__":
        return module.encode()
    version = getattr(sys.modules.get(top), "__version__", None)
    if not isinstance(version, str):
        raise _Unknown
    return f"{module} {version}".encode()
