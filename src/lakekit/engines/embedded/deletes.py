"""Position deletes: files that name the rows of a data file which are gone, each for one data file."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.conversions import to_bytes
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.types import LongType, StringType

if TYPE_CHECKING:
    from pyiceberg.table import FileScanTask, Table

FILE_PATH: Final = 2147483546
POSITION: Final = 2147483545
SCHEMA: Final = pa.schema(
    [
        pa.field("file_path", pa.string(), nullable=False, metadata={"PARQUET:field_id": str(FILE_PATH)}),
        pa.field("pos", pa.int64(), nullable=False, metadata={"PARQUET:field_id": str(POSITION)}),
    ]
)


def of_one_file(delete: DataFile, task: FileScanTask) -> bool:
    """Whether a file of position deletes names rows of this data file only, as its bounds say."""
    path = task.file.file_path.encode()
    return all((bounds or {}).get(FILE_PATH) == path for bounds in (delete.lower_bounds, delete.upper_bounds))


def already(task: FileScanTask) -> int:
    """How many of a data file's rows are gone already, as far as the delete files of its own tell."""
    return sum(file.record_count for file in task.delete_files if of_one_file(file, task))


def write(table: Table, task: FileScanTask, positions: Iterator[pa.Array[Any]]) -> DataFile:
    """Write the positions of one data file's deleted rows, in ascending order, to a file beside it."""
    path = task.file.file_path
    location = table.location_provider().new_data_location(f"{uuid.uuid4()}-deletes.parquet", None)
    least = most = None
    count = 0
    sink: Any = table.io.new_output(location).create()
    with sink, pq.ParquetWriter(sink, SCHEMA, compression="zstd", store_schema=False) as writer:
        for part in positions:
            least = part[0].as_py() if least is None else least
            most = part[-1].as_py()
            count += len(part)
            writer.write_table(pa.table([pa.repeat(path, len(part)), part], schema=SCHEMA))
    size = len(table.io.new_input(location))
    written = DataFile.from_args(
        content=DataFileContent.POSITION_DELETES,
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=task.file.partition,
        record_count=count,
        file_size_in_bytes=size,
        lower_bounds={FILE_PATH: to_bytes(StringType(), path), POSITION: to_bytes(LongType(), least or 0)},
        upper_bounds={FILE_PATH: to_bytes(StringType(), path), POSITION: to_bytes(LongType(), most or 0)},
        column_sizes=None,
        value_counts={FILE_PATH: count, POSITION: count},
        null_value_counts={FILE_PATH: 0, POSITION: 0},
        nan_value_counts=None,
        key_metadata=None,
        split_offsets=None,
        equality_ids=None,
        sort_order_id=None,
    )
    written.spec_id = task.file.spec_id
    return written
