"""One self-contained HTML page: figures inline, text escaped, one style."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from relscale.analysis.figures import Figure, render
from relscale.platform import storage

# Beyond this an SVG of many points makes the page slow to open; its PNG stands in.
MAX_INLINE_SVG_BYTES = 600_000
MAX_INCHES = 14.0
"""A wider figure is not shrunk to the page; one scrolls along it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure on a page: a data URI, the words below it, and its width in pixels if it must not shrink."""

    uri: str
    caption: str
    width: int | None


def save_figure(figure: Figure, folder: Path, name: str, caption: str) -> Picture:
    """Write folder/figures/<name>.png and .svg; the picture for the page."""
    width = figure.get_figwidth()
    png, svg = render(figure)
    storage.write_bytes(folder / "figures" / f"{name}.png", png)
    storage.write_bytes(folder / "figures" / f"{name}.svg", svg)
    kind, data = ("svg+xml", svg) if len(svg) <= MAX_INLINE_SVG_BYTES else ("png", png)
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return Picture(uri, caption, round(96 * width) if width > MAX_INCHES else None)


def render_page(template: str, **content: Any) -> str:
    """A template of this package as HTML; every value is escaped."""
    loader = jinja2.PackageLoader("relscale.analysis", "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.get_template(template).render(**content)
