"""Label tables of a task by its SQL, exactly as relbench itself regenerates them."""

from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from relscale.generation.database import Database, Table

if TYPE_CHECKING:
    from relbench.manifest import TaskManifest


def relbench_task(database: Database, manifest: "TaskManifest") -> Any:
    """The task as an object of relbench, over the database in memory."""
    import relbench.base
    from relbench.load import build_task

    def table(table: Table) -> relbench.base.Table:
        frame = table.data.to_pandas()
        frame = frame.astype(dict.fromkeys(frame.select_dtypes("str"), object))  # duckdb reads no "str"
        return relbench.base.Table(frame, table.fkeys, table.pkey, table.time_col)

    dataset = relbench.base.Dataset()
    dataset.val_timestamp = pd.Timestamp(database.val_timestamp)
    dataset.test_timestamp = pd.Timestamp(database.test_timestamp)
    dataset.make_db = lambda: relbench.base.Database({t.name: table(t) for t in database.tables.values()})
    return build_task(dataset, manifest, regenerate=True)


def label_tables(task: Any) -> dict[str, pa.Table]:
    """Label tables of a relbench task by split."""
    return {
        split: pa.Table.from_pandas(task.get_table(split, mask_input_cols=False).df, preserve_index=False)
        for split in ("train", "val", "test")
    }
