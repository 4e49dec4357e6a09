"""A prior whose databases take no time: one table of twenty numbers, for measuring what surrounds them."""

from datetime import datetime

import numpy as np
import pyarrow as pa

from relscale.generation import Prior
from relscale.generation.database import Database, Table
from relscale.platform.config import Config
from relscale.platform.seeds import Purpose, stream

ROWS = 20


class TrivialConfig(Config):
    """It has no settings."""


def generate(seed: int, config: TrivialConfig) -> Database:
    """The database of a seed."""
    numbers = stream(seed, Purpose.FEATURES).normal(size=ROWS)
    data = pa.table({"row_idx": np.arange(ROWS), "number": numbers})
    table = Table(name="only", data=data, pkey="row_idx", fkeys={}, time_col=None)
    return Database(
        name=f"trivial-{seed}",
        tables={"only": table},
        val_timestamp=datetime(2020, 1, 1),
        test_timestamp=datetime(2020, 2, 1),
        description="Twenty numbers.",
    )


PRIOR = Prior(
    name="trivial", generate=generate, config=TrivialConfig, presets={"only": TrivialConfig()}, version=1
)
