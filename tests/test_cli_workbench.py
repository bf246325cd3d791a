"""``maml-ode compare`` and ``maml-ode sweep``: the same numbers as the functions, files, and exit codes."""

import json
import math
import sys

import pytest
from click.testing import CliRunner

import maml_ode as mo
from maml_ode.cli import main
from maml_ode.cli.sweeping import _values

STUDY = """
def run(a, b=1):
    if a == 2:
        raise ValueError("two")
    return {"sum": a + b, "word": str(b)}

def interrupted(a):
    if a == 2:
        raise KeyboardInterrupt
    return {"a": a}

def by_coordinate():
    import maml_ode as mo
    return mo.tasks.Quadratic([[[1.0, 0.0], [0.0, 2.0]]], [[1.0, 1.0]]), [0.1, 0.2]

number = 3
"""


def invoke(*arguments):
    return CliRunner().invoke(main, list(arguments))


def test_compare_prints_what_the_function_finds(tmp_path):
    picture = tmp_path / "picture.svg"
    result = invoke(
        "compare", "diabetes", "--flow", "bimaml", "--method", "RK45", "--method", "exact", "--rtol",
        "1e-4", "--step-size", "0.1", "--plot", str(picture), "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    problem = mo.experiments.load("diabetes")
    found = mo.compare(
        problem.bimaml_flow(), problem.w0, t_max=problem.n_steps * problem.beta,
        methods=["RK45", "exact"], rtols=[1e-4], step_sizes=[0.1],
    )  # fmt: skip
    for row, other in zip(content["rows"], found.rows, strict=True):
        assert row | {"seconds": 0} == pytest.approx(other | {"seconds": 0})
    assert content["prices"] == {"hvp": 1.0, "hessian": 8.0, "factorization": 0.0}
    assert content["reference"]["how"] == "in closed form"
    assert picture.read_text().startswith("<?xml")


def test_compare_has_defaults_and_says_what_the_numbers_are():
    result = invoke("compare", "diabetes", "--method", "RK45", "--rtol", "1e-3")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[1] for line in lines[1:6]] == ["0.2", "0.1", "0.05", "0.025", "0.0125"]
    assert "Reference: in closed form" in result.stdout
    assert "a Hessian 8, a factorisation 0" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["diabete"], "Did you mean 'diabetes'"),
        (["diabetes", "--method", "RK54"], "Did you mean 'RK45'"),
        (["diabetes", "--flow", "mamml"], "Did you mean 'maml'"),
        (["diabetes", "--plot", "picture.xyz"], "the ending must be one of"),
        (["diabetes", "--step-size", "99"], "round(t_max/h) = 0 steps"),
        (["diabetes", "--t-max", "inf"], "t_max must be finite, not inf"),
        (["diabetes", "--t-max", "nan"], "t_max must be finite, not nan"),
    ],
)
def test_compare_refuses_what_it_cannot_do(arguments, words):
    result = invoke("compare", *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())


@pytest.fixture
def study(tmp_path, monkeypatch):
    (tmp_path / "own_study.py").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("own_study", None)


def test_sweep_calls_a_function_of_the_working_directory(study, tmp_path):
    command = ["sweep", "own_study:run", "--grid", "a=1,3", "--grid", "b=0.5,4", "--store", "s.db"]
    result = invoke(*command, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"] == [
        {"a": 1, "b": 0.5, "sum": 1.5, "word": "0.5"},
        {"a": 1, "b": 4, "sum": 5, "word": "4"},
        {"a": 3, "b": 0.5, "sum": 3.5, "word": "0.5"},
        {"a": 3, "b": 4, "sum": 7, "word": "4"},
    ]
    (tmp_path / "other").mkdir()
    again = invoke(*command, "--jobs", "2")
    assert again.exit_code == 0
    assert again.stdout.splitlines()[0].split() == ["a", "b", "sum", "word"]
    assert "4 of 4 points, 0 failed." in again.stdout


def test_sweep_says_what_failed_and_what_was_interrupted(study):
    result = invoke("sweep", "own_study:run", "--grid", "a=range(1,4)")
    assert result.exit_code == 3
    assert "3 of 3 points, 1 failed." in result.stdout
    assert "ValueError: two" in result.stderr
    result = invoke("sweep", "own_study:interrupted", "--grid", "a=range(1,4)", "--store", "i.db")
    assert result.exit_code == 130
    assert "1 of 3 points are finished; the same call goes on from there." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["own_study:runn", "--grid", "a=1"], "Did you mean 'run'"),
        (["own_study:number", "--grid", "a=1"], "must be a function, not 3"),
        (["own_studdy:run", "--grid", "a=1"], "there is no module 'own_studdy'"),
        (["own_study", "--grid", "a=1"], "write package.module:function"),
        (["own_study:run", "--grid", "c=1"], "called with the names of the grid, c"),
        (["own_study:run", "--grid", "a"], "--grid takes NAME=VALUES"),
        (["own_study:run", "--grid", "a=1", "--grid", "a=2"], "the same name twice"),
        (["own_study:run", "--grid", "a=range(1.5)"], "write range(b), range(a,b)"),
        (["own_study:run", "--grid", "a=linspace(1,2)"], "linspace(a,b,n)"),
        (["own_study:run", "--grid", "a=range(3,1)"], "has no values"),
        (["own_study:run", "--grid", "a=range(0,9,0)"], "the step of a range cannot be 0"),
        (["own_study:run", "--grid", "a=range(99999999999999999999)"], "from 0 to 1000000 values"),
        (["own_study:run", "--grid", "a=linspace(0,1,99999999999)"], "from 0 to 1000000 values"),
        (["own_study:run", "--grid", "a=linspace(0,1,-1)"], "from 0 to 1000000 values"),
        (["own_study:run", "--grid", "a=geomspace(0,1,3)"], "ends of one sign, neither of them 0"),
        (["own_study:run", "--grid", "a=geomspace(-1,1,3)"], "ends of one sign, neither of them 0"),
        (["own_study:run", "--grid", "a=linspace(0,1e999,3)"], "the numbers must be finite"),
        (["own_study:run", "--grid", "a=1", "--store", "no/s.db"], "there is no such folder"),
    ],
)
def test_sweep_refuses_what_it_cannot_do(study, arguments, words):
    result = invoke("sweep", *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.output.replace("│", " ").split())


def test_an_inner_step_for_each_coordinate_is_written_out(study):
    for how in ([], ["--markdown"]):
        result = invoke("certify", "own_study:by_coordinate", *how)
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith("own_study:by_coordinate: alpha = [0.1, 0.2], eps0 = ")
    assert repr(mo.experiments.load("own_study:by_coordinate")).endswith("alpha=[0.1, 0.2])")


def test_values_are_what_they_look_like():
    name, values = _values("x=1, 2.5,1e-3,true,None,word,'1',nan,-inf")
    assert name == "x"
    assert values[:7] == [1, 2.5, 1e-3, True, None, "word", "1"]
    assert math.isnan(values[7])
    assert values[8] == -math.inf
    assert _values("x=geomspace(1,100,3)")[1] == pytest.approx([1.0, 10.0, 100.0])
    assert _values("x=linspace(0,1,3)")[1] == [0.0, 0.5, 1.0]
    assert _values("x=range(2,8,3)")[1] == [2, 5]
