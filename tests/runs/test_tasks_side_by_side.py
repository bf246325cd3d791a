"""Tasks run in the order in which they are submitted, side by side if asked, and nothing gets lost."""

import os
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress

import pytest

import maml_ode as mo
from maml_ode.runs.executor import Task, Workers

# A process that is started afresh finds what is built in, but not what a test module defines.
SLEEP_THEN_PROCESS = "[__import__('time').sleep({}), __import__('os').getpid()][1]"


def process_after(seconds, note=""):
    return Task(eval, (SLEEP_THEN_PROCESS.format(seconds),), note)


def run(jobs, tasks):
    heard = []
    with Workers(jobs, lambda task: heard.append(task.note)) as workers:
        for task in tasks:
            workers.add(task)
        done = list(workers.completed())
    return heard, done


def test_one_job_runs_here_and_in_order_and_only_when_asked():
    begun = []
    with Workers(1, lambda task: begun.append(task.note)) as workers:
        for note in "abc":
            workers.add(process_after(0, note))
        assert begun == []
        tasks = workers.completed()
        assert next(tasks).note == "a"
        workers.add(process_after(0, "urgent"), first=True)
        assert [task.note for task in tasks] == ["urgent", "b", "c"]
    assert begun == ["a", "urgent", "b", "c"]


def test_a_single_task_needs_no_other_process():
    _, (task,) = run(4, [process_after(0.01)])
    assert task.value == os.getpid()
    assert task.seconds >= 0.01


def test_several_jobs_share_processes_that_stay():
    heard, done = run(2, [process_after(0.3, str(k)) for k in range(6)])
    assert heard == list("012345")
    assert {task.note for task in done} == set(heard)
    pids = {task.value for task in done}
    assert os.getpid() not in pids
    assert len(pids) == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_tasks_submitted_on_the_way_are_done_too(jobs):
    with Workers(jobs) as workers:
        for note in "ab":
            workers.add(process_after(0, note))
        seen = []
        for task in workers.completed():
            seen.append(task.note)
            if len(task.note) == 1:
                workers.add(process_after(0, 2 * task.note))
    assert sorted(seen) == ["a", "aa", "b", "bb"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_in_a_task_comes_back(jobs):
    wrong = [Task(mo.experiments.load, ("diabete",)), Task(mo.experiments.load, ("diabetes",))]
    with pytest.raises(ValueError, match="Did you mean 'diabetes'"):
        run(jobs, wrong)


def take_the_interrupt():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        return "cut short"


def stumble():
    raise ValueError(f"{take_the_interrupt()} by an interrupt")


@pytest.fixture
def interruptible():
    """Ctrl-C as in the foreground: tests that run in the background inherit that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_that_a_task_takes_for_itself_is_not_lost(interruptible):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Workers(1) as workers:
        workers.here(stumble)
    with pytest.raises(KeyboardInterrupt), Workers(1) as workers:
        workers.here(take_the_interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(1, [Task(take_the_interrupt), process_after(0)])
    assert signal.getsignal(signal.SIGINT) is before


# Tests that run in the background inherit that Ctrl-C is ignored.
PARENT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from maml_ode.runs.executor import Task, Workers
if __name__ == "__main__":
    with Workers(2) as workers:
        for _ in range(2):
            workers.add(Task(int))
        list(workers.completed())
        for _ in range(5):
            workers.add(Task(eval, ("__import__('time').sleep(600)",)))
        print("busy", flush=True)
        list(workers.completed())
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups are POSIX's")
@pytest.mark.parametrize(
    ("send", "number"),
    [(os.kill, signal.SIGINT), (os.killpg, signal.SIGINT), (os.kill, signal.SIGKILL)],
    ids=["Ctrl-C for the parent", "Ctrl-C for all", "the parent killed"],
)
def test_no_process_outlives_its_parent(tmp_path, send, number):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        try:
            assert parent.stdout.readline() == "busy\n"
            send(parent.pid, number)
            # The pipes close when the last of the processes, which sleep for ten minutes, has ended.
            _, complaints = parent.communicate(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(parent.pid, signal.SIGKILL)
    assert parent.returncode != 0
    assert complaints.count("KeyboardInterrupt") == (number == signal.SIGINT)


def test_a_process_that_is_killed_ends_the_run():
    codes = ["pass"] * 2 + ["os.kill(os.getpid(), 9)"] + ["time.sleep(600)"] * 2
    with pytest.raises(BrokenProcessPool):
        run(2, [Task(exec, (f"import os, time; {code}",)) for code in codes])
