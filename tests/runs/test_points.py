"""The store: every value comes back to the last bit, and other programs can read the numbers."""

import math
import sqlite3
import struct

import numpy as np
import pytest

from maml_ode.runs.points import PointStore
from maml_ode.runs.values import decode, digest, encode, plain

ODD_TEXTS = ["", "nan", "a\0b", "\ud800", "3", "'; DROP TABLE points; --", "\U0001f600", "x" * 5000]
ODD_NAMES = ["a", "A", '"', "_key", "key", "seconds", "ä", "\ud800", "", " ", "\0", "rowid", "a_2"]


def random_value(rng):
    match rng.integers(8):
        case 0:
            bits = struct.pack("<q", rng.integers(-(2**63), 2**63))  # any float, NaN among them
            return struct.unpack("<d", bits)[0]
        case 1:
            return rng.choice([0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1e308]).item()
        case 2:
            return int(rng.integers(-(2**63), 2**63)) * int(rng.choice([1, 1, 2**70]))
        case 3:
            return ODD_TEXTS[rng.integers(len(ODD_TEXTS))]
        case 4:
            return [None, True, False][rng.integers(3)]
        case 5:
            kind = rng.choice(["f8", "f4", "i2", "u8", "?", "c16", "U3", "M8[s]", ">f8"])
            return rng.integers(0, 5, size=rng.integers(0, 4, size=rng.integers(0, 3))).astype(kind)
        case 6:
            return (1, 2.5, ("x", None, math.inf), False)
        case _:
            return np.array([math.nan, -0.0, math.inf])


def same(one, other):
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and (one.dtype, one.shape) == (other.dtype, other.shape)
            and one.tobytes() == other.tobytes()
        )
    return type(one) is type(other) and repr(one) == repr(other)


def test_values_and_names_of_any_kind_survive(tmp_path):
    rng = np.random.default_rng(0)
    names = tuple(ODD_NAMES[:4])
    kept = {}
    for part in range(4):  # opened again and again, with new names of results
        with PointStore(tmp_path / "s.db", {"function": "f"}, names) as store:
            for _ in range(40):
                values = {name: random_value(rng) for name in ODD_NAMES[: 4 + 3 * part]}
                key = digest(values)
                store.save(key, values, 0.5)
                kept[key] = values
            for key, values in kept.items():
                found = store.load(key)
                assert list(found) == list(values)
                for name, value in values.items():
                    assert same(found[name], value), (name, value, found[name])
    assert len(kept) == 160


def test_other_programs_read_numbers_as_columns_and_arrays_as_npy(tmp_path):
    with PointStore(tmp_path / "s.db", {}, ("alpha",)) as store:
        for alpha in (0.1, 0.2, 0.3):
            values = {"alpha": alpha, "loss": 2 * alpha, "w": np.arange(2.0), "none": math.nan}
            store.save(digest({"alpha": alpha}), values, 0.25)
        reader = sqlite3.connect(tmp_path / "s.db")  # while the store is open
        assert reader.execute("SELECT max(loss), avg(none) FROM points").fetchone() == (0.6, None)
        (blob,) = reader.execute("SELECT w FROM points WHERE alpha = 0.2").fetchone()
        assert blob.startswith(b"\x93NUMPY")
        assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        reader.close()


def test_a_failure_does_not_take_the_place_of_what_somebody_else_has_finished(tmp_path):
    with (
        PointStore(tmp_path / "s.db", {}, ("a",)) as one,
        PointStore(tmp_path / "s.db", {}, ("a",)) as other,
    ):
        one.save("k", {"a": 1, "new": 2.0}, 0.1)
        other.save("k", {"a": 1}, 0.1, "ValueError: no", "...")
        assert other.load("k") == {"a": 1, "new": 2.0}
        other.save("l", {"a": 2}, 0.1, "ValueError: \ud800", "...")
        assert one.load("l") is None
        other.save("l", {"a": 2, "new": 3.0}, 0.1)
        assert one.load("l") == {"a": 2, "new": 3.0}


def test_what_is_wrong_with_a_file_is_told_from_what_is_wrong_with_the_machine(tmp_path):
    path = tmp_path / "points.sqlite"
    with PointStore(path, {"function": "f"}, ("a",)) as store:
        store.save("k", {"a": 1}, 0.1)
    base = sqlite3.connect(path)
    base.execute("UPDATE about SET value = CAST(x'ff' AS TEXT) WHERE name = 'function'")
    base.commit()
    with pytest.raises(ValueError, match="damaged one"):
        PointStore(path, {"function": "f"}, ("a",))
    base.execute("UPDATE about SET value = 'f' WHERE name = 'function'")
    base.execute("DROP TABLE names")
    base.execute("CREATE TABLE names (other TEXT)")
    base.commit()
    base.close()
    with pytest.raises(ValueError, match=r"damaged one \(no such column"):
        PointStore(path, {"function": "f"}, ("a",))
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        PointStore("/proc/points.sqlite", {"function": "f"}, ("a",))


def test_a_point_is_known_by_its_values_and_their_kinds_not_by_their_order():
    assert digest({"a": 1, "b": 2.0}) == digest({"b": 2.0, "a": 1})
    points = [
        {"a": 1}, {"a": 1.0}, {"a": True}, {"a": "1"}, {"a": None}, {"a": math.nan}, {"b": 1},
        {"a": 0.0}, {"a": -0.0}, {"a": np.zeros(2)}, {"a": np.zeros(2, np.float32)},
        {"a": np.zeros((2, 1))}, {"a": (1,)}, {"a": (1.0,)}, {"a": 2**70}, {"a": hex(2**70)},
        {"a": 1, "b": 1}, {"ab": 1},
    ]  # fmt: skip
    assert len({digest(point) for point in points}) == len(points)
    assert digest({"a": math.nan}) == digest({"a": np.float64("nan").item()})


def test_numpys_scalars_become_pythons_and_lists_tuples():
    given = [np.float32(0.1), np.int8(3), np.bool_(True), np.str_("x"), [1, [np.float64(2)]], None]
    found = [plain("x", value) for value in given]
    assert found == [float(np.float32(0.1)), 3, True, "x", (1, (2.0,)), None]
    assert [type(value) for value in found] == [float, int, bool, str, tuple, type(None)]
    for value in (object(), {1: 2}, b"x", np.array([None]), [np.zeros(1)], 1j, {1, 2}):
        with pytest.raises(TypeError, match=r"^x must be a number, a text"):
            plain("x", value)


def test_what_does_not_belong_together_is_refused():
    for kind, stored in (("int", "3"), ("float", 3), ("array", "x"), ("sorts", 1), ("text", None)):
        with pytest.raises(ValueError, match="is not a value of the kind"):
            decode(kind, stored)
    assert encode(math.nan) == ("nan", None)
    assert encode(True) == ("bool", 1)
