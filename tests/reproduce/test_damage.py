"""Whatever has become of a folder, and whenever a run is interrupted: the same tables in the end."""

import hashlib
import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import maml_ode
from maml_ode._files import write_atomically
from maml_ode.reproduce import Settings, reproduce
from maml_ode.reproduce.pipeline import DAMAGED, NothingToRedrawError
from maml_ode.runs.files import to_json
from maml_ode.runs.store import Unfinished

from .workshop import Workshop

SMALL = Settings(seeds=3)
ROOT = Path(maml_ode.__file__).parent


def write_words(folder, stem, figure):
    """Write a picture that costs nothing."""
    write_atomically(folder / f"{stem}.png", figure.axes[0].get_title())
    return [folder / f"{stem}.png"]


@pytest.fixture
def workshop(monkeypatch):
    monkeypatch.setattr("maml_ode.reproduce.drawing.write_figure", write_words)
    return Workshop.opened(monkeypatch)


@pytest.fixture
def whole(workshop, tmp_path):
    """The tables of an undisturbed run."""
    reproduce(tmp_path / "whole", settings=SMALL)
    return tables(tmp_path / "whole")


def tables(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.csv")}


def rewritten(folder, change, name="one"):
    """Change a record and write it again."""
    path = folder / f"{name}.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(to_json(record))


def replaced_table(folder, text, file="one_line.csv"):
    """Put another table in place of one, with a record that vouches for it."""
    (folder / file).write_text(text)

    def vouch(record):
        rows = max(text.count("\n") - 1, 0)
        digest = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        record["tables"][file] = {"sha256": digest, "rows": rows}

    rewritten(folder, vouch, file.partition("_")[0])


def setting(*keys, value):
    def change(record):
        place = record
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return lambda folder: rewritten(folder, change)


RECORDS = {
    "deep": lambda folder: (folder / "one.json").write_text("[" * 100_000),
    "no table": lambda folder: (folder / "one.json").write_text("3"),
    "numbers for pictures": setting("figures", value=[1]),
    "nulls for texts": setting("texts", value=[None]),
    "a picture elsewhere": setting("figures", value=["/etc/hostname"]),
    "a picture above": setting("figures", value=["one/../../x.png"]),
    "a table elsewhere": setting("tables", value={"/etc/hostname": {"sha256": "", "rows": 1}}),
    "a table of another": setting("tables", value={"two_line.csv": {"sha256": "", "rows": 1}}),
    "tables that are hashes": setting("tables", value={"one_line.csv": "abc"}),
    "times that are words": setting("times", value={"one_clock": "soon"}),
    "times that are ragged": setting("times", "one_clock", "seconds", value=[[1], [1, 2]]),
    "times without a name": setting("times", value={"": {"seconds": [1.0]}}),
    "huge times": setting("times", "one_clock", "seconds", value=[10**400]),
    "unknown settings": setting("settings", "speed", value=3),
    "wrong settings": setting("settings", "seeds", value="three"),
    "rows": setting("tables", "one_line.csv", "rows", value=7),
}
TABLES = {
    "empty": "",
    "ragged": "x,y\n1.0\n",
    "renamed": "a,b\n0.0,0.0\n",
    "two of a name": "x,x\n0.0,0.0\n",
    "words": "x,y\nsoon,later\n",
    "huge": "x,y\n" + f"0.0,{10**40}\n" * 3,
    "a field too long": "x,y\n0.0," + "9" * 200_000 + "\n",
    "no text": "\x00\x01",
}


@pytest.mark.parametrize("how", RECORDS)
def test_a_damaged_record_is_made_again_and_not_drawn_from(workshop, whole, tmp_path, how):
    folder = tmp_path / "whole"
    RECORDS[how](folder)
    with pytest.raises(NothingToRedrawError, match="run without redraw"):
        reproduce(folder, "one", redraw=True)
    outcomes = reproduce(folder, settings=SMALL)
    assert outcomes[0].status == "computed"
    assert tables(folder) == whole
    assert {path.name for outcome in outcomes for path in outcome.files} == {
        path.name for path in folder.iterdir()
    }


def test_times_that_are_lost_are_missed_when_they_are_drawn(workshop, whole, tmp_path):
    folder = tmp_path / "whole"
    setting("times", value={})(folder)
    with pytest.raises(NothingToRedrawError, match="do not hold what its pictures show"):
        reproduce(folder, "one", redraw=True)
    (folder / "one.png").unlink()
    assert reproduce(folder, "one", SMALL)[0].status == "computed"
    assert json.loads((folder / "one.json").read_text())["times"]
    assert tables(folder) == whole


@pytest.mark.parametrize("lost", ["nothing", "its picture"])
@pytest.mark.parametrize("how", TABLES)
def test_a_table_that_holds_something_else_is_made_again(workshop, whole, tmp_path, how, lost):
    folder = tmp_path / "whole"
    replaced_table(folder, TABLES[how])
    if lost == "its picture":
        (folder / "one.png").unlink()
    with pytest.raises(NothingToRedrawError, match="run without redraw"):
        reproduce(folder, "one", redraw=True)
    reproduce(folder, settings=SMALL)
    assert tables(folder) == whole


def test_a_requirement_that_holds_something_else_is_made_again(workshop, whole, tmp_path):
    folder = tmp_path / "whole"
    # All that "one" itself needs to be kept, but not what "two" takes from it.
    replaced_table(folder, "y\n5.0\n")
    (folder / "two.json").unlink()
    heard = []
    outcomes = reproduce(folder, settings=SMALL, progress=lambda *report: heard.append(report))
    assert [outcome.status for outcome in outcomes] == ["computed", "computed"]
    assert ("one", 0.0, DAMAGED) in heard
    assert tables(folder) == whole


@pytest.mark.parametrize("value", ["soon", None, {"a": 1}, [1, 2], float("nan"), -1])
def test_a_piece_with_a_wrong_value_is_computed_again(workshop, whole, tmp_path, value):
    folder = tmp_path / "new"
    workshop.fail_in = "piece 2 of one"
    with pytest.raises(KeyboardInterrupt):
        reproduce(folder, settings=SMALL)
    workshop.fail_in = None
    (first, _) = sorted((folder / "unfinished").iterdir())
    if value == -1:  # without the digest, as a slip of the hand would leave it
        found = json.loads(first.read_text())
        first.write_text(json.dumps(found | {"value": 7.0}))
    else:
        identity = Identity(folder, first)
        identity.save(0, value, 0.1)
    heard = []
    reproduce(folder, settings=SMALL, progress=lambda *report: heard.append(report))
    if isinstance(value, float):
        assert ",nan\n" in (folder / "one_line.csv").read_text()  # it is a number, vouched for
        return
    assert (("one", 0.0, DAMAGED) in heard) == (value != -1)
    assert tables(folder) == whole
    assert not (folder / "unfinished").exists()


class Identity(Unfinished):
    """The pieces to which a file belongs."""

    def __init__(self, folder, path):
        super().__init__(folder, "one", {})
        self._key = path.stem.split("-")[1]


JUNK = [None, True, -1, 10**400, 0.5, "", "/etc/hostname", [], [1], {}, {"a": [{}]}, "x" * 1000]


def damage(folder, rng):
    """Damage a file of a folder: its bytes, or a value of its JSON."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    path = paths[rng.integers(len(paths))]
    data = bytearray(path.read_bytes())
    match rng.integers(5):
        case 0:
            path.unlink()
        case 1:
            path.write_bytes(data[: rng.integers(len(data) + 1)])
        case 2:
            for _ in range(3):
                data[rng.integers(len(data))] = rng.integers(256)
            path.write_bytes(data)
        case 3:
            path.write_bytes(rng.bytes(int(rng.integers(50))))
        case 4 if path.suffix == ".json":
            place = content = json.loads(data)
            while True:
                keys = list(place) if isinstance(place, dict) else list(range(len(place)))
                key = keys[rng.integers(len(keys))]
                if rng.random() < 0.5 or not isinstance(place[key], (dict, list)) or not place[key]:
                    break
                place = place[key]
            place[key] = JUNK[rng.integers(len(JUNK))]
            path.write_text(json.dumps(content))


def test_random_damage_is_mended_or_refused(workshop, whole, tmp_path):
    folder = tmp_path / "whole"
    refused = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        if rng.random() < 0.3:
            workshop.fail_in = f"piece {rng.integers(3)} of {rng.choice(['one', 'two'])}"
            with pytest.raises(KeyboardInterrupt):
                reproduce(folder, settings=SMALL, resume=False)
            workshop.fail_in = None
        for _ in range(rng.integers(1, 3)):
            damage(folder, rng)
        if rng.random() < 0.5:
            try:
                reproduce(folder, redraw=True)
            except NothingToRedrawError:
                refused += 1
        reproduce(folder, settings=SMALL)
        assert tables(folder) == whole, seed
        assert not (folder / "unfinished").exists()
    assert refused > 5


def interrupt_after(lines):
    """Raise KeyboardInterrupt when the given number of lines of the engine has been run."""
    engine = [str(ROOT / name) for name in ("reproduce", "runs", "_files.py")]
    left = lines

    def trace(frame, event, argument):
        nonlocal left
        if not frame.f_code.co_filename.startswith(tuple(engine)):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)


# A file that is open when the interrupt comes just before its block is closed by the interpreter.
UNCLOSED = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@UNCLOSED
def test_a_run_interrupted_anywhere_gives_the_same_tables_when_it_goes_on(
    workshop, whole, tmp_path
):
    handler, tracer = signal.getsignal(signal.SIGINT), sys.gettrace()
    rng = np.random.default_rng(3)
    hits = 0
    for k in range(25):
        folder = tmp_path / f"run {k}"
        for _ in range(rng.integers(1, 4)):
            interrupt_after(int(rng.integers(1, 4000)))
            try:
                reproduce(folder, settings=SMALL)
            except KeyboardInterrupt:
                hits += 1
            finally:
                sys.settrace(tracer)
                signal.signal(signal.SIGINT, handler)  # the interrupt may have come before that
        reproduce(folder, settings=SMALL)
        assert tables(folder) == whole
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        assert names == {path.name for path in (tmp_path / "whole").iterdir()}, k
    assert hits > 15


@UNCLOSED
def test_an_interrupt_leaves_nothing_beside_the_file(tmp_path):
    """Unless it comes while that is being cleared away."""
    path = tmp_path / "file.txt"
    write_atomically(path, "old")
    tracer, left = sys.gettrace(), 0
    for line in range(1, 200):
        interrupt_after(line)
        try:
            write_atomically(path, "new")
        except KeyboardInterrupt:
            pass
        else:
            break
        finally:
            sys.settrace(tracer)
        assert path.read_text() in ("old", "new")
        left += len(list(tmp_path.iterdir())) - 1
        for other in tmp_path.iterdir():
            if other != path:
                other.unlink()
    assert line > 10
    assert left == 0
