"""The picture of a sweep shows the means and Student's intervals of its rows."""

import numpy as np
import pytest
from scipy import stats

import maml_ode as mo

ROWS = [
    {
        "kind": kind,
        "seed": seed,
        "x": np.array([0.0, 1.0, 4.0]),
        "y": scale * np.exp([0.1 * seed, 1.0, 2.0 + seed]),
    }
    for kind, scale in (("a", 1.0), ("b", 3.0))
    for seed in range(4)
]


def band(axes, k):
    path = axes.collections[k].get_paths()[0].vertices
    return path[:, 1].min(), path[:, 1].max()


def test_lines_are_geometric_means_with_students_bands():
    ax = mo.plotting.plot_sweep(ROWS, "x", "y", by="kind", level=0.9)
    for k, kind in enumerate("ab"):
        line = ax.get_lines()[k]
        logs = np.log([row["y"] for row in ROWS if row["kind"] == kind])
        np.testing.assert_allclose(line.get_ydata(), np.exp(logs.mean(axis=0)), rtol=1e-13)
        half = stats.t.ppf(0.95, 3) * logs.std(axis=0, ddof=1) / 2.0
        ends = logs.mean(axis=0) - half, logs.mean(axis=0) + half
        assert band(ax, k) == pytest.approx((np.exp(ends[0]).min(), np.exp(ends[1]).max()))
        assert line.get_label() == kind
    assert ax.get_yscale() == "log"


def test_values_of_either_sign_have_arithmetic_means_and_numbers_make_lines_too():
    rows = [{"n": n, "seed": s, "d": n - 2.0 + 0.1 * s} for n in (4, 1, 2) for s in range(3)]
    rows.append({"n": 8, "seed": 0, "exception": "ValueError: no"})
    ax = mo.plotting.plot_sweep(rows, "n", "d", xlabel="samples")
    (line,) = ax.get_lines()
    np.testing.assert_allclose(line.get_xdata(), [1, 2, 4])
    np.testing.assert_allclose(line.get_ydata(), [-0.9, 0.1, 2.1], atol=1e-14)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("samples", "d")


def test_a_column_of_a_matrix_and_curves_on_different_grids():
    rows = [
        {"x": np.linspace(0.0, end, 5), "y": np.linspace(0.0, end, 5)[:, None] * [1.0, -2.0]}
        for end in (2.0, 3.0)
    ]
    ax = mo.plotting.plot_sweep(rows, "x", "y", index=1)
    (line,) = ax.get_lines()
    assert line.get_xdata()[-1] == 2.0
    np.testing.assert_allclose(line.get_ydata(), -2.0 * np.asarray(line.get_xdata()), atol=1e-12)


@pytest.mark.parametrize(
    ("rows", "given", "error", "words"),
    [
        ([], {}, ValueError, "no finished point"),
        ([3], {}, TypeError, "rows must hold mappings"),
        ([{"x": 1.0}], {}, ValueError, "no 'y'; it has x"),
        (ROWS, {"level": 1.0}, ValueError, "level must be less than 1"),
        (ROWS, {"index": 0.0}, TypeError, "index must be an integer"),
        (ROWS, {"by": 3}, TypeError, "by must be a text"),
        (ROWS, {"by": "x"}, TypeError, "x holds arrays"),
        ([{"x": 1.0, "y": "high"}], {}, TypeError, "y must hold real numbers, not 'high'"),
        (ROWS, {"index": 7}, ValueError, "index = 7 is not in it"),
        ([{"x": np.ones(2), "y": np.ones((2, 2))}], {}, ValueError, "choose a column by index="),
        ([{"x": np.ones(0), "y": np.ones(0)}], {}, ValueError, "empty array"),
    ],
)
def test_refusals(rows, given, error, words):
    with pytest.raises(error, match=words):
        mo.plotting.plot_sweep(rows, "x", "y", **given)
