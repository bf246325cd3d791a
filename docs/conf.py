"""Sphinx's settings: ``python -m sphinx -W -n docs docs/_build/html`` (extra ``docs``)."""

from __future__ import annotations

import sys
from pathlib import Path

import maml_ode

sys.path.insert(0, str(Path(__file__).parent))  # for mathml.py and site_parts.py

project = "maml_ode"
author = "The maml_ode developers"
copyright = "the maml_ode developers, MIT licence"
release = version = maml_ode.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "mathml",
    "site_parts",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
nitpicky = True
nitpick_ignore_regex = [
    # Types of other packages, which this site does not resolve, and shapes in numpydoc's prose.
    (
        r"py:(class|obj|func|meth|mod|exc)",
        r"(numpy|scipy|npt|np|sympy|numba|matplotlib|pandas|jax|torch)\..*",
    ),
    (r"py:class", r"(?!maml_ode\.).*"),
    (r"py:obj", r".*"),
]

html_theme = "pydata_sphinx_theme"
html_title = "maml_ode"
html_static_path = ["_static"]
html_css_files = ["explorer.css"]
html_js_files = [
    (name, {"defer": "defer"}) for name in ("explorer_math.js", "explorer_data.js", "explorer.js")
]
html_show_sourcelink = False
html_sidebars = {"**": []}
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_align": "left",
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "header_links_before_dropdown": 4,
    "pygments_light_style": "tango",
}

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks come with their outputs, and the tests execute every one
html_math_renderer = "mathml"
