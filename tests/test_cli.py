"""The command line: what it prints, what it writes, and its exit codes."""

import json
import os
import resource
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from click.testing import CliRunner

import maml_ode as mo
from maml_ode import cli
from maml_ode.cli import main
from maml_ode.cli.output import make_table, open_console, say


def run(*arguments):
    return CliRunner().invoke(main, list(arguments))


HEAVY = {"scipy", "numba", "llvmlite", "sympy", "flint", "matplotlib", "sklearn", "pandas"}


def imported_by(*arguments):
    """Return what a fresh process has imported after a command, and what the command printed."""
    code = (
        "import sys; from maml_ode.cli import main\n"
        f"try: main({list(arguments)!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split()), done.stdout


def test_help_imports_nothing_heavy():
    modules, printed = imported_by("--help")
    assert not modules & (HEAVY | {"rich"})
    assert "reproduce" in printed


def test_list_imports_nothing_heavy():
    modules, printed = imported_by("list")
    assert not modules & HEAVY
    assert "svm_mnist" in printed


def test_solve_imports_only_what_it_runs():
    modules, _ = imported_by("solve", "diabetes", "--t-max", "1", "--json")
    assert not modules & {"sklearn", "pandas", "sympy", "flint", "matplotlib"}


def test_version():
    assert run("--version").output.strip() == f"maml-ode, version {mo.__version__}"


@pytest.mark.parametrize("command", ["list", "solve", "reproduce"])
def test_every_command_has_help(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.output


def test_list_shows_sizes_and_constants():
    result = run("list")
    assert result.exit_code == 0
    (line,) = [line for line in result.output.splitlines() if line.startswith("diabetes")]
    assert line.split() == ["diabetes", "4", "77-130", "8", "0.5", "0.1", "80", "50", "sum"]
    assert all(len(line) <= 80 for line in result.output.splitlines())
    assert "…" not in result.output


def test_list_shows_a_tolerance_that_depends_on_the_data_as_a_rule_or_for_a_seed():
    def tolerances(*arguments):
        lines = run("list", *arguments).output.splitlines()
        return [line.split()[6:8] for line in lines if line.startswith("linear_regression")]

    assert tolerances() == [["0.06", "g0"]]
    for seed in (0, 3):
        eps0 = mo.experiments.load("linear_regression", seed).switch_tol
        assert tolerances("--seed", str(seed)) == [[f"{eps0:.4g}", "50"]]


def test_list_as_json_names_what_is_ours():
    found = json.loads(run("list", "--json").stdout)
    assert list(found) == list(mo.experiments.names())
    assert found["svm"]["n_tasks"] == 50
    assert any(note.startswith("Ours: eps0") for note in found["svm"]["notes"])
    assert "reduction" in found["diabetes"]["overrides"]


def test_solve_reports_the_flow_to_its_end():
    result = run("solve", "diabetes", "--set", "w0=zero", "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["stop"] == "STATIONARY"
    assert report["loss"]["start"] == pytest.approx(2411055.43998, abs=1e-5)
    assert report["loss"]["end"] == pytest.approx(2333273.20835, abs=1e-5)
    assert report["grad_norm"]["end"] == pytest.approx(1e-8, rel=1e-3)
    assert len(report["w"]) == 8
    assert report["experiment"]["alpha"] == 0.5


def test_solve_euler_is_the_algorithm():
    result = run("solve", "diabetes", "--set", "w0=zero", "--euler", "--flow", "bimaml", "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["loss"]["end"] == pytest.approx(2348726.1584, abs=1e-4)
    assert report["switch_times"] == pytest.approx([2.7])
    assert report["counts"]["steps"] == 50


def test_solve_prints_a_table_for_people():
    result = run("solve", "diabetes", "--flow", "bimaml", "--euler")
    assert result.exit_code == 0
    for text in ("BI-MAML on diabetes, by Euler", "||grad F(w)||", "switch at t", "iteration k"):
        assert text in result.output


def test_solve_writes_picture_and_trajectory(tmp_path):
    plot, save = tmp_path / "run.svg", tmp_path / "run"
    result = run("solve", "diabetes", "--euler", "--plot", str(plot), "--save", str(save))
    assert result.exit_code == 0
    assert plot.read_text().startswith("<?xml")
    arguments = ("--euler", "--plot", str(plot), "--save", str(save), "--json")
    files = json.loads(run("solve", "diabetes", *arguments).stdout)["files"]
    assert files == [str(plot), f"{save}.npz"]
    again = mo.Trajectory.load(tmp_path / "run.npz")
    problem = mo.experiments.load("diabetes")
    expected = mo.euler(problem.maml_flow(), problem.w0, problem.beta, max_iter=problem.n_steps)
    np.testing.assert_array_equal(again.y, expected.y)
    assert "wrote" in result.output


@pytest.mark.parametrize("flow", ["fomaml", "reptile", "gradient", "modified"])
def test_other_flows(flow):
    result = run("solve", "diabetes", "--flow", flow, "--t-max", "0.5", "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["stop"] == "HORIZON"
    assert report["loss"]["end"] < report["loss"]["start"]


def test_alpha_and_switch_tol_replace_the_experiments():
    arguments = ("--flow", "bimaml", "--alpha", "0.3", "--switch-tol", "500", "--json")
    report = json.loads(run("solve", "diabetes", *arguments).stdout)
    assert report["experiment"]["alpha"] == 0.3
    assert report["experiment"]["switch_tol"] == 500.0
    problem = mo.experiments.load("diabetes", alpha=0.3, switch_tol=500.0)
    expected = mo.solve(problem.bimaml_flow(), problem.w0)
    assert report["switch_times"] == pytest.approx(expected.switch_times.tolist())


def test_not_converged_is_exit_code_3():
    result = run("solve", "diabetes", "--euler", "--tol", "1e-8")
    assert result.exit_code == 3
    assert "max_iter = 50" in result.output


def test_a_run_that_overflows_is_not_a_success_and_warns():
    result = run("solve", "linear_regression", "--set", "reduction=sum", "--euler", "--json")
    assert result.exit_code == 3
    report = json.loads(result.stdout)
    assert report["loss"]["end"] is None  # JSON has no infinity
    assert "stability limit" in report["warnings"][0]
    assert "stability limit" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["slove"], "Did you mean 'solve'"),
        (["solve", "diabets"], "Did you mean 'diabetes'"),
        (["solve", "diabetes", "--method", "Rado"], "Did you mean 'Radau'"),
        (["solve", "diabetes", "--flow", "bimalm"], "Did you mean 'bimaml'"),
        (["solve", "diabetes", "--set", "reductoin=sum"], "Did you mean 'reduction'"),
        (["solve", "diabetes", "--set", "reduction"], "KEY=VALUE"),
        (["solve", "diabetes", "--alpha", "nan"], "alpha must be finite"),
        (["solve", "diabetes", "--tol", "nan"], "tol must be finite"),
        (["solve", "diabetes", "--euler", "--method", "RK45"], "--method cannot be used with"),
        (["solve", "diabetes", "--max-iter", "5"], "--max-iter cannot be used without --euler"),
        (["solve", "svm"], "smooth_squared_hinge"),
        (["solve", "diabetes", "--plot", "picture.xyz"], "the ending must be one of"),
        (["solve", "diabetes", "--save", "no/such/folder/run"], "no such folder"),
        (
            ["solve", "diabetes", "--save", "run.csv"],
            "kept in an .npz file; name one, such as run.npz",
        ),
        (["solve", "diabetes", "--save", "[bold]run.v2"], "such as [bold]run.npz"),
        (["solve", "diabetes", "--seed", str(2**64)], "not in the range"),
        (["reproduce", "--only", "fig2", "--seed", "9" * 26], "not in the range"),
        (["reproduce", "--seed", str(2**64 - 2), "--seeds", "3"], "must be below 2**64"),
        (["reproduce", "--only", "fgi1"], "Did you mean 'fig1'"),
        (["reproduce", "--redraw", "--fresh"], "choose one"),
        (["solve", "svm_digits", "--set", "seed=3"], "use --seed"),
        (["solve", "svm_digits", "--set", "jitter=perhaps"], "jitter must be True or False"),
    ],
)
def test_usage_errors_are_exit_code_2_and_say_what_to_do(arguments, sentence):
    result = run(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stdout == ""


def test_reproduce_writes_lists_and_redraws(tmp_path):
    folder = tmp_path / "figures"
    arguments = ("reproduce", "--only", "diabetes", "--quick", "--output", str(folder))
    result = run(*arguments)
    assert result.exit_code == 0
    assert "diabetes.png/svg" in result.stdout
    assert "k = 27, flow 27.38" in result.stdout
    assert "diabetes: computed" in result.stderr
    assert (folder / "diabetes.png").stat().st_size > 10_000
    tables = {path.name: path.read_bytes() for path in folder.glob("*.csv")}

    outcome = json.loads(run(*arguments, "--json").stdout)[0]
    assert outcome["status"] == "kept"
    assert str(folder / "diabetes.json") in outcome["files"]

    outcome = json.loads(run(*arguments, "--redraw", "--json").stdout)[0]
    assert outcome["status"] == "redrawn"

    outcome = json.loads(run(*arguments, "--fresh", "--json").stdout)[0]
    assert outcome["status"] == "computed"
    assert {path.name: path.read_bytes() for path in folder.glob("*.csv")} == tables


def test_redraw_without_tables_says_what_to_do(tmp_path):
    folder = tmp_path / "redraw"
    result = run("reproduce", "--redraw", "--only", "fig1", "--output", str(folder))
    assert result.exit_code == 2
    assert "run without --redraw first" in result.stderr
    assert f"{folder} has no complete tables" in result.stderr


@pytest.mark.parametrize(
    ("error", "exit_code", "what"),
    [
        (KeyboardInterrupt(), 130, "Interrupted"),
        (BrokenProcessPool(), 1, "--jobs 1"),
        (OSError(28, "No space left"), 1, "No space left"),
    ],
)
def test_a_broken_reproduction_says_how_to_go_on(tmp_path, monkeypatch, error, exit_code, what):
    def interrupted(*arguments, **options):
        raise error

    monkeypatch.setattr("maml_ode.reproduce.pipeline.reproduce", interrupted)
    result = run("reproduce", "--output", str(tmp_path))
    assert result.exit_code == exit_code
    assert "the same command goes on" in result.stderr
    assert what in result.stderr


def test_plotting_on_the_command_line_needs_no_display(monkeypatch, tmp_path):
    monkeypatch.setattr(mpl, "use", lambda backend: chosen.append(backend))
    chosen = []
    assert run("solve", "diabetes", "--euler", "--plot", str(tmp_path / "a.png")).exit_code == 0
    assert chosen == ["Agg"]


def test_overrides_that_are_true_or_false_can_be_set():
    plain, without = (
        json.loads(run("solve", "svm_digits", "--euler", "--json", *options).stdout)
        for options in ((), ("--set", "jitter=false"))
    )
    assert plain != without


NAMES = ["run[final].npz", "x:smile:.npz", "a[/b].npz", "[red]run", "run.NPZ", "x" * 90]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files_are_printed_as_they_are(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    picture = name.removesuffix(".npz") + ".PNG"
    result = run("solve", "diabetes", "--euler", "--save", name, "--plot", picture)
    assert result.exit_code == 0, result.output
    written = name if name.lower().endswith(".npz") else f"{name}.npz"
    assert f"wrote {written}\n" in result.stdout
    assert f"wrote {picture}\n" in result.stdout
    assert mo.Trajectory.load(name).y.shape == (8, 51)
    assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


def test_a_folder_is_named_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("reproduce", "--only", "diabetes", "--quick", "--output", "out[bold]:smile:")
    assert result.exit_code == 0
    assert "Written to out[bold]:smile:\n" in result.stdout
    assert (tmp_path / "out[bold]:smile:" / "diabetes.csv").parent.is_dir()


def test_tables_and_sentences_are_printed_as_they_are(capsys):
    text = "[bold]x[/bold] :smile: [/]"
    table = make_table(text)
    table.add_column(text)
    table.add_row(text)
    say(text)
    open_console().print(table)
    assert capsys.readouterr().out.count(text) == 4


def test_nothing_on_the_command_line_is_printed_by_another_way():
    for path in Path(cli.__file__).parent.glob("*.py"):
        if path.name != "output.py":
            text = path.read_text()
            assert "Console(" not in text.replace("open_console(", ""), path
            assert text.count("TextColumn(") == text.count("markup=False"), path


def test_a_path_that_is_no_text_can_be_reported(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/run\xff.npz")
    code = "from maml_ode.cli import main; main()"
    for extra in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-c", code, "solve", "diabetes", "--euler", "--save", name, *extra],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        if extra:
            assert json.loads(done.stdout)["files"] == [name]
    assert mo.Trajectory.load(name).success


def test_a_full_disk_shows_the_run_and_keeps_the_old_file(tmp_path):
    path, picture = tmp_path / "run.npz", tmp_path / "run.png"
    assert run("solve", "diabetes", "--euler", "--save", str(path)).exit_code == 0
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        for option in (("--save", path), ("--plot", picture)):
            result = run("solve", "diabetes", "--euler", option[0], str(option[1]))
            assert result.exit_code == 1
            assert "||grad F(w)||" in result.stdout
            assert "wrote" not in result.stdout
            assert "too large" in result.stderr
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
