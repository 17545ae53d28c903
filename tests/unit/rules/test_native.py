"""Rules as SQL: what DuckDB makes of a chain is what Python makes of it. Spark's half is tested where a session is."""

import duckdb
import pyarrow as pa
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st

from lakekit import rules
from lakekit.rules import apply_chain, native_chain, plain_chain
from lakekit.rules.characters import INVISIBLE, LATIN

CHAINS = {
    "trim": [rules.trim()],
    "squash_spaces": [rules.squash_spaces()],
    "empty_to_null": [rules.empty_to_null()],
    "also": [rules.empty_to_null(also=("N/A", "-", "ÅÄ%_$1"))],
    "not_null": [rules.not_null()],
    "one_of": [rules.trim(), rules.one_of("a", "N/A", "")],
    "map": [rules.map_values({"a": "b", "N/A": None, "": "none"}, otherwise="keep")],
    "map or null": [rules.trim(), rules.map_values({"a": "ÅÄ%_$1", "-": "-"}, otherwise="null")],
    "map or reject": [rules.map_values({"a": "a", "N/A": "n", "": None})],
    "copy": [rules.copy_of("x"), rules.trim()],
    "all": [rules.squash_spaces(), rules.empty_to_null(), rules.not_null(), rules.one_of("a", "a a", "N/A")],
}
texts = st.text(
    st.sampled_from(INVISIBLE) | st.sampled_from("aaÅß9-$\\'%\u180e\u00ad\u0301\U0001f600") | st.characters(exclude_categories=["Cs"])
)


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@given(values=st.lists(texts | st.sampled_from(["N/A", " N/A ", "-", "a", "ÅÄ%_$1", "", "\x00"]) | st.none(), max_size=60))
def test_duckdb_and_python_agree(chain: list[rules.Rule], values: list[str | None]) -> None:
    native = native_chain(chain, "`c d`")
    assert native is not None
    query = f"SELECT {native.value} AS value, {native.rule} AS rule, {native.reason} AS reason FROM t ORDER BY i"
    [sql] = sqlglot.transpile(query, read="spark", write="duckdb")
    table = pa.table({"i": range(len(values)), "c d": pa.array(values, pa.string())})
    with duckdb.connect() as connection:
        connection.register("t", table)
        found = connection.sql(sql).to_arrow_table().to_pylist()
    assert found == apply_chain(chain, pa.array(values, pa.string())).to_pylist()


PLAIN = {
    "lower": [rules.trim(), rules.lower()],
    "upper": [rules.upper(), rules.empty_to_null()],
    "NFC": [rules.squash_spaces(), rules.normalize("NFC")],
}


@pytest.mark.parametrize("chain", PLAIN.values(), ids=PLAIN)
@given(values=st.lists(st.text(st.sampled_from(LATIN)) | st.just(LATIN) | st.none(), max_size=60))
def test_duckdb_and_python_agree_about_plain_texts(chain: list[rules.Rule], values: list[str | None]) -> None:
    plain = plain_chain(chain, "c")
    [sql] = sqlglot.transpile(f"SELECT {plain} AS value FROM t ORDER BY i", read="spark", write="duckdb")
    with duckdb.connect() as connection:
        connection.register("t", pa.table({"i": range(len(values)), "c": pa.array(values, pa.string())}))
        found = connection.sql(sql).to_arrow_table()["value"].to_pylist()
    assert found == apply_chain(chain, pa.array(values, pa.string())).field("value").to_pylist()


@pytest.mark.parametrize(
    "chain",
    [
        [rules.trim(), rules.lower()],
        [rules.upper()],
        [rules.email()],
        [rules.phone("US")],
        [rules.timestamp()],
        [rules.date()],
        [rules.decimal(10, 2)],
        [rules.integer()],
        [rules.matches("a")],
        [rules.normalize("NFC")],
        [rules.map_values({"it's": "its"})],
        [rules.boolean()],
        [rules.uuid()],
        [rules.one_of("it's")],
        [rules.one_of("a\\b")],
        [rules.empty_to_null(also=("'",))],
        [rules.one_of("a\nb")],
    ],
)
def test_where_engines_could_differ_there_is_no_sql(chain: list[rules.Rule]) -> None:
    assert native_chain(chain, "c") is None


def test_a_chain_that_refuses_nothing_gives_null_of_type_string() -> None:
    native = native_chain([rules.trim()], "c")
    assert native is not None
    assert native.rule == native.reason == "CAST(NULL AS STRING)"
