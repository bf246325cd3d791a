"""README and notebooks run as they stand, and the documents agree with the package."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest

import maml_ode as mo

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_readme_examples_run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 3
    assert len([line for line in blocks[0].splitlines() if line]) == 6  # "Six lines"
    namespace = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
    assert namespace["flow"].final_time == 5.0
    assert len(namespace["steps"]) == 51


def test_readme_reads_well_wherever_it_is_shown():
    """Package indexes show it apart from the repository: links are absolute, a missing picture has a sentence."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", readme)
    assert [(len(words.split()) > 5, (ROOT / path).exists()) for words, path in pictures] == [
        (True, True)
    ]
    links = re.findall(r"(?<!!)\[[^]]*\]\(([^)#]+)\)", readme)
    assert all(target.startswith("https://") for target in links), links
    for path in re.findall(r"`((?:docs|notebooks|paper_figures)/|[A-Z]+\.md)`", readme):
        assert (ROOT / path).exists(), path
    assert len(readme.splitlines()) <= 116


def test_readme_and_the_page_tell_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.readme import BEGIN, END, table

    record = json.loads((ROOT / "docs" / "benchmarks.json").read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == table(record), "python -m benchmarks --page-only writes it again"
    ratios = [float(line.split("|")[4]) for line in shown.splitlines()[2:]]
    assert min(ratios) < 1 < max(ratios)  # wins and losses


def test_the_oldest_versions_that_are_tested_are_the_lower_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    bounds = dict(entry.split(">=") for entry in wanted)
    lines = (ROOT / ".ci" / "oldest.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    assert set(pinned) - set(bounds) == {"pyparsing"}
    for name, bound in bounds.items():
        version = pinned[name].split(".")
        assert version[: bound.count(".") + 1] == bound.split("."), name
        assert set(version[bound.count(".") + 1 :]) <= {"0"}, name
    recipe = (ROOT / "conda-recipe" / "recipe.yaml").read_text()
    names = {"matplotlib": "matplotlib-base"}
    for entry in project["dependencies"]:
        name, bound = entry.split(">=")
        assert f"- {names.get(name, name)} >={bound}\n" in recipe


def test_pictures_are_kept_in_one_format():
    folders = ("docs", "notebooks", "paper_figures", "benchmarks")
    tracked = [path for folder in folders for path in (ROOT / folder).glob("*.*")]
    ignored = set((ROOT / "paper_figures").glob("*.png"))  # in .gitignore
    kinds = {path.suffix for path in tracked if path not in ignored}
    assert not kinds & {".png", ".jpg", ".jpeg", ".gif", ".pdf"}
    for path in NOTEBOOKS:
        assert "image/png" not in path.read_text(encoding="utf-8"), path.name


def test_readme_commands_exist():
    readme = (ROOT / "README.md").read_text()
    assert "pip install . && maml-ode reproduce" in readme
    assert "pip install '.[test]' && pytest" in readme
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert metadata["version"] == mo.__version__
    assert metadata["scripts"]["maml-ode"] == "maml_ode.cli:main"
    assert f"version: {mo.__version__}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {mo.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("default")  # the notebook's kernel is another process
def test_notebooks_run_and_end_in_assertions(path, tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="needs the extra 'test'")
    nbclient = pytest.importorskip("nbclient", reason="needs the extra 'test'")
    notebook = nbformat.read(path, as_version=4)
    for package in notebook.metadata.get("needs", []):
        pytest.importorskip(package, reason=f"needs the extra {package!r}")
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert "assert" in code[-1]
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()


def _execute():
    spec = importlib.util.spec_from_file_location("execute", ROOT / "notebooks" / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_with_the_outputs_of_their_code(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    again = f"python notebooks/execute.py notebooks/{path.name}"
    assert notebook["metadata"].get("outputs_of") == _execute().code_digest(notebook), again
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1)), again
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert outputs
    # A dictionary as it is printed by itself is for programs.
    plain = ["".join(o.get("text", o.get("data", {}).get("text/plain", ""))) for o in outputs]
    assert not [text for text in plain if re.search(r"^\s*\{'", text, re.MULTILINE)]
    assert path.stat().st_size < 600_000
