"""README and notebooks run as they stand, and the documents agree with the package."""

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


def test_readme_links_and_commands_exist():
    readme = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", readme):
        assert target.startswith("http") or (ROOT / target).exists(), target
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
    assert all(not cell.get("outputs") for cell in notebook.cells if cell.cell_type == "code"), (
        "notebooks are committed without outputs"
    )
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
