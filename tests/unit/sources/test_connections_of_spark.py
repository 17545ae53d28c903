"""Connections in the words of the Java clients that Spark reads through."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from lakekit import sources
from lakekit.errors import ConfigError
from lakekit.sources import kafka_formats, kafka_java, kafka_spark, mongo_spark, postgres_java, postgres_spark
from lakekit.sources.kafka_options import Settings
from lakekit.sources.kafka_registry import Registered


def kafka(**options: Any) -> dict[str, str]:
    given = {name.replace("_", "."): value for name, value in options.items()}
    return kafka_java.options(Settings.of("a:9092,b:9092", given), place="here")


def test_options_of_librdkafka_keep_their_meaning() -> None:
    found = kafka(
        security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", sasl_username='u"', sasl_password="p\\", ssl_ca_location="/ca.pem"
    )
    assert found["kafka.bootstrap.servers"] == "a:9092,b:9092"
    assert found["kafka.isolation.level"] == "read_committed"
    assert found["kafka.request.timeout.ms"] == "30000"
    assert (found["kafka.ssl.truststore.location"], found["kafka.ssl.truststore.type"]) == ("/ca.pem", "PEM")
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    assert found["kafka.sasl.jaas.config"] == f'{module} required username="u\\"" password="p\\\\";'


def test_databricks_has_the_client_under_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    assert kafka(sasl_mechanism="PLAIN")["kafka.sasl.jaas.config"].startswith("kafkashaded.org.apache.kafka")


@pytest.mark.parametrize("options", [{"sasl_mechanism": "GSSAPI"}, {"ssl_engine_location": "x"}])
def test_what_the_java_client_cannot_do_is_an_error(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="Spark"):
        kafka(**options)


@pytest.mark.parametrize(
    ("dsn", "url"),
    [
        ("postgresql://reader@db/my%20shop", "jdbc:postgresql://db:5432/my%20shop"),
        ("host=a,b port=1,2 dbname=shop target_session_attrs=read-write", "jdbc:postgresql://a:1,b:2/shop"),
        ("postgresql://reader@[::1]:5433/shop?sslmode=verify-full", "jdbc:postgresql://[::1]:5433/shop"),
    ],
)
def test_a_connection_string_becomes_a_url_without_its_password(dsn: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "from-outside")
    found = postgres_java.options(dsn, place="here")
    assert found["url"] == url
    assert found["password"] == "from-outside"
    assert found.get("targetServerType", "primary") == "primary"


@pytest.mark.parametrize("dsn", ["dbname=shop host=/tmp", "postgresql:///shop", "postgresql://db/shop?require_auth=none"])
def test_what_jdbc_cannot_do_is_an_error(dsn: str) -> None:
    with pytest.raises(ConfigError, match=r"dsn=.*(?:TCP|JDBC)"):
        postgres_java.options(dsn, place="here")


def test_what_travels_to_the_workers_holds_no_secret() -> None:
    from pyspark import cloudpickle

    table = sources.Postgres("postgresql://reader:secret-word@db/shop").table("users")
    registry = {"url": "http://registry", "basic.auth.user.info": "reader:secret-word"}
    bus = sources.Kafka("db:9092", options={"sasl.password": "secret-word"}, registry=registry)
    declared, avro = bus.topic("t", schema={"id": "bigint"}), bus.topic("t", format="avro")
    schema = Registered("AVRO", '{"type": "record", "name": "R", "fields": []}')
    makers = [kafka_formats.declared(declared), kafka_formats.registered(avro, schema, {7: schema}.get, None)]
    collection = sources.Mongo("mongodb://reader:secret-word@db", database="market").collection("orders", schema={"a": "string"})
    carried = [postgres_spark.decoder(table, [], None), *map(kafka_spark.parser, (declared, avro), makers)]
    assert b"secret-word" not in cloudpickle.dumps(carried)
    assert b"secret-word" not in pickle.dumps(mongo_spark.without_secret(collection))
