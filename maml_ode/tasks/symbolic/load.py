"""Turn the generated source of a family into its kernels, compiled once per machine.

Numba keeps machine code on disk beside the file that holds a function, so the source needs a file: one per
source, named by a digest, in a directory of the user. What is executed is always the source just
generated. The file is compared with it and rewritten if it differs, and is never itself run. Machine code is
loaded only if it is what was written (``machine_code``), else it is compiled again.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.util
import os
import sys
import threading
from pathlib import Path

import numba

from maml_ode.compiled import contract
from maml_ode.compiled.contract import Kernels
from maml_ode.tasks.symbolic.machine_code import discard, is_intact, replace_file, seal

__all__ = ["cache_directory", "load"]

_loaded: dict[str, Kernels] = {}
_lock = threading.Lock()
_TIME = 946684800  # of every file: 1 January 2000


def cache_directory() -> Path:
    """Return the directory of the generated files, which need not exist.

    It is ``$MAML_ODE_CACHE_DIR`` if that is set, else ``maml_ode`` in ``%LOCALAPPDATA%`` on Windows, and
    in ``$XDG_CACHE_HOME`` or ``~/.cache`` elsewhere.

    Raises
    ------
    RuntimeError
        If none of these is set and the user has no home directory.
    """
    chosen = os.environ.get("MAML_ODE_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute()
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    base = os.environ.get(variable, "")
    # The XDG specification has relative paths ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "maml_ode"


def load(source: str) -> Kernels:
    """Return the ``KERNELS`` of a generated module, the same ones for the same source.

    Without a directory that can be written, machine code lives as long as the process.

    Parameters
    ----------
    source : str
        The module's source. It holds the line ``ON_DISK = True``, which is changed to False where
        nothing can be kept on disk.
    """
    key = _digest(source)
    with _lock:
        if key not in _loaded:
            _loaded[key] = _compile(key, source)
        return _loaded[key]


def _digest(text: str) -> str:
    # Kernels serve one contract and one version of Numba.
    signatures = [getattr(contract, name.upper()) for name in Kernels.__dataclass_fields__]
    stamp = "\n".join([text, numba.__version__, *map(str, signatures)])
    return hashlib.sha256(stamp.encode()).hexdigest()


def _compile(key: str, text: str) -> Kernels:
    name = f"maml_ode_symbolic_{key}"
    try:
        path = cache_directory() / f"{name}.py"
        _provide(path, text)
        if not is_intact(path):
            discard(path)
    except (OSError, RuntimeError):
        return _execute(name, Path(f"<{name}>"), _in_memory(text))
    try:
        kernels = _execute(name, path, text)
    except Exception:  # no directory, a full disk, or whatever unpickling damaged files raises
        kernels = _again(name, path, text)
    seal(path, kernels)
    return kernels


def _again(name: str, path: Path, text: str) -> Kernels:
    """Compile afresh, in memory if the disk refuses; what is wrong with the source itself is raised."""
    try:
        discard(path)
        return _execute(name, path, text)
    except Exception:
        return _execute(name, path, _in_memory(text))


def _in_memory(text: str) -> str:
    return text.replace("ON_DISK = True", "ON_DISK = False", 1)


def _provide(path: Path, text: str) -> None:
    """See to it that the file holds exactly ``text``."""
    wanted = text.encode()
    try:
        if path.read_bytes() == wanted:
            return
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Numba discards machine code when its file's time changes: processes that write the same
    # file at once must agree on it.
    replace_file(path, wanted, time=_TIME)


class _Source(importlib.abc.ExecutionLoader):
    """Loads a module from a source in memory under the name of its file."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text

    def get_filename(self, fullname: str) -> str:
        return str(self.path)

    def get_source(self, fullname: str) -> str:
        return self.text


def _execute(name: str, path: Path, text: str) -> Kernels:
    spec = importlib.util.spec_from_loader(name, _Source(path, text))
    if spec is None:
        raise ImportError(f"no module specification for {path}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where Numba looks up the globals of cached functions
    try:
        _Source(path, text).exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    kernels: Kernels = module.KERNELS
    return kernels
