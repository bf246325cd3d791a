"""The page and the check: everything that was made is on it, and a changed number is found."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from maml_ode.cli import main
from maml_ode.reproduce.check import SHIPPED, check, pack
from maml_ode.reproduce.page import write_page
from maml_ode.runs.files import sha256

ROOT = Path(__file__).parent.parent.parent
FIGURES = ROOT / "paper_figures"


class Page(HTMLParser):
    """Collects tags with their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    copy = tmp_path_factory.mktemp("made") / "figures"
    shutil.copytree(FIGURES, copy)
    return copy


@pytest.fixture(scope="module")
def page(folder):
    return Page(write_page(folder).read_text(encoding="utf-8"))


def test_the_page_shows_every_picture_table_and_verdict_and_asks_nobody(folder, page):
    text = "".join(page.text)
    for path in folder.glob("*.json"):
        record = json.loads(path.read_text())
        assert record["title"].split(":")[0] in text
        assert record["command"] in text
        for table in record["tables"]:
            assert {"href": table} in page.of("a")
    assert len([svg for svg in page.of("svg") if svg.get("role") == "img"]) == len(
        list(folder.glob("*.svg"))
    )
    rows = (folder / "report_statements.csv").read_text().count("\n") - 1
    rows += len(
        json.loads((folder / "report.json").read_text())["times"]["report_seconds"]["median"]
    )
    assert len([tr for tr in page.of("tr") if "data-verdict" in tr]) == rows
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            target = attributes.get(name, "")
            if target.startswith(("http:", "https:", "//")):
                assert tag == "a", (tag, target)


def test_names_inside_the_pictures_do_not_meet(page):
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))
    known = set(names)
    for tag, attributes in page.tags:
        target = attributes.get("xlink:href", attributes.get("href", ""))
        if target.startswith("#"):
            assert target[1:] in known, (tag, target)
        for value in attributes.values():
            for name in re.findall(r"url\(#([^)]+)\)", value or ""):
                assert name in known


def test_a_folder_with_nothing_in_it_has_no_page(tmp_path):
    assert write_page(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_the_shipped_tables_are_the_committed_ones():
    assert (ROOT / "maml_ode" / "reproduce" / SHIPPED).read_bytes() == pack(FIGURES)


def test_the_committed_figures_pass_their_own_check():
    found = check(FIGURES)
    assert {entry.verdict for entry in found} == {"equal"}
    assert len(found) == len(list(FIGURES.glob("*.json")))


def change(folder, table, row, column, value):
    """Change one cell of a table, and its hash in the record."""
    path = folder / f"{table}.csv"
    lines = path.read_text().split("\n")
    place = lines[0].split(",").index(column)
    cells = lines[row + 1].split(",")
    cells[place] = value(cells[place])
    lines[row + 1] = ",".join(cells)
    path.write_text("\n".join(lines))
    record = folder / f"{table.split('_')[0]}.json"
    data = json.loads(record.read_text())
    data["tables"][path.name]["sha256"] = sha256(path)
    record.write_text(json.dumps(data))


def test_a_changed_number_is_found_and_named_and_one_within_its_tolerance_is_not(tmp_path):
    folder = tmp_path / "figures"
    shutil.copytree(FIGURES, folder)
    change(folder, "fig1_critical_points", 2, "w", lambda x: repr(float(x) * (1 + 1e-12)))
    change(folder, "fig2_iterates", 7, "loss", lambda x: repr(float(x) * (1 + 1e-7)))
    change(folder, "fig3_work_precision", 30, "steps", lambda x: str(int(x) + 3))
    verdicts = {entry.name: entry for entry in check(folder)}
    assert verdicts["fig1"].verdict == "agrees"
    assert verdicts["fig2"].differs
    assert "fig2_iterates.csv: loss, row 7" in verdicts["fig2"].detail
    assert verdicts["fig3"].verdict == "agrees"
    result = CliRunner().invoke(main, ["reproduce", "--check", "--output", str(folder)])
    assert result.exit_code == 3
    assert "differs" in result.stdout
    named = CliRunner().invoke(main, ["reproduce", "--check", str(folder)])
    assert (named.exit_code, named.stdout) == (3, result.stdout)
    (folder / "fig4_depth.csv").unlink()
    assert next(e for e in check(folder) if e.name == "fig4").differs
    (folder / "fig4.json").unlink()
    assert next(e for e in check(folder) if e.name == "fig4").verdict == "not made"


def test_what_cannot_be_checked_is_said(tmp_path):
    result = CliRunner().invoke(main, ["reproduce", "--check", "--output", str(tmp_path)])
    assert result.exit_code == 2
    assert "run maml-ode reproduce --output" in result.stderr
    result = CliRunner().invoke(main, ["reproduce", "--check", "--fresh"])
    assert result.exit_code == 2
