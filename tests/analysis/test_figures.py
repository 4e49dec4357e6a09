"""What all figures share: labels that keep apart, a stamp, axes of counts, and files that repeat."""

import numpy as np
import pytest

from relscale.analysis import figures


def test_crowded_labels_are_spread_and_lonely_ones_stay() -> None:
    heights = figures.spread([0.0, 0.5, 0.51, 0.52, 0.9], 0.1)
    assert heights[0] == 0.0 and heights[-1] == 0.9
    np.testing.assert_allclose(heights[1:4], [0.41, 0.51, 0.61])
    assert min(np.diff(figures.spread([0.1, 0.1, 0.15, 0.3, 0.3], 0.1))) == pytest.approx(0.1)


def test_names_stand_at_the_ends_of_lines_in_their_order() -> None:
    figure = figures.new_figure(5, 3)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    figures.label_ends(
        axes, [(1, 0.5, "upper", "red"), (1, 0.49, "lower", "blue"), (1, 7.0, "outside", "green")]
    )
    placed = {text.get_text(): text.xyann[1] for text in axes.texts}
    assert list(placed) == ["lower", "upper", "outside"]
    assert placed["upper"] - placed["lower"] > 0.05
    assert placed["outside"] == 1.0


def test_a_count_axis_has_no_more_ticks_than_wanted() -> None:
    axes = figures.new_figure(4, 3).subplots()
    figures.count_axis(axes, np.array([8, 16, 32, 64, 128, 256, 512, 1024]), "databases N", n_ticks=4)
    assert list(axes.get_xticks()) == [8, 32, 128, 512]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["8", "32", "128", "512"]


def test_a_stamp_stays_with_the_picture_and_equal_figures_are_equal_files() -> None:
    def draw():
        figure = figures.new_figure(3, 2)
        figure.subplots().plot([0, 1])
        figures.stamp(figure, "incomplete grid: 1 of 4 points missing")
        return figure

    assert draw().get_suptitle() == "incomplete grid: 1 of 4 points missing"
    first, second = figures.render(draw()), figures.render(draw())
    assert first == second
    png, svg = first
    assert png.startswith(b"\x89PNG")
    assert b"<svg" in svg[:600]
