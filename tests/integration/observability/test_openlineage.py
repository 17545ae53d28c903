"""What a lineage server is told, over HTTP, by OpenLineage's own client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from openlineage.client import OpenLineageClient
from openlineage.client.transport.http import HttpConfig, HttpTransport

import lakekit as lk
from tests.contract.helpers import frame


@contextmanager
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address, and the events that were sent there."""
    events: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", events
        running.shutdown()
        thread.join()


def test_a_merge_tells_tables_columns_and_counts(lake: Any) -> None:
    lk.append(frame(lake, "a", {"id": 1, "price": 2, "quantity": 3, "who": "the-secret"}), into="bronze.orders")
    orders = lk.read_new(lake, "bronze.orders", into="silver.orders")
    first = lk.merge(lk.select(orders, {"id": "id", "amount": "price * quantity"}, rest="keep"), key="id")
    with server() as (address, events):
        client = OpenLineageClient(transport=HttpTransport(HttpConfig(url=address)))
        client.emit(lk.openlineage_event(lake, first, job="silver_orders", namespace="shop"))
        client.emit(lk.openlineage_event(lake, first, job="silver_orders", namespace="shop"))
        client.close()
    event, again = events
    assert event == again, "a retry tells the same run"
    assert event["eventType"] == "COMPLETE"
    assert event["job"]["name"] == "silver_orders"
    assert [(data["namespace"], data["name"]) for data in event["inputs"]] == [("shop", "bronze.orders")]
    (output,) = event["outputs"]
    assert output["name"] == "silver.orders"
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 1
    assert output["facets"]["version"]["datasetVersion"] == str(first.snapshot_id)
    assert {"name": "amount", "type": "BIGINT"}.items() <= next(
        f for f in output["facets"]["schema"]["fields"] if f["name"] == "amount"
    ).items()
    lineage = output["facets"]["columnLineage"]["fields"]
    assert [field["field"] for field in lineage["amount"]["inputFields"]] == ["price", "quantity"]
    assert {field["name"] for field in lineage["amount"]["inputFields"]} == {"bronze.orders"}
    assert "the-secret" not in json.dumps(events)


def test_a_run_of_an_orchestrator_keeps_its_id_and_a_side_is_an_input(lake: Any) -> None:
    codes = frame(lake, "a", {"code": "x", "title": "X", "at": datetime(2026, 1, 1, tzinfo=UTC)})
    lk.merge_scd2(codes, key="code", into="gold.codes", effective_at="at")
    lk.append(frame(lake, "a", {"id": 1, "code": "x"}), into="bronze.things")
    things = lk.lookup(lk.read_new(lake, "bronze.things", into="silver.things"), "gold.codes", on="code", take="title", missing="null")
    commit = lk.merge(things, key="id")
    event = lk.openlineage_event(lake, commit, job="things", run_id="7f3fbc5c-2d8b-4c0e-8f5e-0a2f4b0f6f11")
    assert event.run.runId == "7f3fbc5c-2d8b-4c0e-8f5e-0a2f4b0f6f11"
    assert sorted(data.name for data in event.inputs or []) == ["bronze.things", "gold.codes"]
