"""What the pages of `relscale inspect` have in common: sections, numbers in words, the file itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from relscale.analysis.page import Picture, render_page
from relscale.platform import storage
from relscale.platform.errors import ConfigError
from relscale.platform.progress import human_count


@dataclass(slots=True)
class Section:
    """A heading of the page, what one sees below it, and the pictures and tables."""

    title: str
    lead: str
    figures: list[Picture] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)


def write_page(
    out: Path, *, title: str, sentences: Sequence[str], sections: Sequence[Section], seconds: float
) -> Path:
    """Render the template into out/inspection.html; returns its path."""
    packages = ("relscale", "numpy", "scipy", "matplotlib", "pyarrow")
    facts = {
        "seconds": f"{seconds:.1f}",
        "versions": ", ".join(f"{name} {version(name)}" for name in packages),
    }
    page = render_page("inspection.html.j2", title=title, sentences=sentences, sections=sections, facts=facts)
    storage.write_text(out / "inspection.html", page)
    return out / "inspection.html"


def write_statistics(rows: pd.DataFrame, out: Path) -> None:
    """Write out/statistics.parquet: one row a database, the columns of `STATISTICS` after its name."""
    storage.write_bytes(out / "statistics.parquet", rows.to_parquet(index=False))


def refuse_inside(folder: Path, out: Path) -> None:
    """A page inside what it shows would change that folder's content: ConfigError."""
    if out.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"the page's folder '{out}' lies inside '{folder}'; choose an --out beside it.")


def plural(count: int, noun: str) -> str:
    """The count with its noun, in the plural where it needs one."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def number(value: float) -> str:
    """A measure for a table: three digits, or a dash where there is none."""
    if not np.isfinite(value):
        return "–"
    if abs(value) >= 1e5:
        return human_count(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
