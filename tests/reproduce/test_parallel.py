"""Tasks run in the order in which they are submitted, side by side if asked, and nothing gets lost."""

import os

import pytest

import maml_ode as mo
from maml_ode.reproduce.parallel import Task, Workers

# A process that is started afresh finds what is built in, but not what a test module defines.
SLEEP_THEN_PROCESS = "[__import__('time').sleep({}), __import__('os').getpid()][1]"


def process_after(seconds, note=""):
    return Task(eval, (SLEEP_THEN_PROCESS.format(seconds),), note)


def run(jobs, tasks):
    heard = []
    with Workers(jobs, lambda task: heard.append(task.note)) as workers:
        for task in tasks:
            workers.submit(task)
        done = list(workers.completed())
    return heard, done


def test_one_job_runs_here_and_in_order_and_only_when_asked():
    begun = []
    with Workers(1, lambda task: begun.append(task.note)) as workers:
        for note in "abc":
            workers.submit(process_after(0, note))
        assert begun == []
        tasks = workers.completed()
        assert next(tasks).note == "a"
        workers.submit(process_after(0, "urgent"), first=True)
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
            workers.submit(process_after(0, note))
        seen = []
        for task in workers.completed():
            seen.append(task.note)
            if len(task.note) == 1:
                workers.submit(process_after(0, 2 * task.note))
    assert sorted(seen) == ["a", "aa", "b", "bb"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_in_a_task_comes_back(jobs):
    wrong = [Task(mo.experiments.load, ("diabete",)), Task(mo.experiments.load, ("diabetes",))]
    with pytest.raises(ValueError, match="Did you mean 'diabetes'"):
        run(jobs, wrong)
