"""A real Kafka for tests: one broker without ZooKeeper, on free ports of the loopback address, gone with the process that started it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from examples.shop.postgres import _die_with_parent, _free_port
from tests.servers.jars import jars

if TYPE_CHECKING:
    from typing import Self

START_TIMEOUT = 120.0
STOP_TIMEOUT = 30.0
CLUSTER_ID = "lakekit-tests-cluster1"
HEAP = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # Small and quick: what retention and compaction do is seen within a test.
    "log.cleaner.dedupe.buffer.size": "4194304",
    "log.cleaner.backoff.ms": "100",
    "log.retention.check.interval.ms": "500",
    "log.initial.task.delay.ms": "100",
    # The one user that the second listener knows.
    "sasl.enabled.mechanisms": "PLAIN",
    "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
        'org.apache.kafka.common.security.plain.PlainLoginModule required user_reader="reader-secret";'
    ),
}


class KafkaServer:
    """One broker with data of its own, both gone at the end of the ``with`` block.

    Attributes:
        servers: Its address, the same one after a restart: ``127.0.0.1:…``.
        sasl_servers: The address that asks for a user (``reader``) and a password (``reader-secret``), by SASL/PLAIN.
    """

    def __init__(self, *, settings: dict[str, str] | None = None) -> None:
        """Make the data directory and start the broker."""
        self._home = Path(tempfile.mkdtemp(prefix="lakekit-kafka-"))
        self._process: subprocess.Popen[bytes] | None = None
        port, controller, sasl = _free_port(), _free_port(), _free_port()
        self.servers = f"127.0.0.1:{port}"
        self.sasl_servers = f"127.0.0.1:{sasl}"
        listeners = f"PLAINTEXT://{self.servers},SASL_PLAINTEXT://{self.sasl_servers}"
        own = {
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": listeners,
            "log.dirs": str(self._home / "data"),
        }
        lines = [f"{name}={value}" for name, value in {**SETTINGS, **own, **(settings or {})}.items()]
        try:
            self._configuration.write_text("\n".join(lines), encoding="utf-8")
            self._run("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._configuration)).wait()
            self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def log(self) -> str:
        """What the broker wrote to its log so far: errors only."""
        return (self._home / "log").read_text(encoding="utf-8", errors="replace")

    @property
    def _configuration(self) -> Path:
        return self._home / "server.properties"

    def start(self) -> None:
        """Start the broker, again after ``stop`` or ``kill``, and wait until it takes connections."""
        self._process = self._run("kafka.Kafka", str(self._configuration))
        deadline = time.monotonic() + START_TIMEOUT
        while not _listens(self.servers):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                message = f"Kafka did not start:\n{self.log}"
                raise RuntimeError(message)
            time.sleep(0.05)

    def stop(self) -> None:
        """Shut down in order and keep the data."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def kill(self) -> None:
        """End the broker at once, as a crash would, and keep the data."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End the broker and remove its data."""
        self.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        class_path = os.pathsep.join(str(jar) for jar in jars("kafka"))
        with (self._home / "log").open("ab") as log:
            return subprocess.Popen(
                ["java", *HEAP, "-cp", class_path, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._home,
                start_new_session=True,  # Ctrl-C reaches this process only, which then ends the broker
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - it makes one system call and takes no lock
            )


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
