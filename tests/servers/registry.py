"""A schema registry for tests: Apicurio's, which speaks Confluent's protocol. Its schemas are in memory."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

from tests.servers.child import START_TIMEOUT, ChildServer
from tests.servers.jars import jars

JAVA = ("java", "-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


class RegistryServer(ChildServer):
    """One registry, gone at the end of the ``with`` block."""

    def command(self) -> list[str]:
        """Its classes lie ready in the archive."""
        return [*JAVA, "-cp", os.pathsep.join(str(jar) for jar in jars("registry")), "io.quarkus.runner.GeneratedMain"]

    def environment(self) -> dict[str, str]:
        """Where it listens."""
        return {"QUARKUS_HTTP_HOST": "127.0.0.1", "QUARKUS_HTTP_PORT": str(self.port), "QUARKUS_LOG_LEVEL": "WARN"}

    @property
    def url(self) -> str:
        """What clients of Confluent's protocol ask."""
        return f"http://{self.address}/apis/ccompat/v7"

    def start(self) -> None:
        """Start it, again after ``kill`` (then it is empty), and wait until it answers."""
        super().start()
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}/subjects", timeout=5).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        message = f"the registry does not answer:\n{self.log}"
        raise RuntimeError(message)

    def register(self, subject: str, schema: Any, *, kind: str = "AVRO", references: list[dict[str, Any]] | None = None) -> int:
        """Add a version to a subject. Gives its id."""
        told = {"schema": json.dumps(schema), "schemaType": kind, "references": references or []}
        request = urllib.request.Request(
            f"{self.url}/subjects/{subject}/versions",
            data=json.dumps(told).encode(),
            headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["id"]
