"""What an interrupted run had computed: one file per piece, until all of them are put together."""

from __future__ import annotations

import hashlib
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from maml_ode._files import write_atomically
from maml_ode.runs.files import read_json, to_json

__all__ = ["Unfinished"]


class Unfinished:
    """The finished pieces of something larger, in the folder ``unfinished``.

    Parameters
    ----------
    folder : Path
        Where the whole will go.
    name : str
        What it is called.
    identity : dict
        What it depends on; pieces of another identity are not found.
    """

    def __init__(self, folder: Path, name: str, identity: dict[str, Any]) -> None:
        self._folder, self._name = folder / "unfinished", name
        self._key = hashlib.sha256(to_json(identity).encode()).hexdigest()[:16]

    def save(self, piece: int, value: Any, seconds: float) -> None:
        """Keep what a piece returned (NumPy arrays come back as lists) and the time that it took."""
        self._folder.mkdir(exist_ok=True)
        content = {"seconds": seconds, "value": value}
        write_atomically(self._path(piece), to_json(content | {"sha256": _digest(content)}))

    def load(self, piece: int) -> tuple[Any, float] | None:
        """Return what was saved of a piece, or None; a file that was changed since counts as missing."""
        try:
            found = read_json(self._path(piece))
        except OSError:
            return None
        if not isinstance(found, dict) or set(found) != {"seconds", "value", "sha256"}:
            return None
        stated, seconds = found.pop("sha256"), found["seconds"]
        if (
            stated != _digest(found)
            or not isinstance(seconds, float)
            or not 0 <= seconds < math.inf
        ):
            return None
        return found["value"], seconds

    def clear(self) -> None:
        """Forget all pieces, of whatever identity."""
        for path in self._folder.glob(f"{self._name}-*.json"):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # others have pieces there, or there is no such folder
            self._folder.rmdir()

    def _path(self, piece: int) -> Path:
        return self._folder / f"{self._name}-{self._key}-{piece}.json"


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(to_json(content).encode()).hexdigest()
