"""A pytest fixture: an empty lake for each test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lakekit.lake import connect

if TYPE_CHECKING:
    from lakekit.lake import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake on the embedded engine, in the test's own folder."""
    return connect(tmp_path / "lake")
