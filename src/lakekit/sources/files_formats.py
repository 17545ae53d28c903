"""How each format of files is read: its schema first, then its rows in batches. Memory holds some megabytes of one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

import attrs

from lakekit.errors import SchemaError, SourceConfigError
from lakekit.sources import files_schema

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES: Final = 8 << 20
BATCH_ROWS: Final = 65_536
_NOT_UTF8: Final = "its characters are not UTF-8"
_OTHER_DELIMITERS: Final = ";\t|,"


class Reader(Protocol):
    """One file. ``name`` is what ``_source`` holds, ``place`` says where it is in an error."""

    @property
    def path(self) -> Path: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def place(self) -> str: ...  # noqa: D102

    def schema(self) -> pa.Schema:
        """The columns the file has. A type of null where only NULL was met."""
        ...

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows. Columns may be missing, and be of other types than the schema's."""
        ...


_T = TypeVar("_T")


def _reading(place: str, what: str, call: Callable[[], _T]) -> _T:
    """Call, and turn what Arrow says about a broken file into an error that names it. Arrow's text is dropped: it quotes the file."""
    import pyarrow as pa

    try:
        return call()
    except FileNotFoundError:
        failure = SourceConfigError(place, "vanished while it was read", hint="files must stay until they are ingested.")
    except PermissionError:
        failure = SourceConfigError(place, "may not be read", hint="give the process the right to read it.")
    except pa.ArrowNotImplementedError:
        failure = SourceConfigError(place, f"holds {what} that is not supported", hint="write the file in a simpler form.")
    except (pa.ArrowException, OSError, EOFError, UnicodeError) as error:
        meaning = _harmless(str(error))
        hint = "it may be truncated, or not be what format= says: mend it, or move it away."
        hint = "write encoding='latin-1', or whatever it was written in." if meaning == _NOT_UTF8 and what == "CSV" else hint
        failure = SourceConfigError(place, f"cannot be read as {what}" + (f": {meaning}" if meaning else ""), hint=hint)
    raise failure  # not in the handlers, so that Arrow's text does not hang on the new error


def _harmless(text: str) -> str:
    """Words of Arrow's text that tell what is wrong without quoting the file."""
    for words, meaning in (
        ("Expected", "a row with more or fewer fields than the header"),
        ("Empty", "it is empty"),
        ("UTF8", _NOT_UTF8),
        ("conversion error", "a value that is not of its column's type"),
        ("magic bytes", "its end is missing"),
        ("unexpected field", "a field that schema= lacks"),
        ("changed from", "a field of two types"),
        ("JSON parse error", "a line that is not one JSON object"),
        ("straddling object", "a line that is not one JSON object"),
    ):
        if words in text:
            return meaning
    return ""


@attrs.frozen
class ParquetReader:
    """A Parquet file, one slice of a row group at a time."""

    path: Path
    name: str
    place: str
    given: pa.Schema | None

    def schema(self) -> pa.Schema:
        """The schema in the file's footer."""
        import pyarrow.parquet as pq

        return _reading(self.place, "Parquet", lambda: pq.read_schema(self.path))

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows, as they are stored."""
        import pyarrow.parquet as pq

        with _reading(self.place, "Parquet", lambda: pq.ParquetFile(self.path)) as file:
            wanted = [name for name in file.schema_arrow.names if name in schema.names]
            yield from _stepwise(file.iter_batches(batch_size=BATCH_ROWS, columns=wanted), self.place, "Parquet")


def _stepwise(batches: Iterator[pa.RecordBatch], place: str, what: str) -> Iterator[pa.RecordBatch]:
    while (batch := _reading(place, what, lambda: next(batches, None))) is not None:
        yield batch


@attrs.frozen
class Dialect:
    """How a CSV file is written."""

    delimiter: str
    quote: str
    header: bool
    encoding: str
    null_values: tuple[str, ...]


@attrs.frozen
class CsvReader:
    """A CSV file: text, or the types given."""

    path: Path
    name: str
    place: str
    given: pa.Schema | None
    dialect: Dialect

    def schema(self) -> pa.Schema:
        """The header's columns: the types given, text for the others."""
        import pyarrow as pa

        if self._empty():
            return pa.schema({})
        with _reading(self.place, "CSV", lambda: self._open({}, block=1 << 20)) as reader:
            columns = reader.schema.names
        given = {} if self.given is None else {field.name: field.type for field in self.given}
        self._refuse_one_column_of_many(columns, given)
        fields: list[Any] = [pa.field(name, given.get(name, pa.string())) for name in columns]
        return pa.schema(fields)

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows, parsed as the types of the schema."""
        if self._empty():
            return
        types = {name: schema.field(name).type for name in self.schema().names}
        with _reading(self.place, "CSV", lambda: self._open(types, block=BLOCK_BYTES)) as reader:
            yield from _stepwise(iter(reader), self.place, "CSV")

    def _refuse_one_column_of_many(self, columns: list[str], given: Mapping[str, pa.DataType]) -> None:
        """Ingested so, the file would count as read, and its rows would be of no use."""
        meant = next((character for character in _OTHER_DELIMITERS if character in columns[0]), None) if len(columns) == 1 else None
        if meant is not None and columns[0] not in given:
            raise SchemaError(
                self.place,
                f"its header is one column, with {meant!r} in its name",
                got=f"delimiter={self.dialect.delimiter!r}",
                hint=f"write delimiter={meant!r}; if it is one column, name it in schema=.",
            )

    def _empty(self) -> bool:
        return _reading(self.place, "CSV", lambda: self.path.stat().st_size == 0)

    def _open(self, types: dict[str, pa.DataType], *, block: int) -> Any:
        from pyarrow import csv

        names = None if self.dialect.header or self.given is None else self.given.names
        return cast("Any", csv).open_csv(
            self.path,
            csv.ReadOptions(block_size=block, column_names=names, encoding=self.dialect.encoding),
            csv.ParseOptions(delimiter=self.dialect.delimiter, quote_char=self.dialect.quote, newlines_in_values=True),
            csv.ConvertOptions(
                column_types=types, null_values=list(self.dialect.null_values), strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )


@attrs.frozen
class JsonReader:
    """A file with one JSON object per line, parsed in blocks of whole lines."""

    path: Path
    name: str
    place: str
    given: pa.Schema | None

    def schema(self) -> pa.Schema:
        """The fields of all rows, or the schema given."""
        import pyarrow as pa

        if self.given is not None:
            return self.given
        found = dict[str, pa.DataType]()
        for block in self._blocks():
            for field in self._parse(block, None).schema:
                kind = files_schema.wider(found.get(field.name, pa.null()), _without_times(field.type))
                if kind is None:
                    raise SchemaError(
                        f"{self.place}, field {field.name!r}",
                        "has types that do not go together",
                        got=f"{found[field.name]} and {_without_times(field.type)}",
                        hint="mend the file, or give schema=.",
                    )
                found[field.name] = kind
        return pa.schema(found)

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows, parsed as the types of the schema."""
        for block in self._blocks():
            yield from self._parse(block, schema).to_batches(max_chunksize=BATCH_ROWS)

    def _parse(self, block: bytes, schema: pa.Schema | None) -> Any:
        import pyarrow as pa
        from pyarrow import json

        # Without a schema given, the first pass has seen every field; those left out of it are NULL in all rows.
        unknown = "infer" if schema is None else "error" if self.given is not None else "ignore"
        arrow = cast("Any", json)
        reading = arrow.ReadOptions(block_size=len(block) + 1)
        parsing = arrow.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unknown)
        return _reading(self.place, "JSON lines", lambda: arrow.read_json(pa.BufferReader(block), reading, parsing))

    def _blocks(self) -> Iterator[bytes]:
        """Some megabytes of whole lines at a time."""
        import pyarrow as pa

        with _reading(self.place, "JSON lines", lambda: cast("Any", pa).input_stream(str(self.path))) as stream:
            rest = b""
            while block := cast("bytes", _reading(self.place, "JSON lines", lambda: stream.read(BLOCK_BYTES))):
                whole, newline, tail = block.rpartition(b"\n")
                if not newline:
                    rest += tail
                    continue
                if (lines := rest + whole).strip():
                    yield lines
                rest = tail
            if rest.strip():
                yield rest


def _without_times(kind: pa.DataType) -> pa.DataType:
    """JSON has no times: text that looks like one is text, in whichever block it stands."""
    import pyarrow as pa

    arrow: Any = kind
    types: Any = pa.types
    if types.is_timestamp(kind):
        return pa.string()
    if types.is_list(kind):
        return pa.list_(_without_times(arrow.value_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(arrow.field(i).name, _without_times(arrow.field(i).type)) for i in range(arrow.num_fields)])
    return kind
