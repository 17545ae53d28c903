"""The SQL functions that may be called mean the same on every engine: each has an expression here, and what it gives."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

import lakekit as lk
from tests.contract.helpers import frame

ROW = {
    "s": " Ää bc ",
    "t": "b",
    "n": None,
    "i": -7,
    "x": 2.5,
    "nan": float("nan"),
    "d": Decimal("12.345"),
    "at": datetime(2026, 3, 29, 1, 30, 15, 250_000, tzinfo=UTC),
    "day": date(2026, 3, 29),
}
SCALARS: dict[str, tuple[str, Any]] = {
    "abs": ("abs(i)", 7),
    "ceil": ("ceil(x)", 3),
    "coalesce": ("coalesce(n, t)", "b"),
    "concat": ("concat(t, 'c')", "bc"),
    "concat_ws": ("concat_ws('-', t, n, 'c')", "b-c"),
    "contains": ("contains(s, 'bc')", True),
    "date_add": ("date_add(day, 3)", date(2026, 4, 1)),
    "date_trunc": ("date_trunc('hour', at)", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    "datediff": ("datediff(day, CAST('2026-03-01' AS DATE))", 28),
    "day": ("day(at)", 29),
    "endswith": ("endswith(trim(s), 'bc')", True),
    "floor": ("floor(-2.5)", -3),
    "greatest": ("greatest(i, 3)", 3),
    "hour": ("hour(at)", 1),
    "if": ("if(i < 0, 'minus', 'plus')", "minus"),
    "ifnull": ("ifnull(n, 'x')", "x"),
    "isnan": ("isnan(nan)", True),
    "least": ("least(i, 3)", -7),
    "length": ("length(s)", 7),
    "lower": ("lower(s)", " ää bc "),
    "ltrim": ("ltrim(s)", "Ää bc "),
    "md5": ("md5(t)", "92eb5ffee6ae2fec3ad71c777531578f"),
    "minute": ("minute(at)", 30),
    "mod": ("mod(i, 3)", -1),
    "month": ("month(day)", 3),
    "nullif": ("nullif(t, 'b')", None),
    "nvl": ("nvl(n, 'x')", "x"),
    "replace": ("replace(s, 'bc', 'd')", " Ää d "),
    "round": ("round(d, 1)", Decimal("12.3")),
    "rtrim": ("rtrim(s)", " Ää bc"),
    "second": ("second(at)", 15),
    "sha2": ("sha2(t, 256)", "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"),
    "sign": ("sign(i)", -1),
    "startswith": ("startswith(t, 'b')", True),
    "substring": ("substring(s, 2, 2)", "Ää"),
    "to_date": ("to_date('2026-03-29')", date(2026, 3, 29)),
    "trim": ("trim(s)", "Ää bc"),
    "unix_micros": ("unix_micros(at)", 1_774_747_815_250_000),
    "upper": ("upper(s)", " ÄÄ BC "),
    "year": ("year(day)", 2026),
}
OVER_ROWS: dict[str, tuple[str, list[Any]]] = {
    "count": ("SELECT count(v) AS found FROM batch", [3]),
    "max": ("SELECT max(v) AS found FROM batch", [3]),
    "min": ("SELECT min(v) AS found FROM batch", [1]),
    "sum": ("SELECT sum(v) AS found FROM batch", [6]),
    "dense_rank": ("SELECT dense_rank() OVER (ORDER BY g) AS found FROM batch ORDER BY v", [1, 1, 2]),
    "lag": ("SELECT lag(v) OVER (ORDER BY v) AS found FROM batch ORDER BY v", [None, 1, 2]),
    "lead": ("SELECT lead(v) OVER (ORDER BY v) AS found FROM batch ORDER BY v", [2, 3, None]),
    "rank": ("SELECT rank() OVER (ORDER BY g) AS found FROM batch ORDER BY v", [1, 1, 3]),
    "row_number": ("SELECT row_number() OVER (ORDER BY v DESC) AS found FROM batch ORDER BY v", [3, 2, 1]),
}


def test_every_listed_function_is_tested() -> None:
    assert sorted([*SCALARS, *OVER_ROWS]) == lk.sql_functions()


def test_every_function_of_one_row_gives_what_is_promised(lake: Any) -> None:
    batch = lk.select(
        frame(lake, "a", {**ROW, "n": None}, {**ROW, "n": "typed", "i": 0}),
        {"i": "i", **{f"f_{name}": words for name, (words, _) in SCALARS.items()}},
    )
    (row,) = [row for row in batch.to_arrow().to_pylist() if row["i"] == -7]
    assert {name: row[f"f_{name}"] for name in SCALARS} == {name: value for name, (_, value) in SCALARS.items()}


@pytest.mark.parametrize("name", OVER_ROWS)
def test_every_function_over_rows_gives_what_is_promised(lake: Any, name: str) -> None:
    lk.append(frame(lake, "a", {"v": 1, "g": "a"}, {"v": 2, "g": "a"}, {"v": 3, "g": "b"}), into="bronze.rows")
    words, expected = OVER_ROWS[name]
    assert lk.read(lake, "bronze.rows").sql(words).to_arrow().column("found").to_pylist() == expected


def test_floats_are_told_apart_by_the_same_text_on_every_engine(lake: Any) -> None:
    texts = {
        0.0: "0.0.0",
        0.1: "0.450359962737049.2814749767106560",
        -0.1: "-1.4053239664633446.2251799813685248",
        1e-20: "0.0.202824096036",
        4.7e18: "e1.86244122629504",
        1e300: "inf",
        -1e300: "-inf",
    }
    rows = lk.from_frame(lake, [{"v": value} for value in [*texts, -0.0, float("nan"), None]], run_id="a")
    found = rows.then("SELECT v, lk_double(v) AS t FROM batch").to_arrow().to_pylist()
    assert {row["v"]: row["t"] for row in found if row["v"] == row["v"]} == {**texts, None: None}
    assert [row["t"] for row in found if row["v"] != row["v"]] == ["nan"]
