"""Folders of files, each read once: Parquet, CSV and JSON lines."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

import attrs

from lakekit import columns as system_columns
from lakekit import logs, names
from lakekit.columns import SOURCE, SOURCE_TIMESTAMP
from lakekit.errors import ConfigError, SchemaError, SourceConfigError
from lakekit.sources import files_formats, files_schema
from lakekit.sources.protocol import Details, Increment, KeyRead, Target

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.sources.files_formats import Reader

logger = logging.getLogger(__name__)

Format = Literal["parquet", "csv", "json"]
_MAGIC: Final = frozenset("*?[")
_HIDDEN: Final = (".", "_")
_TEMPORARY: Final = (".tmp", ".crc")


def _to_path(value: object) -> str:
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):  # pyright: ignore[reportUnknownArgumentType]
        raise ConfigError("sources.Files(path=)", "expected a folder, a file or a pattern", got=repr(value), hint="write 'landing/*.csv'.")
    text = os.fspath(value)  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(text, str) or "://" in text:
        raise ConfigError("sources.Files(path=)", "expected a local path", got=repr(value), hint="mount or copy the files.")
    return os.path.normpath(Path(text).expanduser().absolute())  # absolute: the bookmark's name must not depend on the working directory


def _check_format(_instance: object, _attribute: object, value: object) -> None:
    if value not in get_args(Format):
        raise ConfigError("sources.Files(format=)", "expected 'parquet', 'csv' or 'json'", got=repr(value))


def _check_character(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or len(value) != 1:
        raise ConfigError(f"sources.Files({attribute.name}=)", "expected one character", got=repr(value))


def _check_schema(_instance: object, _attribute: object, value: object) -> None:
    if value is not None and type(value).__module__.partition(".")[0] != "pyarrow":
        raise ConfigError(
            "sources.Files(schema=)", "expected a pyarrow.Schema", got=type(value).__name__, hint="write pa.schema({'id': pa.int64()})."
        )


def _to_key(value: names.Columns | None) -> tuple[str, ...]:
    return names.columns(value, place="sources.Files(primary_key=)") if value else ()


@attrs.frozen
class Files:
    """Files in a folder, read once each. A file is known by its name: one that is changed later is not read again, which a warning says.

    Each row says where it came from: ``_source`` is the file's path below the folder (below the part of a pattern before its first
    wildcard; a single file's name), ``_source_timestamp`` when the file was last modified. So one table takes one ``Files``: give the
    folder above where there are several.

    Names that begin with ``.`` or ``_`` (folders, too) or end with ``.tmp`` or ``.crc`` are left out, as Spark does: write a file
    under such a name, and rename it when it is complete.

    Columns of several files are united by name; a file without a column gives NULL. Where no type is given:

    - *Parquet*: the file's own types. Integers become signed and of 32 or 64 bits, times microseconds, dictionaries plain values.
    - *CSV*: text, exactly as it stands. An empty field is NULL, a quoted empty one is ''. Guessing would turn ``007`` into 7.
    - *JSON* (one object per line): integers, floating-point numbers, booleans, text, structs and lists, from all rows of the new files,
      which are read twice for that. Text stays text, also where it looks like a time. With ``schema=`` files are read once, and a field it
      lacks is an error.

    A column that is NULL in all rows of all new files is left out until its type is known. CSV and JSON may be compressed: ``.gz``,
    ``.bz2``, ``.zst``.

    Attributes:
        path: A folder (with all below it), a file, or a pattern with ``*``, ``?``, ``[…]`` and ``**``. Kept as an absolute path.
        format: What the files are.
        schema: The types of columns, as a ``pyarrow.Schema``; for CSV and Parquet of those it names.
        primary_key: The columns that identify a row, if any.
        delimiter: CSV: what separates the fields.
        quote: CSV: what encloses a field that holds the delimiter.
        header: CSV: whether the first line names the columns. Without it, ``schema=`` does.
        encoding: CSV: how characters are written.
        null_values: CSV: texts that mean NULL where they stand unquoted.

    >>> Files("/landing/orders", format="csv").upstream
    'files:/landing/orders'
    """

    path: str = attrs.field(converter=_to_path)
    format: Format = attrs.field(kw_only=True, validator=_check_format)
    schema: pa.Schema | None = attrs.field(default=None, kw_only=True, validator=_check_schema)
    given_key: tuple[str, ...] = attrs.field(default=(), kw_only=True, alias="primary_key", converter=_to_key)
    delimiter: str = attrs.field(default=",", kw_only=True, validator=_check_character)
    quote: str = attrs.field(default='"', kw_only=True, validator=_check_character)
    header: bool = attrs.field(default=True, kw_only=True)
    encoding: str = attrs.field(default="utf8", kw_only=True)
    null_values: tuple[str, ...] = attrs.field(default=("",), kw_only=True, converter=tuple)

    def __attrs_post_init__(self) -> None:
        if not self.header and self.schema is None:
            raise ConfigError("sources.Files(header=)", "without a header, nothing names the columns", hint="give schema=, in their order.")

    @property
    def place(self) -> str:
        """Where this is, for errors and the log."""
        return f"Files({self.path!r})"

    @property
    def upstream(self) -> str:
        """``files:`` and the absolute path."""
        return f"files:{Path(self.path).as_posix()}"

    def primary_key(self) -> tuple[str, ...]:
        """The key given. Empty where there is none."""
        return self.given_key

    @contextmanager
    def open(self, position: Details | None, *, target: Target) -> Generator[Increment]:
        """Read the files whose names do not stand in the target yet, in the order of their names.

        The details hold the number of files ingested, a digest of their names, and when the last of them was modified. Where no file is new the
        schema is that of the last one.

        Raises:
            SourceConfigError: There is no file at all, or one can't be read.
            SchemaError: Two files have different types for one column, or a file does not fit ``schema=``.
        """
        found = self._list()
        known = frozenset(target.ingested())
        if not found and not known:
            raise SourceConfigError(self.place, "there are no files", hint="check the path; names that begin with '.' or '_' are left out.")
        if position is None and (taken := known & found.keys()):
            logger.warning(
                "%s: %d files are left out, since rows of files of these names stand in the target already, though this path was never read"
                " into it. One table takes one Files: give the folder above where there are several.",
                self.place,
                len(taken),
                extra=logs.fields("files_left_out", source=self.place, files=len(taken)),
            )
        new, seen = sorted(found.keys() - known), cast("int", position.get("modified", 0)) if position else 0
        self._warn_of_changed([found[name] for name in known & found.keys()], since=seen)
        modified = max([seen, *(_modified(found[name]) for name in new)])
        readers = {name: self._reader(name, found[name]) for name in new or sorted(found)[-1:]}
        schema = self._united({name: reader.schema() for name, reader in readers.items()})
        read = known | set(new)
        digest = hashlib.sha256(json.dumps(sorted(read), ensure_ascii=False).encode()).hexdigest()
        full = files_schema.with_columns(schema, {SOURCE: "string", SOURCE_TIMESTAMP: "instant"})
        yield Increment(
            full,
            self._rows([readers[name] for name in new], schema, full),
            lambda: {"files": len(read), "digest": digest, "modified": modified},
        )

    def _warn_of_changed(self, taken: Sequence[Path], *, since: int) -> None:
        """Say so where files have changed after they were read: it would be asked for otherwise why the lake doesn't show it."""
        if since and (changed := sum(_modified(path) > since for path in taken)):
            logger.warning(
                "%s: %d files have changed since they were read, and are not read again: a file is known by its name. Give what is new a name of"
                " its own.",
                self.place,
                changed,
                extra=logs.fields("files_changed", source=self.place, files=changed),
            )

    @contextmanager
    def keys(self, *, scope: str | None) -> Generator[KeyRead]:
        """Read the keys of all files there are, new or not. Right where the files together are the source's present state.

        Raises:
            ConfigError: There is no ``primary_key=``, or a scope is given: files understand no SQL.
        """
        if not self.given_key:
            raise ConfigError(f"{self.place}.keys()", "files have no key of their own", hint="give primary_key=.")
        if scope is not None:
            raise ConfigError(f"{self.place}.keys(scope=)", "files understand no conditions", got=repr(scope), hint="leave scope= out.")
        read_at = datetime.now(UTC)  # before the list: a file that comes later is newer than the deletes found
        readers = {name: self._reader(name, path) for name, path in sorted(self._list().items())}
        full = self._united({name: reader.schema() for name, reader in readers.items()})
        indices = [full.get_field_index(name) for name in self.given_key] if readers else []
        schema = files_schema.take(full, indices)
        yield KeyRead(schema, (batch.select(indices) for batch in self._rows(list(readers.values()), full, full)), read_at)

    def _list(self) -> dict[str, Path]:
        """The files there are, by the name ``_source`` holds."""
        path = Path(self.path)
        base, paths = path.parent, list[Path]()
        if path.is_dir():
            base, paths = path, [Path(folder, name) for folder, _, files in os.walk(path) for name in files]
        elif path.is_file():
            paths = [path]
        elif any(character in _MAGIC for character in self.path):
            fixed = next(index for index, part in enumerate(path.parts) if _MAGIC & set(part))
            base = Path(*path.parts[:fixed])
            paths = [found for found in base.glob(str(Path(*path.parts[fixed:]))) if found.is_file()]
        relative = {found.relative_to(base): found for found in paths}
        return {name.as_posix(): found for name, found in relative.items() if not _ignored(name)}

    def _reader(self, name: str, path: Path) -> Reader:
        place = f"{self.place}, file {name!r}"
        if self.format == "parquet":
            return files_formats.ParquetReader(path, name, place, self.schema)
        if self.format == "json":
            return files_formats.JsonReader(path, name, place, self.schema)
        dialect = files_formats.Dialect(self.delimiter, self.quote, self.header, self.encoding, self.null_values)
        return files_formats.CsvReader(path, name, place, self.schema, dialect)

    def _united(self, schemas: dict[str, pa.Schema]) -> pa.Schema:
        schema = files_schema.unite(schemas, given=self.schema, place=self.place)
        system_columns.refuse_reserved(schema.names, place=self.place)
        if schemas and (absent := [name for name in self.given_key if name not in schema.names]):
            raise SchemaError(
                f"{self.place}, primary_key=",
                "names a column that the files do not have",
                got=", ".join(repr(name) for name in absent),
                hint=f"they have {', '.join(schema.names) or 'none'}.",
            )
        return schema

    def _rows(self, readers: Sequence[Reader], schema: pa.Schema, full: pa.Schema) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        instant = pa.timestamp("us", tz="UTC")
        for reader in readers:
            modified = pa.scalar(datetime.fromtimestamp(reader.path.stat().st_mtime, UTC), instant)
            for batch in reader.batches(schema):
                rows = batch.num_rows
                arrays = files_schema.conform(batch, schema, place=reader.place)
                if len(full) > len(schema):
                    arrays += [pa.repeat(pa.scalar(reader.name, pa.string()), rows), pa.repeat(modified, rows)]
                yield pa.RecordBatch.from_arrays(arrays, schema=full)


def _modified(path: Path) -> int:
    """When a file was last modified, in microseconds since 1970."""
    return path.stat().st_mtime_ns // 1000


def _ignored(name: Path) -> bool:
    return any(part.startswith(_HIDDEN) for part in name.parts) or name.name.endswith(_TEMPORARY)
