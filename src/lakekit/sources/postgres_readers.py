"""The rows of a read: through one connection, or through several that see one snapshot."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from lakekit.sources import postgres_read, postgres_session
from lakekit.sources.cursors import greatest

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.sources.postgres_chunks import Chunk
    from lakekit.sources.postgres_session import Session
    from lakekit.sources.postgres_start import Start
    from lakekit.sources.postgres_types import Column
    from lakekit.sources.postgres_watermark import Value

_AHEAD: Final = 2  # batches that wait to be taken, for each reader
_LOOK: Final = 0.1  # seconds between looks at whether the batches are still wanted


@contextmanager
def rows(session: Session, start: Start, columns: Sequence[Column], chunks: Sequence[Chunk]) -> Generator[postgres_read.Read | Several]:
    """The rows of some ranges. The session has its snapshot, and keeps it as long as others read in it."""
    table, statements = start.table, [postgres_read.query(columns, start.rows(chunk)) for chunk in chunks]
    if len(statements) == 1:
        with session.stream(statements[0]) as (_, batches):
            yield postgres_read.Read(table, columns, start.kind, batches)
        return
    several = Several(start, columns, statements, session.snapshot())
    try:
        yield several
    finally:
        several.stop()


class Several:
    """Several connections, each read by a thread of its own. Looks like one `Read`; batches come in no order."""

    def __init__(self, start: Start, columns: Sequence[Column], statements: Sequence[str], snapshot: str) -> None:
        self._start, self._columns, self._snapshot = start, columns, snapshot
        self.schema = postgres_read.Read(start.table, columns, start.kind, iter(())).schema
        self.seen: Value | None = None
        self.exhausted = False
        self._found: queue.Queue[pa.RecordBatch | postgres_read.Read | BaseException] = queue.Queue(_AHEAD * len(statements))
        self._unwanted = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(statement,), name="lakekit-reader", daemon=True) for statement in statements
        ]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, once."""
        for thread in self._threads:
            thread.start()
        reading = len(self._threads)
        while reading:
            found = self._found.get()
            if isinstance(found, postgres_read.Read):  # this one has come to its end
                self.seen = greatest(self.seen, found.seen)
                reading -= 1
            elif isinstance(found, BaseException):
                raise found
            else:
                yield found
        self.exhausted = True

    def stop(self) -> None:
        """Wait until nobody reads any more."""
        self._unwanted.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _read(self, statement: str) -> None:
        table = self._start.table
        try:
            with postgres_session.connect(table.server.connection_string, place=table.place) as session:
                session.join(self._snapshot)
                with session.stream(statement) as (_, batches):
                    read = postgres_read.Read(table, self._columns, self._start.kind, batches)
                    for batch in read.batches():
                        if not self._give(batch):
                            return
            self._give(read)
        except BaseException as error:  # noqa: BLE001 -- raised by batches(), in the thread that asks
            self._give(error)

    def _give(self, item: pa.RecordBatch | postgres_read.Read | BaseException) -> bool:
        """Hand something over. False: nobody wants it any more."""
        while not self._unwanted.is_set():
            try:
                self._found.put(item, timeout=_LOOK)
            except queue.Full:
                continue
            return True
        return False
