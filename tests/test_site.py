"""Every block of Python on the site's pages runs as it stands, and pages link to what is there."""

import ast
import contextlib
import importlib.util
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))


# Packages of extras: a part of a page that imports one runs where it is installed.
EXTRAS = ("jax", "torch", "dask", "pandas", "polars")
COPIED = ("notebooks/", "paper_figures/")
# From a network, a table, a flow, a grid to what is wanted of it, each in ten lines or fewer.
SHORT = {
    ("own_tasks", "import jax.numpy as jnp"): "meta_test",
    ("own_tasks", "import torch"): "meta_test",
    ("own_tasks", "import pandas as pd"): "certify",
    ("comparing_and_sweeping", "f, F = mo.ExpectedLoss"): "plot()",
    ("comparing_and_sweeping", "from dask.distributed"): "table()",
}


def sections(path):
    """The parts of a page with their blocks of Python."""
    for part in re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
        heading, _, rest = part.partition("\n")
        yield heading, re.findall(r"```python\n(.*?)```", rest, re.DOTALL)


def missing_packages(blocks):
    """Those of the extras that the blocks import and that are not installed."""
    named = set()
    for node in (node for block in blocks for node in ast.walk(ast.parse(block))):
        if isinstance(node, ast.Import):
            named |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named.add(node.module.partition(".")[0])
    return [name for name in EXTRAS if name in named and importlib.util.find_spec(name) is None]


@pytest.mark.filterwarnings("default:::distributed", "default::ResourceWarning")  # of its clusters
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_code_runs_word_for_word(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "page"}
    left_out = []
    for heading, blocks in sections(path):
        missing = missing_packages(blocks)
        if missing:
            left_out.append(f"{heading!r} for want of {' and '.join(missing)}")
            continue
        for block in blocks:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(block, path.name, "exec"), namespace)
    for name in [name for name in namespace if name.startswith("test_")]:  # those to copy
        namespace[name]()
    if left_out:
        pytest.skip(f"all but {', '.join(left_out)}")


@pytest.mark.parametrize(("page", "beginning"), SHORT)
def test_from_ones_own_to_what_is_wanted_takes_ten_lines(page, beginning):
    (block,) = (
        block
        for _, blocks in sections(ROOT / "docs" / f"{page}.md")
        for block in blocks
        if block.startswith(beginning)
    )
    assert SHORT[page, beginning] in block
    assert len([line for line in block.splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_links_and_pictures_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
        # Notebooks and figures are copied beside the pages when the site is built.
        where = ROOT if target.startswith(COPIED) else path.parent
        if target == "paper_figures/report.txt":
            target = "paper_figures/report.md"
        assert target.startswith("http") or (where / target).exists(), target


def test_every_page_is_in_the_table_of_contents():
    contents = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^([a-z_]+)$", contents, re.MULTILINE))
    assert {path.stem for path in PAGES} - {"index"} == named
