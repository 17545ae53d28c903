"""S3 for tests: moto's server, which holds its buckets in memory."""

from __future__ import annotations

import itertools
import sys

from pyarrow.fs import S3FileSystem

from tests.servers.child import ChildServer

BUCKET = "lakekit"


class S3Server(ChildServer):
    """One server with one bucket. It asks for no particular key."""

    def __init__(self) -> None:
        """Start the server and make the bucket."""
        super().__init__()
        self._numbers = itertools.count(1)
        S3FileSystem(
            access_key=self.properties["s3.access-key-id"],
            secret_key=self.properties["s3.secret-access-key"],
            endpoint_override=self.address,
            scheme="http",
            allow_bucket_creation=True,
        ).create_dir(BUCKET)

    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "--port", str(self.port)]

    @property
    def properties(self) -> dict[str, str]:
        """What tells a pyiceberg catalog to reach it."""
        return {
            "s3.endpoint": f"http://{self.address}",
            "s3.access-key-id": "reader",
            "s3.secret-access-key": "secret",
            "s3.region": "us-east-1",
        }

    def new_warehouse(self) -> str:
        """The location of a warehouse that is still empty."""
        return f"s3://{BUCKET}/warehouse-{next(self._numbers)}"
