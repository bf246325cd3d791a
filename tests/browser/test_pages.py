"""The report and the explorer in a real browser: no request leaves, nothing is wider than the screen."""

import shutil
from pathlib import Path

import pytest

import maml_ode as mo
from maml_ode.reproduce.page import write_page

FIGURES = Path(__file__).parent.parent.parent / "paper_figures"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "figures"
    shutil.copytree(FIGURES, folder)
    return write_page(folder)


def shown(browser):
    return browser.run(
        "return Array.from(document.querySelectorAll('#verdicts tbody tr')).filter(r => !r.hidden)"
        ".map(r => Array.from(r.cells).map(c => c.textContent.trim()))"
    )


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_the_report_is_one_file_that_fits_the_screen(browser, report, width, dark):
    browser.open(report, width, dark)
    assert browser.requests() == [report.as_uri()] or all(
        url.startswith((report.as_uri(), "data:")) for url in browser.requests()
    )
    assert browser.complaints() == []
    assert browser.overflows() <= 0
    ink, paper = browser.run(
        "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    )
    light = [sum(int(part) for part in colour[4:-1].split(",")[:3]) for colour in (ink, paper)]
    assert (light[0] > light[1]) is dark


def test_verdicts_filter_and_sort(browser, report):
    browser.open(report)
    rows = shown(browser)
    browser.run(
        "const s = document.getElementById('verdict-filter'); s.value = 'not reproduced';"
        "s.dispatchEvent(new Event('change'))"
    )
    chosen = shown(browser)
    assert chosen == [row for row in rows if row[2] == "not reproduced"]
    assert 0 < len(chosen) < len(rows)
    browser.run(
        "const t = document.getElementById('text-filter'); t.value = 'DIGITS';"
        "t.dispatchEvent(new Event('input'))"
    )
    assert shown(browser) == [row for row in chosen if "digits" in " ".join(row).lower()]
    browser.run(
        "for (const e of document.querySelectorAll('.filters select, .filters input')) {"
        "e.value = ''; e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change')) }"
    )
    for times, reverse in ((1, False), (2, True)):
        browser.run("document.querySelectorAll('#verdicts th button')[3].click()")
        values = browser.run(
            "return Array.from(document.querySelectorAll('#verdicts tbody tr'))"
            ".map(r => Number(r.cells[3].dataset.value))"
        )
        assert len(values) == len(rows), times
        assert values == sorted(values, reverse=reverse)


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_the_front_page_asks_nobody_and_fits_the_screen(browser, site, width, dark):
    browser.open(site / "index.html", width, dark)
    assert all(url.startswith(("file:", "data:")) for url in browser.requests())
    assert browser.complaints() == []
    assert browser.overflows() <= 0


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize(
    "page",
    ["gallery", "paper", "extending", "api", "notebooks/01_the_maml_ode_in_five_minutes"],
)
def test_pages_with_pictures_and_tables_fit_the_screen(browser, site, page, width):
    browser.open(site / f"{page}.html", width, dark=width == 400)
    assert all(url.startswith(("file:", "data:")) for url in browser.requests())
    assert browser.complaints() == []
    assert browser.overflows() <= 0
    assert (
        browser.run(
            "return Array.from(document.querySelectorAll('article img'))"
            ".filter(i => !i.naturalWidth).map(i => i.src)"
        )
        == []
    )


def test_every_thumbnail_leads_to_the_code_and_the_picture_that_it_makes(browser, site):
    browser.open(site / "gallery.html")
    found = browser.run(
        "return Array.from(document.querySelectorAll('.thumbnails a')).map(a => {"
        "const part = document.getElementById(a.getAttribute('href').slice(1));"
        "return [part.querySelectorAll('pre').length, part.querySelectorAll('img').length,"
        "a.querySelector('img').getAttribute('src') === part.querySelector('img').getAttribute('src')]})"
    )
    assert len(found) >= 15
    assert all(pre == img == 1 and same for pre, img, same in found)


def test_notebooks_are_shown_with_their_outputs(browser, site):
    for path in sorted((site / "notebooks").glob("*.html")):
        browser.open(path)
        outputs = browser.run("return document.querySelectorAll('.cell_output').length")
        assert outputs > 0, path.name
        drawn = "image/svg+xml" in (FIGURES.parent / "notebooks" / f"{path.stem}.ipynb").read_text()
        pictures = browser.run("return document.querySelectorAll('.cell_output img').length")
        assert (pictures > 0) is drawn, path.name


def move(browser, slider, value):
    browser.run(
        "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
        "s.dispatchEvent(new Event('input'))",
        slider,
        value,
    )


def test_sliders_move_the_count_of_critical_points_and_the_iterates(browser, site):
    browser.open(site / "index.html")
    problem = mo.experiments.load("figure1")
    for alpha in (0.02, 0.1, 0.25, 0.4):
        move(browser, "maml-alpha", alpha)
        proved = mo.theory.count_critical_points(problem.tasks, alpha).count
        assert (
            int(browser.run("return document.getElementById('maml-explorer').dataset.count"))
            == proved
        )
        assert f"proved: {proved} on the whole line" in browser.run(
            "return document.getElementById('maml-verdict').textContent"
        )
    before = browser.run("return document.querySelectorAll('#maml-explorer .iterate').length")
    move(browser, "maml-beta", 0)  # beta = 1: the iterates leave the picture or jump about
    after = browser.run(
        "return Array.from(document.querySelectorAll('#maml-explorer .iterate')).map(c => c.getAttribute('cx'))"
    )
    assert before == 60
    assert len(set(after)) != 60 or after != sorted(after, key=float, reverse=True)
