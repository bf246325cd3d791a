"""Figure 1's tables against published digits, and its pictures."""

import numpy as np
import pytest

from maml_ode.reproduce import Settings, load_artefact

from .pictures import assert_legible, draw

SETTINGS = Settings(quick=True)
ARTEFACT = load_artefact("fig1")


@pytest.fixture(scope="module")
def tables():
    return ARTEFACT.compute(SETTINGS, lambda fraction, note: None, {})


PUBLISHED = [
    (-5.0, 4.4582290727232702182, -0.81932748040857664654, -52.88880008784115054),
    (-1.0, 0.31051984411576800613, -0.72791106107580705513, 10.630480277806430926),
    (0.0, -0.15432460207144067836, -0.15562501797498835222, 0.70392018348266362617),
    (0.25, -0.17701005214289014686, -0.025811822635436282081, -2.6980783743004969215),
    (1.0, -0.10559420610714882417, 0.26275904773211930003, -10.322800724654198667),
]


@pytest.mark.parametrize(("w", "value", "first", "second"), PUBLISHED)
def test_the_curves_go_through_the_published_points(tables, w, value, first, second):
    table = tables["fig1_derivatives"]
    rows = np.flatnonzero(np.abs(table["w"] - w) < 1e-12)
    assert rows.size >= 1
    for row in rows:
        assert table["value"][row] == pytest.approx(value, rel=2e-12)
        assert table["first"][row] == pytest.approx(first, rel=2e-12)
        assert table["second"][row] == pytest.approx(second, rel=2e-11)


def test_every_wave_is_sampled_at_least_twenty_times(tables):
    near = tables["fig1_derivatives"].where(view="near")["w"]
    assert near[0] == -1.0
    assert near[-1] == 1.0
    assert np.diff(near).max() <= 2 * np.pi / 100 / 20


def test_the_intervals_of_negative_curvature(tables):
    table = tables["fig1_negative_curvature"]
    assert len(table) == 31
    k = int(np.argmin(table["least"]))
    assert table["least"][k] == pytest.approx(-11.30084076224717, rel=1e-12)
    assert table["w_least"][k] == pytest.approx(-0.97388712896142, abs=1e-7)
    assert (table["w_high"] - table["w_low"]).sum() / 2 == pytest.approx(0.43, abs=0.005)
    left = table["w_high"][table["w_high"] < 0].max()
    right = table["w_low"][table["w_low"] > 0].min()
    assert (left, right) == pytest.approx((-0.0875453, 0.0543602), abs=1e-7)


MINIMA = [0.288087736343721, 0.344866361881597, 0.402744483281065, 0.460737284763572]


def test_the_seven_critical_points(tables):
    table = tables["fig1_critical_points"]
    assert table["minimum"].tolist() == [True, False] * 3 + [True]
    assert table["w"][table["minimum"]] == pytest.approx(MINIMA, abs=2e-14)
    assert table["value"].min() == pytest.approx(-0.179109715930522, abs=1e-14)
    assert np.argmin(table["value"]) == 2
    assert (np.sign(table["second"]) == np.where(table["minimum"], 1, -1)).all()


def test_the_flow_ends_in_the_minimum_of_its_basin(tables):
    maxima = tables["fig1_critical_points"].where(minimum=False)["w"]
    table = tables["fig1_flow_ends"]
    expected = np.array(MINIMA)[np.searchsorted(maxima, table["w0"])]
    np.testing.assert_allclose(table["end"], expected, atol=1e-8)
    outside = (table["w0"] < maxima[0]) | (table["w0"] > maxima[-1])
    assert not np.isclose(table["end"][outside], MINIMA[1], atol=1e-3).any()


def test_where_bimaml_ends_depends_on_its_tolerance(tables):
    table = tables["fig1_switch_tolerance"]
    ends = dict(zip(table["switch_tol"].tolist(), table["end"].tolist(), strict=True))
    assert ends[0.3] == pytest.approx(MINIMA[0], abs=1e-8)
    assert ends[0.1] == pytest.approx(MINIMA[1], abs=1e-8)
    assert ends[0.03] == pytest.approx(MINIMA[2], abs=1e-8)
    # At the switch |f'(w)| = eps0, unless it holds at the start.
    w = table["switch_w"]
    slope = 1.01 * w - 0.5 * np.cos(w) - 0.005 * np.cos(100 * w)
    np.testing.assert_allclose(np.abs(slope), table["switch_tol"], rtol=1e-9)


def test_the_counts_cover_the_whole_range_of_alpha(tables):
    table = tables["fig1_counts"]
    np.testing.assert_array_equal(table["alpha_high"][:-1], table["alpha_low"][1:])
    assert table["alpha_low"][0] == 0.0
    assert table["alpha_high"][-1] == 0.4975
    open_ = ~table["proved"]
    assert (table["alpha_high"] - table["alpha_low"])[open_].max() < 1e-4
    branches = tables["fig1_branches"]
    for low, high, number in zip(
        table["alpha_low"], table["alpha_high"], table["critical_points"], strict=True
    ):
        inside = (branches["alpha"] > low) & (branches["alpha"] < high)
        if number >= 0:
            assert (branches["critical_points"][inside] == number).all()


def test_the_pictures(tables):
    figures = draw(ARTEFACT, tables, SETTINGS)
    assert list(figures) == ["fig1", "fig1_landscape"]
    for figure in figures.values():
        assert_legible(figure)
    first, second = figures["fig1"].axes[:2]
    near = tables["fig1_derivatives"].where(view="near")
    np.testing.assert_array_equal(first.get_lines()[0].get_ydata(), near["first"])
    np.testing.assert_array_equal(second.get_lines()[0].get_ydata(), near["second"])


def test_key_numbers(tables):
    numbers = ARTEFACT.key_numbers(tables)
    assert numbers["critical points at alpha = 0.4"] == "7"
    assert numbers["uniqueness is lost at alpha"] == "0.03672"
    assert numbers["F'' < 0 on"] == "31 intervals, 43% of [-1, 1]"
