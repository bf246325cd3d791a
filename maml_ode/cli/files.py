"""Files that options name, refused before a run if they could not be written after it."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["check_files", "ending"]


def check_files(plot: str | None, save: str | None = None) -> None:
    """Refuse before the run what could not be written after it."""
    for option, name in (("--plot", plot), ("--save", save)):
        if name is not None and not Path(name).absolute().parent.is_dir():
            raise click.UsageError(f"{option} {name}: there is no such folder.")
    if save is not None and Path(save).suffix.lower() not in ("", ".npz"):
        raise click.UsageError(
            f"--save {save}: a trajectory is kept in an .npz file; name one, such as "
            f"{Path(save).with_suffix('.npz')}."
        )
    if plot is None:
        return
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    known = FigureCanvasAgg.get_supported_filetypes()
    if ending(plot) not in known:
        raise click.UsageError(
            f"--plot {plot}: the ending must be one of {', '.join(sorted(known))}."
        )


def ending(name: str) -> str:
    """Return the ending of a file's name, without the dot."""
    return Path(name).suffix.removeprefix(".").lower()
