"""What DuckDB refuses is told with a way out."""

from pathlib import Path

import pytest

import lakekit as lk


def test_text_compared_with_a_number_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    batch = lk.from_frame(lk.connect(tmp_path), [{"id": "1", "amount": "19.90"}], run_id="monday")  # as a CSV file gives it
    with pytest.raises(lk.errors.QueryError) as caught:
        lk.merge(lk.clean(batch, {}, checks={"positive": "amount > 0"}), key="id", into="silver.orders")
    assert "CAST" in caught.value.hint
    assert "rule" in caught.value.hint
