"""Corpora of small databases, and every way in which two of them differ."""

import json
from collections.abc import Iterator
from pathlib import Path

from relscale.generation.making import RECEIPT
from relscale.platform.storage import DRAFT, digest_files

SMALL = [
    "corpus.generator.num_tables=[3, 5]",
    "corpus.generator.rows_entity=[100, 200]",
    "corpus.generator.rows_activity=[300, 600]",
    "corpus.generator.num_columns=[3, 8]",
]
"""Databases of a fraction of a second, so that a kill hits any stage of their making."""


def differences(one: Path, other: Path) -> Iterator[str]:
    """Every way in which corpus `other` is not as `one`; a receipt's times do not count."""
    for name in sorted(
        {folder.name for corpus in (one, other) for folder in (corpus / "databases").iterdir()}
    ):
        digests = [digest(corpus / "databases" / name) for corpus in (one, other)]
        if digests[0] != digests[1]:
            yield f"databases/{name}: {digests[0]} and {digests[1]}"
    drafts = list(other.rglob(f"{DRAFT}*"))
    if drafts:
        yield f"{len(drafts)} drafts are left, such as {drafts[0].name}"
    summaries = [json.loads((corpus / "corpus.json").read_text()) for corpus in (one, other)]
    for key in sorted(summaries[0].keys() | summaries[1].keys()):
        if summaries[0].get(key) != summaries[1].get(key):
            yield f"corpus.json, {key}: {summaries[0].get(key)} and {summaries[1].get(key)}"


def digest(folder: Path) -> str:
    """Of every file but the receipt, which holds times."""
    return digest_files(folder, exclude=frozenset([RECEIPT])) if folder.is_dir() else "absent"
