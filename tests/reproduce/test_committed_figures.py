"""The figures beside their scripts: complete, unchanged since they were made, and made by this package."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from maml_ode.reproduce import ARTEFACTS, Settings, load_artefact
from maml_ode.runs.files import to_json

FOLDER = Path(__file__).parents[2] / "paper_figures"
NAMES = [name for name in ARTEFACTS if (FOLDER / f"{name}.json").exists()]


def assert_same(one, other):
    """Equal, floats to within what processors and libraries round differently."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == (pytest.approx(other, rel=1e-12) if isinstance(one, float) else other)


def kept(figures):
    """The pictures that are kept beside the scripts: one format of the two that a run writes."""
    assert {Path(file).suffix for file in figures} == {".png", ".svg"}
    return [file for file in figures if file.endswith(".svg")]


def test_the_papers_figures_are_there():
    assert set(NAMES) == set(ARTEFACTS)


@pytest.mark.parametrize("name", NAMES)
def test_pictures_and_tables_are_those_of_the_metadata(name):
    metadata = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert metadata["settings"] == Settings().to_dict()
    artefact = load_artefact(name)
    assert metadata["caption"] == artefact.caption
    constants = json.loads(to_json(artefact.constants(Settings())))
    assert_same(metadata["constants"], constants)
    for file, entry in metadata["tables"].items():
        assert hashlib.sha256((FOLDER / file).read_bytes()).hexdigest() == entry["sha256"], file
    assert metadata["figures"]
    for file in (*kept(metadata["figures"]), *metadata["texts"]):
        assert (FOLDER / file).stat().st_size > 0, file


def test_the_folder_holds_nothing_else_and_is_small():
    known = {f"figure{number}.py" for number in (1, 2, 3, 4, 5)}
    for name in NAMES:
        metadata = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        known |= {f"{name}.json", *metadata["tables"], *metadata["figures"], *metadata["texts"]}
    unkept = {path.name for path in FOLDER.glob("*.png")} | {"index.html"}  # in .gitignore
    files = [path for path in FOLDER.iterdir() if path.is_file() and path.name not in unkept]
    assert {path.name for path in files} <= known
    assert sum(path.stat().st_size for path in files) < 4.5e6


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_the_scripts_draw_their_figures(number, tmp_path):
    folder = tmp_path / "paper_figures"
    shutil.copytree(FOLDER, folder)
    script = folder / f"figure{number}.py"
    done = subprocess.run(
        [sys.executable, str(script), "--redraw", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    outcomes = json.loads(done.stdout)
    assert {outcome["status"] for outcome in outcomes} == {"redrawn"}
    assert f"fig{number}" in {outcome["name"] for outcome in outcomes}
    drawn = [path for outcome in outcomes for path in outcome["files"] if path.endswith(".png")]
    assert all(Path(path).parent == folder for path in drawn)
