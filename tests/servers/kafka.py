"""A real Kafka for tests: one broker without ZooKeeper, on free ports of the loopback address, gone with the process that started it."""

from __future__ import annotations

import os

from examples.shop.postgres import _free_port
from tests.servers.child import ChildServer
from tests.servers.jars import jars

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


class KafkaServer(ChildServer):
    """One broker with data of its own, both gone at the end of the ``with`` block. Its log has errors only.

    Attributes:
        servers: Its address, the same one after a restart: ``127.0.0.1:…``.
        sasl_servers: The address that asks for a user (``reader``) and a password (``reader-secret``), by SASL/PLAIN.
    """

    def __init__(self, *, settings: dict[str, str] | None = None) -> None:
        """Make the data directory and start the broker."""
        self._settings = settings or {}
        self._controller = f"127.0.0.1:{_free_port()}"
        self.sasl_servers = f"127.0.0.1:{_free_port()}"
        super().__init__()

    @property
    def servers(self) -> str:
        """Where it listens."""
        return self.address

    def start(self) -> None:
        """Start the broker, again after ``kill``, and wait until it takes connections."""
        configuration = self.home / "server.properties"
        if not configuration.exists():
            listeners = f"PLAINTEXT://{self.servers},SASL_PLAINTEXT://{self.sasl_servers}"
            own = {
                "controller.quorum.voters": f"1@{self._controller}",
                "listeners": f"{listeners},CONTROLLER://{self._controller}",
                "advertised.listeners": listeners,
                "log.dirs": str(self.home / "data"),
            }
            lines = [f"{name}={value}" for name, value in {**SETTINGS, **own, **self._settings}.items()]
            configuration.write_text("\n".join(lines), encoding="utf-8")
            self.run([*_java(), "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(configuration)]).wait()
        super().start()

    def command(self) -> list[str]:
        return [*_java(), "kafka.Kafka", str(self.home / "server.properties")]


def _java() -> list[str]:
    return ["java", *HEAP, "-cp", os.pathsep.join(str(jar) for jar in jars("kafka"))]
