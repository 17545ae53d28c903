"""The engine without a JVM: pyiceberg for the tables, DuckDB for the relational work, Arrow between them."""

from __future__ import annotations

from lakekit.engines.embedded.catalog import EmbeddedEngine

__all__ = ["EmbeddedEngine"]
