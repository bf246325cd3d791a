"""A training step is called what it is: loops in plain NumPy, right ones and wrong ones."""

import numpy as np
import pytest

import maml_ode as mo

ALPHA, BETA = 0.1, 0.05


def logistic(weights=None, seed=0, l2=0.1):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(3, 8, 4))
    y = np.where(rng.random((3, 8)) < 0.5, -1.0, 1.0)
    return mo.tasks.LogisticRegression(X, y, l2=l2, weights=weights)


def directions(tasks, w, steps=1, query=None, product=None):
    """Per task: MAML's, FO-MAML's and Reptile's direction, from gradients and products of the family alone."""
    judge = tasks if query is None else query
    product = tasks.hvps if product is None else product
    path = [np.tile(w, (tasks.n_tasks, 1))]
    for _ in range(steps):
        path.append(path[-1] - ALPHA * tasks.gradients(path[-1]))
    first = judge.gradients(path[-1])
    full = first
    for u in path[-2::-1]:
        full = full - ALPHA * product(u, full)
    return {
        "MAML": full,
        "FO-MAML": first,
        "Reptile": (path[0] - path[-1]) / ALPHA,
        "joint": tasks.gradients(w),
    }


def loop(tasks, name, factor=1.0, **kw):
    return lambda w: w - factor * BETA * tasks.weights @ directions(tasks, w, **kw)[name]


@pytest.mark.parametrize("weights", [None, [0.5, 0.3, 0.2]])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", ["MAML", "FO-MAML", "Reptile", "joint"])
def test_right_loops_have_their_names(name, steps, weights):
    tasks, query = logistic(weights), logistic(weights, seed=1)
    update = loop(tasks, name, steps=steps, query=query)
    found = mo.identify_update(update, tasks, ALPHA, BETA, query=query, inner_steps=steps)
    assert found.best == ("joint" if steps == 1 and name == "Reptile" else name)
    assert found.factor == pytest.approx(1.0, abs=1e-10)
    assert found.deterministic
    assert found.notes == ()
    assert found.rows[0][1] < 1e-12
    distances = dict(found.rows)
    assert set(distances) == {"MAML", "FO-MAML", "Reptile", "joint"}
    others = {key for key, distance in distances.items() if distance < 1e-3}
    assert others == ({name} if steps == 3 or name in ("MAML", "FO-MAML") else {"Reptile", "joint"})


def test_distances_and_factors_are_those_of_least_squares():
    tasks, w = logistic(), np.array([0.3, -0.2, 0.5, 1.0])
    move = np.array([0.01, 0.02, -0.03, 0.04])
    found = mo.identify_update(lambda w: w + move, tasks, ALPHA, BETA, w=w, inner_steps=2)
    assert found.best is None
    for name, distance in found.rows:
        E = -BETA * tasks.weights @ directions(tasks, w, steps=2)[name]
        c = np.linalg.lstsq(E[:, None], move, rcond=None)[0][0]
        assert found.factors[name] == pytest.approx(c, rel=1e-9)
        assert distance == pytest.approx(
            np.linalg.norm(move - c * E) / np.linalg.norm(move), rel=1e-9
        )
    assert [off for _, off in found.rows] == sorted(off for _, off in found.rows)
    assert found.factor == found.factors[found.rows[0][0]]


def test_detached_inner_gradients_are_first_order_maml():
    tasks = logistic()
    detached = loop(tasks, "MAML", product=lambda u, v: np.zeros_like(v))
    assert mo.identify_update(detached, tasks, ALPHA, BETA).best == "FO-MAML"


@pytest.mark.parametrize("name", ["MAML", "joint"])
def test_a_sum_over_tasks_is_a_factor(name):
    tasks = logistic()
    found = mo.identify_update(loop(tasks, name, factor=3.0), tasks, ALPHA, BETA)
    assert found.best == name
    assert found.factor == pytest.approx(3.0, rel=1e-9)
    assert "a sum over the tasks stands where their mean belongs" in found.table()
    twice = mo.identify_update(loop(tasks, name, factor=1 / 3), tasks, ALPHA, BETA)
    assert "the mean over the tasks is taken twice" in str(twice)


def test_a_wrong_sign_is_the_factor_minus_one():
    tasks = logistic()
    found = mo.identify_update(loop(tasks, "MAML", factor=-1.0), tasks, ALPHA, BETA)
    assert (found.best, round(found.factor, 9)) == ("MAML", -1.0)
    assert found.notes == (
        "The sign is wrong: it climbs; subtract the gradient instead of adding it.",
    )
    both = mo.identify_update(loop(tasks, "MAML", factor=-3.0), tasks, ALPHA, BETA)
    assert "sign" in both.notes[0]
    assert "M = 3" in both.notes[1]


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1 / BETA, "step size is left out"),
        (ALPHA, "not divided by alpha"),
        (0.37, "step size 0.0185"),
    ],
)
def test_other_factors_are_explained(factor, words):
    tasks = logistic()
    found = mo.identify_update(
        loop(tasks, "Reptile", factor, steps=2), tasks, ALPHA, BETA, inner_steps=2
    )
    assert found.best == "Reptile"
    assert words in found.table()


@pytest.mark.parametrize("epsilon", [1e-3, 1e-6])
def test_products_by_differences_of_layers_are_measured(epsilon):
    """Each layer's part of the vector has a difference of its own, as where layers differ in scale."""
    tasks = logistic()

    def product(u, v):
        total, layers = np.zeros_like(v), (slice(0, 2), slice(2, 4))
        for layer in layers:
            part = np.zeros_like(v)
            part[:, layer] = v[:, layer]
            total += (tasks.gradients(u + epsilon * part) - tasks.gradients(u)) / epsilon
        return total

    w = np.array([0.3, -0.2, 0.5, 1.0])
    found = mo.identify_update(loop(tasks, "MAML", product=product), tasks, ALPHA, BETA, w=w)
    exact, off = (
        BETA * tasks.weights @ directions(tasks, w, product=p)["MAML"]
        for p in (tasks.hvps, product)
    )
    assert found.rows[0][0] == "MAML"
    wrong = np.linalg.norm(off - (exact @ off) / (exact @ exact) * exact) / np.linalg.norm(off)
    assert found.rows[0][1] == pytest.approx(wrong, rel=1e-2)
    assert 1e-13 < wrong < 1e-3
    assert found.best == ("MAML" if wrong <= 1e-6 else None)
    assert "products by finite differences leave so much" in found.table()


def test_the_hint_at_differences_is_for_near_misses_only():
    tasks = logistic()
    doubled = loop(tasks, "MAML", product=lambda u, v: 2.0 * tasks.hvps(u, v))
    found = mo.identify_update(doubled, tasks, ALPHA, BETA)
    assert found.best is None
    assert found.notes == ("It is FO-MAML with 2 times the second-order term of MAML.",)
    small = mo.identify_update(lambda w: w + 1e-5 * (doubled(w) - w), tasks, ALPHA, 1e-5 * BETA)
    assert small.notes == found.notes  # whatever the size of the step
    plus = loop(tasks, "MAML", product=lambda u, v: -tasks.hvps(u, v))
    assert "with -1 times" in mo.identify_update(plus, tasks, ALPHA, BETA).table()


@pytest.mark.parametrize("name", ["MAML", "FO-MAML", "Reptile"])
def test_an_inner_step_taken_twice_is_said(name):
    tasks = logistic()
    found = mo.identify_update(loop(tasks, name, steps=2), tasks, ALPHA, BETA)
    assert found.best is None
    assert found.notes == (f"It is {name} with 2 inner steps instead of 1.",)
    found = mo.identify_update(
        loop(tasks, name, steps=2, factor=3.0), tasks, ALPHA, BETA, inner_steps=3
    )
    assert found.notes == (f"It is {name} with 2 inner steps instead of 3, with the factor 3.",)


@pytest.mark.parametrize("name", ["MAML", "FO-MAML"])
def test_a_loss_on_the_support_set_is_said(name):
    tasks, query = logistic(), logistic(seed=1)
    found = mo.identify_update(loop(tasks, name), tasks, ALPHA, BETA, query=query)
    assert found.best is None
    assert found.notes == (
        f"It is {name} judged by the support losses instead of the query losses.",
    )
    swapped = mo.identify_update(loop(query, name), tasks, ALPHA, BETA, query=query)
    assert swapped.notes == (f"It is {name} whose inner steps are taken on the query losses.",)


def test_forgotten_weights_are_said():
    weighted, plain = logistic([0.5, 0.3, 0.2]), logistic()
    for name in ("MAML", "FO-MAML"):
        found = mo.identify_update(loop(plain, name, steps=2), weighted, ALPHA, BETA, inner_steps=2)
        assert found.best is None
        assert found.notes == (f"It is {name} with equal weights instead of the family's.",)


def test_an_update_that_does_not_repeat_itself_has_no_name():
    tasks, rng = logistic(), np.random.default_rng(0)

    def minibatch(w):
        return w - BETA * directions(tasks, w)["MAML"][rng.choice(3, 2, replace=False)].mean(axis=0)

    found = mo.identify_update(minibatch, tasks, ALPHA, BETA)
    assert found.best is None
    assert not found.deterministic
    assert "Two calls at the same w differ" in found.notes[0]

    velocity = np.zeros(4)

    def momentum(w):  # the first step is MAML's
        velocity[:] = 0.9 * velocity - BETA * tasks.weights @ directions(tasks, w)["MAML"]
        return w + velocity

    found = mo.identify_update(momentum, tasks, ALPHA, BETA)
    assert (found.best, found.deterministic) == (None, False)
    assert found.rows[0][1] < 1e-12
    assert len(found.notes) == 1

    exact = loop(tasks, "MAML")
    rounding = mo.identify_update(
        lambda w: exact(w) + 1e-14 * rng.standard_normal(4), tasks, ALPHA, BETA
    )
    assert rounding.best == "MAML"  # but for the order of a sum
    assert not rounding.deterministic


def test_how_far_two_calls_differ_is_in_units_of_the_move():
    tasks, calls = logistic(), []

    def drifting(w):
        calls.append(w)
        return w + 1e-3 * (1.0 + 1e-5 * len(calls)) * np.array([1.0, 0.0, 0.0, 0.0])

    found = mo.identify_update(drifting, tasks, ALPHA, BETA)
    assert found.best is None
    assert found.notes[0].startswith("Two calls at the same w differ by 1e-05 of the move")


def test_a_direction_that_vanishes_fits_nothing():
    tasks = mo.tasks.Quadratic([np.eye(2), 3.0 * np.eye(2)], [[1.0, 0.0], [-1.0, 0.0]])
    found = mo.identify_update(
        lambda w: w + np.array([0.0, 1.0]), tasks, ALPHA, BETA, w=np.zeros(2)
    )
    assert dict(found.rows)["joint"] == 1.0
    assert found.factors["joint"] == 0.0


def test_step_sizes_by_inner_step_fit_no_other_number_of_steps():
    tasks, sizes = logistic(), np.full((2, 1, 1), ALPHA)
    for name in ("MAML", "Reptile"):
        found = mo.identify_update(loop(tasks, name, steps=3), tasks, sizes, BETA, inner_steps=2)
        assert (found.best, found.notes) == (None, ())
        found = mo.identify_update(loop(tasks, name, steps=2), tasks, sizes[:1], BETA)
        assert found.notes == (f"It is {name} with 2 inner steps instead of 1.",)


def test_one_dimension_is_decided_by_further_points():
    tasks = mo.tasks.Sinusoid([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0])
    for name in ("MAML", "FO-MAML", "joint"):
        found = mo.identify_update(loop(tasks, name), tasks, ALPHA, BETA, w=[0.7])
        assert (found.best, round(found.factor, 9), found.notes) == (name, 1.0, ())
        assert found.rows[1 + (name == "joint")][1] > 1e-3
    twice = mo.identify_update(loop(tasks, "MAML", steps=2), tasks, ALPHA, BETA, w=[0.7])
    assert (twice.best, twice.notes) == (None, ("It is MAML with 2 inner steps instead of 1.",))


def test_what_cannot_be_told_apart_is_said():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(3, 8, 4)), np.where(rng.random((3, 8)) < 0.5, -1.0, 1.0)
    hinge = mo.tasks.SVM(X, y, loss="hinge")
    found = mo.identify_update(loop(hinge, "MAML"), hinge, ALPHA, BETA)
    assert found.best == "MAML"
    assert found.notes == ("On these tasks FO-MAML cannot be told from it.",)


@pytest.mark.parametrize("factor", [1.0, -1.0, 2.0, 0.5])
def test_where_all_directions_are_parallel_the_factor_decides(factor):
    # Parabolas of one curvature h: grad F = (1 - alpha h)^2 grad f, and FO-MAML has (1 - alpha h) grad f.
    tasks = mo.tasks.Quadratic([2.0 * np.eye(3)] * 2, [[1.0, 0.0, 2.0], [0.0, -1.0, 1.0]])
    for name in ("MAML", "FO-MAML", "joint"):
        found = mo.identify_update(loop(tasks, name, factor), tasks, ALPHA, BETA)
        assert (found.best, round(found.factor, 9)) == (name, factor)
        assert "cannot be told from it" in found.notes[-1]


@pytest.mark.parametrize("size", [0.0, 100.0])
def test_further_points_are_as_far_apart_as_w_is_large(size):
    tasks, seen = mo.tasks.Quadratic([2.0 * np.eye(36)] * 2, np.ones((2, 36))), []
    step, w = loop(tasks, "MAML"), np.full(36, size)
    mo.identify_update(lambda u: seen.append(u - w) or step(u), tasks, ALPHA, BETA, w=w)
    apart = np.array([shift for shift in seen if shift.any()])
    assert apart.shape == (3, 36)
    assert np.sqrt((apart**2).mean()) == pytest.approx(0.1 * max(1.0, size), rel=0.25)


def test_of_parallel_directions_the_one_with_the_nearest_factor_is_named():
    tasks = mo.tasks.Quadratic([2.0 * np.eye(3)] * 2, [[1.0, 0.0, 2.0], [0.0, -1.0, 1.0]])
    found = mo.identify_update(loop(tasks, "MAML", 1.1), tasks, ALPHA, BETA)
    assert (found.best, round(found.factor, 9)) == ("MAML", 1.1)
    assert round(found.factors["FO-MAML"], 9) == 0.88


def test_a_step_that_stays_and_steps_in_single_precision():
    tasks = logistic()
    still = mo.identify_update(lambda w: w, tasks, ALPHA, BETA)
    assert (still.best, still.notes) == (None, ("It leaves w where it is.",))
    exact = loop(tasks, "MAML")
    single = mo.identify_update(lambda w: exact(w).astype(np.float32), tasks, ALPHA, BETA)
    assert single.rows[0][0] == "MAML"
    assert single.rows[0][1] < 2 * single.resolution
    assert "compute in double precision" in single.notes[-1]


def test_the_point_is_copied_and_the_familys_own_is_the_default():
    tasks, seen = logistic(), []

    def in_place(w):
        seen.append(w.copy())
        w -= BETA * tasks.weights @ directions(tasks, w)["MAML"]
        return w

    tasks.w0 = np.array([0.3, -0.2, 0.5, 1.0])
    assert mo.identify_update(in_place, tasks, ALPHA, BETA).best == "MAML"
    assert all((w == tasks.w0).all() for w in seen)


def test_a_family_without_products_has_no_row_of_maml():
    full = logistic()
    tasks = mo.tasks.from_callables(
        lambda i, w: full.losses(w)[i], lambda i, w: full.gradients(w)[i], n_tasks=3, dim=4
    )
    found = mo.identify_update(loop(full, "FO-MAML"), tasks, ALPHA, BETA)
    assert found.best == "FO-MAML"
    assert "MAML" not in dict(found.rows)
    waves = mo.tasks.Sinusoid([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0])
    tasks = mo.tasks.from_callables(
        lambda i, w: waves.losses(w)[i], lambda i, w: waves.gradients(w)[i], n_tasks=2, dim=1
    )
    for name in ("FO-MAML", "joint"):  # two names in one dimension, told apart by further points
        found = mo.identify_update(loop(waves, name), tasks, ALPHA, BETA, w=[0.7])
        assert (found.best, round(found.factor, 9), found.notes) == (name, 1.0, ())


def test_what_is_no_update_is_refused():
    tasks = logistic()
    with pytest.raises(TypeError, match="update must be callable as update"):
        mo.identify_update(None, tasks, ALPHA, BETA)
    with pytest.raises(TypeError, match="let it return the next w"):
        mo.identify_update(lambda w: None, tasks, ALPHA, BETA)
    with pytest.raises(ValueError, match=r"update\(w\) must have shape \(4,\)"):
        mo.identify_update(lambda w: w[:2], tasks, ALPHA, BETA)
    with pytest.raises(ValueError, match=r"update\(w\) must be finite"):
        mo.identify_update(lambda w: w * np.nan, tasks, ALPHA, BETA)
    with pytest.raises(ValueError, match="step_size must be greater than 0"):
        mo.identify_update(lambda w: w, tasks, ALPHA, 0.0)
