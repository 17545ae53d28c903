"""lakekit: lakehouse building blocks on Apache Iceberg. PostgreSQL, MongoDB and Kafka to bronze, silver and gold, each row once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lakekit import lazy
from lakekit._version import __version__

if TYPE_CHECKING:
    from lakekit import checks, errors, evolution, gold, identity, rules, sources, spark, testing
    from lakekit.batch import Batch
    from lakekit.bookmark import Bookmark
    from lakekit.bronze.backfill import backfill
    from lakekit.bronze.deletes import ingest_deletes
    from lakekit.bronze.ingest import ingest
    from lakekit.bronze.stream import Stream, stream
    from lakekit.commit import Commit
    from lakekit.deletes import Deletes
    from lakekit.errors import LakekitError
    from lakekit.gold.lookup import lookup
    from lakekit.gold.scd2 import merge_scd2
    from lakekit.gold.timeline import timeline
    from lakekit.gold.verify import verify_scd2
    from lakekit.identity.attach import with_identity
    from lakekit.identity.golden import golden
    from lakekit.identity.resolve import resolve_identities
    from lakekit.incremental.read import from_frame, history, read, read_new
    from lakekit.incremental.replay import replay
    from lakekit.incremental.rewind import rewind
    from lakekit.lake import Lake, connect
    from lakekit.maintenance import maintain
    from lakekit.observability.openlineage import openlineage_event
    from lakekit.observability.report import report
    from lakekit.observability.status import status
    from lakekit.privacy import forget
    from lakekit.silver.append import append
    from lakekit.silver.audit import audit
    from lakekit.silver.clean import clean
    from lakekit.silver.groups import read_new_groups, replace_groups
    from lakekit.silver.latest import latest
    from lakekit.silver.merge import merge
    from lakekit.silver.shape import lit, select, union_by_name, where
    from lakekit.tables import create_table, sql_functions

# Each name loads its module on first use, so that importing lakekit costs nothing.
_HOMES = {
    "Batch": "batch",
    "Bookmark": "bookmark",
    "Commit": "commit",
    "Deletes": "deletes",
    "Lake": "lake",
    "LakekitError": "errors",
    "Stream": "bronze.stream",
    "append": "silver.append",
    "audit": "silver.audit",
    "backfill": "bronze.backfill",
    "checks": "",
    "clean": "silver.clean",
    "connect": "lake",
    "create_table": "tables",
    "errors": "",
    "evolution": "",
    "forget": "privacy",
    "from_frame": "incremental.read",
    "gold": "",
    "golden": "identity.golden",
    "history": "incremental.read",
    "identity": "",
    "ingest": "bronze.ingest",
    "ingest_deletes": "bronze.deletes",
    "latest": "silver.latest",
    "lit": "silver.shape",
    "lookup": "gold.lookup",
    "maintain": "maintenance",
    "merge": "silver.merge",
    "merge_scd2": "gold.scd2",
    "openlineage_event": "observability.openlineage",
    "read": "incremental.read",
    "read_new": "incremental.read",
    "read_new_groups": "silver.groups",
    "replace_groups": "silver.groups",
    "replay": "incremental.replay",
    "report": "observability.report",
    "rewind": "incremental.rewind",
    "resolve_identities": "identity.resolve",
    "rules": "",
    "select": "silver.shape",
    "sources": "",
    "spark": "",
    "status": "observability.status",
    "sql_functions": "tables",
    "stream": "bronze.stream",
    "testing": "",
    "timeline": "gold.timeline",
    "union_by_name": "silver.shape",
    "verify_scd2": "gold.verify",
    "where": "silver.shape",
    "with_identity": "identity.attach",
}

__all__ = [
    "Batch",
    "Bookmark",
    "Commit",
    "Deletes",
    "Lake",
    "LakekitError",
    "Stream",
    "__version__",
    "append",
    "audit",
    "backfill",
    "checks",
    "clean",
    "connect",
    "create_table",
    "errors",
    "evolution",
    "forget",
    "from_frame",
    "gold",
    "golden",
    "history",
    "identity",
    "ingest",
    "ingest_deletes",
    "latest",
    "lit",
    "lookup",
    "maintain",
    "merge",
    "merge_scd2",
    "openlineage_event",
    "read",
    "read_new",
    "read_new_groups",
    "replace_groups",
    "replay",
    "report",
    "resolve_identities",
    "rewind",
    "rules",
    "select",
    "sources",
    "spark",
    "sql_functions",
    "status",
    "stream",
    "testing",
    "timeline",
    "union_by_name",
    "verify_scd2",
    "where",
    "with_identity",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())


__getattr__ = lazy.loader(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
