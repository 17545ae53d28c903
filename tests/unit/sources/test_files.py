"""Files: each is read once, columns come and go, and a broken one is named."""

import gzip
import json
import logging
import os
import pickle
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakekit import sources
from lakekit.errors import ConfigError, SchemaError, SourceConfigError
from lakekit.sources.protocol import Details, Source, Target


class Bronze:
    """The rows of a bronze table, and its bookmark."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.position: Details | None = None
        self.schema = pa.schema({})

    def ingest(self, source: Source) -> list[dict[str, Any]]:
        with source.open(self.position, target=Target(ingested=lambda: {row["_source"] for row in self.rows})) as increment:
            table = pa.Table.from_batches(increment.batches, schema=increment.schema)
            self.position, self.schema = increment.details(), increment.schema
        self.rows += table.to_pylist()
        return table.to_pylist()


def business(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if not name.startswith("_")} for row in rows]


def parquet(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def test_a_growing_folder_is_read_file_by_file_each_once(tmp_path: Path) -> None:
    source, target = sources.Files(tmp_path, format="parquet"), Bronze()
    parquet(tmp_path / "2026" / "a.parquet", id=[1, 2])
    assert business(target.ingest(source)) == [{"id": 1}, {"id": 2}]
    first = target.position
    assert target.ingest(source) == []
    assert target.position == first
    assert target.schema.names == ["id", "_source", "_source_timestamp"]
    parquet(tmp_path / "2026" / "b.parquet", id=[3])
    parquet(tmp_path / "2026" / "a.parquet", id=[9])
    (row,) = target.ingest(source)
    assert (row["id"], row["_source"]) == (3, "2026/b.parquet")
    assert target.position is not None
    assert target.position["files"] == 2
    assert target.position != first
    json.dumps(target.position)


def test_source_timestamp_is_when_the_file_was_modified(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", id=[1])
    os.utime(path, (1_700_000_000, 1_700_000_000))
    (row,) = Bronze().ingest(sources.Files(path, format="parquet"))
    assert row["_source_timestamp"] == datetime.fromtimestamp(1_700_000_000, UTC)
    assert row["_source"] == "a.parquet"


def test_a_new_column_in_a_later_file_flows_and_a_missing_one_is_null(tmp_path: Path) -> None:
    source, target = sources.Files(tmp_path, format="parquet"), Bronze()
    parquet(tmp_path / "a.parquet", id=pa.array([1], pa.int32()))
    parquet(tmp_path / "b.parquet", id=pa.array([2], pa.int64()), email=["x"])
    assert business(target.ingest(source)) == [{"id": 1, "email": None}, {"id": 2, "email": "x"}]
    assert target.schema.field("id").type == pa.int64()


def test_types_that_do_not_go_together_name_both_files_and_types(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", id=[1])
    parquet(tmp_path / "b.parquet", id=["x"])
    with pytest.raises(SchemaError, match=r"column 'id'.*int64 in 'a.parquet', string in 'b.parquet'"):
        Bronze().ingest(sources.Files(tmp_path, format="parquet"))
    given = sources.Files(tmp_path, format="parquet", schema=pa.schema({"id": pa.string()}))
    assert business(Bronze().ingest(given)) == [{"id": "1"}, {"id": "x"}]


def test_parquet_types_become_those_iceberg_has(tmp_path: Path) -> None:
    parquet(
        tmp_path / "a.parquet",
        small=pa.array([1], pa.uint8()),
        big=pa.array([2**64 - 1], pa.uint64()),
        ms=pa.array([datetime(2026, 1, 1)], pa.timestamp("ms")),  # noqa: DTZ001
        ns=pa.array([1_000], pa.timestamp("ns", tz="Europe/Berlin")),
        words=pa.array(["x"]).dictionary_encode(),
        nested=pa.array([[{"n": 1}]], pa.list_(pa.struct({"n": pa.int16()}))),
        nothing=pa.nulls(1),
    )
    target = Bronze()
    (row,) = business(target.ingest(sources.Files(tmp_path, format="parquet")))
    types = {field.name: field.type for field in target.schema}
    assert types["small"] == pa.int32()
    assert types["big"] == pa.decimal128(20, 0)
    assert types["ms"] == pa.timestamp("us")
    assert types["ns"] == pa.timestamp("us", tz="UTC")
    assert types["words"] == pa.string()
    assert types["nested"] == pa.list_(pa.struct({"n": pa.int32()}))
    assert "nothing" not in types
    assert row["big"] == Decimal(2**64 - 1)
    assert row["ns"] == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=1)


def test_nanoseconds_that_microseconds_cannot_hold_are_an_error(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", at=pa.array([1], pa.timestamp("ns")))
    with pytest.raises(SchemaError, match=r"a\.parquet.*column 'at'"):
        Bronze().ingest(sources.Files(tmp_path, format="parquet"))


def test_csv_is_text_as_it_stands_unless_a_type_is_given(tmp_path: Path) -> None:
    text(tmp_path / "a.csv", 'zip,total,note\n00743,1.50,"a\nb"\n,,""\n')
    assert business(Bronze().ingest(sources.Files(tmp_path, format="csv"))) == [
        {"zip": "00743", "total": "1.50", "note": "a\nb"},
        {"zip": None, "total": None, "note": ""},
    ]
    target = Bronze()
    rows = target.ingest(sources.Files(tmp_path, format="csv", schema=pa.schema({"total": pa.decimal128(10, 2)})))
    assert rows[0]["total"] == Decimal("1.50")
    assert rows[0]["zip"] == "00743"


def test_csv_in_another_dialect(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("1;'ü;';NA\n".encode("latin-1"))
    source = sources.Files(
        tmp_path / "a.csv",
        format="csv",
        schema=pa.schema({"id": pa.int64(), "name": pa.string(), "note": pa.string()}),
        delimiter=";",
        quote="'",
        header=False,
        encoding="latin-1",
        null_values=["NA"],
    )
    assert business(Bronze().ingest(source)) == [{"id": 1, "name": "ü;", "note": None}]


def test_an_empty_file_and_one_with_a_header_only_have_no_rows(tmp_path: Path) -> None:
    text(tmp_path / "a.csv", "")
    text(tmp_path / "b.csv", "id\n")
    text(tmp_path / "c.csv", "id\n1\n")
    assert business(Bronze().ingest(sources.Files(tmp_path, format="csv"))) == [{"id": "1"}]


def test_json_takes_its_types_from_all_rows(tmp_path: Path) -> None:
    lines = [{"id": number, "at": "2026-01-01", "n": 1} for number in range(3)] + [{"id": 3, "late": {"x": [True]}, "n": 1.5, "none": None}]
    text(tmp_path / "a.json", "\n".join(json.dumps(line) for line in lines))
    target = Bronze()
    rows = business(target.ingest(sources.Files(tmp_path, format="json")))
    assert rows[3] == {"id": 3, "at": None, "n": 1.5, "late": {"x": [True]}}
    assert rows[0]["at"] == "2026-01-01"
    assert "none" not in target.schema.names


def test_json_longer_than_a_block_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lakekit.sources import files_formats

    monkeypatch.setattr(files_formats, "BLOCK_BYTES", 64)
    lines = [{"id": number, "long": "x" * (number * 7), "when": "2026-01-01" if number % 2 else "no"} for number in range(50)]
    with gzip.open(tmp_path / "a.json.gz", "wt") as file:
        file.write("\n".join(json.dumps(line) for line in lines) + "\n\n")
    assert business(Bronze().ingest(sources.Files(tmp_path, format="json"))) == lines


def test_json_with_a_schema_refuses_a_field_it_lacks(tmp_path: Path) -> None:
    text(tmp_path / "a.json", '{"id": 1, "total": 1.50}\n')
    exact = pa.schema({"id": pa.int32(), "total": pa.decimal128(6, 2), "later": pa.string()})
    assert business(Bronze().ingest(sources.Files(tmp_path, format="json", schema=exact))) == [
        {"id": 1, "total": Decimal("1.50"), "later": None}
    ]
    with pytest.raises(SourceConfigError, match=r"a\.json.*a field that schema= lacks"):
        Bronze().ingest(sources.Files(tmp_path, format="json", schema=pa.schema({"id": pa.int32()})))


def test_a_json_field_of_two_types_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lakekit.sources import files_formats

    monkeypatch.setattr(files_formats, "BLOCK_BYTES", 10)
    text(tmp_path / "a.json", '{"id": 1}\n{"id": "x"}\n')
    with pytest.raises(SchemaError, match=r"a\.json.*field 'id'.*int64 and string"):
        Bronze().ingest(sources.Files(tmp_path, format="json"))


def test_compressed_csv_is_read(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        file.write("id\n1\n")
    with pa.CompressedOutputStream(str(tmp_path / "b.csv.zst"), "zstd") as file:
        file.write(b"id\n2\n")
    assert business(Bronze().ingest(sources.Files(tmp_path, format="csv"))) == [{"id": "1"}, {"id": "2"}]


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.parquet", b"PAR1 s3cret", "parquet"),
        ("a.parquet", b"", "parquet"),
        ("a.csv", b"a,b\n1,2\ns3cret\n", "csv"),
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], "csv"),
        ("a.csv", b"a\n\xff\xfes3cret\n", "csv"),
        ("a.json", b'{"a": 1}\n{"s3cret": \n', "json"),
        ("a.json.gz", b"s3cret", "json"),
    ],
)
def test_a_broken_file_is_named_and_not_quoted(tmp_path: Path, name: str, content: bytes, format: Any) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceConfigError, match=f"file '{name}'") as caught:
        Bronze().ingest(sources.Files(tmp_path, format=format))
    assert "s3cret" not in f"{caught.value} {caught.value.__context__!r}"


def test_a_parquet_file_cut_in_the_middle_is_named(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", id=list(range(10_000)))
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\x00" * 2000 + content[2004:])
    with pytest.raises(SourceConfigError, match=r"a\.parquet"):
        Bronze().ingest(sources.Files(tmp_path, format="parquet"))


def test_a_value_that_does_not_fit_its_given_type_names_the_file(tmp_path: Path) -> None:
    text(tmp_path / "a.csv", "id\ns3cret\n")
    with pytest.raises(SourceConfigError, match=r"a\.csv.*a value that is not of its column's type") as caught:
        Bronze().ingest(sources.Files(tmp_path, format="csv", schema=pa.schema({"id": pa.int64()})))
    assert "s3cret" not in str(caught.value)


def test_hidden_and_temporary_files_are_left_out(tmp_path: Path) -> None:
    for name in ("_SUCCESS", ".hidden.csv", "_delta_log/a.csv", "a.csv.tmp", ".a.csv.crc", "in/.part/b.csv"):
        text(tmp_path / name, "nonsense")
    text(tmp_path / "in" / "a.csv", "id\n1\n")
    (row,) = Bronze().ingest(sources.Files(tmp_path, format="csv"))
    assert row["_source"] == "in/a.csv"


def test_a_pattern_names_files_from_its_first_wildcard_on(tmp_path: Path) -> None:
    for name in ("x/1/a.csv", "x/2/b.csv", "x/2/b.txt"):
        text(tmp_path / name, "id\n1\n")
    rows = Bronze().ingest(sources.Files(tmp_path / "x" / "*" / "*.csv", format="csv"))
    assert [row["_source"] for row in rows] == ["1/a.csv", "2/b.csv"]
    assert [row["_source"] for row in Bronze().ingest(sources.Files(tmp_path / "**" / "b.*", format="csv"))] == ["x/2/b.csv", "x/2/b.txt"]


def test_a_folder_whose_name_looks_like_a_pattern_is_a_folder(tmp_path: Path) -> None:
    text(tmp_path / "in [1]" / "a.csv", "id\n1\n")
    assert len(Bronze().ingest(sources.Files(tmp_path / "in [1]", format="csv"))) == 1


def test_where_there_is_no_file_and_never_was_one_it_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nosuch", tmp_path / "*.csv"):
        with pytest.raises(SourceConfigError, match="there are no files"):
            Bronze().ingest(sources.Files(path, format="csv"))


def test_files_taken_away_after_they_were_ingested_are_no_error(tmp_path: Path) -> None:
    path, target = text(tmp_path / "a.csv", "id\n1\n"), Bronze()
    source = sources.Files(tmp_path, format="csv")
    target.ingest(source)
    first = target.position
    path.unlink()
    assert target.ingest(source) == []
    assert target.position == first


def test_names_that_another_source_took_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text(tmp_path / "x" / "a.csv", "id\n1\n")
    text(tmp_path / "y" / "a.csv", "id\n2\n")
    target = Bronze()
    target.ingest(sources.Files(tmp_path / "x", format="csv"))
    target.position = None
    with caplog.at_level(logging.WARNING):
        assert target.ingest(sources.Files(tmp_path / "y", format="csv")) == []
    assert "One table takes one Files" in caplog.text


def test_a_file_that_has_changed_since_it_was_read_is_told_of_and_not_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, target = sources.Files(tmp_path, format="csv"), Bronze()
    path = text(tmp_path / "a.csv", "id\n1\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    with caplog.at_level(logging.WARNING):
        target.ingest(source)
        late = text(tmp_path / "b.csv", "id\n2\n")
        os.utime(late, (1_600_000_000, 1_600_000_000))
        assert len(target.ingest(source)) == 1
        assert not caplog.messages, "a file may come late"
        position = target.position
        text(path, "id\n1\n3\n")
        assert target.ingest(source) == []
    assert "1 files have changed since they were read" in caplog.text
    assert target.position == position


def test_a_column_of_lakekits_own_is_refused(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", _source=["x"])
    with pytest.raises(SchemaError, match="_source"):
        Bronze().ingest(sources.Files(tmp_path, format="parquet"))


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_header_that_another_delimiter_would_divide_is_refused(tmp_path: Path, delimiter: str) -> None:
    text(tmp_path / "a.csv", delimiter.join(["id", "city"]) + "\n" + delimiter.join(["1", "Bonn"]) + "\n")
    with pytest.raises(SchemaError) as caught:
        Bronze().ingest(sources.Files(tmp_path, format="csv"))
    assert f"delimiter={delimiter!r}" in caught.value.hint
    assert business(Bronze().ingest(sources.Files(tmp_path, format="csv", delimiter=delimiter))) == [{"id": "1", "city": "Bonn"}]
    meant = sources.Files(tmp_path, format="csv", schema=pa.schema({delimiter.join(["id", "city"]): pa.string()}))
    assert len(Bronze().ingest(meant)) == 1


def test_characters_of_another_encoding_are_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("id,city\n1,Köln\n".encode("latin-1"))
    with pytest.raises(SourceConfigError, match="not UTF-8") as caught:
        Bronze().ingest(sources.Files(tmp_path, format="csv"))
    assert "encoding=" in caught.value.hint
    assert business(Bronze().ingest(sources.Files(tmp_path, format="csv", encoding="latin-1"))) == [{"id": "1", "city": "Köln"}]


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    text(tmp_path / "a.csv", "id,id\n1,2\n")
    with pytest.raises(SchemaError, match=r"two columns of one name"):
        Bronze().ingest(sources.Files(tmp_path, format="csv"))


def test_keys_are_those_of_all_files(tmp_path: Path) -> None:
    text(tmp_path / "a.csv", "id,x\n1,a\n")
    text(tmp_path / "b.csv", "x,id\nb,2\n")
    with sources.Files(tmp_path, format="csv", primary_key="id").keys(scope=None) as keys:
        assert [row for batch in keys.batches for row in batch.to_pylist()] == [{"id": "1"}, {"id": "2"}]
        assert keys.schema.names == ["id"]
    with pytest.raises(ConfigError, match="primary_key="), sources.Files(tmp_path, format="csv").keys(scope=None):
        pass
    with pytest.raises(ConfigError, match="scope="), sources.Files(tmp_path, format="csv", primary_key="id").keys(scope="id > 1"):
        pass


def test_a_primary_key_that_no_file_has_is_an_error(tmp_path: Path) -> None:
    text(tmp_path / "a.csv", "id\n1\n")
    with pytest.raises(SchemaError, match=r"primary_key=.*got 'key'"):
        Bronze().ingest(sources.Files(tmp_path, format="csv", primary_key="key"))


def test_files_are_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sources.Files(tmp_path, format="csv", schema=pa.schema({"id": pa.int64()}), primary_key=["id"])
    assert isinstance(source, Source)
    assert {source: 1}[pickle.loads(pickle.dumps(source))] == 1
    monkeypatch.chdir(tmp_path)
    assert sources.Files("x", format="csv").upstream == f"files:{tmp_path}/x"
    assert source.primary_key() == ("id",)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"path": ""}, "path="),
        ({"path": 7}, "path="),
        ({"path": "s3://bucket/x"}, "path="),
        ({"format": "xml"}, "format="),
        ({"delimiter": "||"}, "delimiter="),
        ({"header": False}, "header="),
        ({"schema": {"id": "int"}}, "schema="),
        ({"primary_key": ("a", "a")}, "primary_key="),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_read(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        sources.Files(**{"path": "x", "format": "csv", **options})
