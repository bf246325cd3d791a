"""Whether the machine code on disk is what was written there.

Numba keeps an index and an object file for every function and trusts them. A file that was cut off or changed
makes it raise anything, or run anything. The digests of a module's files are therefore kept beside its source,
and files that differ from them are removed before they are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

from maml_ode.compiled.contract import Kernels

__all__ = ["discard", "is_intact", "replace_file", "seal"]


def is_intact(path: Path) -> bool:
    """Return whether the machine code of the module ``path`` is as ``seal`` found it, or absent."""
    folder, digests = _sealed(path)
    return _digests(path, folder) == digests


def discard(path: Path) -> None:
    """Remove the machine code of the module ``path``."""
    for file in _files(path, _sealed(path)[0]):
        file.unlink(missing_ok=True)


def seal(path: Path, kernels: Kernels) -> None:
    """Note what the machine code of the module ``path`` is; nothing is noted where nothing is kept."""
    stats = getattr(getattr(kernels, "loss", None), "stats", None)
    if stats is None or not stats.cache_path:
        return
    folder = Path(stats.cache_path)
    try:
        digests = _digests(path, folder)
        if digests and (folder, digests) != _sealed(path):
            note = {"folder": str(folder), "sha256": digests}
            replace_file(_seal_of(path), json.dumps(note).encode())
    except OSError:
        pass  # without a seal the next process compiles again


def replace_file(path: Path, content: bytes, *, time: float | None = None) -> None:
    """Write a file at once or not at all, with ``time`` as its time if that is given."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        if time is not None:
            os.utime(temporary, (time, time))
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _seal_of(path: Path) -> Path:
    return path.with_suffix(".json")


def _sealed(path: Path) -> tuple[Path, dict[str, str]]:
    """Return the directory of the machine code and its digests, as far as they are known."""
    try:
        note = json.loads(_seal_of(path).read_bytes())
        return Path(note["folder"]), dict(note["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return path.parent / "__pycache__", {}


def _files(path: Path, folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{path.stem}.*.nb[ic]"))


def _digests(path: Path, folder: Path) -> dict[str, str]:
    found = {}
    for file in _files(path, folder):
        with contextlib.suppress(FileNotFoundError):  # another process removed it
            found[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found
