"""What the processes of these tests run."""

from __future__ import annotations

from pathlib import Path

import lakekit as lk
from examples.cdc import pipeline
from lakekit import sources
from lakekit.errors import RetryableError


def follow(lake: Path, servers: str) -> None:
    """Take what is new again and again, until killed. A broker that is down is no reason to end."""
    while True:
        try:
            pipeline.run(lk.connect(lake, progress=False), sources.Kafka(servers, options={"socket.timeout.ms": 5_000}))
        except RetryableError:
            continue
