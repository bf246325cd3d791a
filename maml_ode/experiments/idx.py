"""Read the IDX files in which MNIST is distributed, and refuse damaged ones.

An IDX file is two zero bytes, a type code (8 for unsigned bytes), the number of axes, their lengths
as big-endian 32-bit integers, then the entries in C order (LeCun, Cortes and Burges, "The MNIST
database of handwritten digits"). Gzip is recognised by its content, whatever the file's name.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

__all__ = ["find_training_files", "read_idx"]

_PIECE = 2**22
_KINDS = {"images": "idx3", "labels": "idx1"}


def find_training_files(folder: Path, name: str = "path") -> tuple[Path, Path]:
    """Return the images' and the labels' file of MNIST's training set in ``folder``, the argument ``name``.

    Both spellings in circulation are accepted, ``train-images-idx3-ubyte`` and
    ``train-images.idx3-ubyte``, plain or with ``.gz``.

    Raises
    ------
    ValueError
        If ``folder`` is not a folder or holds no such file.
    """
    if not folder.is_dir():
        raise ValueError(
            f"{name} must be the folder with MNIST's training files, but {str(folder)!r} is not a "
            "folder."
        )
    found = []
    for kind, code in _KINDS.items():
        spellings = [
            f"train-{kind}{separator}{code}-ubyte{suffix}"
            for separator in "-."
            for suffix in ("", ".gz")
        ]
        present = [folder / name for name in spellings if (folder / name).is_file()]
        if not present:
            raise ValueError(
                f"{name} {str(folder)!r} holds no training {kind}; one of {', '.join(spellings)} is "
                "needed."
            )
        found.append(present[0])
    return found[0], found[1]


def read_idx(file: Path, n_axes: int) -> npt.NDArray[np.uint8]:
    """Return the unsigned bytes of an IDX file with ``n_axes`` axes.

    Raises
    ------
    ValueError
        If the magic number is not that of unsigned bytes with ``n_axes`` axes, if the file is
        shorter or longer than its header says, or if its compression is damaged.
    """
    try:
        with file.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if packed:
                with gzip.open(raw) as stream:
                    return _read(file, stream, n_axes)
            return _read(file, raw, n_axes)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{str(file)!r} is damaged or cut off ({error}); fetch it again."
        ) from None


def _read(file: Path, stream: BinaryIO | gzip.GzipFile, n_axes: int) -> npt.NDArray[np.uint8]:
    header = stream.read(4 + 4 * n_axes)
    magic = 0x0800 + n_axes
    given = int.from_bytes(header[:4], "big")
    if len(header) >= 4 and given != magic:
        raise ValueError(
            f"{str(file)!r} must begin with the magic number {magic} (unsigned bytes, {n_axes} "
            f"axes), but it begins with {given}; it is another kind of file."
        )
    if len(header) < 4 + 4 * n_axes:
        raise ValueError(f"{str(file)!r} is cut off inside its header; fetch it again.")
    shape = struct.unpack(f">{n_axes}I", header[4:])
    wanted = math.prod(shape)
    body = bytearray()
    # In pieces, because a damaged header may promise more than memory holds.
    while len(body) < wanted and (piece := stream.read(min(wanted - len(body), _PIECE))):
        body += piece
    excess = stream.read(1)  # for gzip this also reaches the checksum at the end
    if len(body) != wanted or excess:
        relation = "more" if excess else f"only {len(body)}"
        raise ValueError(
            f"{str(file)!r} must hold {wanted} bytes of shape {shape} after its header, but it "
            f"holds {relation}; it is damaged or cut off, so fetch it again."
        )
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)
