"""``maml-ode errata [PAGE]``."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["write_errata"]


@click.command("errata")
@click.argument("page", type=click.Path(dir_okay=False, path_type=Path), required=False)
def write_errata(page: Path | None) -> None:
    """Show where the paper is wrong: examples computed now, and what holds instead.

    The page is Markdown; it goes to the file PAGE, or to the terminal without one.
    """
    from maml_ode.errata import to_markdown

    text = to_markdown() + "\n"
    if page is None:
        click.echo(text, nl=False)
        return
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"PAGE cannot be written: {error}.") from error
    click.echo(f"wrote {page}")
