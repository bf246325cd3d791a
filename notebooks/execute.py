"""Run notebooks and keep what they show: ``python notebooks/execute.py [NOTEBOOK ...]``, by default all.

Pictures are kept as SVG. What depends on the day or the machine (ids, times of cells) is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SETTINGS = """
c = get_config()
c.InlineBackend.figure_formats = {"svg"}
c.InlineBackend.print_figure_kwargs = {"bbox_inches": "tight", "metadata": {"Date": None, "Creator": None}}
c.InlineBackend.rc = {"svg.hashsalt": "maml_ode"}
"""


_PATH = re.compile(r'\bd="[^"]*"')
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def code_digest(notebook: Any) -> str:
    """Return a digest of the notebook's code, which its outputs belong to."""
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:16]


def execute(path: Path) -> None:
    """Run a notebook in an empty folder and write it back with its outputs."""
    import nbclient
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "ipython" / "profile_default"
        profile.mkdir(parents=True)
        (profile / "ipython_kernel_config.py").write_text(SETTINGS, encoding="utf-8")
        (Path(folder) / "work").mkdir()
        os.environ["IPYTHONDIR"] = str(profile.parent)
        os.environ.pop("MPLBACKEND", None)
        nbclient.NotebookClient(
            notebook,
            timeout=900,
            record_timing=False,
            resources={"metadata": {"path": str(Path(folder) / "work")}},
        ).execute()
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            cell.outputs = _joined(cell.outputs)
            for output in cell.outputs:
                if "image/svg+xml" in output.get("data", {}):
                    output["data"]["image/svg+xml"] = _rounded(output["data"]["image/svg+xml"])
    notebook.metadata.pop("language_info", None)
    notebook.metadata["outputs_of"] = code_digest(notebook)
    nbformat.write(notebook, path)


def _rounded(svg: str) -> str:
    """Return a picture with its paths to a hundredth of a point, which is all that can be seen."""
    return _PATH.sub(
        lambda path: _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.2f}", path[0]), svg
    )


def _joined(outputs: list[Any]) -> list[Any]:
    """Return the outputs with neighbouring pieces of one stream in one piece."""
    joined: list[Any] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if output.output_type == "stream" and last is not None and last.get("name") == output.name:
            last["text"] += output.text
        else:
            joined.append(output)
    return joined


if __name__ == "__main__":
    for name in map(Path, sys.argv[1:] or sorted(HERE.glob("*.ipynb"))):
        execute(name)
        print(f"{name.name}: {name.stat().st_size / 1e3:.0f} kB")
