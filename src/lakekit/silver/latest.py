"""latest: of several rows of one key, the last."""

from __future__ import annotations

from lakekit.batch import Batch
from lakekit.incremental import sides
from lakekit.incremental.order import nth, order_columns
from lakekit.incremental.target import require_columns
from lakekit.names import Columns
from lakekit.names import columns as as_columns


def latest(batch: Batch, *, key: Columns, order_by: Columns | None = None) -> Batch:
    """The last row of each key.

    A reduction that is safe on an increment: the stored row is compared again when the batch is merged.

    Args:
        batch: The rows.
        key: The columns that make a key. NULLs are equal here; a merge rejects them.
        order_by: What makes a row later. Default: ``_source_lsn``, ``_source_timestamp``, the position in the source, ``_ingestion_timestamp``. NULL is
            earliest. Ties: a delete is after an upsert, then a digest of the row decides, so that no order of arrival matters.

    Raises:
        SchemaError: A named column is missing.

    >>> import lakekit as lk, tempfile
    >>> batch = lk.from_frame(lk.connect(tempfile.mkdtemp()), [{"id": 1, "v": 1}, {"id": 1, "v": 2}], run_id="a")
    >>> lk.latest(batch, key="id", order_by="v").to_arrow().column("v").to_pylist()
    [2]
    """
    keys = as_columns(key, place="latest(key=)")
    names = batch.columns
    require_columns(names, keys, place="latest(key=)")
    sides.refuse_derived(batch, keys, place="latest(key=)", hint="latest() before lookup().")
    order = order_columns(names, order_by, place="latest(order_by=)")
    return batch.then(f"SELECT * EXCEPT (_nth) FROM (SELECT *, {nth(batch.schema, keys, order)} AS _nth FROM batch) WHERE _nth = 1")
