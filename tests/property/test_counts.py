"""What was read is what was written, what was found equal or late, what merged, and what was rejected: for every function that rejects."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lakekit as lk
from lakekit import identity, rules

DAY = datetime(2026, 1, 1, tzinfo=UTC)
ROW = st.fixed_dictionaries(
    {
        "id": st.one_of(st.none(), st.integers(1, 3)),
        "email": st.sampled_from(["a@x.org", "b@x.org", "none", None]),
        "at": st.sampled_from([DAY, DAY + timedelta(days=1), None]),
        "gone": st.booleans(),
    }
)
TWO_RUNS = st.lists(st.lists(ROW, min_size=1, max_size=7), min_size=2, max_size=2)
FEW = settings(max_examples=max(3, settings.default.max_examples // 25), suppress_health_check=[HealthCheck.too_slow])
SCHEMA = pa.schema([("id", pa.int64()), ("email", pa.string()), ("at", pa.timestamp("us", tz="UTC")), ("gone", pa.bool_())])
IDENTITY = identity.Rules(match=[identity.exact("email")])


def bad_email(row: dict[str, Any]) -> bool:
    return row["email"] == "none"


@FEW
@given(TWO_RUNS)
def test_counts_agree(runs: list[list[dict[str, Any]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = lk.connect(folder)
        for number, rows in enumerate(runs):

            def cleaned(table: str, number: int = number, rows: list[dict[str, Any]] = rows) -> lk.Batch:
                return lk.clean(
                    lk.from_frame(lake, pa.Table.from_pylist(rows, SCHEMA), run_id=f"{table} {number}"), {"email": rules.email()}
                )

            size, without_key = len(rows), [row for row in rows if not bad_email(row) and row["id"] is None]
            refused = sum(map(bad_email, rows))
            done = lk.append(cleaned("log"), into="bronze.log")
            assert (done.read, done.inserted, done.rejected) == (size, size - refused, refused)

            done = lk.merge(cleaned("kept"), into="silver.kept", key="id", order_by="at", delete_when="gone")
            written = done.inserted + done.updated + done.deleted + done.unchanged + done.late + done.duplicates
            assert (done.read, done.rejected) == (size, refused + len(without_key))
            assert done.read == written + done.rejected

            undated = [row for row in rows if not bad_email(row) and row["id"] is not None and row["at"] is None]
            done = lk.merge_scd2(cleaned("dim"), into="gold.dim", key="id", effective_at="at", delete_when="gone")
            assert (done.read, done.rejected) == (size, refused + len(without_key) + len(undated))

            done = lk.resolve_identities({"x": cleaned("who")}, record_key={"x": "id"}, rules=IDENTITY, into="silver.who")
            assert (done.read, done.rejected) == (size, refused + len(without_key))

            lk.append(lk.from_frame(lake, pa.Table.from_pylist(rows, SCHEMA), run_id=f"up {number}"), into="bronze.up")
            groups = lk.read_new_groups(lake, "bronze.up", into="gold.groups", by="id")
            batch = lk.clean(groups.sql("SELECT id, email FROM batch"), {"email": rules.email()})
            done = lk.replace_groups(batch)
            assert done.read == batch.count() + done.rejected
            assert done.inserted + done.unchanged + done.rejected == done.read
