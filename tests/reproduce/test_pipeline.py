"""Artefacts are made once, written whole, redrawn from their tables, and resumed where a run stopped."""

import dataclasses
import hashlib
import json
import sys

import pytest

from maml_ode._files import write_atomically
from maml_ode.reproduce import Settings, reproduce
from maml_ode.reproduce.pipeline import NothingToRedrawError
from maml_ode.runs.files import to_json

from .workshop import Workshop


@pytest.fixture
def workshop(monkeypatch):
    return Workshop.opened(monkeypatch)


SMALL = Settings(seeds=3)


def snapshot(folder, *endings):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in endings}


def test_everything_is_written_and_the_metadata_say_how(workshop, tmp_path):
    outcomes = reproduce(tmp_path / "new" / "folder", settings=SMALL)
    assert [outcome.status for outcome in outcomes] == ["computed", "computed"]
    assert outcomes[0].key_numbers == {"last": "0.400"}
    folder = tmp_path / "new" / "folder"
    written = {path.name for path in folder.iterdir()}
    assert written == {
        f"{name}{ending}"
        for name in ("one", "two")
        for ending in (".png", ".svg", "_line.csv", ".json", ".md")
    }
    assert {path.name for outcome in outcomes for path in outcome.files} == written
    metadata = json.loads((folder / "one.json").read_text())
    content = (folder / "one_line.csv").read_bytes()
    assert metadata["tables"]["one_line.csv"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert metadata["times"] == {"one_clock": {"seconds": [0.5, 0.25]}}
    assert metadata["settings"] == {"seed": 0, "seeds": 3, "quick": False}
    assert metadata["constants"] == {"slope": 2.0}
    assert metadata["command"] == "maml-ode reproduce --only one --seed 0 --seeds 3"
    assert metadata["caption"] == "A line."
    needed = {
        "maml_ode",
        "python",
        "numpy",
        "scipy",
        "numba",
        "sympy",
        "matplotlib",
        "scikit-learn",
    }
    assert set(metadata["versions"]) == needed
    assert content == b"x,y\n0.0,0.0\n0.1,0.2\n0.2,0.4\n"


def test_two_runs_write_the_same_bytes(workshop, tmp_path):
    for folder in ("a", "b"):
        reproduce(tmp_path / folder, settings=SMALL)
    endings = (".csv", ".png", ".svg", ".md")
    first, second = snapshot(tmp_path / "a", *endings), snapshot(tmp_path / "b", *endings)
    assert first == second
    assert len(first) == 8


def test_times_change_no_csv_but_are_noticed_by_who_needs_them(workshop, tmp_path):
    reproduce(tmp_path, settings=SMALL)
    before = snapshot(tmp_path, ".csv")
    workshop.seconds = 0.125
    reproduce(tmp_path, "one", SMALL, resume=False)
    assert snapshot(tmp_path, ".csv") == before
    outcomes = reproduce(tmp_path, settings=SMALL)
    assert [outcome.status for outcome in outcomes] == ["kept", "computed"]


def test_what_is_finished_is_kept(workshop, tmp_path):
    reproduce(tmp_path, settings=SMALL)
    before = snapshot(tmp_path, ".csv", ".png", ".svg", ".json")
    workshop.calls.clear()
    outcomes = reproduce(tmp_path, settings=Settings(seeds=3, jobs=2))
    assert [outcome.status for outcome in outcomes] == ["kept", "kept"]
    assert outcomes[1].key_numbers == {"last": "0.160"}
    assert workshop.calls == []
    assert snapshot(tmp_path, ".csv", ".png", ".svg", ".json") == before


def damage_csv(folder, shop):
    (folder / "one_line.csv").write_text("x,y\n0.0,9.0\n")


def lose_csv(folder, shop):
    (folder / "one_line.csv").unlink()


def cut_metadata(folder, shop):
    text = (folder / "one.json").read_text()
    (folder / "one.json").write_text(text[: len(text) // 2])


def spoil_metadata(folder, shop):
    (folder / "one.json").write_bytes(b"\xff\xfe")


def thin_metadata(folder, shop):
    metadata = json.loads((folder / "one.json").read_text())
    del metadata["tables"]["one_line.csv"]["sha256"]
    (folder / "one.json").write_text(json.dumps(metadata))


METADATA_DAMAGE = [cut_metadata, spoil_metadata, thin_metadata]


def change_constants(folder, shop):
    shop.slope = 3.0


@pytest.mark.parametrize("change", [damage_csv, lose_csv, *METADATA_DAMAGE, change_constants])
def test_what_no_longer_holds_is_computed_again(workshop, tmp_path, change):
    reproduce(tmp_path, "one", SMALL)
    workshop.calls.clear()
    change(tmp_path, workshop)
    (outcome,) = reproduce(tmp_path, "one", SMALL)
    assert outcome.status == "computed"
    assert workshop.calls == ["compute one", "draw one"]
    assert float(outcome.key_numbers["last"]) == pytest.approx(0.2 * workshop.slope)


def test_other_settings_and_resume_false_compute_again(workshop, tmp_path):
    reproduce(tmp_path, "one", SMALL)
    assert reproduce(tmp_path, "one", Settings(seeds=4))[0].status == "computed"
    assert reproduce(tmp_path, "one", Settings(seeds=4), resume=False)[0].status == "computed"


def test_new_tables_of_a_requirement_are_noticed(workshop, tmp_path):
    reproduce(tmp_path, settings=SMALL)
    workshop.slope = 4.0
    reproduce(tmp_path, "one", SMALL)
    workshop.calls.clear()
    outcomes = reproduce(tmp_path, settings=SMALL)
    assert [outcome.status for outcome in outcomes] == ["kept", "computed"]
    assert workshop.calls == ["compute two", "draw two"]


def test_requirements_are_made_first_and_their_tables_handed_on(workshop, tmp_path):
    outcomes = reproduce(tmp_path, only=["two"], settings=SMALL)
    assert [outcome.name for outcome in outcomes] == ["one", "two"]
    assert (tmp_path / "two_line.csv").read_text().splitlines()[-1] == "0.2,0.16000000000000003"


@pytest.mark.parametrize(
    ("moment", "left_to_do"),
    [
        ("compute two", ["compute two", "draw two"]),
        ("draw one", ["draw one", "compute two", "draw two"]),
        ("draw two", ["draw two"]),
    ],
)
def test_an_interrupted_run_goes_on_where_it_stopped(workshop, tmp_path, moment, left_to_do):
    workshop.fail_in = moment
    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path, settings=SMALL)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    workshop.fail_in = None
    workshop.calls.clear()
    reproduce(tmp_path, settings=SMALL)
    assert workshop.calls == left_to_do


def test_an_interrupted_artefact_goes_on_where_it_stopped(workshop, tmp_path):
    reproduce(tmp_path / "at once", settings=SMALL)
    workshop.fail_in = "piece 2 of one"
    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path, settings=SMALL)
    workshop.fail_in = None
    workshop.pieces.clear()
    reproduce(tmp_path, settings=SMALL)
    assert workshop.pieces == ["one 2", "two 0", "two 1", "two 2"]
    assert snapshot(tmp_path, ".csv") == snapshot(tmp_path / "at once", ".csv")
    assert not (tmp_path / "unfinished").exists()


@pytest.mark.parametrize("how", ["fresh", "other settings", "other constants", "damaged"])
def test_pieces_that_do_not_belong_here_are_computed_again(workshop, tmp_path, how):
    workshop.fail_in = "piece 2 of one"
    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path, "one", SMALL)
    workshop.fail_in = None
    workshop.pieces.clear()
    settings = Settings(seeds=3, seed=1) if how == "other settings" else SMALL
    if how == "other constants":
        workshop.slope = 3.0
    elif how == "damaged":
        for path in (tmp_path / "unfinished").iterdir():
            path.write_text("{")
    reproduce(tmp_path, "one", settings, resume=how != "fresh")
    assert workshop.pieces == ["one 0", "one 1", "one 2"]
    assert not (tmp_path / "unfinished").exists()


def test_redraw_computes_nothing_and_uses_the_settings_of_the_tables(workshop, tmp_path):
    reproduce(tmp_path, settings=SMALL)
    before = snapshot(tmp_path, ".csv", ".png", ".svg")
    for path in tmp_path.glob("*.png"):
        path.unlink()
    workshop.calls.clear()
    outcomes = reproduce(tmp_path, settings=Settings(seeds=9), redraw=True)
    assert [outcome.status for outcome in outcomes] == ["redrawn", "redrawn"]
    assert workshop.calls == ["draw one", "draw two"]
    assert snapshot(tmp_path, ".csv", ".png", ".svg") == before


@pytest.mark.parametrize("change", [damage_csv, lose_csv, *METADATA_DAMAGE])
def test_redraw_refuses_tables_that_are_not_those_it_wrote(workshop, tmp_path, change):
    reproduce(tmp_path, "one", SMALL)
    change(tmp_path, workshop)
    with pytest.raises(NothingToRedrawError, match="run without redraw first"):
        reproduce(tmp_path, "one", redraw=True)


def test_redraw_makes_no_folder(workshop, tmp_path):
    with pytest.raises(NothingToRedrawError):
        reproduce(tmp_path / "mistyped", redraw=True)
    assert not (tmp_path / "mistyped").exists()


def test_an_artefact_without_pieces_is_made_all_the_same(workshop, tmp_path, monkeypatch):
    module = sys.modules["made_up_one"]
    monkeypatch.setattr(
        module, "ARTEFACT", dataclasses.replace(module.ARTEFACT, pieces=lambda settings: [])
    )
    assert reproduce(tmp_path, "one", SMALL)[0].status == "computed"


def test_a_lost_picture_is_drawn_again_without_computing(workshop, tmp_path):
    reproduce(tmp_path, "one", SMALL)
    (tmp_path / "one.svg").unlink()
    workshop.calls.clear()
    assert reproduce(tmp_path, "one", SMALL)[0].status == "redrawn"
    assert workshop.calls == ["draw one"]
    assert (tmp_path / "one.svg").is_file()


def test_progress_comes_by_name_and_ends_at_one(workshop, tmp_path):
    heard = []
    reproduce(tmp_path, settings=SMALL, progress=lambda *report: heard.append(report))
    for name in ("one", "two"):
        fractions = [fraction for who, fraction, _ in heard if who == name]
        assert fractions == sorted(fractions)
        assert fractions[0] == 0.0
        assert fractions[-1] == 1.0


def test_an_unknown_artefact_is_refused_before_anything_is_written(workshop, tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'one'"):
        reproduce(tmp_path / "new", only="ome")
    assert not (tmp_path / "new").exists()


def test_json_keeps_lists_of_plain_values_on_one_line():
    content = {"a": [1, 2.5, " x,\n [y] "], "b": [[1, 2], [{"c": ["[", "]"]}]], "d": []}
    text = to_json(content)
    assert json.loads(text) == content
    assert "[1, 2]" in text
    assert to_json({"a": [0.1, None, "x"]}) == '{\n  "a": [0.1, null, "x"]\n}\n'


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_atomically(path, "old")

    def broken(*paths):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
