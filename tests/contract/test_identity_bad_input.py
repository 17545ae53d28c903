"""What is wrong with a call of resolve_identities is said before anything is written; no value of a row is in the text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

import lakekit as lk
from lakekit import identity
from lakekit.errors import ConfigError, ContractError, LakekitError, QueryError, SchemaError
from tests.contract.helpers import frame
from tests.contract.identities import BY_EMAIL, INTO

SECRET = "s3cret-value"


def batch(lake: Any, run: str = "r", **more: Any) -> lk.Batch:
    return frame(lake, run, {"id": SECRET, "email": SECRET, **more})


def resolve(lake: Any, batches: Any, *, record_key: Any = None, rules: identity.Rules = BY_EMAIL, **options: Any) -> lk.Commit:
    keys = dict.fromkeys(batches, "id") if record_key is None else record_key
    return lk.resolve_identities(batches, record_key=keys, rules=rules, **{"into": INTO, **options})


UNTRAINED = identity.Rules(match=[identity.probabilistic(compare=[identity.compare("email")], block=["email"])])

MISTAKES: dict[str, tuple[type[LakekitError], Callable[[Any], object]]] = {
    "no batch": (ConfigError, lambda lake: resolve(lake, {})),
    "batches that are no mapping": (ConfigError, lambda lake: resolve(lake, [batch(lake)], record_key={})),
    "something else than a batch": (ConfigError, lambda lake: resolve(lake, {"a": 7})),
    "a source without a name": (ConfigError, lambda lake: resolve(lake, {"": batch(lake)})),
    "no key for a source": (ConfigError, lambda lake: resolve(lake, {"a": batch(lake)}, record_key={})),
    "a key for another source": (ConfigError, lambda lake: resolve(lake, {"a": batch(lake)}, record_key={"a": "id", "b": "id"})),
    "an unknown key": (SchemaError, lambda lake: resolve(lake, {"a": batch(lake)}, record_key={"a": "idd"})),
    "an empty key": (ConfigError, lambda lake: resolve(lake, {"a": batch(lake)}, record_key={"a": ()})),
    "a key that has no text": (ConfigError, lambda lake: resolve(lake, {"a": frame(lake, "r", {"id": 1.5, "email": "x"})})),
    "a rule's column that no source has": (SchemaError, lambda lake: resolve(lake, {"a": frame(lake, "r", {"id": 1})})),
    "a rule's column that has no text": (ConfigError, lambda lake: resolve(lake, {"a": frame(lake, "r", {"id": 1, "email": 1.5})})),
    "a plain read": (ConfigError, lambda lake: resolve(lake, {"a": lk.read(lake, "bronze.things")})),
    "no table to write to": (ConfigError, lambda lake: resolve(lake, {"a": batch(lake)}, into=None)),
    "a table without a namespace": (ConfigError, lambda lake: resolve(lake, {"a": batch(lake)}, into="identities")),
    "another table than the batch was read for": (
        ConfigError,
        lambda lake: resolve(lake, {"a": lk.read_new(lake, "bronze.things", into="silver.others")}),
    ),
    "batches read for different tables": (
        ConfigError,
        lambda lake: resolve(lake, {name: lk.read_new(lake, "bronze.things", into=f"silver.{name}") for name in "ab"}, into=None),
    ),
    "frames of two runs": (QueryError, lambda lake: resolve(lake, {"a": batch(lake, "r"), "b": batch(lake, "s")})),
    "rules that were not trained": (ConfigError, lambda lake: resolve(lake, {"a": batch(lake)}, rules=UNTRAINED)),
    "a table kept by something else": (ConfigError, lambda lake: resolve(lake, {"a": batch(lake)}, into="silver.merged")),
    "a naive instant": (ConfigError, lambda lake: resolve(lake, {"a": batch(lake)}, now=datetime(2026, 1, 1))),  # noqa: DTZ001
    "too many rejects": (
        ContractError,
        lambda lake: resolve(
            lake, {"a": frame(lake, "r", {"id": None, "email": SECRET}, {"id": "1", "email": SECRET})}, max_reject_fraction=0.1
        ),
    ),
    "training without a rule to train": (ConfigError, lambda lake: identity.train(batch(lake), rules=BY_EMAIL)),
    "training on one record": (ContractError, lambda lake: identity.train(batch(lake), rules=UNTRAINED)),
    "training without a column": (SchemaError, lambda lake: identity.train(frame(lake, "r", {"id": 1}), rules=UNTRAINED)),
}


@pytest.fixture(scope="module")
def filled(shared_lake: Any) -> Any:
    lk.append(frame(shared_lake, "a", {"id": "1", "email": SECRET}), into="bronze.things")
    lk.merge(frame(shared_lake, "a", {"id": "1", "email": SECRET}), key="id", into="silver.merged")
    return shared_lake


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_and_nothing_is_written(filled: Any, mistake: str) -> None:
    kind, call = MISTAKES[mistake]
    with pytest.raises(kind) as error:
        call(filled)
    assert not error.value.retryable
    assert error.value.place
    assert SECRET not in str(error.value)
    assert not [name for name in filled.tables() if "identities" in name]


def test_a_source_keeps_its_record_key(lake: Any) -> None:
    resolve(lake, {"a": batch(lake)})
    with pytest.raises(ConfigError, match="known by id"):
        resolve(lake, {"a": batch(lake, "s", other=1)}, record_key={"a": "other"})


def test_a_rewind_while_a_batch_waits_is_a_conflict(lake: Any) -> None:
    lk.append(frame(lake, "a", {"id": "1", "email": "x"}), into="bronze.things")
    resolve(lake, {"a": lk.read_new(lake, "bronze.things", into=INTO)})
    waiting = lk.read_new(lake, "bronze.things", into=INTO)
    lk.rewind(lake, into=INTO, upstream="bronze.things", to=None)
    lk.append(frame(lake, "b", {"id": "2", "email": "x"}), into="bronze.things")
    with pytest.raises(lk.errors.CommitConflictError):
        resolve(lake, {"a": waiting})
    assert resolve(lake, {"a": lk.read_new(lake, "bronze.things", into=INTO)}).inserted == 1
