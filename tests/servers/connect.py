"""Kafka Connect with Debezium's connector for PostgreSQL: one worker, on a free port of the loopback address."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from tests.servers.child import START_TIMEOUT, ChildServer
from tests.servers.jars import jars

JAVA = ("java", "-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
QUIET = (
    "status = WARN\nrootLogger.level = WARN\nrootLogger.appenderRef.out.ref = out\nappender.out.type = Console\nappender.out.name = out\n"
)
JSON = "org.apache.kafka.connect.json.JsonConverter"


class ConnectServer(ChildServer):
    """One worker of Kafka Connect, gone at the end of the ``with`` block. What its connectors have read, it knows again after ``kill``.

    Attributes:
        servers: The Kafka broker it writes to.
    """

    def __init__(self, servers: str) -> None:
        """Start the worker."""
        self.servers = servers
        super().__init__()

    def command(self) -> list[str]:
        """A worker that keeps the offsets of its sources in a file."""
        settings = {
            "bootstrap.servers": self.servers,
            "listeners": f"http://{self.address}",
            "key.converter": JSON,
            "value.converter": JSON,
            "offset.storage.file.filename": str(self.home / "offsets"),
            "offset.flush.interval.ms": "1000",
            "plugin.discovery": "only_scan",
            "topic.creation.enable": "true",
        }
        (self.home / "log4j2.properties").write_text(QUIET)
        (self.home / "worker.properties").write_text("\n".join(f"{name}={value}" for name, value in settings.items()))
        logging = f"-Dlog4j2.configurationFile=file:{self.home / 'log4j2.properties'}"
        classes = os.pathsep.join(str(jar) for jar in jars("connect"))
        return [*JAVA, logging, "-cp", classes, "org.apache.kafka.connect.cli.ConnectStandalone", str(self.home / "worker.properties")]

    def start(self) -> None:
        """Start it, again after ``kill``, and wait until it answers. Its connectors are to be made again."""
        super().start()
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            try:
                self._ask("GET", "/connectors")
            except OSError:
                time.sleep(0.1)
            else:
                return
        message = f"Kafka Connect does not answer:\n{self.log[-4000:]}"
        raise RuntimeError(message)

    def connect(self, name: str, config: Mapping[str, str]) -> None:
        """Make a connector, and wait until its task runs."""
        self._ask("PUT", f"/connectors/{name}/config", dict(config))
        deadline = time.monotonic() + START_TIMEOUT
        found: Any = None
        while time.monotonic() < deadline:
            try:
                found = self._ask("GET", f"/connectors/{name}/status")
            except urllib.error.HTTPError:
                found = None
            states = [] if found is None else [task["state"] for task in found["tasks"]]
            if states and set(states) == {"RUNNING"}:
                return
            if "FAILED" in states:
                self._ask("POST", f"/connectors/{name}/restart?includeTasks=true&onlyFailed=true")
            time.sleep(0.2)
        message = f"the connector {name} does not run: {found}\n{self.log[-4000:]}"
        raise RuntimeError(message)

    def restart(self, name: str) -> None:
        """Begin a connector's tasks anew."""
        self._ask("POST", f"/connectors/{name}/restart?includeTasks=true")

    def failed(self, name: str) -> bool:
        """Whether a task of a connector has given up."""
        return any(task["state"] == "FAILED" for task in self._ask("GET", f"/connectors/{name}/status")["tasks"])

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"http://{self.address}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")
