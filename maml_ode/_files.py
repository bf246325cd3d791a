"""Files written whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["replacing", "undisturbed", "write_atomically"]

# Held for what must not be left half done; who ends a process on purpose waits for it. Reentrant, so that
# a thread that Ctrl-C has kept from letting go of it does not wait for itself.
undisturbed = threading.RLock()


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Give a stream whose content takes the place of the file at ``path`` when the block ends well.

    It is written beside the target and renamed, so that no reader meets half a file. If anything goes
    wrong on the way (a full disk, Ctrl-C), the old file stays as it was and nothing else is left. A link
    keeps pointing where it did, and a file keeps its permissions.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    target = Path(os.path.realpath(path))
    mode = _mode_of(target)
    if mode is not None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        with target.open("wb") as stream:  # a device or a pipe is written to, not replaced
            yield stream
        return
    # Shortened, because the longest names that a folder takes leave no room for more.
    beside = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}")
    with undisturbed:
        try:
            with beside.open("xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            if mode is not None:
                os.chmod(beside, stat.S_IMODE(mode))
            os.replace(beside, target)
        except BaseException:
            with suppress(OSError):  # Ctrl-C may come just after the renaming
                beside.unlink()
            raise


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write text or bytes to a file, whole or not at all; see `replacing`."""
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as stream:
        stream.write(data)


def _mode_of(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
