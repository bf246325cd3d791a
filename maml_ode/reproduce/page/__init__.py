"""``index.html``: everything that `reproduce` wrote, as one page that needs nothing else."""

from maml_ode.reproduce.page.page import PAGE, write_page

__all__ = ["PAGE", "write_page"]
