"""Three hours of a shop, from PostgreSQL, MongoDB and Kafka to a star of Iceberg tables. Run it with `make demo`, on Spark with `ENGINE=spark`."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import lakekit as lk
from examples.shop import pipeline, world
from examples.shop.servers import Shop, open_shop
from lakekit import identity


def main() -> None:
    """Start the servers, let three hours pass, show what came out, and clear up."""
    parser = argparse.ArgumentParser(description="Three hours of a shop, from three sources to a star of Iceberg tables.")
    parser.add_argument("--engine", choices=("embedded", "spark"), default="embedded", help="what computes (default: %(default)s)")
    engine = parser.parse_args().engine
    with tempfile.TemporaryDirectory(prefix="lakekit-shop-", ignore_cleanup_errors=True) as folder, contextlib.ExitStack() as stack:
        try:
            lake = open_lake(Path(folder) / "lake", engine)
            shop = stack.enter_context(open_shop(Path(folder), for_java=engine == "spark"))
        except (lk.errors.ConfigError, RuntimeError) as error:  # Java, Maven or a package is missing
            sys.exit(f"The demo can't run on {engine}. {error}")
        run(shop, lake)


def open_lake(folder: Path, engine: str) -> lk.Lake:
    """The one line that differs between the engines."""
    return lk.connect(lk.spark.session(folder, connectors=("kafka", "mongo", "postgres")) if engine == "spark" else folder)


def run(shop: Shop, lake: lk.Lake) -> None:
    """Let three hours pass, and show what came out."""
    print(f"The shop: a real PostgreSQL; the marketplace: {shop.market.name}; events: {shop.bus.name}")
    for number, hour in enumerate(world.HOURS):
        shop.let_pass(hour)
        headline(f"Hour {number + 1}: {hour.title}")
        for commit in pipeline.run(lake, shop.systems, world.at(9, 30) + timedelta(hours=number)):
            print("  ", commit)
    headline("The same hour once more: nothing changes, no snapshot is made")
    again = pipeline.run(lake, shop.systems, world.at(11, 45))
    assert not any(commit.committed for commit in again), "a second run changed something"
    print(f"   all {len(again)} steps: nothing committed")
    show(lake)


def show(lake: lk.Lake) -> None:
    """The star, one person's history, what was rejected, and why two records are one person."""
    headline("gold.fact_orders with gold.dim_users")
    facts = lk.read(lake, "gold.fact_orders").sql(
        "SELECT f.*, u.full_name, u.city FROM batch f JOIN dim u ON f.user_key = u.user_key ORDER BY f.ordered_at, f.order_id",
        dim=lk.read(lake, "gold.dim_users"),
    )
    columns(facts, "channel", "order_id", "amount", "ordered_at", "device_type", "full_name", "city")
    headline("The history of Ada in gold.dim_users")
    people = lk.read(lake, "gold.dim_users").sql("SELECT * FROM batch WHERE email = 'ada@example.com' ORDER BY valid_from")
    columns(people, "user_key", "full_name", "city", "valid_from", "valid_to", "is_current")
    headline("What could not be cleaned or read")
    for table in ("silver.users", "bronze.kafka_events"):
        columns(lk.read(lake, f"{table}__rejects"), "_rule", "_reason", "_source", "_state")
    headline("Why user 2 of the shop and buyer m-2 of the marketplace are one person")
    print(identity.explain(lake, "silver.identities", a=("postgres", 2), b=("mongo", "m-2")))
    headline("Where every table stands")
    print(lk.status(lake))


def headline(words: str) -> None:
    """Print a line above what follows."""
    print(f"\n── {words} " + "─" * max(0, 100 - len(words)))


def columns(batch: lk.Batch, *names: str) -> None:
    """Print these columns."""
    rows = batch.to_arrow().select(list(names)).to_pylist()
    cells = [list(names), *([("" if row[name] is None else str(row[name])).replace("+00:00", "Z") for name in names] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(names))]
    for line in cells:
        print("  ", "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
