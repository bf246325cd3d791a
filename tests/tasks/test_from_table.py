"""Families out of tables: rows in any order, labels of any kind, against families put together by hand."""

import datetime
import time

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import dump_svmlight_file
from sklearn.preprocessing import StandardScaler

import maml_ode as mo

RNG = np.random.default_rng(7)
N, K = 60, 3
X = RNG.normal(size=(N, K)) * [1.0, 30.0, 1e-3] + [0.0, 5.0, 2e-3]
WHO = RNG.choice(["north", "east", "south"], N)
LABELS = ("east", "north", "south")
TARGET = RNG.normal(size=N)
CLASS = np.where(RNG.random(N) < 0.5, -1, 1)
MODELS = (mo.tasks.LinearRegression, mo.tasks.LogisticRegression, mo.tasks.SVM)


def y_of(model):
    return TARGET if model is mo.tasks.LinearRegression else CLASS


def by_hand(model, samples=X, **options):
    """The family as its constructor takes it."""
    y = y_of(model)
    return model(
        [samples[one == WHO] for one in LABELS], [y[one == WHO] for one in LABELS], **options
    )


def same(family, other):
    assert family.identity == other.identity


@pytest.mark.parametrize("model", MODELS)
def test_rows_go_to_their_tasks(model):
    family = model.from_table(X, y_of(model), WHO, reduction="sum")
    same(family, by_hand(model, reduction="sum"))
    assert (family.names, family.feature_names) == (LABELS, ("x0", "x1", "x2"))
    assert (family.mean, family.scale) == (None, None)
    sizes = np.array([(one == WHO).sum() for one in LABELS])
    same(
        model.from_table(X, y_of(model), WHO, weights="samples"), by_hand(model, weights=sizes / N)
    )
    p = [0.5, 0.2, 0.3]
    same(model.from_table(X, y_of(model), WHO, weights=p), by_hand(model, weights=p))


@pytest.mark.parametrize("model", MODELS)
def test_options_and_an_intercept_reach_the_family(model):
    options = {"reduction": "half_mean"}
    if model is not mo.tasks.LinearRegression:
        options["l2"] = 0.3
    if model is mo.tasks.SVM:
        options |= {"loss": "smooth_hinge", "smoothing": 0.2}
    scaled = StandardScaler().fit(X)
    family = model.from_table(X, y_of(model), WHO, fit_intercept=True, standardize=True, **options)
    assert family.feature_names == ("x0", "x1", "x2", "intercept")
    np.testing.assert_allclose(family.mean, scaled.mean_, rtol=1e-12)
    np.testing.assert_allclose(family.scale, scaled.scale_, rtol=1e-12)
    ones = np.column_stack([scaled.transform(X), np.ones(N)])
    kept = {} if model is mo.tasks.LinearRegression else {"intercept": True}
    other = by_hand(model, ones, **options, **kept)
    w = RNG.normal(size=(2, 4))
    np.testing.assert_allclose(family.losses(w[0]), other.losses(w[0]), rtol=1e-12)
    np.testing.assert_allclose(family.hvps(*w), other.hvps(*w), rtol=1e-11)
    if kept:
        # The constant part of the curvature is l2, and 0 for the intercept.
        flat = model.from_table(0 * X, y_of(model), WHO, fit_intercept=True, **options).hessians(
            w[0]
        )
        np.testing.assert_allclose(flat[:, range(3), range(3)], 0.3)
        np.testing.assert_allclose(flat[:, 3, :3], 0.0)
        family = model.from_table(
            0 * X, y_of(model), WHO, fit_intercept=True, **{**options, "l2": 9.0}
        )
        np.testing.assert_allclose(flat[:, 3, 3], family.hessians(w[0])[:, 3, 3])


@pytest.mark.parametrize("size", [1e-200, 1e-3, 1.0, 1e200])
def test_columns_of_any_size_are_standardised(size):
    family = mo.tasks.LinearRegression.from_table(size * X, TARGET, WHO, standardize=True)
    rows = np.concatenate(family.X)
    np.testing.assert_allclose(rows.mean(axis=0), 0.0, atol=1e-13)
    np.testing.assert_allclose(rows.std(axis=0), 1.0, rtol=1e-13)
    np.testing.assert_allclose(family.scale / size, X.std(axis=0), rtol=1e-12)


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_a_column_that_rounding_alone_moves_is_constant(size):
    third = size * np.where(np.arange(len(X)) % 2, 0.1 + 0.2, 0.3)
    table = np.column_stack([X[:, 0], third])
    with pytest.raises(ValueError, match="these columns are constant: 'x1'"):
        mo.tasks.LinearRegression.from_table(table, TARGET, WHO, standardize=True)
    far = np.column_stack([X[:, 0], third + 1e-14 * size * np.arange(len(X))])
    family = mo.tasks.LinearRegression.from_table(far, TARGET, WHO, standardize=True)
    np.testing.assert_allclose(family.scale[1], size * (far[:, 1] / size).std(), rtol=0.05)


def test_the_caller_keeps_his_table():
    samples, y, who = X.copy(), TARGET.copy(), WHO.copy()
    mo.tasks.LinearRegression.from_table(samples, y, who, standardize=True)
    assert (samples == X).all()
    assert (y == TARGET).all()
    assert (who == WHO).all()


FRAMES = ["pandas", "polars"]


def frame(library, columns):
    return pytest.importorskip(library).DataFrame(columns)


def columns(**more):
    named = {"income": X[:, 0], "age": X[:, 1], "dose": X[:, 2]}
    return {"who": WHO.tolist(), **named, "y": TARGET, "class": CLASS, **more}


@pytest.mark.parametrize("library", FRAMES)
def test_frames_name_their_columns(library):
    table = frame(library, columns(old=np.arange(N) % 2 == 0))
    without = table.drop(columns="class") if library == "pandas" else table.drop("class")
    family = mo.tasks.LinearRegression.from_table(without, "y", "who", fit_intercept=True)
    assert family.feature_names == ("income", "age", "dose", "old", "intercept")
    assert family.names == LABELS
    samples = np.column_stack([X, np.arange(N) % 2 == 0, np.ones(N)])
    same(family, by_hand(mo.tasks.LinearRegression, samples))
    # Values beside a frame leave it as it is.
    features = frame(library, {"a": X[:, 0], "b": X[:, 1]})
    beside = mo.tasks.SVM.from_table(features, table["class"], table["who"])
    same(beside, by_hand(mo.tasks.SVM, X[:, :2]))


@pytest.mark.parametrize("model", MODELS)
def test_sparse_samples_stay_sparse_unless_they_are_centred(model):
    thin = np.where(abs(X) > [1.0, 20.0, 1e-3], X, 0.0)
    for container in (scipy.sparse.csr_array, scipy.sparse.csc_matrix, scipy.sparse.coo_array):
        family = model.from_table(container(thin), y_of(model), WHO)
        assert family.is_sparse
        same(family, by_hand(model, scipy.sparse.csr_array(thin)))
    w = RNG.normal(size=4)
    settings = {} if model is mo.tasks.LinearRegression else {"l2": 0.1}
    for standardize in (False, True):
        pair = [
            model.from_table(
                one, y_of(model), WHO, fit_intercept=True, standardize=standardize, **settings
            )
            for one in (thin, scipy.sparse.csr_array(thin))
        ]
        assert pair[1].is_sparse is not standardize
        assert pair[0].feature_names == pair[1].feature_names
        np.testing.assert_allclose(*(one.gradients(w) for one in pair), rtol=1e-12, atol=1e-14)


def test_a_file_in_svmlight_format_is_a_table(tmp_path):
    path = tmp_path / "ranks.svm"
    who = np.unique(WHO, return_inverse=True)[1] + 5
    dump_svmlight_file(X, CLASS, str(path), zero_based=False, query_id=who)
    family = mo.tasks.LogisticRegression.from_table(path, None, "qid", l2=0.5)
    assert family.is_sparse
    assert family.names == (5, 6, 7)
    direct = by_hand(mo.tasks.LogisticRegression, l2=0.5)
    w = RNG.normal(size=3)
    np.testing.assert_allclose(family.gradients(w), direct.gradients(w), rtol=1e-12)
    same(family, mo.tasks.LogisticRegression.from_table(str(path), l2=0.5))
    regrouped = mo.tasks.LogisticRegression.from_table(path, groups=WHO, l2=0.5)
    assert regrouped.names == LABELS
    path.write_text("income,age\n1.0,2.0\n")
    with pytest.raises(ValueError, match=r"'ranks\.svm', is no file in svmlight format"):
        mo.tasks.LogisticRegression.from_table(path)
    with pytest.raises(ValueError, match="but there is no such file in"):
        mo.tasks.LogisticRegression.from_table("income.svm", CLASS, WHO)
    dump_svmlight_file(X, CLASS, str(path))
    with pytest.raises(ValueError, match=r"ranks.svm gives no qid"):
        mo.tasks.LogisticRegression.from_table(path)


@pytest.mark.parametrize(
    "labels",
    [
        [3, 1, 2],
        [2.5, -1.0, 0.0],
        ["b", "a", "ß"],
        [b"b", b"a", b"c"],
        [True, False, True],
        [datetime.date(2020, 1, 2), datetime.date(2019, 1, 2), datetime.date(2021, 1, 1)],
        np.array(["2020-01-02", "2019-01-01", "2021-01-01"], dtype="datetime64[ns]"),
        np.array(["b", "a", "c"], dtype=object),
    ],
)
def test_labels_stay_what_they_are(labels):
    who = np.array(labels)[np.arange(12) % 3]
    family = mo.tasks.LinearRegression.from_table(
        X[:12], TARGET[:12], who.tolist() if who.dtype.kind == "O" else who
    )
    expected = np.unique(who)
    assert np.array_equal(np.array(family.names, dtype=who.dtype), expected)
    assert family.names[0] == expected[0]
    assert type(family.names) is tuple


def test_masked_entries_are_missing():
    hide = np.arange(N) == 5
    with pytest.raises(ValueError, match="missing in row 5;"):
        mo.tasks.SVM.from_table(X, CLASS, np.ma.array(WHO, mask=hide))
    with pytest.raises(ValueError, match=r"y must have no masked entry.*y\[5\]"):
        mo.tasks.SVM.from_table(X, np.ma.array(CLASS, mask=hide), WHO)


def table_of(**changed):
    return {"X": X, "y": CLASS, "groups": WHO, **changed}


def replaced(array, where, value, dtype=None):
    out = np.array(array, dtype=dtype)
    out[where] = value
    return out


BAD = {
    "NaN in X": (
        {"X": replaced(X, (7, 1), np.nan)},
        ValueError,
        rf"'x1' must be finite.*row 7, of group '{WHO[7]}'",
    ),
    "inf in y": (
        {"y": replaced(CLASS, 9, np.inf, float)},
        ValueError,
        rf"y must be finite.*row 9, of group '{WHO[9]}'",
    ),
    "NaN in sparse X": (
        {"X": scipy.sparse.csr_array(replaced(X, (7, 1), np.nan))},
        ValueError,
        rf"'x1' must be finite.*row 7, of group '{WHO[7]}'",
    ),
    "no label": ({"groups": replaced(WHO, 3, None, object)}, ValueError, r"missing in row 3;"),
    "two without": (
        {"groups": replaced(np.arange(N) % 2, slice(4, 6), np.nan, float)},
        ValueError,
        "missing in row 4 and in 1 more",
    ),
    "labels of two kinds": (
        {"groups": replaced(WHO, 3, 1, object)},
        TypeError,
        r"int and str; use .*astype",
    ),
    "a list of two kinds": ({"groups": [*WHO[:-1].tolist(), 1]}, TypeError, "int and str"),
    "labels that are lists": ({"groups": [[1]] * N}, TypeError, "numbers or texts, not objects"),
    "one class": (
        {"y": np.where(WHO == "east", 1, CLASS)},
        ValueError,
        "only one in 'east'; leave",
    ),
    "labels 0 and 1": (
        {"y": (CLASS > 0).astype(int)},
        ValueError,
        r"labels -1 and \+1, but it holds 0",
    ),
    "text for y": (
        {"y": np.where(CLASS > 0, "yes", "no")},
        TypeError,
        r"real numbers.*two classes as -1 and \+1",
    ),
    "a name without names": ({"y": "class"}, TypeError, "names a column, but X is an array"),
    "nothing": ({"groups": None}, TypeError, "groups is missing"),
    "too few labels": ({"groups": WHO[:-1]}, ValueError, r"must have shape \(60,\)"),
    "a column for y": ({"y": CLASS[:, None]}, ValueError, r"use np.ravel\(y\)"),
    "flat X": ({"X": X[:, 0]}, ValueError, r"np.reshape\(X, \(-1, 1\)\)"),
    "no rows": ({"X": X[:0], "y": CLASS[:0], "groups": WHO[:0]}, ValueError, "at least one row"),
    "constant": (
        {"X": replaced(X, (slice(None), 2), 0.1), "standardize": True},
        ValueError,
        "constant: 'x2'",
    ),
    "an intercept of its own": ({"intercept": True}, TypeError, "fit_intercept=True"),
    "unknown": ({"l1": 0.1}, TypeError, "Did you mean 'l2'"),
    "weights": ({"weights": "sample"}, ValueError, "Did you mean 'samples'"),
    "three weights": ({"weights": [0.5, 0.5]}, ValueError, r"must have shape \(3,\)"),
    "flag": ({"standardize": 1}, TypeError, "standardize must be True or False"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_table_is_refused_by_name(case):
    changed, error, match = BAD[case]
    with pytest.raises(error, match=match):
        mo.tasks.LogisticRegression.from_table(**table_of(**changed))


@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        (
            {"age": [None, *X[1:, 1].tolist()]},
            ValueError,
            "column 'age' must be finite, but it is nan in row 0",
        ),
        ({"who": [*WHO[:-1].tolist(), None]}, ValueError, "who must say .* missing in row 59"),
        ({"class": [*CLASS[:-1].tolist(), None]}, ValueError, "class must be finite"),
        ({"age": ["old"] * N}, TypeError, "column 'age'.* real number.*leave it out"),
        ({"intercept": X[:, 0]}, ValueError, "column 'intercept' already"),
    ],
)
def test_columns_are_refused_by_name(library, changed, error, match):
    table = frame(library, columns(**changed))
    with pytest.raises(error, match=match):
        mo.tasks.LogisticRegression.from_table(table, "class", "who", fit_intercept=True)


@pytest.mark.parametrize("library", FRAMES)
def test_names_of_columns_are_looked_for(library):
    table = frame(library, columns())
    with pytest.raises(ValueError, match="Did you mean 'class'"):
        mo.tasks.SVM.from_table(table, "clas", "who")
    with pytest.raises(ValueError, match="both are 'who'"):
        mo.tasks.SVM.from_table(table, "who", "who")
    with pytest.raises(TypeError, match="groups is missing"):
        mo.tasks.SVM.from_table(table, "class")


def test_categories_without_rows_are_refused():
    pandas = pytest.importorskip("pandas")
    who = pandas.Categorical(WHO, ["north", "east", "south", "west", "nowhere"])
    table = pandas.DataFrame(columns(who=who))
    with pytest.raises(
        ValueError, match=r"no row: 'west', 'nowhere'; drop them by its remove_unused"
    ):
        mo.tasks.SVM.from_table(table, "class", "who")
    table["who"] = table["who"].cat.remove_unused_categories()
    assert mo.tasks.SVM.from_table(table, "class", "who").names == LABELS
    with pytest.raises(TypeError, match="column 'who' must hold real numbers, not categories"):
        mo.tasks.SVM.from_table(table, "class", WHO)
    repeated = pandas.concat([table, table[["age"]]], axis=1)
    with pytest.raises(ValueError, match="repeats 'age'"):
        mo.tasks.SVM.from_table(repeated, "class", "who")


def test_categories_of_polars():
    polars = pytest.importorskip("polars")
    table = polars.DataFrame(columns())
    for kind in (polars.Categorical, polars.Enum(sorted(LABELS))):
        family = mo.tasks.SVM.from_table(
            table.with_columns(polars.col("who").cast(kind)), "class", "who"
        )
        assert family.names == LABELS
    spare = table.with_columns(polars.col("who").cast(polars.Enum([*LABELS, "west"])))
    with pytest.raises(ValueError, match="no row: 'west'; drop them by a cast to text"):
        mo.tasks.SVM.from_table(spare, "class", "who")


def test_names_follow_a_family():
    family = mo.tasks.SVM.from_table(X, CLASS, WHO, standardize=True, fit_intercept=True)
    some = family.subset([2, 0])
    assert some.names == ("south", "east")
    assert some.feature_names == family.feature_names
    assert (some.mean is family.mean, some.scale is family.scale, some.intercept) == (
        True,
        True,
        True,
    )
    assert repr(some) == (
        "SVM(n_tasks=2, dim=4, names=('south', 'east'), feature_names=('x0', 'x1', 'x2', 'intercept'))"
    )
    assert (family.name_of(1), by_hand(mo.tasks.SVM).name_of(1)) == ("north", "1")
    many = mo.tasks.LinearRegression.from_table(np.ones((30, 1)), np.ones(30), np.arange(30))
    assert "names=(0, 1, 2, ..., 29)" in repr(many)


def test_constants_and_certificates_say_whose_they_are():
    family = mo.tasks.LinearRegression.from_table(X, TARGET, WHO)
    spectra = np.linalg.eigvalsh(family.hessians(np.zeros(K)))
    k = mo.theory.constants(family)
    assert k.L.note.endswith(f"; of task {LABELS[np.argmax(spectra[:, -1])]}")
    assert k.mu.note.endswith(f"; of task {LABELS[np.argmin(spectra[:, 0])]}")
    assert "of task" not in k.kappa.note  # 0 in every task
    assert "of task" not in mo.theory.constants(by_hand(mo.tasks.LinearRegression)).L.note
    report = mo.theory.certify(family, 0.01)
    assert k.L.note in report["smoothness"].note


def test_a_large_table_is_sorted_and_not_searched():
    """A look through all rows for each of 5000 tasks would take minutes."""
    rng = np.random.default_rng(0)
    n = 300_000
    samples, who = rng.normal(size=(n, 4)), rng.integers(0, 5000, n)
    started = time.perf_counter()
    family = mo.tasks.LinearRegression.from_table(samples, samples[:, 0], who, standardize=True)
    assert time.perf_counter() - started < 20
    assert family.n_samples == tuple(np.bincount(who))
    np.testing.assert_array_equal(family.y[17], samples[who == 17, 0])
