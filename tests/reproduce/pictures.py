"""What a reader of a picture must be spared, checked on the drawn figure."""

from itertools import combinations

from matplotlib.text import Text

from maml_ode.plotting.style import house_style

__all__ = ["assert_legible", "draw"]


def draw(artefact, tables, settings):
    """Draw as the pipeline does."""
    with house_style():
        figures = artefact.draw(tables, settings)
        for figure in figures.values():
            figure.draw_without_rendering()
    return figures


def assert_legible(figure, columns=1):
    """No text is cut off, every panel says what its axes are, no title covers another.

    In a grid whose rows share their vertical axis only every ``columns``-th panel names it.
    """
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip():
            box = text.get_window_extent()
            # Tick labels beyond the ends of an axis have no place and are not drawn.
            if text.get_clip_on():
                continue
            inside = (
                box.x0 >= -1
                and box.y0 >= -1
                and box.x1 <= figure.bbox.x1 + 1
                and box.y1 <= figure.bbox.y1 + 1
            )
            assert inside, f"{text.get_text()!r} is cut off"
    for place, axis in enumerate(figure.axes):
        assert place % columns or axis.get_ylabel(), f"the panel {axis.get_title()!r} has no label"
        assert axis.get_title() or len(figure.axes) == 1
    titles = [axis.title.get_window_extent() for axis in figure.axes if axis.get_title()]
    assert not any(one.overlaps(other) for one, other in combinations(titles, 2))
