"""The databases of some seeds, one after the other in this process: what Ray is measured against.

    python benchmarks/plain_loop.py FOLDER N

Writes the first N seeds of the default prior, on one thread.
"""

import sys
from pathlib import Path

from threadpoolctl import threadpool_limits

from relscale.generation.making import make_database
from relscale.generation.priors import find_prior
from relscale.sweeps.config import StudyConfig


def main() -> None:
    """Make them."""
    out, n_seeds = Path(sys.argv[1]), int(sys.argv[2])
    corpus = StudyConfig().corpus
    prior = find_prior(corpus.prior)
    with threadpool_limits(limits=1):
        for seed in range(n_seeds):
            make_database(
                seed, out=out, prior=prior, config=corpus.generator, preset=corpus.preset, tasks=corpus.tasks
            )


if __name__ == "__main__":
    main()
