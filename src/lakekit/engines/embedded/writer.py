"""Writes Arrow batches to Parquet files of an Iceberg table: rolling, by partition, a bounded number of rows in memory."""

from __future__ import annotations

import dataclasses
import itertools
import uuid
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

import attrs
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    MetricModeTypes,
    MetricsMode,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    schema_to_pyarrow,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionKey
from pyiceberg.schema import Schema, index_by_id
from pyiceberg.typedef import Record
from pyiceberg.types import DateType, TimestampType, TimestamptzType

from lakekit.engines.arrow import conform
from lakekit.engines.embedded import partitions
from lakekit.engines.types import storable
from lakekit.errors import TableError

if TYPE_CHECKING:
    from pyiceberg.table import Table

    from lakekit.engines.plan import TableState

ROWS_IN_MEMORY = 65_536
ROWS_TO_DIVIDE = 1 << 20
"""Of a partitioned table: each partition among so many rows gets a file, so fewer would make many small ones."""
TARGET_FILE_SIZE = 256 * 1024 * 1024
OPEN_FILES = 32
SAMPLE = 16_384
NEWEST_FORMAT = 2


def require_writable(state: TableState) -> None:
    """Raise where the table's format is one that pyiceberg can't write.

    Raises:
        TableError: It is: of version 3 or later.
    """
    version = state.native.metadata.format_version
    if version > NEWEST_FORMAT:
        raise TableError(
            state.label,
            f"the embedded engine writes Iceberg's format up to version {NEWEST_FORMAT}",
            got=f"format version {version}",
            hint="write it with Spark: lk.connect(spark, catalog=…). Reading it works here.",
        )


def file_schema(table: Table) -> pa.Schema:
    """The Arrow schema of the table's data files: current columns with their field ids, in types that Parquet writes compactly."""
    return pa.schema([_plain(field) for field in schema_to_pyarrow(table.schema(), include_field_ids=True)])


def _plain(field: pa.Field[Any]) -> pa.Field[Any]:
    """The field with `string` for pyiceberg's `large_string`, field ids kept at every level."""
    kind = field.type
    if pa.types.is_struct(kind):
        return field.with_type(pa.struct([_plain(inner) for inner in kind]))
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return field.with_type(pa.list_(_plain(kind.value_field)))
    if pa.types.is_map(kind):
        return field.with_type(pa.map_(cast("Any", _plain(kind.key_field)), cast("Any", _plain(kind.item_field))))
    return field.with_type(storable(kind))


def target_size(table: Table) -> int:
    """How large a table's files are meant to be, in bytes."""
    return int(table.properties.get("write.target-file-size-bytes", TARGET_FILE_SIZE))


@attrs.define
class _OpenFile:
    """One Parquet file being written.

    Attributes:
        without_elements: The columns of lists and maps that have had no element so far.
    """

    location: str
    sink: Any
    writer: Any
    metadata: list[Any]
    partition: PartitionKey | None
    without_elements: set[str]
    rows: int = 0


@attrs.define
class FileWriter:
    """Takes Arrow batches for one table and gives back its new data files.

    Batches are gathered to row groups of 65,536 rows (of a partitioned table, to a million rows, then divided), files roll at the table's ``write.target-file-size-bytes``. On an error every
    file begun is removed.
    """

    table: Table
    schema: pa.Schema = attrs.field(init=False)
    files: list[DataFile] = attrs.field(factory=list, init=False)
    rows: int = attrs.field(default=0, init=False)
    size: int = attrs.field(default=0, init=False)
    _open: dict[Any, _OpenFile] = attrs.field(factory=dict, init=False)
    _begun: list[str] = attrs.field(factory=list, init=False)
    _target: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.schema = file_schema(self.table)
        self._target = target_size(self.table)

    def write(self, batches: Iterable[pa.RecordBatch]) -> FileWriter:
        """Write all batches and close the files."""
        try:
            whole = self.table.spec().is_unpartitioned()
            for rows in _gather(batches, self.schema, ROWS_IN_MEMORY if whole else ROWS_TO_DIVIDE):
                for partition, part in self._split(rows):
                    self._write(partition, part)
            for key in list(self._open):
                self._close(key)
        except BaseException:
            self.discard()
            raise
        return self

    def discard(self) -> None:
        """Remove every file that was begun."""
        for file in self._open.values():
            file.writer.close()
            file.sink.close()
        self._open.clear()
        for location in self._begun:
            self.table.io.delete(location)
        self._begun.clear()

    def _split(self, rows: pa.Table) -> Iterator[tuple[PartitionKey | None, pa.Table]]:
        if self.table.spec().is_unpartitioned():
            yield None, rows
        else:
            yield from partitions.split(self.table, rows)

    def _write(self, partition: PartitionKey | None, rows: pa.Table) -> None:
        key = None if partition is None else partition.partition
        if key not in self._open:
            if len(self._open) >= OPEN_FILES:
                self._close(next(iter(self._open)))
            self._open[key] = self._begin(partition, rows)
        file = self._open[key]
        file.writer.write_table(rows, row_group_size=ROWS_IN_MEMORY)
        file.without_elements -= {name for name in file.without_elements if _has_elements(rows.column(name))}
        file.rows += rows.num_rows
        self.rows += rows.num_rows
        if file.sink.tell() >= self._target:
            self._close(key)

    def _begin(self, partition: PartitionKey | None, rows: pa.Table) -> _OpenFile:
        location = self.table.location_provider().new_data_location(f"{uuid.uuid4()}.parquet", partition)
        self._begun.append(location)
        sink: Any = self.table.io.new_output(location).create()
        metadata: list[Any] = []
        writer = pq.ParquetWriter(
            sink,
            self.schema,
            compression="zstd",
            metadata_collector=metadata,
            use_dictionary=cast("Any", self._repetitive(rows)),
            store_schema=False,
            write_batch_size=1024,
            data_page_size=1 << 20,
        )
        return _OpenFile(location, sink, writer, metadata, partition, {field.name for field in self.schema if _are_lists(field)})

    def _repetitive(self, rows: pa.Table) -> list[str]:
        """The columns to encode by dictionary. One of values that hardly repeat takes thrice the time to write, and more room."""
        sample = rows.slice(0, SAMPLE)
        unique = {name for name in rows.column_names if not _repeats(sample.column(name))}
        return [path for path in parquet_path_to_id_mapping(self.table.schema()) if path not in unique]

    def _close(self, key: Any) -> None:
        file = self._open.pop(key)
        file.writer.close()
        file.sink.close()
        schema = self.table.schema()
        statistics = data_file_statistics_from_parquet_metadata(
            parquet_metadata=file.metadata[0],
            stats_columns=_statistics_plan(file.metadata[0], self.table),
            parquet_column_mapping=parquet_path_to_id_mapping(schema),
        )
        for number in itertools.chain.from_iterable(index_by_id(Schema(schema.find_field(name))) for name in file.without_elements):
            if number in statistics.value_counts:  # Arrow doesn't count a row without elements, Parquet does
                statistics.null_value_counts[number] = statistics.value_counts[number]
        size = len(self.table.io.new_input(file.location))
        self.size += size
        written = DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=file.location,
            file_format=FileFormat.PARQUET,
            partition=file.partition.partition if file.partition else Record(),
            file_size_in_bytes=size,
            sort_order_id=None,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )
        written.spec_id = self.table.spec().spec_id
        self.files.append(written)


def _statistics_plan(metadata: Any, table: Table) -> dict[int, Any]:
    """Which statistics a file gets: no bounds of times that Python has no object for, since pyiceberg takes them as such objects."""
    schema = table.schema()
    plan = dict(compute_statistics_plan(schema, table.properties))
    ids = parquet_path_to_id_mapping(schema)
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(metadata.num_columns)):
            number = ids[column.path_in_schema]
            if isinstance(plan[number].iceberg_type, DateType | TimestampType | TimestamptzType) and not _has_bounds(column):
                plan[number] = dataclasses.replace(plan[number], mode=MetricsMode(MetricModeTypes.COUNTS))
    return plan


def _are_lists(field: pa.Field[Any]) -> bool:
    return pa.types.is_list(field.type) or pa.types.is_map(field.type)


def _has_elements(column: pa.ChunkedArray[Any]) -> bool:
    """Whether any list or map has one. Those that are NULL may be taken for such."""
    return any(len(chunk) and chunk.offsets[-1].as_py() > chunk.offsets[0].as_py() for chunk in cast("Any", column.chunks))


def _has_bounds(column: Any) -> bool:
    try:
        _ = column.is_stats_set and (column.statistics.min, column.statistics.max)
    except (OverflowError, ValueError):
        return False
    return True


def _repeats(column: pa.ChunkedArray[Any]) -> bool:
    """Whether values come twice on average. What is in nested columns isn't looked at."""
    if pa.types.is_nested(column.type):
        return True
    values = column.cast(column.type.storage_type) if isinstance(column.type, pa.BaseExtensionType) else column
    return cast("Any", pc).count_distinct(values).as_py() * 2 <= len(values)


def _gather(batches: Iterable[pa.RecordBatch], schema: pa.Schema, most: int) -> Iterator[pa.Table]:
    """Batches in the file's columns and types, so many rows together."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        if batch.num_rows == 0:
            continue
        held.append(conform(batch, schema))
        count += batch.num_rows
        if count >= most:
            yield pa.Table.from_batches(held, schema)
            held, count = [], 0
    if held:
        yield pa.Table.from_batches(held, schema)
