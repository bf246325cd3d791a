"""Files written whole or not at all, and the same bytes from the same content."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode._files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["read_json", "sha256", "to_json", "write_figure"]

DPI = 150

_PLAIN_LIST = re.compile(r"\[\n[^\[\]{}]*\]")


def write_figure(folder: Path, stem: str, figure: Figure) -> list[Path]:
    """Write ``stem.png`` and ``stem.svg``, without dates and with fixed element ids."""
    import io

    import matplotlib

    options: dict[str, dict[str, Any]] = {
        "png": {"dpi": DPI, "metadata": {"Software": None}},
        "svg": {"metadata": {"Date": None, "Creator": None}},
    }
    written = []
    settings: Any = {"svg.hashsalt": stem, "figure.constrained_layout.use": False}
    with matplotlib.rc_context(settings):
        # Laid out once for both files: left to itself, matplotlib lays a figure out for each of them,
        # in a drawing before the drawing.
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine(None)
        for ending, how in options.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=ending, **how)
            path = folder / f"{stem}.{ending}"
            write_atomically(path, buffer.getvalue())
            written.append(path)
    return written


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; None if there is no file, or none that holds JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None


def to_json(content: Any) -> str:
    """Return indented JSON, a list of plain values on one line; NumPy's types become Python's."""
    text = json.dumps(content, indent=2, ensure_ascii=False, default=_plain)
    return _PLAIN_LIST.sub(_on_one_line, text) + "\n"


def _on_one_line(found: re.Match[str]) -> str:
    # A line break in JSON stands between values, never inside a string.
    return "[" + ", ".join(value.strip() for value in found[0][1:-1].split(",\n")) + "]"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{value!r} has no JSON form; put plain numbers, strings and lists instead.")
