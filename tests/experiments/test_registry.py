import json
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.experiments.registry import outlines

OFFLINE = [one.name for one in outlines() if not one.needs]

CONSTANTS = {  # alpha, beta, N, M, d, quoted saving
    "figure1": (0.4, 0.01, 2000, 2, 1, None),
    "linear_regression": (0.3, 0.05, 50, 10, 20, 0.37),
    "diabetes": (0.5, 0.1, 50, 4, 8, 0.36),
    "svm": (0.3, 0.1, 50, 50, 20, 0.19),
    "svm_digits": (0.3, 0.01, 50, 5, 784, 0.37),
}


def test_names():
    assert set(mo.experiments.names()) == {*CONSTANTS, "svm_mnist", "sinusoid_regression"}


@pytest.mark.parametrize("name", OFFLINE)
def test_constants(name):
    e = mo.experiments.load(name)
    alpha, beta, n_steps, n_tasks, dim, saving = CONSTANTS[name]
    assert (e.alpha, e.beta, e.n_steps) == (alpha, beta, n_steps)
    assert (e.tasks.n_tasks, e.tasks.dim, e.w0.shape) == (n_tasks, dim, (dim,))
    assert (e.quoted_saving, e.seed, e.rule) == (saving, 0, "one_way")
    assert not e.w0.flags.writeable
    np.testing.assert_array_equal(e.tasks.weights, 1.0 / n_tasks)
    again = json.loads(json.dumps(e.constants()))
    assert again["switch_tol"] == e.switch_tol
    assert again["experiment"] == name


@pytest.mark.parametrize("name", OFFLINE)
def test_notes_say_whose_choice_is_what(name):
    e = mo.experiments.load(name)
    assert all(note.startswith(("Paper: ", "Ours: ")) and note.endswith(".") for note in e.notes)
    assert any("eps0" in note for note in e.ours)
    changed = mo.experiments.load(name, alpha=0.1)
    assert changed.ours == (*e.ours, "given by the caller of load: alpha.")


@pytest.mark.parametrize("name", OFFLINE)
def test_seed_fixes_everything_random(name):
    a, b, c = (mo.experiments.load(name, seed) for seed in (3, 3, 4))
    assert a.w0.tolist() == b.w0.tolist()
    assert a.tasks.losses(a.w0).tolist() == b.tasks.losses(a.w0).tolist()
    if name == "figure1":
        return
    assert a.w0.tolist() != c.w0.tolist()
    same_data = a.tasks.losses(a.w0).tolist() == c.tasks.losses(a.w0).tolist()
    assert same_data == (name == "diabetes")


def test_numpy_draws_are_in_the_documented_order():
    rng = np.random.default_rng(5)
    gamma, X, noise, w0 = (
        rng.standard_normal(shape) for shape in ((10, 20), (10, 100, 20), (10, 100), 20)
    )
    e = mo.experiments.load("linear_regression", 5)
    np.testing.assert_array_equal(e.w0, w0)
    for i in range(10):
        np.testing.assert_array_equal(e.tasks.X[i], X[i])
        np.testing.assert_allclose(e.tasks.y[i], X[i] @ gamma[i] + noise[i], rtol=0, atol=1e-13)


def test_svm_draws_are_in_the_documented_order():
    from sklearn.datasets import make_classification

    data, start = np.random.SeedSequence(2).spawn(2)
    e = mo.experiments.load("svm", 2)
    for i in (0, 49):
        X, y = make_classification(300, 20, random_state=int(data.generate_state(50)[i]))
        np.testing.assert_array_equal(e.tasks.X[i], X)
        np.testing.assert_array_equal(e.tasks.y[i], np.where(y == 1, 1.0, -1.0))
    np.testing.assert_array_equal(e.w0, np.random.default_rng(start).standard_normal(20))


@pytest.mark.parametrize(("name", "fraction"), [("linear_regression", 0.06), ("svm", 0.165)])
def test_fitted_tolerance_follows_the_starting_point(name, fraction):
    e = mo.experiments.load(name, w0="zero")
    X, y = np.stack(e.tasks.X), np.stack(e.tasks.y)
    # At w = 0 both losses have the gradient -(2/n) X'y.
    norm = np.linalg.norm(np.einsum("mnd,mn->d", X, y)) * 2 / (X.shape[0] * X.shape[1])
    assert e.switch_tol == pytest.approx(fraction * norm, rel=1e-12)


def test_overrides_reach_the_experiment():
    e = mo.experiments.load(
        "svm",
        7,
        alpha=0.2,
        beta=0.05,
        switch_tol=0.4,
        n_steps=9,
        w0=np.ones(20),
        rule="retest",
        loss="smooth_squared_hinge",
        smoothing=0.2,
        reduction="half_mean",
    )
    assert (e.alpha, e.beta, e.switch_tol, e.n_steps, e.rule) == (0.2, 0.05, 0.4, 9, "retest")
    assert (e.tasks.loss, e.tasks.smoothing, e.tasks.reduction) == (
        "smooth_squared_hinge",
        0.2,
        "half_mean",
    )
    assert e.w0.tolist() == [1.0] * 20
    assert mo.experiments.load("figure1", w0=0.5).w0.tolist() == [0.5]


def test_flows_carry_the_constants():
    e = mo.experiments.load("diabetes", w0="zero", rule="as_printed")
    F, flow = mo.MAMLLoss(e.tasks, 0.5), e.bimaml_flow()
    assert e.maml_flow().objective.value(e.w0) == F.value(e.w0)
    assert flow.objective.value(e.w0) == F.value(e.w0)
    assert str(flow.rule) == "as_printed"
    distance = flow.phases[0].until(0.0, e.w0)
    norm = np.linalg.norm(
        np.mean([-2 * X.T @ y for X, y in zip(e.tasks.X, e.tasks.y, strict=True)], 0)
    )
    assert distance == pytest.approx(norm - 80.0, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda load: load("diabetis"), ValueError, "Did you mean 'diabetes'"),
        (lambda load: load("svm", lose="hinge"), TypeError, "Did you mean 'loss'"),
        (lambda load: load("figure1", loss="hinge"), TypeError, "override for 'figure1'"),
        (lambda load: load("svm", loss="hing"), ValueError, "Did you mean 'hinge'"),
        (lambda load: load("diabetes", reduction="mean"), ValueError, "pass switch_tol="),
        (lambda load: load("svm_digits", reduction="sum"), ValueError, "pass switch_tol="),
        (lambda load: load("diabetes", w0=np.zeros(7)), ValueError, r"\(8,\).*\(7,\)"),
        (lambda load: load("diabetes", w0=[np.nan] * 8), ValueError, "w0 must be finite"),
        (lambda load: load("diabetes", w0="zeros"), ValueError, "Did you mean 'zero'"),
        (lambda load: load("svm", alpha=np.nan), ValueError, "alpha must be finite"),
        (lambda load: load("svm", beta=0), ValueError, "beta must be greater than 0"),
        (lambda load: load("svm", n_steps=2.5), TypeError, "n_steps must be an integer"),
        (lambda load: load("svm", rule="retes"), ValueError, "Did you mean 'retest'"),
        (lambda load: load("svm", seed=-1), ValueError, "seed must be at least 0"),
        (lambda load: load("svm_digits", jitter="no"), TypeError, "jitter must be"),
        (
            lambda load: load("linear_regression", generator="splitmix"),
            ValueError,
            "Did you mean 'splitmix64'",
        ),
    ],
)
def test_bad_input_is_refused_with_a_way_out(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call(mo.experiments.load)


def test_overrides_are_listed():
    assert set(mo.experiments.overrides("figure1")) == {
        "alpha",
        "beta",
        "switch_tol",
        "n_steps",
        "w0",
        "rule",
    }
    with pytest.raises(ValueError, match="unknown experiment"):
        mo.experiments.overrides("figure")


@pytest.mark.parametrize("outline", outlines(), ids=lambda one: one.name)
def test_what_is_known_beforehand_is_what_is_built(outline):
    if outline.name == "svm_mnist":
        with pytest.raises(ValueError, match="path="):
            mo.experiments.load(outline.name)
        return
    if outline.needs:
        pytest.importorskip("jax", reason="needs the extra 'jax'")
    e = mo.experiments.load(outline.name, 1)
    assert (outline.name, outline.title) == (e.name, e.title)
    assert (outline.n_tasks, outline.dim) == (e.tasks.n_tasks, e.tasks.dim)
    shots = [e.options["shots"]] if "shots" in e.options else []
    sizes = getattr(e.tasks, "n_samples", None) or shots
    assert outline.n_samples == ((min(sizes), max(sizes)) if sizes else ())
    run = outline.run
    assert (run.alpha, run.beta, run.n_steps, run.rule) == (e.alpha, e.beta, e.n_steps, e.rule)
    readings = [e.options[key] for key in ("loss", "reduction", "activation") if key in e.options]
    assert outline.reading == next(iter(readings), "")
    share, _, unit = outline.switch_tol.partition(" ")
    g0 = np.linalg.norm(mo.ExpectedLoss(e.tasks).gradient(e.w0)) if unit else 1.0
    assert e.switch_tol == pytest.approx(float(share) * g0, rel=1e-12)


def test_an_experiment_survives_pickling():
    e = mo.experiments.load("diabetes")
    copy = pickle.loads(pickle.dumps(e))
    assert copy.constants() == e.constants()
    assert copy.tasks.losses(e.w0).tolist() == e.tasks.losses(e.w0).tolist()


def test_importing_the_registry_is_light():
    code = (
        "import sys, maml_ode as mo; mo.experiments.names(); "
        "heavy = {'numba', 'scipy', 'sklearn', 'sympy', 'matplotlib'} & set(sys.modules); "
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_printed_constants_are_finite():
    for name in OFFLINE:
        constants = mo.experiments.load(name).constants()
        assert all(math.isfinite(constants[key]) for key in ("alpha", "beta", "switch_tol"))


@pytest.mark.parametrize("name", OFFLINE)
def test_a_seed_is_one_for_every_generator_or_is_refused(name):
    with pytest.raises(ValueError, match=r"seed must be less than 2\*\*64"):
        mo.experiments.load(name, seed=10**30)
    assert mo.experiments.load(name, seed=2**64 - 1).seed == 2**64 - 1
