"""A Sphinx extension: what the site shows of the rest of the repository, put in place before it is built.

Notebooks come with the outputs that are kept in them; the gallery's pictures are made by the very blocks of
code that stand on its page; the paper's figures are those beside their scripts.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
PICTURES = "gallery_pictures"
NOTEBOOKS = "notebooks"

_SECTION = re.compile(
    r"^## (?P<title>[^\n]+)\n+```python\n(?P<code>.*?)```\n", re.MULTILINE | re.DOTALL
)


def slug(title: str) -> str:
    """Return a heading as the anchor that MyST gives it."""
    return re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-")


def sections(text: str) -> list[tuple[str, str]]:
    """Return the gallery's headings with their blocks of code."""
    return [(found["title"], found["code"]) for found in _SECTION.finditer(text)]


def draw(code: str, path: Path) -> None:
    """Run a block and write the figure that it leaves, as SVG without a date."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.close("all")
    with matplotlib.rc_context({"svg.hashsalt": "maml_ode"}):
        exec(compile(code, path.stem, "exec"), {"__name__": "gallery"})
        plt.gcf().savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight")
    plt.close("all")


def with_pictures(text: str) -> str:
    """Return the gallery's page with its thumbnails, and with every picture below its code."""
    cards = []
    for title, _ in sections(text):
        picture = f"{PICTURES}/{slug(title)}.svg"
        cards.append(f"[![{title}]({picture})](#{slug(title)})")
    grid = "::::{container} thumbnails\n" + "\n\n".join(cards) + "\n::::"
    text = text.replace("{{ thumbnails }}", grid)
    return _SECTION.sub(
        lambda found: f"{found[0]}\n![{found['title']}]({PICTURES}/{slug(found['title'])}.svg)\n",
        text,
    )


def put_in_place(app: Any) -> None:
    """Copy notebooks and figures into the source folder, and draw the gallery's pictures that are not there."""
    source = Path(app.srcdir)
    for folder, pattern in ((NOTEBOOKS, "*.ipynb"), ("paper_figures", "*.svg")):
        (source / folder).mkdir(exist_ok=True)
        for path in (ROOT / folder).glob(pattern):
            shutil.copy2(path, source / folder)
    shutil.copy2(ROOT / "paper_figures" / "report.md", source / "paper_figures" / "report.txt")
    pictures = source / PICTURES
    pictures.mkdir(exist_ok=True)
    for title, code in sections((source / "gallery.md").read_text(encoding="utf-8")):
        path, made_by = pictures / f"{slug(title)}.svg", pictures / f"{slug(title)}.py"
        if not made_by.exists() or made_by.read_text(encoding="utf-8") != code:
            draw(code, path)
            made_by.write_text(code, encoding="utf-8")


def read(app: Any, docname: str, source: list[str]) -> None:
    """Give the gallery its pictures."""
    if docname == "gallery":
        source[0] = with_pictures(source[0])


def setup(app: Any) -> dict[str, Any]:
    """Register what is done before reading."""
    app.connect("builder-inited", put_in_place, priority=100)
    app.connect("source-read", read)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
