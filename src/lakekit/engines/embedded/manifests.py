"""A table's manifests kept few: whoever plans a read opens each of them, and every commit adds one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from pyiceberg.table import TableProperties
from pyiceberg.utils.properties import property_as_bool, property_as_int

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.typedef import Properties

T = TypeVar("T")


def many(properties: Properties) -> int | None:
    """How many small manifests a commit merges, by Iceberg's properties and defaults. None: it merges none."""
    if not property_as_bool(properties, TableProperties.MANIFEST_MERGE_ENABLED, default=True):
        return None
    return property_as_int(properties, TableProperties.MANIFEST_MIN_MERGE_COUNT, TableProperties.MANIFEST_MIN_MERGE_COUNT_DEFAULT)


def to_merge(manifests: Iterable[ManifestFile], properties: Properties, *, least: int) -> Iterator[list[ManifestFile]]:
    """The small manifests of one kind and partition spec that become one, where at least so many do."""
    target = property_as_int(properties, TableProperties.MANIFEST_TARGET_SIZE_BYTES, TableProperties.MANIFEST_TARGET_SIZE_BYTES_DEFAULT)
    alike: defaultdict[tuple[int, int], list[ManifestFile]] = defaultdict(list)
    for manifest in manifests:
        alike[manifest.partition_spec_id, manifest.content].append(manifest)
    for group in alike.values():
        for together in packed(group, lambda manifest: manifest.manifest_length, target or 0):
            if len(together) >= max(least, 2):
                yield together


def packed(items: Iterable[T], size: Callable[[T], int], target: int) -> Iterator[list[T]]:
    """Neighbours together, up to the target size; a larger one by itself."""
    held: list[T] = []
    total = 0
    for item in items:
        if held and total + size(item) > target:
            yield held
            held, total = [], 0
        held.append(item)
        total += size(item)
    if held:
        yield held
