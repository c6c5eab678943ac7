"""Raw documents, writes and queries as Firestore protobufs, and documents back again.

Written by hand over the raw protobuf messages: the wrappers of the client library cost several times as much, and a
tenant's document is read and written with every change of it.

What differs from plain JSON, and never shows above the port:

- `touch`: a value no write has used before. Firestore does not move `update_time` for a write that changes nothing, so
  without it somebody who read before an equal rewrite would not notice it.
- `ttl`: a timestamp beside `expire_at`, because a TTL policy understands nothing else.
- the user's own JSON (`runs.input`, `runs.result`) is bytes: never indexed by accident, no limit of 1,500 bytes.
- a list inside a list and map keys such as `__x__` or the empty one, which Firestore refuses, are escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from google.cloud.firestore_v1.types import document, query, write
from google.protobuf.timestamp_pb2 import Timestamp

from headgate.store.port import Delete, Found, Key, Mask, Put, Query, Verify, Version, Where, Write

Pb = Any
"""A raw protobuf message; their classes are made at run time and have no types."""

Value: Pb = document.Value.pb()
StructuredQuery: Pb = query.StructuredQuery.pb()
WritePb: Pb = write.Write.pb()

TOUCH, TTL = "touch", "ttl"
BYTES = frozenset({("runs", "input"), ("runs", "result")})
OPERATORS = {
    "==": StructuredQuery.FieldFilter.EQUAL,
    "<": StructuredQuery.FieldFilter.LESS_THAN,
    "<=": StructuredQuery.FieldFilter.LESS_THAN_OR_EQUAL,
    ">": StructuredQuery.FieldFilter.GREATER_THAN,
    ">=": StructuredQuery.FieldFilter.GREATER_THAN_OR_EQUAL,
    "in": StructuredQuery.FieldFilter.IN,
    "array_contains_any": StructuredQuery.FieldFilter.ARRAY_CONTAINS_ANY,
}
RANGES = frozenset({"<", "<=", ">", ">="})

_NESTED = "[]"
_ESCAPED_KEY = re.compile(r"~|__|\[\]$|$")
_SIMPLE_FIELD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


# --- values


def fill(target: Pb, value: Any) -> None:
    """Set a protobuf Value in place; a bool is tested before int, which it also is."""
    if value is None:
        target.null_value = 0
    elif isinstance(value, bool):
        target.boolean_value = value
    elif isinstance(value, int):
        target.integer_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bytes):
        target.bytes_value = value
    elif isinstance(value, Mapping):
        _fill_map(target.map_value, value)
    elif isinstance(value, (list, tuple)):
        _fill_list(target.array_value, value)
    else:
        raise TypeError(f"a document cannot hold {type(value).__name__}")


def _fill_map(target: Pb, value: Mapping[str, Any]) -> None:
    target.SetInParent()  # an empty map is a map, too
    for key, item in value.items():
        fill(target.fields[f"~{key}" if _ESCAPED_KEY.match(key) else key], item)


def _fill_list(target: Pb, value: Iterable[Any]) -> None:
    target.SetInParent()
    for item in value:
        place = target.values.add()
        nested = isinstance(item, (list, tuple))
        fill(place.map_value.fields[_NESTED] if nested else place, item)


def value_of(pb: Pb) -> Any:
    """What a protobuf Value stands for."""
    return _DECODERS[pb.WhichOneof("value_type")](pb)


def _map_of(pb: Pb) -> Any:
    fields = pb.map_value.fields
    if len(fields) == 1 and _NESTED in fields:
        return value_of(fields[_NESTED])
    return {key.removeprefix("~"): value_of(item) for key, item in fields.items()}


_DECODERS: Mapping[str, Callable[[Pb], Any]] = {
    "null_value": lambda pb: None,
    "boolean_value": lambda pb: pb.boolean_value,
    "integer_value": lambda pb: pb.integer_value,
    "double_value": lambda pb: pb.double_value,
    "string_value": lambda pb: pb.string_value,
    "bytes_value": lambda pb: pb.bytes_value.decode(),
    "map_value": _map_of,
    "array_value": lambda pb: [value_of(item) for item in pb.array_value.values],
}


# --- documents


def name_of(root: str, key: Key) -> str:
    """The resource name of a document. `/` would open a sub-collection, so it is escaped."""
    return f"{root}/{key.collection}/{key.id.replace('%', '%25').replace('/', '%2F')}"


def key_of_name(name: str) -> Key:
    """Where the document of a resource name lives."""
    collection, _, id = name.rpartition("/")
    return Key(collection.rpartition("/")[2], unquote(id))


def found_of(pb: Pb) -> Found:
    """A document as read, without the bookkeeping fields."""
    raw = {name: value_of(value) for name, value in pb.fields.items() if name not in (TOUCH, TTL)}
    return Found(key_of_name(pb.name), raw, pb.update_time.ToNanoseconds())


def _fill_document(target: Pb, root: str, key: Key, fields: Mapping[str, Any], touch: str) -> None:
    target.name = name_of(root, key)
    for name, value in fields.items():
        user_json = (key.collection, name) in BYTES and isinstance(value, str)
        fill(target.fields[name], value.encode() if user_json else value)
    target.fields[TOUCH].string_value = touch
    if isinstance(fields.get("expire_at"), int):
        target.fields[TTL].timestamp_value.FromMilliseconds(fields["expire_at"])


# --- writes


def write_of(root: str, asked: Write, new_id: Callable[[], str]) -> Pb:
    """One write of a commit. A precondition that does not hold fails the whole commit."""
    pb = WritePb()
    if isinstance(asked, Put):
        _fill_document(pb.update, root, asked.key, asked.raw, new_id())
        _require(pb, asked.version)
    elif isinstance(asked, Mask):
        _fill_document(pb.update, root, asked.key, asked.fields, new_id())
        # ttl stands in the mask whenever expire_at does: one that became None takes its ttl away
        names = (*asked.fields, TOUCH, *((TTL,) if "expire_at" in asked.fields else ()))
        pb.update_mask.field_paths.extend(quoted(name) for name in names)
        pb.current_document.exists = True
    elif isinstance(asked, Delete):
        pb.delete = name_of(root, asked.key)
        if asked.version is not None:
            _require(pb, asked.version)
    else:
        _fill_verify(pb, root, asked)
    return pb


def _fill_verify(pb: Pb, root: str, asked: Verify) -> None:
    """An empty mask changes nothing, update_time included. It would create what is absent, hence the delete."""
    if asked.version is None:
        pb.delete = name_of(root, asked.key)
    else:
        pb.update.name = name_of(root, asked.key)
        pb.update_mask.SetInParent()
    _require(pb, asked.version)


def _require(pb: Pb, version: Version | None) -> None:
    if version is None:
        pb.current_document.exists = False
    else:
        pb.current_document.update_time.CopyFrom(_timestamp(int(version)))


def _timestamp(nanoseconds: int) -> Timestamp:
    return Timestamp(seconds=nanoseconds // 10**9, nanos=nanoseconds % 10**9)


def quoted(field: str) -> str:
    """A field's name as a path: anything but a plain word stands in backticks."""
    if _SIMPLE_FIELD.fullmatch(field):
        return field
    escaped = field.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


# --- queries


def structured(root: str, asked: Query) -> Pb:
    """A query of the port, ordered down to the id, in the direction of the last order field."""
    pb = structured_conditions(asked)
    for name, descending in _order(asked):
        _order_by(pb, quoted(name), descending)
    _order_by(pb, "__name__", bool(asked.order) and asked.order[-1].startswith("-"))
    if asked.limit is not None:
        pb.limit.value = asked.limit
    if asked.after is not None:
        *values, id = asked.after
        for value in values:
            fill(pb.start_at.values.add(), value)
        pb.start_at.values.add().reference_value = name_of(root, Key(asked.collection, id))
        pb.start_at.before = False
    return pb


def structured_conditions(asked: Query) -> Pb:
    """Only which documents, not in which order: what a count needs."""
    pb = StructuredQuery()
    pb.from_.add().collection_id = asked.collection
    for condition in asked.where:
        pb.where.composite_filter.op = StructuredQuery.CompositeFilter.AND
        _fill_condition(pb.where.composite_filter.filters.add(), condition)
    return pb


def _fill_condition(pb: Pb, condition: Where) -> None:
    if condition.value is None and condition.op == "==":  # a comparison with null finds nothing
        pb.unary_filter.field.field_path = quoted(condition.field)
        pb.unary_filter.op = StructuredQuery.UnaryFilter.IS_NULL
        return
    pb.field_filter.field.field_path = quoted(condition.field)
    pb.field_filter.op = OPERATORS[condition.op]
    fill(pb.field_filter.value, condition.value)


def _order(asked: Query) -> list[tuple[str, bool]]:
    """Firestore orders by every field that has a range; those the query does not order by come last."""
    fields = {name.lstrip("-"): name.startswith("-") for name in asked.order}
    for condition in asked.where:
        if condition.op in RANGES:
            fields.setdefault(condition.field, False)
    return list(fields.items())


def _order_by(pb: Pb, path: str, descending: bool) -> None:
    order = pb.order_by.add()
    order.field.field_path = path
    order.direction = StructuredQuery.DESCENDING if descending else StructuredQuery.ASCENDING
