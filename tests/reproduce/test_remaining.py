"""The time left: from the last run's seconds, corrected by the pace, in the bar and in plain lines."""

import io
import sys

import pytest
from click.testing import CliRunner

from maml_ode.cli import main
from maml_ode.cli.reproducing import _bars
from maml_ode.reproduce import ARTEFACTS, ON_FILES, Settings, reproduce
from maml_ode.reproduce.record import read_record, write_record
from maml_ode.reproduce.remaining import SHIPPED, Remaining, in_words

from .workshop import Workshop


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """The workshop's two artefacts, made: by their records in 30 and 10 seconds."""
    Workshop.opened(monkeypatch)
    reproduce(tmp_path, settings=Settings(seeds=2))
    for name, seconds in (("one", 30.0), ("two", 10.0)):
        write_record(tmp_path, name, read_record(tmp_path, name) | {"elapsed_seconds": seconds})
    return tmp_path


def test_the_last_runs_seconds_are_expected_and_then_corrected(folder):
    clock = Clock()
    left = Remaining(folder, ["one", "two"], Settings(seeds=2, jobs=2), clock)
    assert left.seconds() == 20.0  # two processes
    clock.now = 101.0
    left.update("one", 0.1, "piece 0")  # 3 of 40: too little to judge the pace by
    assert left.seconds() == pytest.approx(37 / 2)
    clock.now = 160.0
    left.update("one", 1.0, "computed")  # 30 of 40 took a minute
    assert left.fraction == 0.75
    assert left.seconds() == pytest.approx(20.0)
    left.update("two", 1.0, "computed")
    assert (left.fraction, left.seconds()) == (1.0, 0.0)


def test_what_is_kept_is_no_work(folder):
    clock = Clock()
    left = Remaining(folder, ["one", "two"], Settings(seeds=2), clock)
    left.update("one", 1.0, "kept")
    assert (left.fraction, left.seconds()) == (0.0, 10.0)
    left.update("two", 1.0, "kept")
    assert (left.fraction, left.seconds()) == (1.0, 0.0)


def test_without_a_run_of_the_same_settings_the_shipped_seconds_count(folder):
    assert set(SHIPPED) >= {"fig1", "fig2", "fig3", "fig4", "fig5", "diabetes", "report", *ON_FILES}
    whole = Remaining(folder, ["fig2"], Settings()).seconds()
    assert whole == SHIPPED["fig2"][0]
    assert Remaining(folder, ["fig2"], Settings(seeds=10)).seconds() == whole / 2
    assert Remaining(folder, ["fig2"], Settings(quick=True)).seconds() == SHIPPED["fig2"][1]
    assert Remaining(folder, ["one"], Settings(seeds=3)).seconds() == 0.0
    assert set(ARTEFACTS) <= set(SHIPPED)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3, "a few seconds left"),
        (44, "about 40 s left"),
        (100, "about 2 min left"),
        (3000, "about 50 min left"),
        (9000, "about 2.5 h left"),
    ],
)
def test_words(seconds, words):
    assert in_words(seconds) == words


def test_plain_lines_say_it(tmp_path):
    arguments = ["reproduce", "--only", "diabetes", "--output", str(tmp_path), "--jobs", "1"]
    lines = CliRunner().invoke(main, arguments).stderr.splitlines()
    assert lines == ["diabetes: started, a few seconds left", "diabetes: computed"]
    write_record(tmp_path, "diabetes", read_record(tmp_path, "diabetes") | {"elapsed_seconds": 130})
    lines = CliRunner().invoke(main, [*arguments, "--fresh"]).stderr.splitlines()
    assert lines == ["diabetes: started, about 2 min left", "diabetes: computed"]
    lines = CliRunner().invoke(main, [*arguments, "--redraw"]).stderr.splitlines()
    assert lines == ["diabetes: started", "diabetes: redrawn"]


def test_the_bar_says_it(folder, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    remaining = Remaining(folder, ["one", "two"], Settings(seeds=2), Clock())
    with _bars(["one", "two"], remaining) as progress:
        progress("one", 0.05, "piece 0")
    shown = sys.stderr.getvalue()
    assert "all" in shown
    assert "about 40 s left" in shown
