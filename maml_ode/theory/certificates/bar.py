"""A bar on standard error that names the certificate at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["certificate_bar"]


@contextmanager
def certificate_bar(show: bool, total: int) -> Iterator[Callable[[str], None]]:
    """Give a function to be called with the name of what begins; it does nothing unless ``show``."""
    if not show:
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("certify"), BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)
        begun = False

        def begin(name: str) -> None:
            nonlocal begun
            bar.update(task, advance=1 if begun else 0, description=name)
            begun = True

        yield begin
        bar.update(task, completed=total, description="done")
