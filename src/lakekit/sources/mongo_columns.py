"""Documents as Arrow columns, and what does not fit its column as JSON in ``_rescued_data``: nothing is lost.

``_rescued_data`` is an object from path to value, in Extended JSON: ``{"address.zip":5,"items.3.price":"free"}``. A path is written as MongoDB
writes it; dots and backslashes within a name have a backslash before them. The column is NULL at that path, and only there.
"""

from __future__ import annotations

import bisect
import itertools
import operator
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import attrs
import pyarrow as pa
from bson import DBRef

from lakekit.sources.mongo_types import as_document, is_name, is_text
from lakekit.sources.mongo_values import MISFIT, json, leaf
from lakekit.sources.rescued import escaped

_EMPTY: Final[dict[str, Any]] = {}


@attrs.frozen
class Place:
    """A place in the documents' structure, whose values are looked at together.

    Attributes:
        parent: The place around it. None: the documents themselves.
        name: The field's name; of an element, ``[]``.
        offsets: Of the elements of arrays: where each array's elements begin among all.
        names: Of the values of maps: their names, instead of numbers.
    """

    parent: Place | None = None
    name: str = ""
    offsets: Sequence[int] | None = None
    names: Sequence[str] | None = None

    def path(self) -> str:
        """The place without the numbers of elements: ``items.[].price``."""
        return "" if self.parent is None else ".".join(part for part in (self.parent.path(), escaped(self.name)) if part)

    def top(self) -> Place:
        """The column it is in."""
        return self if self.parent is None or self.parent.parent is None else self.parent.top()

    def locate(self, index: int) -> tuple[int, list[str]]:
        """The document and the path of one of the values here."""
        if self.parent is None:
            return index, []
        if self.offsets is None:
            row, parts = self.parent.locate(index)
            return row, [*parts, escaped(self.name)]
        array = bisect.bisect_right(self.offsets, index) - 1
        row, parts = self.parent.locate(array)
        return row, [*parts, str(index - self.offsets[array]) if self.names is None else escaped(self.names[index])]


def is_hollow(value: Any) -> bool:
    """Whether a document or array holds nothing that has a type.

    >>> is_hollow({"a": [None, {}]}), is_hollow([0]), is_hollow(None)
    (True, False, False)
    """
    if isinstance(value, dict):
        return all(inner is None or not is_name(name, top=False) or is_hollow(inner) for name, inner in value.items())
    return isinstance(value, list) and all(inner is None or is_hollow(inner) for inner in value)


class Columns:
    """Turns documents into the columns of a schema.

    Attributes:
        hollow: Where empty documents and arrays were met whose type is not known.
    """

    def __init__(
        self, schema: pa.Schema, *, declared: Collection[str] = (), stays_hollow: StaysHollow | None = None, keep_nulls: bool = False
    ) -> None:
        """Take the schema.

        Args:
            schema: The columns.
            declared: Those whose type is declared, and never changes.
            stays_hollow: Whether a document read again had its empty values rescued before.
            keep_nulls: Whether the path of a field that is null is noted among what was rescued.
        """
        self.hollow: set[str] = set()
        self._type = pa.struct(list(schema))
        self._declared = declared
        self._stays_hollow = stays_hollow
        self._keep_nulls = keep_nulls
        self._documents: Sequence[dict[str, Any]] = ()
        self._rescued: dict[int, dict[str, Any]] = {}

    def build(self, documents: Sequence[dict[str, Any]]) -> tuple[list[pa.Array[Any]], pa.Array[Any]]:
        """The columns, and the text of ``_rescued_data``."""
        self._documents, self._rescued = documents, {}
        columns = self._children(documents, self._type, Place())
        if not self._rescued:
            return columns, pa.nulls(len(documents), pa.string())
        texts = {row: json(dict(sorted(values.items()))) for row, values in self._rescued.items()}
        return columns, pa.array([texts.get(row) for row in range(len(documents))], pa.string())

    def _rescue(self, place: Place, index: int, value: Any) -> None:
        row, parts = place.locate(index)
        self._rescued.setdefault(row, {})[".".join(parts)] = value

    def _array(self, values: Sequence[Any], kind: pa.DataType, place: Place) -> pa.Array[Any]:
        if self._stays_hollow is not None:
            values = self._without_hollow(values, place)
        if pa.types.is_struct(kind):
            return self._struct(values, kind, place)
        if pa.types.is_list(kind):
            return self._list(values, kind, place)
        if pa.types.is_map(kind):
            return self._map(values, kind, place)
        return self._leaf(values, kind, place)

    def _leaf(self, values: Sequence[Any], kind: pa.DataType, place: Place) -> pa.Array[Any]:
        how = leaf(kind)
        kinds: set[type] = set(map(type, values))
        only = kinds - {type(None)}
        try:
            if kinds <= how.direct:
                return pa.array(values, kind)
            if len(only) == 1 and (convert := how.bulk.get(next(iter(only)))):
                return pa.array([None if value is None else convert(value) for value in values], kind)
        except (UnicodeEncodeError, OverflowError, pa.ArrowInvalid):
            pass  # one of them does not fit: look at each
        fitting: list[Any] = []
        for index, value in enumerate(values):
            converted = None if value is None else how.convert(value)
            if converted is MISFIT:
                self._rescue(place, index, value)
                converted = None
            fitting.append(converted)
        if isinstance(kind, pa.BaseExtensionType):
            return pa.ExtensionArray.from_storage(kind, pa.array(fitting, kind.storage_type))
        return pa.array(fitting, kind)

    def _struct(self, values: Sequence[Any], kind: Any, place: Place) -> pa.Array[Any]:
        documents, absent = self._only(dict, values, place)
        return pa.StructArray.from_arrays(self._children(documents, kind, place), fields=list(kind), mask=pa.array(absent, pa.bool_()))

    def _children(self, documents: Sequence[dict[str, Any]], kind: Any, place: Place) -> list[pa.Array[Any]]:
        columns: list[pa.Array[Any]] = []
        unknown = sum(map(len, documents))
        for field in kind:
            values, present = _values(documents, field.name)
            unknown -= present
            if self._keep_nulls and None in values:
                self._rescue_nulls(documents, Place(place, field.name))
            columns.append(self._array(values, field.type, Place(place, field.name)))
        if unknown:
            known = {field.name for field in kind}
            for name in dict.fromkeys(itertools.chain.from_iterable(documents)):
                if name not in known:
                    self._rescue_field(documents, Place(place, name))
        return columns

    def _rescue_nulls(self, documents: Sequence[dict[str, Any]], place: Place) -> None:
        for index, document in enumerate(documents):
            if place.name in document and document[place.name] is None:
                self._rescue(place, index, None)

    def _rescue_field(self, documents: Sequence[dict[str, Any]], place: Place) -> None:
        if self._keep_nulls:
            self._rescue_nulls(documents, place)
        for index, document in enumerate(documents):
            value = document.get(place.name)
            if value is not None:
                self._rescue(place, index, value)
                if is_hollow(value) and place.top().name not in self._declared and is_name(place.name, top=place.top() is place):
                    self.hollow.add(place.path())

    def _list(self, values: Sequence[Any], kind: Any, place: Place) -> pa.Array[Any]:
        arrays, absent = self._only(list, values, place)
        offsets = list(itertools.accumulate(map(len, arrays), initial=0))
        elements: Any = self._array(list(itertools.chain.from_iterable(arrays)), kind.value_type, Place(place, "[]", offsets))
        return pa.ListArray.from_arrays(_offsets(offsets, absent), elements, type=kind)

    def _map(self, values: Sequence[Any], kind: Any, place: Place) -> pa.Array[Any]:
        documents, absent = self._only(dict, values, place)
        for name in dict.fromkeys(itertools.chain.from_iterable(documents)):
            if not is_text(name):
                self._rescue_field(documents, Place(place, name))
                documents = [{key: item for key, item in document.items() if key != name} for document in documents]
        offsets = list(itertools.accumulate(map(len, documents), initial=0))
        names = list(itertools.chain.from_iterable(documents))
        items = [item for document in documents for item in document.values()]
        inner: Any = self._array(items, kind.item_type, Place(place, "[]", offsets, names))
        return pa.MapArray.from_arrays(_offsets(offsets, absent), pa.array(names, kind.key_type), inner, type=kind)

    def _only(self, wanted: type[Any], values: Sequence[Any], place: Place) -> tuple[list[Any], list[bool]]:
        """The documents, or the arrays, among the values; an empty one for each other value, which is rescued. And which those are."""
        if wanted is dict and DBRef in set(map(type, values)):
            values = [as_document(value) for value in values]
        empty: Any = wanted() if wanted is list else _EMPTY
        absent = [type(value) is not wanted for value in values]
        found = [empty if none else value for value, none in zip(values, absent, strict=True)]
        for index, value in enumerate(values):
            if value is not None and absent[index]:
                self._rescue(place, index, value)
        return found, absent

    def _without_hollow(self, values: Sequence[Any], place: Place) -> Sequence[Any]:
        """The values without the empty documents and arrays that were rescued when their type was not known yet."""
        stays = self._stays_hollow(place.path()) if self._stays_hollow is not None else None
        if stays is None:
            return values
        kept: list[Any] = []
        for index, value in enumerate(values):
            if is_hollow(value) and stays(self._documents[place.locate(index)[0]]):
                self._rescue(place, index, value)
                kept.append(None)
            else:
                kept.append(value)
        return kept


def _values(documents: Sequence[dict[str, Any]], name: str) -> tuple[list[Any], int]:
    """A field of each document, NULL where it is absent, and how many have it."""
    try:
        return list(map(operator.itemgetter(name), documents)), len(documents)
    except KeyError:
        return [document.get(name) for document in documents], sum(name in document for document in documents)


StaysHollow = Callable[[str], Callable[[dict[str, Any]], bool] | None]
"""For a path where empty values were met before their type was known: whether one in this document stays rescued. None: no such path."""


def _offsets(offsets: Sequence[int], absent: Sequence[bool]) -> Any:
    """Arrow's offsets of lists; NULL where there is no list."""
    return pa.array([*(None if none else at for at, none in zip(offsets, absent, strict=False)), offsets[-1]], pa.int32())
