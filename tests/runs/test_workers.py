"""`Workers` as a ``concurrent.futures.Executor``, beside the standard library's own."""

import operator
import os
import re
import signal
import threading
import time
from concurrent.futures import (
    CancelledError,
    Executor,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import pytest

from maml_ode.runs.executor import Workers

EXECUTORS = {
    "workers": lambda: Workers(2),
    "one worker": lambda: Workers(1, here=False),
    "here": lambda: Workers(1),
    "pool": lambda: ProcessPoolExecutor(2, mp_context=get_context("spawn")),
    "threads": lambda: ThreadPoolExecutor(2),
}


@pytest.mark.parametrize("kind", EXECUTORS)
def test_the_face_of_an_executor(kind):
    with EXECUTORS[kind]() as executor:
        assert isinstance(executor, Executor)
        assert executor.submit(pow, 2, 5).result(timeout=60) == 32
        assert executor.submit(int, "ff", base=16).result(timeout=60) == 255
        assert executor.submit(sorted, [2, 1], reverse=True).result(timeout=60) == [2, 1]
        wrong = executor.submit(operator.truediv, 1, 0)
        assert isinstance(wrong.exception(timeout=60), ZeroDivisionError)
        assert list(executor.map(pow, [2, 3, 4], [1, 2, 3])) == [2, 9, 64]
        assert list(executor.map(abs, range(-40, 0))) == list(range(40, 0, -1))
        futures = [executor.submit(abs, -k) for k in range(5)]
        assert sorted(f.result() for f in as_completed(futures, timeout=60)) == [0, 1, 2, 3, 4]
        last = executor.submit(time.sleep, 0.2)
    assert last.done()  # leaving the block waits
    assert last.exception() is None
    with pytest.raises(RuntimeError):
        executor.submit(abs, 1)


def test_calls_run_side_by_side_in_processes_that_stay():
    with Workers(2) as workers:
        list(workers.map(abs, [1, 2]))
        start = time.monotonic()
        wait([workers.submit(time.sleep, 0.5) for _ in range(2)])
        assert time.monotonic() - start < 0.95
        pids = {future.result() for future in [workers.submit(os.getpid) for _ in range(20)]}
        assert os.getpid() not in pids
        assert len(pids) <= 2


def test_a_call_that_has_not_begun_can_be_cancelled():
    with Workers(1, here=False) as workers:
        first = workers.submit(time.sleep, 0.3)
        second, third = workers.submit(abs, -1), workers.submit(abs, -2)
        assert second.cancel()
        assert third.result(timeout=60) == 2
        assert first.done()
        with pytest.raises(CancelledError):
            second.result()
        slow, waits = workers.submit(time.sleep, 0.3), workers.submit(abs, -3)
        workers.shutdown(cancel_futures=True)
        assert slow.done()
        assert waits.cancelled()


@pytest.mark.parametrize("wait_for_them", [True, False])
def test_shutdown_lets_what_was_submitted_be_done(wait_for_them):
    workers = Workers(1, here=False)
    futures = [workers.submit(time.sleep, 0.1) for _ in range(3)]
    workers.shutdown(wait=wait_for_them)
    assert all(future.done() for future in futures) == wait_for_them
    assert [future.result(timeout=60) for future in futures] == [None] * 3


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_a_dead_process_is_named_and_replaced_and_the_other_calls_go_on():
    with Workers(2) as workers:
        long = workers.submit(time.sleep, 1.0)
        pid = workers.submit(os.getpid).result(timeout=60)
        doomed = workers.submit(eval, "__import__('os').kill(__import__('os').getpid(), 9)")
        others = [workers.submit(abs, -k) for k in range(4)]
        with pytest.raises(BrokenProcessPool, match=r"worker process \d+ died during the call"):
            doomed.result(timeout=60)
        assert int(re.search(r"\d+", str(doomed.exception()))[0]) == pid
        assert [future.result(timeout=60) for future in others] == [0, 1, 2, 3]
        assert long.result(timeout=60) is None
        idle = workers.submit(os.getpid).result(timeout=60)
        os.kill(idle, signal.SIGKILL)  # while it has nothing to do
        for _ in range(20):
            time.sleep(0.02)
            future = workers.submit(abs, -7)
            assert future.exception(timeout=60) is None or "died" in str(future.exception())
        assert workers.submit(abs, -7).result(timeout=60) == 7


def test_the_block_can_be_left_from_any_thread_and_leaves_no_process(tmp_path):
    found = []

    def use():
        with Workers(2) as workers:
            found.extend(workers.map(abs, [-1, -2, -3]))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join(timeout=60)
    assert found == [1, 2, 3]
