"""A user's own problem: its defaults against theory and NumPy, and functions found by name."""

import dataclasses
import json
import pickle
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import maml_ode as mo
from maml_ode.cli import main

TASKS = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-1.0]])
RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 20, 2))
LOGISTIC = mo.tasks.LogisticRegression(X, np.where(RNG.random((3, 20)) < 0.5, 1, -1), l2=0.1)


def test_what_is_left_open_is_what_theory_advises():
    problem = mo.Experiment(TASKS, 0.2)
    # F'' = E (1 - alpha h)^2 h, f'' = E h
    h = np.array([1.0, 3.0])
    assert problem.beta == pytest.approx(1.0 / np.mean((1 - 0.2 * h) ** 2 * h), rel=1e-12)
    assert problem.switch_tol == mo.theory.switch_advice(TASKS, 0.2).switch_tol
    assert (problem.w0, problem.n_steps, problem.name, problem.rule) == (
        [0.0],
        50,
        "own",
        "one_way",
    )
    assert problem.notes == (
        f"Ours: beta = {problem.beta:.6g}, half of 2/lambda_max(Hess F(w0)).",
        f"Ours: eps0 = {problem.switch_tol:.6g}, by mo.theory.switch_advice.",
    )
    given = mo.Experiment(TASKS, 0.2, beta=0.1, switch_tol=0.3, notes=["Ours: mine."], w0=[2.0])
    assert (given.beta, given.switch_tol, given.w0, given.notes) == (
        0.1,
        0.3,
        [2.0],
        ("Ours: mine.",),
    )
    curved = mo.Experiment(LOGISTIC, 0.5, w0=[1.0, -2.0])
    hessian = mo.MAMLLoss(LOGISTIC, 0.5).hessian([1.0, -2.0])
    assert curved.beta == pytest.approx(1.0 / np.linalg.eigvalsh(hessian)[-1], rel=1e-12)
    assert curved.maml_flow().name == "MAML"
    assert mo.euler(curved.bimaml_flow(), curved.w0, curved.beta, max_iter=3).counts.steps == 3


def kinked():
    return mo.tasks.SVM(X, np.sign(X[:, :, 0]), loss="squared_hinge")


def first_order():
    return mo.tasks.from_callables(
        lambda i, w: 0.5 * float(w @ w), lambda i, w: w, n_tasks=2, dim=1
    )


def concave():
    return mo.tasks.Quadratic([[[-1.0]], [[-2.0]]], [[1.0], [3.0]])


def agreeing():
    return mo.tasks.Quadratic([[[1.0]], [[2.0]]], [[1.0], [2.0]])


@pytest.mark.parametrize(
    ("family", "beta", "why"),
    [
        (kinked, "half of", "three derivatives"),
        (first_order, "beta = 0.25, the inner step size, since no Hessian", "three derivatives"),
        (concave, "beta = 0.25, the inner step size", "argmin f was not found"),
        (agreeing, "half of", "the first phase does not pay"),
    ],
)
def test_without_advice_the_switch_is_a_tenth_of_the_gradient(family, beta, why):
    tasks = family()
    w0 = np.full(tasks.dim, 0.5)
    problem = mo.Experiment(tasks, 0.25, w0=w0)
    norm = np.linalg.norm(tasks.gradients(w0).mean(axis=0))
    assert problem.switch_tol == pytest.approx(0.1 * norm, rel=1e-12)
    assert beta in problem.notes[0]
    assert "0.1 ||grad f(w0)||: " in problem.notes[1]
    assert why in problem.notes[1]


def test_a_family_may_bring_its_start():
    tasks = mo.tasks.Quadratic([[[1.0]]], [[3.0]])
    tasks.w0 = np.array([4.0])
    assert mo.Experiment(tasks, 0.1).w0 == [4.0]
    assert mo.Experiment(tasks, 0.1, w0=0.0).w0 == [0.0]


def test_other_constants_are_found_anew_and_given_ones_kept():
    problem = mo.Experiment(TASKS, 0.2, switch_tol=0.7)
    other = problem.changed(alpha=0.1)
    assert other.beta != problem.beta
    assert other.switch_tol == 0.7
    for copy in (pickle.loads(pickle.dumps(problem)), dataclasses.replace(problem)):
        assert copy.notes == problem.notes
        assert copy.constants() == problem.constants()
    assert repr(problem) == "Experiment('own', Quadratic(n_tasks=2, dim=1), alpha=0.2)"
    assert json.loads(json.dumps(problem.constants()))["source"] is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.alpha = 0.3
    assert not hasattr(problem, "step_size")


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"tasks": "diabetes"}, TypeError, "tasks must be a task family"),
        ({"alpha": np.nan}, ValueError, "alpha must be finite"),
        ({"w0": [1.0, 2.0]}, ValueError, r"w0 must have shape \(1,\)"),
        ({"beta": 0.0}, ValueError, "beta must be greater than 0"),
        ({"switch_tol": -1.0}, ValueError, "switch_tol must be at least 0"),
        ({"n_steps": 1.5}, TypeError, "n_steps must be an integer"),
        ({"rule": "oneway"}, ValueError, "Did you mean 'one_way'"),
        ({"name": 3}, TypeError, "name must be a text"),
        ({"notes": "one"}, TypeError, "notes must be a sequence of texts"),
        ({"notes": [1]}, TypeError, r"notes\[0\] must be a text"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
    ],
)
def test_bad_constants_are_refused_at_once(changes, error, match):
    with pytest.raises(error, match=match):
        mo.Experiment(**{"tasks": TASKS, "alpha": 0.1, **changes})


MODULE = """
import numpy as np
import maml_ode as mo

def problem(seed=0, n=12, l2=0.1):
    rng = np.random.default_rng(seed)
    X, who = rng.normal(size=(n, 2)), np.arange(n) % 2
    y = np.where(np.arange(n) % 3 == 0, 1, -1)
    tasks = mo.tasks.LogisticRegression.from_table(X, y, np.array(["oslo", "rome"])[who], l2=l2)
    return mo.Experiment(tasks, 0.3)

def pair():
    return mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]]), 0.1

def named(**anything):
    return mo.Experiment(*pair(), name="mine", notes=[f"Ours: {sorted(anything)}."])

def nothing():
    return None

def fails():
    return {}["depth"]

def refused(seed):
    return mo.Experiment(*pair(), beta=-1.0)

class Kind:
    @staticmethod
    def made():
        return pair()

number = 3
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A directory with a module of a user's, from which the user starts."""
    (tmp_path / "study_of_mine.py").write_text(MODULE)
    (tmp_path / "needs_more.py").write_text("import a_module_that_is_not_there\n")
    (tmp_path / "unreadable.py").write_text("def problem(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != ""])
    yield tmp_path
    for name in ("study_of_mine", "needs_more", "unreadable", "plugged_in"):
        sys.modules.pop(name, None)


def test_a_function_is_called_with_what_it_takes(study):
    problem = mo.experiments.load("study_of_mine:problem", seed=4, n=20)
    assert problem.tasks.n_samples == (10, 10)
    assert problem.tasks.names == ("oslo", "rome")
    assert (problem.name, problem.title, problem.seed) == ("study_of_mine:problem",) * 2 + (4,)
    again = mo.experiments.load("study_of_mine:problem", 4, n=20)
    assert again.tasks.identity == problem.tasks.identity
    assert (
        mo.experiments.load("study_of_mine:problem", 5, n=20).tasks.identity
        != problem.tasks.identity
    )
    changed = mo.experiments.load("study_of_mine:problem", alpha=0.1, w0=[1.0, 1.0], n_steps=7)
    assert (changed.alpha, changed.w0.tolist(), changed.n_steps) == (0.1, [1.0, 1.0], 7)
    assert mo.experiments.overrides("study_of_mine:problem")[:3] == ("n", "l2", "alpha")


def test_what_a_function_returns_may_be_a_pair(study):
    pair = mo.experiments.load("study_of_mine:pair", seed=9)
    assert (pair.alpha, pair.seed, pair.name) == (0.1, None, "study_of_mine:pair")
    named = mo.experiments.load("study_of_mine:named", seed=9, alpha=0.7, depth=2)
    assert (named.name, named.alpha, named.seed) == ("mine", 0.1, 9)
    assert named.notes[0] == "Ours: ['alpha', 'depth', 'seed']."
    assert mo.experiments.load("study_of_mine:Kind.made").tasks.n_tasks == 2


@pytest.mark.parametrize(
    ("name", "error", "match"),
    [
        (
            "study_of_mine:problm",
            ValueError,
            "unknown function of study_of_mine.*Did you mean 'problem'",
        ),
        (
            "study_of_min:problem",
            ValueError,
            "no module 'study_of_min', neither in the working directory",
        ),
        (
            "study_of_mine.inner:problem",
            ValueError,
            "no module 'study_of_mine.inner'|is not a package",
        ),
        ("study_of_mine:", ValueError, "names no function; write"),
        (":problem", ValueError, "names no function; write"),
        ("study_of_mine:number", TypeError, "must be a function, not 3"),
        (
            "study_of_mine:nothing",
            TypeError,
            r"must return a maml_ode.Experiment, or a pair .*not None",
        ),
        ("study_of_mine", ValueError, "unknown experiment 'study_of_mine'"),
        ("needs_more:problem", ModuleNotFoundError, "a_module_that_is_not_there"),
        ("study_of_mine:fails", KeyError, "depth"),
        ("study_of_mine:refused", ValueError, "beta must be greater"),
    ],
)
def test_what_names_no_experiment_is_refused(study, name, error, match):
    with pytest.raises(error, match=match):
        mo.experiments.load(name)


def test_unknown_overrides_are_refused(study):
    with pytest.raises(
        TypeError, match=r"unknown override for 'study_of_mine:problem' 'l3'\. Did you mean 'l2'"
    ):
        mo.experiments.load("study_of_mine:problem", l3=1.0)


def test_installed_packages_add_names(study):
    before = mo.experiments.names()
    (study / "plugged_in.py").write_text("from study_of_mine import problem\n")
    info = study / "plugged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[maml_ode.experiments]\nharvest = plugged_in:problem\nsvm = plugged_in:problem\n"
    )
    sys.path.insert(0, str(study))
    assert mo.experiments.names() == (*before, "harvest")
    problem = mo.experiments.load("harvest", seed=3, n=16)
    assert (problem.name, problem.seed, problem.tasks.n_samples) == ("harvest", 3, (8, 8))
    assert mo.experiments.load("svm").tasks.n_tasks == 50  # the paper's keep their names
    with pytest.raises(ValueError, match="Did you mean 'harvest'"):
        mo.experiments.load("harvst")
    listing = CliRunner().invoke(main, ["list"]).output
    assert "harvest: plugged_in:problem of plugged" in listing
    assert "svm: plugged" not in listing
    listed = json.loads(CliRunner().invoke(main, ["list", "--json"]).output)
    assert listed["harvest"] == {"function": "plugged_in:problem"}


def test_the_command_line_takes_a_function(study):
    run = CliRunner().invoke(
        main, ["solve", "study_of_mine:problem", "--set", "n=20", "--alpha", "0.1"]
    )
    assert run.exit_code == 0, run.output
    assert run.output.startswith("MAML on study_of_mine:problem, by ")
    tasks = mo.experiments.load("study_of_mine:problem", n=20).tasks
    end = mo.solve(mo.maml_flow(tasks, 0.1), [0.0, 0.0]).w
    rows = {line.split()[0]: line.split()[1:] for line in run.output.splitlines() if line.strip()}
    assert rows["rome"] == [f"{tasks.losses([0.0, 0.0])[1]:.6g}", f"{tasks.losses(end)[1]:.6g}"]
    assert rows["x1"] == ["0", f"{end[1]:.6g}"]
    steps = CliRunner().invoke(main, ["solve", "study_of_mine:pair", "--euler"]).output
    assert "iteration k" in steps
    report = CliRunner().invoke(main, ["certify", "study_of_mine:pair", "--json"])
    assert json.loads(report.output)["experiment"]["experiment"] == "study_of_mine:pair"
    assert json.loads(report.output)["experiment"]["task_names"] is None


@pytest.mark.parametrize(
    ("name", "match"),
    [
        (
            "study_of_mine:fails",
            "study_of_mine:fails failed in line 22 of study_of_mine.py: KeyError: 'depth'",
        ),
        (
            "study_of_mine:refused",
            "failed in line 25 of study_of_mine.py: ValueError: beta must be",
        ),
        ("needs_more:problem", "failed in line 1 of needs_more.py: ModuleNotFoundError"),
        ("unreadable:problem", "failed to be read: invalid syntax (unreadable.py, line 1)"),
        ("study_of_mine:nothing", "must return a maml_ode.Experiment"),
    ],
)
def test_the_command_line_says_what_failed_where(study, name, match):
    run = CliRunner().invoke(main, ["certify", name])
    assert run.exit_code == 2
    assert match in " ".join(run.output.split())
