"""What a refusal of a table advises is done literally, and then it works."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import dump_svmlight_file
from sklearn.preprocessing import MaxAbsScaler

import maml_ode as mo
from maml_ode.tasks.tables import assembling

N = 12
X = np.random.default_rng(0).normal(size=(N, 2))
Y = np.tile([1, 1, -1, -1], 3)
WHO = np.array(["a", "b"] * 6)
HOLES = X.copy()
HOLES[4, 1] = np.nan
UNKNOWN = WHO.astype(object)
UNKNOWN[3] = None
PRESENT = np.array([label is not None for label in UNKNOWN])
MIXED = WHO.astype(object)
MIXED[3] = 7
LONE = np.where(np.arange(N) == 5, "c", WHO)
CONSTANT = np.column_stack([X, np.full(N, 0.3)])
ZERO_ONE = (Y > 0).astype(int)
KEPT = ~np.isnan(HOLES).any(axis=1)
SPARSE = scipy.sparse.csr_array(X)

REMEDIES = {
    "leave these rows out": ((HOLES, Y, WHO), (HOLES[KEPT], Y[KEPT], WHO[KEPT])),
    "put numbers in their place": ((HOLES, Y, WHO), (np.nan_to_num(HOLES), Y, WHO)),
    "leave these rows out,": ((X, Y, UNKNOWN), (X[PRESENT], Y[PRESENT], UNKNOWN[PRESENT])),
    r"use np.asarray\(groups\).astype\(str\)": (
        (X, Y, MIXED),
        (X, Y, np.where(np.asarray(MIXED).astype(str) == "7", "b", np.asarray(MIXED).astype(str))),
    ),
    r"np.where\(values == the_class, 1, -1\)": (
        (X, ZERO_ONE, WHO),
        (X, np.where(ZERO_ONE == 1, 1, -1), WHO),
    ),
    "leave these groups out": ((X, Y, LONE), (X[LONE != "c"], Y[LONE != "c"], LONE[LONE != "c"])),
    "join them with others": ((X, Y, LONE), (X, Y, np.where(LONE == "c", "b", LONE))),
    "two classes as -1 and": ((X, np.where(Y > 0, "yes", "no"), WHO), (X, Y, WHO)),
    r"use np.reshape\(X, \(-1, 1\)\)": ((X[:, 0], Y, WHO), (np.reshape(X[:, 0], (-1, 1)), Y, WHO)),
    r"use np.ravel\(y\)": ((X, Y[:, None], WHO), (X, np.ravel(Y[:, None]), WHO)),
    r"use np.ravel\(groups\)": ((X, Y, WHO[:, None]), (X, Y, np.ravel(WHO[:, None]))),
    "pass the values themselves": ((X, "label", WHO), (X, Y, WHO)),
    r"pass its values, shape \(N,\)": ((X, Y, None), (X, Y, WHO)),
}


@pytest.mark.parametrize("words", REMEDIES)
def test_the_advice_works(words):
    bad, good = REMEDIES[words]
    with pytest.raises((ValueError, TypeError), match=words):
        mo.tasks.LogisticRegression.from_table(*bad)
    assert mo.tasks.LogisticRegression.from_table(*good).n_tasks == 2


def test_rows_without_a_label_may_have_one_of_their_own():
    with pytest.raises(ValueError, match="give them a label of their own"):
        mo.tasks.LinearRegression.from_table(X, Y, UNKNOWN)
    labels = np.where(PRESENT, UNKNOWN, "unknown")
    assert mo.tasks.LinearRegression.from_table(X, Y, labels).names == ("a", "b", "unknown")


def test_the_advice_on_intercepts_and_scales_works(monkeypatch):
    build = mo.tasks.LogisticRegression.from_table
    with pytest.raises(TypeError, match="pass fit_intercept=True"):
        build(X, Y, WHO, intercept=True)
    assert build(X, Y, WHO, fit_intercept=True).intercept
    with pytest.raises(
        ValueError, match="leave them out, and pass fit_intercept=True for one of ones"
    ):
        build(CONSTANT, Y, WHO, standardize=True)
    assert build(CONSTANT[:, :2], Y, WHO, standardize=True, fit_intercept=True).dim == 3
    monkeypatch.setattr(assembling, "MOST_CENTRED", N)
    advice = r"leave it out, or divide the columns.*sklearn.preprocessing.MaxAbsScaler\(\).fit_transform\(X\)"
    with pytest.raises(ValueError, match=advice):
        build(SPARSE, Y, WHO, standardize=True)
    assert build(SPARSE, Y, WHO).is_sparse
    assert build(MaxAbsScaler().fit_transform(SPARSE), Y, WHO).is_sparse


def test_the_advice_on_files_works(tmp_path):
    build, path = mo.tasks.LogisticRegression.from_table, str(tmp_path / "rows.svm")
    dump_svmlight_file(X, Y, path)
    with pytest.raises(ValueError, match="pass groups, one label per row, or write the file with"):
        build(path)
    assert build(path, groups=WHO).n_tasks == 2
    dump_svmlight_file(X, Y, path, query_id=(WHO == "b").astype(int))
    assert build(path).n_tasks == 2


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_the_advice_on_frames_works(library):
    frame = pytest.importorskip(library).DataFrame
    build = mo.tasks.LogisticRegression.from_table
    table = {"u": X[:, 0], "city": WHO, "intercept": np.ones(N), "y": Y, "who": WHO}
    with pytest.raises(TypeError, match="encode the column as numbers first, or leave it out"):
        build(frame(table), "y", "who")
    encoded = {**table, "city": 1.0 * (WHO == "a")}
    assert build(frame(encoded), "y", "who").dim == 3
    left = {key: value for key, value in table.items() if key != "city"}
    assert build(frame(left), "y", "who").dim == 2
    with pytest.raises(ValueError, match="leave fit_intercept out, or the column"):
        build(frame(left), "y", "who", fit_intercept=True)
    del left["intercept"]
    assert build(frame(left), "y", "who", fit_intercept=True).dim == 2
    with pytest.raises(TypeError, match="pass the name of a column of X, or the values"):
        build(frame(left), "y")


def test_the_advice_on_starting_points_works():
    tasks = mo.tasks.Symbolic("log(x) + a*x", "x", {"a": [1.0, 2.0]})
    with pytest.raises(ValueError, match="pass a w0= inside"), np.errstate(all="ignore"):
        _ = mo.Experiment(tasks, 0.1).switch_tol
    assert mo.Experiment(tasks, 0.1, w0=[1.0]).switch_tol == pytest.approx(0.25)
