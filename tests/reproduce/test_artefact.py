"""Tables keep their numbers to the last bit and their kinds; settings are checked."""

import numpy as np
import pytest

from maml_ode.reproduce import Settings, Table

FLOATS = [0.1 + 0.2, -0.0, 5e-324, 1e22, 1.7976931348623157e308, float("nan"), float("-inf"), 3.0]
TEXTS = ["plain", "a, b", 'say "x"', "two\nlines", "naïve ∇F", "", "1.5 m", "-"]


def test_a_table_survives_its_csv_bit_by_bit():
    table = Table(
        "fig0_all",
        {
            "float": FLOATS,
            "integer": np.arange(8) - 4,
            "flag": [True, False] * 4,
            "text": TEXTS,
            "whole floats": np.arange(8.0),
        },
    )
    again = Table.from_csv("fig0_all", table.to_csv())
    assert list(again.columns) == list(table.columns)
    assert again["float"].tobytes() == np.array(FLOATS).tobytes()
    assert again["integer"].dtype == np.int64
    assert again["integer"].tolist() == list(range(-4, 4))
    assert again["flag"].dtype == bool
    assert again["flag"].tolist() == [True, False] * 4
    assert again["text"].tolist() == TEXTS
    assert again["whole floats"].dtype == np.float64
    assert again.to_csv() == table.to_csv()


def test_random_doubles_survive():
    bits = np.random.default_rng(0).integers(0, 2**63, 2000, dtype=np.int64)
    values = bits.view(np.float64)
    values = values[np.isfinite(values)]
    again = Table.from_csv("fig0", Table("fig0", {"x": values}).to_csv())
    assert again["x"].tobytes() == values.tobytes()


def test_rows_are_chosen_by_value():
    table = Table("fig0", {"name": ["a", "b", "a"], "k": [0, 0, 1], "x": [1.0, 2.0, 3.0]})
    assert table.where(name="a")["x"].tolist() == [1.0, 3.0]
    assert table.where(name="a", k=1)["x"].tolist() == [3.0]
    assert len(table.where(name="c")) == 0
    assert len(table) == 3


def test_a_table_neither_keeps_nor_gives_away_its_input():
    x = np.zeros(2)
    table = Table("fig0", {"x": x})
    x[0] = 1.0
    assert table["x"][0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        table["x"][0] = 2.0


@pytest.mark.parametrize(
    ("columns", "error", "sentence"),
    [
        ({"a": [1.0], "b": [1.0, 2.0]}, ValueError, "equal lengths, not a: 1, b: 2"),
        ({"a": [[1.0]]}, ValueError, r"one-dimensional, not \(1, 1\)"),
        ({"a": ["1", "2"]}, ValueError, "give back as numbers"),
        ({"a": ["nan"]}, ValueError, "give back as numbers"),
        ({"a": ["true"]}, ValueError, "booleans"),
        ({"a": [1.0, "x"]}, TypeError, "mixes strings"),
        ({"a": [None]}, TypeError, "not object"),
        ({"a": [1j]}, TypeError, "not complex128"),
    ],
)
def test_what_a_csv_cannot_hold_is_refused(columns, error, sentence):
    with pytest.raises(error, match=sentence):
        Table("fig0", columns)


def test_a_table_cannot_leave_its_folder():
    with pytest.raises(ValueError, match="file's stem"):
        Table("../fig0", {"a": [1.0]})


@pytest.mark.parametrize("text", ["", "a,b\n1.0\n"])
def test_a_damaged_csv_is_refused(text):
    with pytest.raises(ValueError, match="CSV of fig0"):
        Table.from_csv("fig0", text)


def test_settings_are_checked_and_results_do_not_depend_on_jobs():
    assert Settings(seed=3, seeds=2).seed_range == range(3, 5)
    assert Settings(jobs=4).to_dict() == Settings(jobs=1).to_dict()
    for bad in ({"seeds": 0}, {"jobs": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match="must be at least"):
            Settings(**bad)
    with pytest.raises(TypeError, match="quick must be True or False"):
        Settings(quick=1)
