"""Values that a caller may pass by mistake, and what each means as plain doubles, read without the package."""

import array
import datetime
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import scipy.sparse


class NoRealNumbers(Exception):
    """A value does not consist of real numbers that double precision holds."""


def masked(values, mask):
    return np.ma.array(values, mask=mask)


def structured():
    return np.array([(1.0, 2), (3.0, 4)], dtype=[("a", float), ("b", int)])


def objects(*entries):
    out = np.empty(len(entries), dtype=object)
    out[:] = entries
    return out


# A fresh value for each use: what is called may not be able to change it, but iterators are used up.
CATALOGUE = {
    "text": lambda: "1",
    "word": lambda: "abc",
    "empty text": lambda: "",
    "bytes": lambda: b"1",
    "bytearray": lambda: bytearray(b"ab"),
    "texts": lambda: ["1", "2"],
    "text beside number": lambda: [0.5, "0.5"],
    "text array": lambda: np.array(["1", "2"]),
    "bytes array": lambda: np.array([b"1", b"2"]),
    "text rows": lambda: [["1", "0"], ["0", "1"]],
    "None": lambda: None,
    "Nones": lambda: [None, None],
    "None beside number": lambda: [1.0, None],
    "True": lambda: True,
    "False": lambda: False,
    "NumPy True": lambda: np.True_,
    "booleans": lambda: [True, False],
    "boolean beside number": lambda: [0.0, True],
    "boolean array": lambda: np.array([True, False]),
    "boolean rows": lambda: np.array([[True, False], [False, True]]),
    "0-d boolean": lambda: np.array(True),
    "complex": lambda: 0.1 + 5j,
    "complex without imaginary part": lambda: 0.1 + 0j,
    "complex128": lambda: np.complex128(0.1 + 5j),
    "complex64 without imaginary part": lambda: np.complex64(0.1),
    "complex array": lambda: np.array([1.0 + 2j, 0.5]),
    "complex array without imaginary part": lambda: np.array([0.5, 0.5], dtype=complex),
    "complex list": lambda: [1j, 0.5],
    "complex 0-d": lambda: np.array(0.5 + 0j),
    "datetime64": lambda: np.datetime64("2021-03-01"),
    "timedelta64": lambda: np.timedelta64(1, "s"),
    "datetime64 array": lambda: np.array(["2021-03-01", "2021-03-02"], dtype="M8[D]"),
    "timedelta64 array": lambda: np.array([1, 2], dtype="m8[s]"),
    "timedelta beside number": lambda: [0.5, np.timedelta64(1, "s")],
    "date": lambda: datetime.date(2021, 3, 1),
    "timedelta": lambda: datetime.timedelta(seconds=1),
    "Decimal": lambda: Decimal("0.25"),
    "Decimal NaN": lambda: Decimal("NaN"),
    "Decimal signalling NaN": lambda: Decimal("sNaN"),
    "Decimal beyond double": lambda: Decimal("1e400"),
    "Fraction": lambda: Fraction(1, 4),
    "Fraction beyond double": lambda: Fraction(10**400, 3),
    "Fractions": lambda: [Fraction(1, 4), Fraction(3, 4)],
    "object numbers": lambda: objects(0.25, Fraction(3, 4)),
    "object with text": lambda: objects(0.25, "0.75"),
    "object with None": lambda: objects(0.25, None),
    "object with boolean": lambda: objects(0.0, True),
    "object with complex": lambda: objects(0.25, 0.75j),
    "object with lists": lambda: objects([1.0], [2.0]),
    "object with mask": lambda: objects(1.0, np.ma.masked),
    "10**400": lambda: 10**400,
    "-10**400": lambda: -(10**400),
    "10**5000": lambda: 10**5000,
    "list of 10**400": lambda: [10**400],
    "10**400 beside number": lambda: [10**400, 1.0],
    "list of 10**5000": lambda: [1.0, 10**5000],
    "2**63": lambda: 2**63,
    "2**64": lambda: 2**64,
    "list of 2**64": lambda: [2**64, 1],
    "long double beyond double": lambda: np.longdouble("1e400"),
    "long doubles beyond double": lambda: np.array([1.0, np.longdouble("1e400")]),
    "long doubles": lambda: np.array([0.25, 0.75], dtype=np.longdouble),
    "ragged": lambda: [[1.0, 2.0], [3.0]],
    "ragged by a scalar": lambda: [1.0, [2.0]],
    "ragged arrays": lambda: [np.ones(2), np.ones(3)],
    "deeply nested": lambda: [[[[[[[[[[1.0]]]]]]]]]],
    "matrix": lambda: np.array([[1.0, 2.0]]).view(np.matrix),
    "square matrix": lambda: np.eye(2).view(np.matrix),
    "0-d": lambda: np.array(0.25),
    "0-d integer": lambda: np.array(2),
    "masked": lambda: np.ma.masked,
    "masked list": lambda: [0.25, np.ma.masked],
    "masked array": lambda: masked([0.25, -999.0], [False, True]),
    "masked wholly": lambda: masked([0.25, 0.75], True),
    "masked 0-d": lambda: masked(0.25, True),
    "masked 1": lambda: masked([0.25], [True]),
    "mask without True": lambda: masked([0.25, 0.75], [False, False]),
    "no mask": lambda: np.ma.array([0.25, 0.75]),
    "no mask 0-d": lambda: np.ma.array(0.25),
    "list of masked arrays": lambda: [masked([1.0, 2.0], [False, True]), np.ones(2)],
    "list of unmasked arrays": lambda: [np.ma.array([1.0, 0.0]), np.ma.array([0.0, 1.0])],
    "masked rows": lambda: masked([[1.0, 0.0], [0.0, 1.0]], [[False, True], [True, False]]),
    "masked 3-d": lambda: masked(np.ones((2, 2, 1)), np.arange(4).reshape(2, 2, 1) == 3),
    "masked integers": lambda: masked([1, -999], [False, True]),
    "masked structured": lambda: np.ma.array(structured(), mask=[(True, False), (False, False)]),
    "structured": structured,
    "subnormal": lambda: 5e-324,
    "tiny": lambda: 1e-320,
    "small": lambda: 1e-200,
    "huge": lambda: 1e308,
    "-huge": lambda: -1e308,
    "large": lambda: 1e200,
    "subnormals": lambda: [5e-324, 1e-310],
    "huges": lambda: [1e308, 1e308],
    "huge and -huge": lambda: [1e308, -1e308],
    "NaN": lambda: math.nan,
    "inf": lambda: math.inf,
    "-inf": lambda: -math.inf,
    "NaN array": lambda: np.array([0.5, np.nan]),
    "inf array": lambda: np.array([np.inf, 0.5]),
    "-1": lambda: -1,
    "0": lambda: 0,
    "-0.0": lambda: -0.0,
    "1": lambda: 1,
    "2": lambda: 2,
    "3.7": lambda: 3.7,
    "0.25": lambda: 0.25,
    "float16": lambda: np.float16(0.25),
    "float32": lambda: np.float32(0.1),
    "int8": lambda: np.int8(2),
    "uint64": lambda: np.uint64(2),
    "float16 array": lambda: np.array([0.25, 0.75], dtype=np.float16),
    "float32 array": lambda: np.array([0.1, 0.9], dtype=np.float32),
    "uint8 array": lambda: np.array([0, 1], dtype=np.uint8),
    "integers": lambda: [1, 0],
    "big-endian": lambda: np.array([0.25, 0.75], dtype=">f8"),
    "not contiguous": lambda: np.array([0.25, 0.0, 0.75, 0.0])[::2],
    "read-only": lambda: np.broadcast_to(0.5, (2,)),
    "point": lambda: np.array([0.25, 0.75]),
    "point of one": lambda: [0.25],
    "points": lambda: np.array([[0.25, 0.75], [1.0, -1.0]]),
    "points of one": lambda: np.array([[0.25], [0.75]]),
    "3-d": lambda: np.ones((2, 2, 1)),
    "signs": lambda: [[1, -1], [-1, 1]],
    "zeros and ones": lambda: [[1, 0], [0, 1]],
    "empty list": list,
    "empty array": lambda: np.empty((0, 2)),
    "range": lambda: range(2),
    "array.array": lambda: array.array("d", [0.25, 0.75]),
    "memoryview": lambda: memoryview(np.array([0.25, 0.75])),
    "set": lambda: {0.25, 0.75},
    "dict": lambda: {"a": 0.25},
    "generator": lambda: (x for x in [0.25, 0.75]),
    "object": object,
    "class": lambda: float,
    "ellipsis": lambda: ...,
    "Series": lambda: pd.Series([0.25, 0.75]),
    "Series of one": lambda: pd.Series([0.25]),
    "Series with text": lambda: pd.Series([0.25, "0.75"]),
    "nullable Series": lambda: pd.Series([1, None], dtype="Int64"),
    "nullable Series, complete": lambda: pd.Series([1, 0], dtype="Int64"),
    "categories": lambda: pd.Series(["a", "b"], dtype="category"),
    "Series of dates": lambda: pd.Series(pd.to_datetime(["2021-03-01", "2021-03-02"])),
    "DataFrame": lambda: pd.DataFrame({"a": [0.25, 0.75], "b": [1.0, -1.0]}),
    "mixed DataFrame": lambda: pd.DataFrame({"a": [0.25, 0.75], "b": [True, False]}),
    "DataFrame with text": lambda: pd.DataFrame({"a": [0.25, 0.75], "b": ["x", "y"]}),
    "sparse": lambda: scipy.sparse.csr_array(np.eye(2)),
    "list of sparse": lambda: [scipy.sparse.csr_array(np.eye(2))] * 2,
    "complex sparse": lambda: [scipy.sparse.csr_array(1j * np.eye(2))] * 2,
    "boolean sparse": lambda: [scipy.sparse.csr_array(np.eye(2, dtype=bool))] * 2,
}


# Sizes at which sums and squares of doubles overflow, and values that are no numbers.
EXTREMES = {"huge", "-huge", "large", "huges", "huge and -huge", "inf array", "list of 2**64"}


def plain(value, booleans=False):
    """Return ``value`` as an array of doubles, read entry by entry; NaN and infinity pass."""
    return np.array(_nested(value, booleans), dtype=float)


def _nested(value, booleans):
    if isinstance(value, (bool, np.bool_)):
        if not booleans:
            raise NoRealNumbers
        return float(value)
    if isinstance(value, np.timedelta64):  # to NumPy a signed integer
        raise NoRealNumbers
    if isinstance(value, (int, float, np.integer, np.floating, Decimal, Fraction)):
        return _double(value)
    if isinstance(value, (pd.Series, pd.DataFrame)):
        return _nested(value.to_numpy(), booleans)
    if isinstance(value, np.ma.MaskedArray) and (
        value.dtype.names or np.ma.getmaskarray(value).any()
    ):
        raise NoRealNumbers
    if isinstance(value, np.ndarray):
        if value.ndim == 0:
            return _nested(value[()], booleans)
        if value.dtype == object and any(np.ndim(entry) for entry in value.flat):
            raise NoRealNumbers
        return _rows([_nested(row, booleans) for row in np.asarray(value)], value.shape[1:])
    if isinstance(value, (list, tuple, range, array.array, memoryview)):
        return _rows([_nested(entry, booleans) for entry in value])
    raise NoRealNumbers


def _double(value):
    try:
        number = float(value)
    except (OverflowError, ValueError):
        raise NoRealNumbers from None
    if math.isinf(number) and value != number:
        raise NoRealNumbers
    return number


def _rows(rows, inner=None):
    if not rows:
        return np.empty((0, *(inner or ())))
    if len({np.shape(row) for row in rows}) > 1:
        raise NoRealNumbers
    if np.ndim(rows[0]) > 6:
        raise NoRealNumbers
    return np.array(rows, dtype=float)
