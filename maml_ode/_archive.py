"""Results in ``.npz`` files: arrays and a JSON header, both held against a schema, without pickles."""

from __future__ import annotations

import errno
import io
import json
import os
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from maml_ode._files import replacing
from maml_ode._schema import REQUIRED, AnyArray, Column, Value, count

__all__ = ["Archive", "npz_path"]

HEADER = "header"
LISTED = "n_events"
MOST_HEADER_BYTES = 2**24
# Deflate cannot shrink more than this; what promises more is damaged, or meant to fill the memory.
MOST_SHRUNK = 1100
# What zipfile, zlib, NumPy and json raise over bytes that are not theirs.
DAMAGE = (
    ArithmeticError,
    EOFError,
    LookupError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


class Archive:
    """A kind of ``.npz`` file: what it is called, what stands in it, and what must hold.

    Parameters
    ----------
    noun : str
        What one file holds, for error messages.
    form : str
        The name and number of the format.
    header : mapping of str to Value
    columns : mapping of str to Column
        In the order in which their lengths get to be known.
    rules : mapping of str to callable
        Further conditions on all values together, in words and as ``holds(values)``.
    """

    def __init__(
        self,
        noun: str,
        form: str,
        header: Mapping[str, Value],
        columns: Mapping[str, Column],
        rules: Mapping[str, Callable[[Mapping[str, Any]], bool]],
    ) -> None:
        self._noun, self._form = noun, form
        self._header, self._columns, self._rules = header, columns, rules

    def write(self, target: str | os.PathLike[str] | IO[bytes], values: Mapping[str, Any]) -> None:
        """Write a file whole or not at all; ``.npz`` is appended to a path without that ending.

        Raises
        ------
        ValueError
            If `read` would not take what is written; then nothing is.
        TypeError
            If the target is neither a path nor a file open for writing bytes.
        OSError
            If it cannot be written; a file that was there stays as it was.
        """
        arrays = dict(self._arrays(values))
        try:
            plain = {name: entry.plain(values[name]) for name, entry in self._header.items()}
            plain |= {"format": self._form, LISTED: self._most_listed(values)}
            header = json.dumps(plain, default=_item)
            self._understood(json.loads(header), arrays.__getitem__, set(arrays))
        except DAMAGE as error:
            raise ValueError(f"this {self._noun} cannot be saved: {_words(error)}.") from error
        content = {HEADER: np.array(header), **arrays}
        if isinstance(target, (str, bytes, os.PathLike)):
            with replacing(npz_path(target)) as stream:
                _save(stream, content)
            return
        _check_binary(target, "write", "writing")
        _save(target, content)

    def read(self, source: str | os.PathLike[str] | IO[bytes]) -> dict[str, Any]:
        """Return the values of a file; ``.npz`` is appended to a path at which there is no file.

        Raises
        ------
        ValueError
            If the file is damaged, holds something else, or is of another format.
        TypeError
            If the source is neither a path nor a file open for reading bytes.
        OSError
            If there is no such file or it cannot be read.
        """
        with _opened(source) as (stream, name):
            try:
                with zipfile.ZipFile(stream) as archive, warnings.catch_warnings():
                    # NumPy warns where it has to guess at an array's header.
                    warnings.simplefilter("ignore")
                    return self._parsed(archive)
            except _AnotherFormatError as error:
                raise ValueError(
                    f"{name} has another format than {self._form!r}; load it with the version of "
                    "maml_ode that wrote it."
                ) from error
            except DAMAGE as error:
                raise ValueError(
                    f"{name} is not a saved {self._noun}, or it is damaged: {_words(error)}."
                ) from error
            except OSError as error:
                # A damaged directory of a zip file sends its reader to places before the beginning.
                if error.errno != errno.EINVAL:
                    raise
                raise ValueError(f"{name} is damaged: {_words(error)}.") from error

    def _most_listed(self, values: Mapping[str, Any]) -> int:
        lists = [len(values[name]) for name, column in self._columns.items() if column.listed]
        return max(lists, default=0)

    def _arrays(self, values: Mapping[str, Any]) -> Iterator[tuple[str, AnyArray]]:
        for name, column in self._columns.items():
            if column.listed:
                for place, array in enumerate(values[name]):
                    yield f"{name}_{place}", np.asarray(array)
            elif values[name] is not None:
                yield name, np.asarray(values[name])

    def _parsed(self, archive: zipfile.ZipFile) -> dict[str, Any]:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(members) != len(archive.infolist()):
            raise ValueError("two of its arrays have the same name")
        if HEADER not in members:
            raise ValueError("it has no header")
        header = json.loads(_header(archive, members.pop(HEADER)))
        if not isinstance(header, dict):
            raise ValueError("its header is no table of names and values")

        def array(name: str) -> AnyArray:
            column = self._columns.get(name) or self._columns[name.rpartition("_")[0]]
            return _read(archive, members[name], column)

        return self._understood(header, array, set(members))

    def _understood(
        self, header: dict[str, Any], array: Callable[[str], AnyArray], left: set[str]
    ) -> dict[str, Any]:
        """Hold what a file gives against the schema, and return its values."""
        if header.pop("format", None) != self._form:
            raise _AnotherFormatError
        listed = count(header.pop(LISTED, 0))
        if listed > len(left):
            raise ValueError(f"it lacks some of the {listed} arrays of a kind that it promises")
        values: dict[str, Any] = {}
        for name, entry in self._header.items():
            if name not in header and entry.default is REQUIRED:
                raise ValueError(f"its header lacks {name!r}")
            try:
                values[name] = entry.read(header.pop(name)) if name in header else entry.default
            except ValueError as error:
                raise ValueError(f"{name!r} must be {error}") from error
        if header:
            raise ValueError(f"its header has entries that do not belong there: {_few(header)}")
        lengths: dict[str, int] = {}
        for name, column in self._columns.items():
            parts = [f"{name}_{place}" for place in range(listed)] if column.listed else [name]
            if column.default is not REQUIRED and not left.intersection(parts):
                values[name] = column.default
                continue
            left = left.difference(parts)
            found = [array(part) for part in parts]
            for place, (part, one) in enumerate(zip(parts, found, strict=True)):
                column.check(part, one, lengths, place)
            values[name] = found if column.listed else found[0]
        if left:
            raise ValueError(f"it has arrays that do not belong there: {_few(left)}")
        for must, holds in self._rules.items():
            if not holds(values):
                raise ValueError(must)
        return values


def npz_path(path: str | bytes | os.PathLike[Any]) -> str:
    """Return a path with the ending ``.npz``, appended where it is missing."""
    name = os.fsdecode(path)
    return name if name.lower().endswith(".npz") else f"{name}.npz"


class _AnotherFormatError(ValueError):
    """The file says that it is of another format."""


@contextmanager
def _opened(source: str | os.PathLike[str] | IO[bytes]) -> Iterator[tuple[IO[bytes], str]]:
    """Give a stream in which one can search, and what to call it."""
    if isinstance(source, (str, bytes, os.PathLike)):
        path = os.fsdecode(source)
        if not os.path.isfile(path) and os.path.isfile(npz_path(path)):
            path = npz_path(path)
        with open(path, "rb") as stream:
            yield stream if stream.seekable() else io.BytesIO(stream.read()), path
        return
    _check_binary(source, "read", "reading")
    name = str(getattr(source, "name", None) or "what the file object gives")
    yield source if source.seekable() else io.BytesIO(source.read()), name


def _check_binary(file: object, method: str, doing: str) -> None:
    if not callable(getattr(file, method, None)) or isinstance(file, io.TextIOBase):
        raise TypeError(f"a path or a file open for {doing} bytes is needed, not {file!r}.")


def _save(stream: IO[bytes], content: dict[str, AnyArray]) -> None:
    save: Any = np.savez_compressed
    save(stream, **content)


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    if member.file_size > MOST_HEADER_BYTES:
        raise ValueError(f"its header takes {member.file_size} bytes")
    return str(_read(archive, member, Column((), "U"))[()])


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, column: Column) -> AnyArray:
    """Return an array, after a look at what it says of itself: no memory is reserved before."""
    name = member.filename
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in another way than NumPy does")
    if member.file_size > MOST_SHRUNK * (member.compress_size + 1):
        raise ValueError(f"{name} promises more than its bytes can hold")
    with archive.open(member) as stream:
        first = np.lib.format.read_magic(stream) == (1, 0)
        header = (
            np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = header(stream)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if stream.tell() + size != member.file_size:
            raise ValueError(f"{name} has another size than its shape {shape} needs")
    if not column.is_kind(dtype):
        raise ValueError(f"{name} holds {dtype}")
    with archive.open(member) as stream:
        array: AnyArray = np.lib.format.read_array(stream, allow_pickle=False)
        if stream.read(1):  # the checksum is looked at when the end is reached
            raise ValueError(f"{name} is longer than it says")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _item(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} has no JSON form")


def _words(error: BaseException) -> str:
    sentence = " ".join(str(error).split())[:200].rstrip(".")
    if isinstance(error, KeyError):
        return f"it has no {sentence}"
    return sentence or type(error).__name__


def _few(names: Mapping[str, Any] | set[str]) -> str:
    listed = sorted(map(repr, names))
    return ", ".join(listed[:5]) + (", ..." if len(listed) > 5 else "")
