"""A module of the user's, which other processes find, and what its functions leave behind."""

import importlib
import sys

import pytest

STUDY = '''
import os
import signal
import time
from pathlib import Path

import numpy as np

FOLDER = Path({folder!r})


def called(name):
    """Leave a line behind, whatever becomes of this process."""
    with (FOLDER / "calls").open("a") as stream:
        stream.write(f"{{name}}\\n")


def root(a, b):
    called(f"{{a}} {{b}}")
    return {{"root": a**0.5 + b, "powers": a ** np.arange(3.0), "word": f"{{a}}-{{b}}"}}


def fails_at_first(a):
    called(a)
    if a == 2 and not (FOLDER / "mended").exists():
        raise ArithmeticError("two is one too many")
    return {{"square": a * a}}


def dies_once(a):
    marker = FOLDER / f"died at {{a}}"
    if a == 2 and not marker.exists():
        marker.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return {{"square": a * a}}


def dies(a):
    if a == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return {{"square": a * a}}


def slow(a):
    called(a)
    time.sleep(0.05)
    return {{"square": a * a}}


def endless(a):
    if a == 3:
        print("at three", flush=True)
        time.sleep(600)
    called(a)
    return {{"square": a * a}}
'''


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The module ``study``; ``study.calls()`` says with what its functions were called."""
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "study.py").write_text(STUDY.format(folder=str(folder)))
    monkeypatch.syspath_prepend(folder)
    sys.modules.pop("study", None)
    module = importlib.import_module("study")

    def calls():
        path = folder / "calls"
        found = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return found

    module.calls = calls
    yield module
    sys.modules.pop("study", None)
