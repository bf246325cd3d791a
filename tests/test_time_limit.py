"""The suite's own time limit: a test that hangs fails, and those after it run."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HANGING = """
import time

def test_hangs():
    try:
        time.sleep(600)
    except Exception:
        pass

def test_after_it():
    pass
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX's timers")
def test_a_test_that_hangs_fails_and_the_next_one_runs(tmp_path):
    shutil.copy(Path(__file__).parent / "conftest.py", tmp_path)
    (tmp_path / "test_hanging.py").write_text(HANGING)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        env=os.environ | {"MAML_ODE_TEST_SECONDS": "0.5"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "it took more than 0.5 seconds" in done.stdout
    assert "1 failed, 1 passed" in done.stdout
