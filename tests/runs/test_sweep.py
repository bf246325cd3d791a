"""Sweeps: every point once and in order, whoever runs it, whatever happens meanwhile."""

import math
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.runs.executor import Workers
from maml_ode.runs.progress import PointProgress
from maml_ode.sweeping import SweepInterrupted

GRID = {"a": [1, 4, 9.0], "b": [0.5, np.float64(2.0)]}


def quiet(run, grid, **kw):
    return mo.sweep(run, grid, progress=False, **kw)


def assert_same(rows, others):
    assert [list(row) for row in rows] == [list(row) for row in others]
    for row, other in zip(rows, others, strict=True):
        for name, value in row.items():
            assert type(value) is type(other[name])
            np.testing.assert_array_equal(value, other[name])


def by_hand():
    return [
        {
            "a": a,
            "b": b,
            "root": a**0.5 + b,
            "powers": np.array([1.0, a, a * a]),
            "word": f"{a}-{b}",
        }
        for a in (1, 4, 9.0)
        for b in (0.5, 2.0)
    ]


@pytest.mark.parametrize("kind", ["here", "processes", "one process", "threads", "pool", "workers"])
def test_rows_do_not_depend_on_who_runs_the_points(study, tmp_path, kind):
    context = get_context("spawn")
    executors = {
        "here": lambda: None,
        "processes": lambda: 2,
        "one process": lambda: np.int64(1),
        "threads": lambda: ThreadPoolExecutor(3),
        "pool": lambda: ProcessPoolExecutor(1, mp_context=context),
        "workers": lambda: Workers(2),
    }
    executor = executors[kind]()
    store = tmp_path / "points.db"
    try:
        fresh = quiet(study.root, GRID, executor=executor, store=store)
    finally:
        if hasattr(executor, "shutdown"):
            executor.shutdown()
    assert_same(fresh.rows, by_hand())
    assert len(study.calls()) == 6
    assert_same(quiet(study.root, GRID, store=store).rows, by_hand())
    assert study.calls() == []
    assert os.listdir(tmp_path) == ["study", "points.db"] or not list(tmp_path.glob("*-wal"))


def test_a_trajectory_becomes_its_last_point_and_its_costs(tug_of_war):
    flow = mo.maml_flow(tug_of_war, 0.1)
    found = quiet(lambda tol: mo.solve(flow, [10.0], tol=tol, method="RK45"), {"tol": [1e-2, 1e-4]})
    for row in found.rows:
        run = mo.solve(flow, [10.0], tol=row["tol"], method="RK45")
        counts = run.counts
        assert row == {
            "tol": row["tol"],
            "t": run.final_time,
            "loss": run.loss[-1],
            "grad_norm": run.grad_norm[-1],
            "stop": "STATIONARY",
            "gradients": counts.gradients,
            "hvps": counts.hvps,
            "hessians": counts.hessians,
            "steps": counts.steps,
            "rejected": counts.rejected,
        }
        assert row["steps"] > 3
    assert found.failed == []


def test_a_list_of_points_keeps_its_order_and_a_point_that_occurs_twice_is_computed_once():
    seen = []
    points = [{"x": 3, "y": "b"}, {"y": "a", "x": 1}, {"x": 3, "y": "b"}, {"x": 3.0, "y": "b"}]
    found = quiet(lambda x, y: seen.append((x, y)) or {"n": len(seen)}, points)
    assert seen == [(3, "b"), (1, "a"), (3.0, "b")]
    assert [(row["x"], row["y"], row["n"]) for row in found.rows] == [
        (3, "b", 1), (1, "a", 2), (3, "b", 1), (3.0, "b", 3),
    ]  # fmt: skip
    assert type(found.rows[3]["x"]) is float
    assert len(found) == 4
    assert repr(found) == "Sweep(x, y: 4 of 4 points, 0 failed)"


def test_the_function_gets_the_users_own_values_and_cannot_spoil_them(tmp_path):
    start = np.arange(3.0)

    def spoil(w0, kind, flag):
        assert type(kind) is np.float32
        assert flag is None or type(flag) is np.bool_
        w0 += 1
        return {"sum": w0.sum(), "w0": np.arange(3.0)}

    grid = {"w0": [start, 2 * start], "kind": [np.float32(0.1)], "flag": [np.bool_(True), None]}
    found = quiet(spoil, grid, store=tmp_path / "s.db")
    np.testing.assert_array_equal(start, np.arange(3.0))
    assert [row.get("sum") for row in found.rows] == [6.0, 6.0, None, None]
    assert "has the name of one of the point's own values" in found.failed[0]["exception"]
    assert found.rows[0]["kind"] == float(np.float32(0.1))
    assert found.rows[0]["flag"] is True


def test_a_failing_point_is_a_row_and_is_tried_again(study, tmp_path):
    store = tmp_path / "points.db"
    first = quiet(study.fails_at_first, {"a": [1, 2, 3]}, store=store, executor=2)
    assert sorted(study.calls()) == ["1", "2", "3"]
    assert [row.get("square") for row in first.rows] == [1, None, 9]
    (row,) = first.failed
    assert row["a"] == 2
    assert row["exception"] == "ArithmeticError: two is one too many"
    assert row["traceback"].rstrip().endswith(row["exception"])
    assert "in fails_at_first" in row["traceback"]
    assert "two is one too many" in first.table()
    with sqlite3.connect(store) as base:
        kept = base.execute('SELECT "exception" FROM points WHERE a = 2').fetchall()
    base.close()
    assert kept == [(row["exception"],)]
    again = quiet(study.fails_at_first, {"a": [1, 2, 3]}, store=store)
    assert study.calls() == ["2"]
    assert again.failed[0]["exception"] == row["exception"]
    (tmp_path / "study" / "mended").touch()
    mended = quiet(study.fails_at_first, {"a": [1, 2, 3]}, store=store)
    assert study.calls() == ["2"]
    assert mended.rows == [{"a": a, "square": a * a} for a in (1, 2, 3)]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3.0, "must return a Trajectory or a mapping"),
        ({"x": object()}, "the result x must be a number"),
        ({"x": 1j}, "the result x must be a number"),
        ({"exception": 1.0}, "cannot be called 'exception'"),
        ({1: 1.0}, "cannot be called 1"),
        ({"x": np.array([None])}, "the result x must be a number"),
    ],
)
def test_results_that_cannot_be_kept_are_failures_that_say_so(value, words):
    (row,) = quiet(lambda a: value, {"a": [1]}).failed
    assert words in row["exception"]


def test_a_point_that_ends_its_process_in_an_orderly_way_is_a_failure_too():
    (row,) = quiet(lambda a: sys.exit("enough"), {"a": [1]}).rows
    assert row["exception"] == "SystemExit: enough"


def test_more_values_continue_a_store_and_other_sweeps_are_refused(study, tmp_path):
    store = tmp_path / "points.db"
    quiet(study.root, {"a": [1, 4], "b": [2]}, store=store)
    study.calls()
    found = quiet(study.root, {"b": [2, 3], "a": [4, 9]}, store=store)
    assert sorted(study.calls()) == ["4 3", "9 2", "9 3"]
    assert [(row["b"], row["a"]) for row in found.rows] == [(2, 4), (2, 9), (3, 4), (3, 9)]
    with pytest.raises(ValueError, match=r"another function: study:root, and this is study:slow"):
        quiet(study.slow, {"a": [1]}, store=store)
    source = (tmp_path / "study" / "study.py").read_text()
    same = source.replace("def root(a, b):", "def root(a, b):  # the same\n    'As it was.'\n")
    namespace = reloaded(study, tmp_path, same)
    assert len(quiet(namespace.root, {"a": [1], "b": [2]}, store=store)) == 1
    changed = reloaded(study, tmp_path, source.replace("a**0.5 + b", "a**0.5 - b"))
    with pytest.raises(ValueError, match=r"another code version: .*; name another file"):
        quiet(changed.root, {"a": [1], "b": [2]}, store=store)


def reloaded(study, tmp_path, source):
    import importlib
    import linecache

    path = tmp_path / "study" / "study.py"
    path.write_text(source + "\n" * 50)  # another size, so that no cache takes it for the old one
    linecache.clearcache()
    importlib.invalidate_caches()
    return importlib.reload(study)


def test_other_names_and_other_files_are_refused(study, tmp_path):
    def run(**point):
        return {"n": len(point)}

    store = tmp_path / "points.db"
    quiet(run, {"a": [1], "b": [2]}, store=store)
    with pytest.raises(ValueError, match="points with the names a, b, not a, c; name another file"):
        quiet(run, {"a": [1], "c": [2]}, store=store)
    with pytest.raises(ValueError, match="no such folder; make it first"):
        quiet(run, {"a": [1]}, store=tmp_path / "nowhere" / "points.db")
    with pytest.raises(ValueError, match="is a folder; name a file in it"):
        quiet(run, {"a": [1]}, store=tmp_path)
    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(ValueError, match="no store of points, or a damaged one"):
        quiet(run, {"a": [1]}, store=tmp_path / "text.db")
    assert (tmp_path / "text.db").read_text().startswith("no database")
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE mine (x)")
    other.close()
    with pytest.raises(ValueError, match="is a database of something else"):
        quiet(run, {"a": [1]}, store=tmp_path / "other.db")
    base = sqlite3.connect(store)
    base.execute("UPDATE points SET _kinds = '{'")
    base.commit()
    base.close()
    with pytest.raises(ValueError, match="damaged one"):
        quiet(run, {"a": [1], "b": [2]}, store=store)


def test_a_worker_that_dies_is_named_and_its_point_tried_once_more(study, tmp_path, capsys):
    found = mo.sweep(study.dies_once, {"a": list(range(6))}, executor=2, store=tmp_path / "s.db")
    assert found.rows == [{"a": a, "square": a * a} for a in range(6)]
    process = (tmp_path / "study" / "died at 2").read_text()
    (note,) = found.notes
    assert (
        note
        == f"worker process {process} died during the call; the point a = 2 is tried once more."
    )
    assert note in capsys.readouterr().err


def test_a_point_that_kills_every_worker_is_a_failure_and_no_other_is(study, tmp_path):
    for executor in (1, 2):
        found = quiet(study.dies, {"a": [1, 2, 3, 4]}, executor=executor)
        assert [row.get("square") for row in found.rows] == [1, None, 9, 16]
        (row,) = found.failed
        assert re.fullmatch(
            r"BrokenProcessPool: worker process \d+ died during the call", row["exception"]
        )
        assert len(found.notes) == 1
    # A pool of the user's is broken for good; what it could not do is a failure that says so.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = quiet(study.dies, {"a": [2, 3]}, executor=pool, store=tmp_path / "s.db")
    assert {row["exception"].partition(":")[0] for row in found.rows} == {"BrokenProcessPool"}
    found = quiet(study.slow, {"a": [2, 3]}, executor=1)
    assert found.failed == []


# Killed again and again at random moments; what stands in the store is never computed again.
KILLER = """
import os, random, signal, sqlite3, sys, time
import maml_ode as mo

folder, moments, n_points = sys.argv[1], int(sys.argv[2]), 60
store = folder + "/points.db"
sweep = mo.sweep  # imported before the forks

def run(a):
    with open(folder + "/calls", "a") as stream:
        stream.write(f"{a}\\n")
    time.sleep(0.002)
    return {"square": a * a}

def kept():
    if not os.path.exists(store):
        return set()
    base = sqlite3.connect(store)
    try:
        return {a for (a,) in base.execute("SELECT a FROM points")}
    except sqlite3.OperationalError:
        return set()
    finally:
        base.close()

def calls():
    try:
        with open(folder + "/calls") as stream:
            return [int(line) for line in stream]
    except FileNotFoundError:
        return []

random.seed(7)
lost = repeated = rounds = killed = amid = 0
while killed < moments:
    for name in os.listdir(folder):
        os.remove(folder + "/" + name)
    rounds += 1
    while True:
        before, seen = kept(), len(calls())
        child = os.fork()
        if child == 0:
            sweep(run, {"a": range(n_points)}, store=store, progress=False)
            os._exit(0)
        goal, alive = seen + random.randrange(9), os.WEXITED | os.WNOHANG | os.WNOWAIT
        while len(calls()) < goal and os.waitid(os.P_PID, child, alive) is None:
            time.sleep(0.0005)
        time.sleep(random.uniform(0.0, 0.008))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        after = kept()
        amid += len(before) < len(after) < n_points
        lost += len(before - after)
        repeated += len(before & set(calls()[seen:]))
        if len(after) == n_points or killed >= moments:
            break
found = mo.sweep(run, {"a": range(n_points)}, store=store, progress=False)
assert found.rows == [{"a": a, "square": a * a} for a in range(n_points)]
print(killed, rounds, amid, lost, repeated)
"""


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="forks, to be killed at any moment")
def test_killed_at_fifty_moments_nothing_is_lost_and_nothing_repeated(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path), "50"],
        capture_output=True, text=True, check=False,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    killed, rounds, amid, lost, repeated = map(int, done.stdout.split())
    assert killed == 50
    assert rounds > 1
    assert amid > 10  # points had been finished, and others were still to do
    assert lost == repeated == 0


PARENT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {folder!r})
import maml_ode as mo, study

if __name__ == "__main__":
    try:
        mo.sweep(study.endless, {{"a": [1, 2, 3, 4, 5, 6]}}, executor={executor}, store={store!r})
    except KeyboardInterrupt as stop:
        print(stop, len(stop.sweep), flush=True)
        raise SystemExit(130)
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to another process")
@pytest.mark.parametrize("executor", [None, 2])
def test_ctrl_c_ends_within_a_second_and_keeps_the_finished_points(
    study, tmp_path, executor, monkeypatch
):
    store = tmp_path / "points.db"
    script = tmp_path / "parent.py"
    script.write_text(
        PARENT.format(folder=str(tmp_path / "study"), executor=executor, store=str(store))
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout.readline() == "at three\n"
        finished = 2 if executor is None else 5
        deadline = time.monotonic() + 20
        while count(store) < finished:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        start = time.monotonic()
        parent.send_signal(signal.SIGINT)
        printed, _ = parent.communicate(timeout=60)  # until the last process has closed the pipe
        assert time.monotonic() - start < 1.0
    assert parent.returncode == 130
    assert printed == (
        f"{finished} of 6 points are finished; the same call goes on from there. {finished}\n"
    )
    study.calls()
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    found = quiet(study.endless, {"a": [1, 2, 3, 4, 5, 6]}, store=store)
    assert len(study.calls()) == 6 - finished
    assert [row["square"] for row in found.rows] == [1, 4, 9, 16, 25, 36]


def count(store):
    base = sqlite3.connect(store)
    try:
        return base.execute("SELECT count(*) FROM points").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        base.close()


def test_an_interrupt_that_solve_takes_for_itself_ends_the_sweep(tug_of_war):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    flow = mo.maml_flow(tug_of_war, 0.1)

    def run(a):
        press = signal.raise_signal if a == 2 else lambda number: None
        return mo.solve(
            flow, [10.0], t_max=1.0, method="RK45", callback=lambda state: press(signal.SIGINT)
        )

    try:
        with pytest.raises(
            SweepInterrupted, match="1 of 3 points are finished; they are"
        ) as caught:
            quiet(run, {"a": [1, 2, 3]})
    finally:
        signal.signal(signal.SIGINT, before)
    assert [row["a"] for row in caught.value.sweep.rows] == [1]
    assert issubclass(SweepInterrupted, KeyboardInterrupt)


def test_the_calls_that_an_executor_still_holds_are_cancelled_by_an_interrupt():
    futures = []

    class Holding(ThreadPoolExecutor):
        def submit(self, fn, /, *args, **kwargs):
            if len(futures) == 2:
                raise KeyboardInterrupt
            futures.append(Future())
            return futures[-1]

    with Holding(1) as executor, pytest.raises(SweepInterrupted):
        quiet(lambda a: {}, {"a": [1, 2, 3]}, executor=executor)
    assert [future.cancelled() for future in futures] == [True, True]


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({}, "grid has no points"),
        ([], "grid has no points"),
        ({"a": []}, r"grid\['a'\] has no values"),
        ([{"a": 1}, {"b": 1}], r"grid\[1\] has the names b, and grid\[0\] has a"),
        ({"traceback": [1]}, "cannot be 'traceback'"),
    ],
)
def test_grids_without_points_or_names_are_refused(grid, words):
    with pytest.raises(ValueError, match=words):
        quiet(lambda **point: {}, grid)


def test_arguments_of_other_kinds_are_refused_with_what_to_do(study, tmp_path):
    for arguments, words in (
        ((3, {"a": [1]}), "run must be callable"),
        ((study.slow, {"a": 0.1}), r"grid\['a'\] must be a sequence of values, not 0.1"),
        ((study.slow, {"a": "text"}), "must be a sequence of values"),
        ((study.slow, {1: [2]}), "a name of the grid must be a text"),
        ((study.slow, [3]), r"grid\[0\] must be a point, a mapping of names"),
        (
            (study.slow, {"alpha": [1]}),
            r"called with the names of the grid, alpha, but takes \(a\)",
        ),
        ((study.slow, {"a": [study]}), "grid value a must be a number.*build the object from it"),
    ):
        with pytest.raises(TypeError, match=words):
            quiet(*arguments)
    for executor in ("dask", 2.0, True, object()):
        with pytest.raises(TypeError, match=r"executor must be .*client.get_executor\(\)"):
            quiet(study.slow, {"a": [1]}, executor=executor)
    with pytest.raises(ValueError, match="executor must be at least 1"):
        quiet(study.slow, {"a": [1]}, executor=0)
    with pytest.raises(TypeError, match="run is defined inside another function, or is a lambda"):
        quiet(lambda a: {}, {"a": [1]}, executor=2)
    with pytest.raises(TypeError, match="with a store run must be a function"):
        quiet(Workers(1).add, {"task": [1]}, store=tmp_path / "s.db")


@pytest.mark.parametrize("how", ["prompt", "no guard"])
def test_functions_that_other_processes_cannot_find_are_refused_in_a_sentence(tmp_path, how):
    code = """
import maml_ode as mo
def run(a): return {"a": a}
if True:
    try: mo.sweep(run, {"a": [1, 2]}, executor=2)
    except (TypeError, ValueError) as error: print(error)
"""
    (tmp_path / "script.py").write_text(code)
    command = ["-c", code] if how == "prompt" else [str(tmp_path / "script.py")]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
    words = {"prompt": "typed at a prompt", "no guard": 'under if __name__ == "__main__":'}
    assert words[how] in done.stdout
    if how == "no guard":  # and the remedy works
        (tmp_path / "script.py").write_text(code.replace("if True", 'if __name__ == "__main__"'))
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, check=True
        )
        assert done.stdout == done.stderr == ""


def test_a_function_whose_module_other_processes_do_not_find_is_refused(study, monkeypatch):
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "study" not in str(entry)])
    for executor in (2, ProcessPoolExecutor(1, mp_context=get_context("spawn"))):
        with pytest.raises(
            TypeError, match=r"do not find run \(ModuleNotFoundError.*'study'\); define"
        ):
            quiet(study.slow, {"a": [1, 2]}, executor=executor)
    executor.shutdown()


def test_the_time_left_is_that_of_the_points_done_times_those_that_are_left(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with PointProgress(True, total=23, done=3) as bar:
        clock[0] = 6.0
        bar.advance(False)  # the first of 20
        assert bar.seconds_left() == pytest.approx(6.0 * 19)
        assert capsys.readouterr().err == ""
        clock[0] = 16.0
        bar.advance(True)
        assert capsys.readouterr().err == "5 of 23 points, 1 failed, 2 min left\n"  # 144 s
        clock[0] = 40.0
        bar.advance(False)
        assert capsys.readouterr().err == "6 of 23 points, 1 failed, 4 min left\n"  # 227 s
    silent = PointProgress(False, total=2)
    monkeypatch.undo()
    assert math.isnan(silent.seconds_left())
    silent.advance(False)
    silent.note("nothing")
    assert capsys.readouterr().err == ""


def test_partial_functions_are_told_apart_by_what_they_bind(tmp_path, study):
    from functools import partial

    store = tmp_path / "s.db"
    assert quiet(partial(study.root, b=2), {"a": [4]}, store=store).rows[0]["root"] == 4.0
    with pytest.raises(ValueError, match="another function: study:root with b = "):
        quiet(partial(study.root, b=3), {"a": [4]}, store=store)
    assert quiet(partial(study.root, b=3), {"a": [4]}, executor=1).rows[0]["root"] == 5.0


def test_the_table_as_a_data_frame(study):
    pd = pytest.importorskip("pandas", reason="needs the extra 'table'")
    frame = quiet(study.fails_at_first, {"a": [1, 2, 3]}).to_dataframe()
    assert list(frame.columns) == ["a", "square", "exception", "traceback"]
    assert frame["a"].tolist() == [1, 2, 3]
    assert pd.isna(frame["square"][1])


def test_notebooks_show_the_rows(study):
    text = quiet(study.root, GRID)._repr_html_()
    assert text.count("<tr>") == 7
    assert "array (3,)" in text
