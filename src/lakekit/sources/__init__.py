"""What lakekit reads from: values that say where the data is. They connect when they are read, and load their driver then.

>>> from lakekit import sources
>>> sources.Postgres("postgresql://reader:secret@db/shop", name="shop").table("public.users", cursor="last_updated_at").upstream
'postgres:shop/public.users'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakekit import lazy

if TYPE_CHECKING:
    from lakekit.sources.debezium import Debezium
    from lakekit.sources.files import Files
    from lakekit.sources.kafka import Kafka
    from lakekit.sources.mongo import Mongo
    from lakekit.sources.postgres import Postgres

_HOMES = {"Debezium": "debezium", "Files": "files", "Kafka": "kafka", "Mongo": "mongo", "Postgres": "postgres"}

__all__ = ["Debezium", "Files", "Kafka", "Mongo", "Postgres"]


__getattr__ = lazy.loader(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
