"""Figures inline, files beside, words escaped."""

import base64

import jinja2
import pytest

from relscale.analysis import page
from relscale.analysis.figures import new_figure


def figure(width: float):
    drawn = new_figure(width, 2.0)
    drawn.subplots().plot([0, 1], [1, 0])
    return drawn


def test_a_picture_is_its_file(tmp_path):
    picture = page.save_figure(figure(6.0), tmp_path, "line", "A line.")
    head, data = picture.uri.split(",")
    assert head == "data:image/svg+xml;base64"
    assert base64.b64decode(data) == (tmp_path / "figures" / "line.svg").read_bytes()
    assert (tmp_path / "figures" / "line.png").read_bytes().startswith(b"\x89PNG")
    assert picture.width is None and picture.caption == "A line."


def test_a_wide_picture_keeps_its_width_and_a_heavy_one_becomes_a_png(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MAX_INLINE_SVG_BYTES", 100)
    picture = page.save_figure(figure(20.0), tmp_path, "line", "A line.")
    assert picture.uri.startswith("data:image/png;base64,") and picture.width == 1920


def test_words_are_escaped_and_gaps_are_refused():
    content = {"title": "a < b", "sentences": ["<i>"], "sections": [], "facts": {}}
    text = page.render_page("inspection.html.j2", **content)
    assert "<title>a &lt; b</title>" in text and "&lt;i&gt;" in text
    with pytest.raises(jinja2.UndefinedError):
        page.render_page("inspection.html.j2", title="a")
