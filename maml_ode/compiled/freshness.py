"""Machine code that Numba kept from other sources than today's is not run.

Numba keeps compiled code beside each module and recompiles it when that module changes. What one kernel calls in
another module is compiled into it, and a change there goes unnoticed. So a change of any of the sources that hold
kernels discards what was kept of all of them.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from maml_ode._files import write_atomically

__all__ = ["discard_stale_code"]

FOLDERS = ("compiled", "tasks/kernels", "integrate/solvers/kernels")
STAMP = "kernels.stamp"
KEPT = ("*.nbi", "*.nbc")


def discard_stale_code(package: Path) -> bool:
    """Remove the kept machine code of a package whose kernels' sources have changed; return whether it was.

    Where the folder cannot be written to, nothing is kept in it either.

    Parameters
    ----------
    package : Path
        The package's folder.
    """
    digest = hashlib.sha256()
    for folder in FOLDERS:
        for source in sorted((package / folder).glob("*.py")):
            state = source.stat()
            digest.update(f"{source.name} {state.st_size} {state.st_mtime_ns}".encode())
    found, stamp = digest.hexdigest(), package / "compiled" / "__pycache__" / STAMP
    with contextlib.suppress(OSError):
        if stamp.exists() and stamp.read_text() == found:
            return False
        for folder in FOLDERS:
            for pattern in KEPT:
                for kept in (package / folder / "__pycache__").glob(pattern):
                    kept.unlink(missing_ok=True)
        stamp.parent.mkdir(exist_ok=True)
        write_atomically(stamp, found.encode())
        return True
    return False
