"""Follows a table: ``python examples/cdc/cdc.py lake/ broker:9092``. `README.md` says what has to run beside it."""

from __future__ import annotations

import argparse
import time

import lakekit as lk
from examples.cdc import pipeline
from lakekit import sources


def main() -> None:
    """Take what is new every few seconds, and say what was done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lake", help="a folder")
    parser.add_argument("servers", help="the Kafka brokers")
    parser.add_argument("--every", type=float, default=5.0, help="seconds")
    arguments = parser.parse_args()
    lake, bus = lk.connect(arguments.lake), sources.Kafka(arguments.servers)
    while True:
        for commit in pipeline.run(lake, bus):
            if commit.committed:
                print(commit, flush=True)
        time.sleep(arguments.every)


if __name__ == "__main__":
    main()
