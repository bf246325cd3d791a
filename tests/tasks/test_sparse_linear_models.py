"""Linear models on sparse samples: the same numbers as on dense ones, and no dense array of them."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp

import maml_ode as mo
from maml_ode.compiled import family as loops

SVM_LOSSES = ("hinge", "squared_hinge", "smooth_hinge", "smooth_squared_hinge")
LOSSES = ("squared", "logistic", *SVM_LOSSES)
FORMATS = ("csr", "csc", "coo", "lil", "dok", "dia", "bsr")


def build(loss, X, y, **keywords):
    if loss == "squared":
        keywords.pop("l2", None)
        return mo.tasks.LinearRegression(X, y, **keywords)
    if loss == "logistic":
        return mo.tasks.LogisticRegression(X, y, **keywords)
    return mo.tasks.SVM(X, y, loss=loss, **keywords)


def draw(loss, sizes, d, density=0.3, seed=1):
    """Dense samples with zeros; the second task has none but zeros, the others an empty row."""
    rng = np.random.default_rng(seed)
    X = [rng.normal(size=(n, d)) * (rng.random((n, d)) < density) for n in sizes]
    for i, X_i in enumerate(X):
        X_i[(slice(None) if i == 1 else len(X_i) // 2)] *= len(sizes) == 1
    y = [rng.normal(size=n) if loss == "squared" else rng.choice([-1.0, 1.0], n) for n in sizes]
    return X, y, rng


def assert_same_family(sparse, dense, rng):
    M, d = dense.n_tasks, dense.dim
    for shape in (d, (M, d)):
        w, v, q = (rng.normal(size=shape) for _ in range(3))
        pairs = {
            "losses": (w,),
            "gradients": (w,),
            "hessians": (w,),
            "hvps": (w, v),
            "third": (w, v),
            "third_vectors": (w, v, q),
        }
        for name, arguments in pairs.items():
            expected = getattr(dense, name)(*arguments)
            error = np.abs(getattr(sparse, name)(*arguments) - expected).max()
            assert error <= 1e-13 * np.abs(expected).max(), name


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("sizes", "d", "density", "reduction"),
    [
        ((1,), 1, 1.0, "mean"),
        ((7, 4, 1, 30), 5, 0.3, "half_mean"),
        ((3, 2), 60, 0.05, "sum"),
        ((50, 20, 90), 11, 0.5, "mean"),
    ],
)
def test_all_evaluations_equal_the_dense_ones(loss, sizes, d, density, reduction):
    X, y, rng = draw(loss, sizes, d, density)
    settings = {
        "reduction": reduction,
        "l2": 0.0 if d == 5 else 0.3,
        "weights": rng.dirichlet(np.ones(len(sizes))),
    }
    sparse = build(loss, [sp.csr_array(X_i) for X_i in X], y, **settings)
    dense = build(loss, X, y, **settings)
    assert_same_family(sparse, dense, rng)
    assert (sparse.is_sparse, dense.is_sparse) == (True, False)
    assert sparse.n_samples == sizes
    np.testing.assert_array_equal(sparse.scales, dense.scales)
    if loss == "squared":
        for name in ("H", "b", "c"):
            terms = [getattr(family.quadratic, name) for family in (sparse, dense)]
            np.testing.assert_allclose(*terms, rtol=1e-13, atol=1e-15)
    objective, reference = (mo.MAMLLoss(family, 0.1, inner_steps=2) for family in (sparse, dense))
    w, v = rng.normal(size=(2, d))
    for name, arguments in {"gradient": (w,), "hvp": (w, v), "hessian": (w,)}.items():
        expected = getattr(reference, name)(*arguments)
        error = np.abs(getattr(objective, name)(*arguments) - expected).max()
        assert error <= 1e-12 * np.abs(expected).max(), name


@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_every_format_and_number_type_is_read(kind):
    X, y, rng = draw("logistic", (4, 3, 6), 5)
    X = [np.round(3 * X_i) for X_i in X]
    dense = build("logistic", X, y)
    for form in FORMATS:
        container = getattr(sp, f"{form}_{kind}")
        for number in (np.float64, np.float32, np.int8):
            matrices = tuple(container(X_i.astype(number)) for X_i in X)
            assert_same_family(build("logistic", matrices, y), dense, rng)
    mixed = [getattr(sp, f"{form}_{kind}")(X_i) for form, X_i in zip(FORMATS, X, strict=False)]
    assert_same_family(build("logistic", mixed, y), dense, rng)
    boxed = np.empty(3, dtype=object)
    boxed[:] = mixed
    assert_same_family(build("logistic", boxed, y), dense, rng)


def scrambled():
    """A CSR array with unsorted columns, an entry stored twice, a stored zero, and int64 indices."""
    data = np.array([4.0, 1.0, 2.0, 0.0, 5.0])
    indices, indptr = np.array([2, 0, 2, 1, 0]), np.array([0, 3, 3, 5])
    return sp.csr_array((data, indices, indptr), shape=(3, 4))


def test_entries_stored_twice_are_summed_without_touching_the_input():
    rows, columns = np.array([1, 0, 1, 1]), np.array([3, 0, 3, 2])
    inputs = [
        scrambled(),
        sp.csc_array(scrambled().tocsc()),
        sp.coo_array((np.array([1.0, 2.0, 3.0, 0.0]), (rows, columns)), shape=(3, 4)),
    ]
    before = copy.deepcopy(inputs)
    y = np.array([[1, -1, 1]] * 3)
    tasks = build("logistic", inputs, y)
    for X, given, kept in zip(tasks.X, inputs, before, strict=True):
        np.testing.assert_array_equal(X.toarray(), kept.toarray())
        np.testing.assert_array_equal(given.data, kept.data)
        for name in ("indices", "indptr") if given.format != "coo" else ("row", "col"):
            np.testing.assert_array_equal(getattr(given, name), getattr(kept, name))
        noted = {"_has_canonical_format", "_has_sorted_indices", "has_canonical_format"}
        for flag in noted & set(vars(kept)):
            assert vars(given)[flag] == vars(kept)[flag]
        assert X.has_canonical_format
    assert [X.nnz for X in tasks.X] == [4, 4, 3]  # with the stored zeros
    dense = build("logistic", [X.toarray() for X in before], y)
    assert_same_family(tasks, dense, np.random.default_rng(0))


def test_samples_are_held_once_and_exposed_read_only():
    X, y, _ = draw("logistic", (40, 30, 20), 50)
    given = [sp.csr_array(X_i) for X_i in X]
    tasks = build("logistic", given, y)
    for view, X_i in zip(tasks.X, X, strict=True):
        assert isinstance(view, sp.csr_array)
        np.testing.assert_array_equal(view.toarray(), X_i)
        np.testing.assert_allclose(view @ np.ones(50), X_i @ np.ones(50), atol=1e-14)
        for part in (view.data, view.indices, view.indptr):
            with pytest.raises(ValueError, match="read-only"):
                part[:1] = 0
    for owned in ("data", "indices", "indptr"):
        parts = [getattr(view, owned) for view in (*tasks.X, *tasks.X)]
        assert len({id(part.base) for part in parts}) == 1
    nnz = sum(X_i.nnz for X_i in given)
    # 16 bytes an entry, a label and a row pointer for each row, and a few numbers for each task.
    held = tasks.X[0].data.base.nbytes + tasks.X[0].indices.base.nbytes
    assert held <= 16 * nnz + 16 * 90 + 8 * (5 * 3 + 8)
    for X_i in given:
        X_i.data[:] = 7.0
    np.testing.assert_array_equal(tasks.X[0].toarray(), X[0])


@pytest.mark.parametrize("loss", LOSSES)
def test_products_need_neither_a_dense_sample_nor_a_matrix_in_a_million_dimensions(loss):
    # The samples would take 40 MB when dense, a d x d matrix 8 TB.
    d = 1_000_000
    where = (np.array([0, 0, 1, 2]), np.array([3, d - 1, 3, 500_000]))
    X = sp.coo_array((np.array([1.0, 2.0, -1.0, 0.5]), where), shape=(5, d))
    y = np.array([1.0, -1.0, 1.0, 1.0, -1.0])
    columns = np.unique(where[1])
    small = build(loss, [X.tocsc()[:, columns].toarray()], [y])
    tasks = build(loss, [X], [y])
    w, v, q = np.zeros((3, d))
    rng = np.random.default_rng(0)
    for vector in (w, v, q):
        vector[columns] = rng.normal(size=3)
    np.testing.assert_allclose(tasks.losses(w), small.losses(w[columns]), rtol=1e-14)
    for name, arguments in (("gradients", (w,)), ("hvps", (w, v)), ("third_vectors", (w, v, q))):
        got = getattr(tasks, name)(*arguments)
        expected = getattr(small, name)(*(a[columns] for a in arguments))
        np.testing.assert_allclose(got[:, columns], expected, rtol=1e-13, atol=1e-16)
        assert np.count_nonzero(got) <= 3


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_non_finite_coordinate_without_entries_still_shows(loss, bad):
    tasks = build(loss, [sp.csr_array([[1.0, 0.0]])], [[1.0]])
    w, value, gradient = np.array([[0.0, bad]]), np.zeros(1), np.zeros((1, 2))
    loops.losses(tasks.problem, w, value)
    loops.gradients(tasks.problem, w, gradient)
    assert np.isnan(value).all()
    assert not np.isfinite(gradient[0, 1])


def test_large_points_do_not_overflow_where_there_is_no_ridge_term():
    tasks = mo.tasks.SVM([sp.csr_array([[1.0, 0.0]])], [[1]], loss="hinge")
    assert tasks.losses([1e200, 1e200]) == 0.0


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_are_the_same_family(copied):
    X, y, rng = draw("logistic", (4, 3, 6), 5)
    tasks = build("logistic", [sp.csr_array(X_i) for X_i in X], y, l2=0.1)
    tasks.gradients(np.zeros(5))
    twin = copied(tasks)
    assert_same_family(twin, tasks, rng)
    assert twin.is_sparse
    with pytest.raises(ValueError, match="read-only"):
        twin.X[0].data[:] = 0.0


def broken(**parts):
    """A CSR array whose index arrays were changed after SciPy had checked them."""
    matrix = scrambled()
    for name, value in parts.items():
        setattr(matrix, name, np.array(value))
    return matrix


Y = np.array([[1, -1, 1]])
BAD_DATA = [
    (scrambled(), Y, TypeError, r"one entry per task.*one sparse matrix of shape \(3, 4\).*\[X\]"),
    ([scrambled(), np.ones((3, 4))], [*Y, *Y], TypeError, r"X\[1\] is dense and X\[0\] is sparse"),
    ([np.ones((3, 4)), scrambled()], [*Y, *Y], TypeError, r"X\[0\] is dense and X\[1\].*toarray"),
    ([scrambled()], [sp.csr_array([[1]])], TypeError, r"y\[0\] must be dense"),
    ([scrambled()], sp.csr_array(Y), TypeError, "y must be a sequence"),
    ([scrambled()], Y[:, :2], ValueError, r"y\[0\] must have shape \(3,\).*\(3, 4\).*\(2,\)"),
    ([scrambled(), sp.eye_array(3)], [*Y, *Y], ValueError, r"X\[0\] .*\(3, 4\) and X\[1\].*\(3, 3"),
    ([sp.coo_array(np.ones(3))], Y, ValueError, r"X\[0\] must have shape \(n_i, d\).*\(3,\)"),
    ([sp.csr_array((0, 4))], [[]], ValueError, r"\(0, 4\); leave empty tasks out"),
    ([scrambled() * 1j], Y, TypeError, r"X\[0\] must hold real numbers, not complex128"),
    ([scrambled() * np.nan], Y, ValueError, r"X\[0\] must be finite, but X\[0\]\[0, 0\] is nan"),
    ([sp.coo_array(([np.inf], ([2], [1])), (3, 4))], Y, ValueError, r"X\[0\]\[2, 1\] is inf"),
    ([broken(indices=[2, 0, 9, 1, 0])], Y, ValueError, r"X\[0\] must be a valid sparse matrix"),
    ([broken(indices=[2, 0, -1, 1, 0])], Y, ValueError, r"X\[0\] must be a valid sparse matrix"),
    ([broken(indptr=[0, 4, 2, 5])], Y, ValueError, r"X\[0\] must be a valid sparse matrix"),
    ([broken(indptr=[0, 3, 5])], Y, ValueError, r"X\[0\] must be a valid sparse matrix"),
]


@pytest.mark.parametrize(("X", "y", "error", "sentence"), BAD_DATA)
def test_bad_data_are_refused_in_a_sentence(X, y, error, sentence):
    with pytest.raises(error, match=sentence):
        mo.tasks.LogisticRegression(X, y)
