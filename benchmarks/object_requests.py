"""Objects and requests that a database costs on an object store, from the log of an S3 server on loopback.

    python benchmarks/object_requests.py [--databases 4] [--preset plurel-1.1] [--out FILE]

Makes, tokenizes and stages databases of the given preset in this process, N of them and then 2 N more, and
prints what each of the latter has cost, and what a finished command costs when it is run again.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

KINDS = ("PUT", "POST", "LIST", "GET", "HEAD", "DELETE")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--databases", type=int, default=4)
    parser.add_argument("--preset", default="plurel-1.1")
    parser.add_argument("--out", type=Path, help="JSON file of the figures")
    given = parser.parse_args()
    figures = measure(given.databases, given.preset)
    print(f"{'per database':20}{'objects':>9}{'bytes':>12}" + "".join(f"{kind:>8}" for kind in KINDS))
    for stage, row in figures.items():
        counts = "".join(f"{row[kind]:>8.2f}" for kind in KINDS)
        print(f"{stage:20}{row['objects']:>9.2f}{row['bytes']:>12,.0f}{counts}")
    if given.out:
        given.out.write_text(json.dumps(figures, indent=2) + "\n")


def measure(n: int, preset: str) -> dict[str, dict[str, float]]:
    """{stage: objects, bytes and requests per database}."""
    from object_store import BUCKET, serving

    scratch = tempfile.mkdtemp(prefix="relscale-requests-")
    os.environ |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "RELSCALE_MIRROR": scratch}
    try:
        with serving() as store:
            os.environ["AWS_ENDPOINT_URL"] = store.endpoint
            stages = _stages(f"s3://{BUCKET}", preset)
            few = _costs(store, stages, n, scratch)
            many = _costs(store, stages, 3 * n, scratch)
            again = _costs(store, stages, 3 * n, scratch)
    finally:
        shutil.rmtree(scratch)
    # `many` extends: its 3 n databases cost n found done, 2 n made; `again` gives what one found done costs.
    found = {stage: {key: value / (3 * n) for key, value in row.items()} for stage, row in again.items()}
    made = {
        stage: {key: (value - n * found[stage][key]) / (2 * n) for key, value in row.items()}
        for stage, row in many.items()
    }
    made["stage to a node"] = {
        key: (many["stage to a node"][key] - few["stage to a node"][key]) / (2 * n)
        for key in many["stage to a node"]
    }
    del found["stage to a node"]
    return made | {f"{stage} again": row for stage, row in found.items()}


def _costs(
    store: Any, stages: dict[str, Callable[[int], object]], n: int, scratch: str
) -> dict[str, dict[str, float]]:
    """What each stage costs for n databases, on a node that has nothing yet."""
    rows = {}
    for stage, run in stages.items():
        shutil.rmtree(scratch)
        store.requests.clear()
        before = {name: len(store.bytes_of(name)) for name in store.objects()}
        run(n)
        after = {name: len(store.bytes_of(name)) for name in store.objects()}
        counts = Counter(dict.fromkeys(KINDS, 0)) + store.counts()
        n_bytes = sum(after.values()) - sum(before.values())
        rows[stage] = {
            "objects": len(after) - len(before),
            "bytes": n_bytes,
            **{kind: counts[kind] for kind in KINDS},
        }
    return rows


def _stages(uri: str, preset: str) -> dict[str, Callable[[int], object]]:
    from relscale.generation.corpus import database_folders, generate_corpus
    from relscale.generation.priors import find_prior
    from relscale.model.config import TextConfig
    from relscale.model.store import TokenStore
    from relscale.model.tokenize import tokenize_folders
    from relscale.platform.dataflow import map_keys_here
    from relscale.platform.remote import place

    corpus, tokens = place(f"{uri}/corpus"), place(f"{uri}/store")
    prior = find_prior("plurel")
    config = prior.preset(preset)

    def generate(n: int) -> None:
        generate_corpus(corpus, prior, config, preset=preset, num_databases=n, run=map_keys_here)

    def tokenize(n: int) -> None:
        tokenize_folders(database_folders(corpus), tokens, TextConfig(), run=map_keys_here)

    def stage(n: int) -> None:
        store = TokenStore.open(tokens)
        store.bring(store.names)

    return {"generate": generate, "tokenize": tokenize, "stage to a node": stage}


if __name__ == "__main__":
    main()
