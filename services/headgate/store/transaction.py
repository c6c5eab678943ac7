"""One transaction: a view of documents with the writes of this commit laid over it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from headgate.store.documents import D, collection_of, from_raw, key_of, to_raw
from headgate.store.port import (
    Backend,
    Delete,
    Found,
    Key,
    Mask,
    Put,
    Query,
    Raw,
    Read,
    Verify,
    Version,
    Write,
    in_order,
    matches,
)

REMEMBERED_COMMITS = 16
"""A commit whose reply was lost is proved by its id in a document it wrote. A run is written by few; a tenant by many at
once, and what wrote it last must not be forgotten before its author has looked again."""

T = TypeVar("T")


class Torn(Exception):
    """The body saw documents of different moments that do not fit together: read everything again."""


class Hint(NamedTuple):
    """A document found outside a transaction, to be adopted by one: its commit checks that it still stands."""

    value: Any
    found: Found


class _Mark(NamedTuple):
    puts: dict[Key, Any]
    deletes: set[Key]
    masks: list[Mask]
    relied_on: set[Key]


class Tx:
    """What a transaction's body works with. Every value it returns is frozen; `put` lays a new one over it."""

    def __init__(
        self, backend: Backend, timeout: float, attempt: int = 0, chance: float = 0.0, shared: bool = False
    ) -> None:
        self._backend = backend
        self._timeout = timeout
        self.attempt = attempt
        self.chance = chance
        """0 ≤ x < 1, the same for all bodies of the commit: so that they look for free shards from the same place on."""
        self._shared = shared
        """Several bodies work with it: what one found before it began may be too old for the others."""
        self._seen: dict[Key, Found] = {}
        self._answers: dict[str, Read] = {}
        self._decoded: dict[Key, Any] = {}
        self._relied_on: set[Key] = set()
        self._puts: dict[Key, Any] = {}
        self._deletes: set[Key] = set()
        self._masks: list[Mask] = []
        self._rewritten: set[Key] = set()
        self._now: int | None = None

    @property
    def now(self) -> int:
        """The store's time (ms since 1970) of this transaction's first read."""
        if self._now is None:
            self._now = self._backend.get([], self._timeout).now
        return self._now

    # --- reading

    def get(self, cls: type[D], id: str) -> D | None:
        """The document, verified: the commit fails if it has changed by then."""
        key = Key(collection_of(cls), id)
        self._relied_on.add(key)
        return self._current(cls, key)

    def peek(self, cls: type[D], id: str) -> D | None:
        """The document, not verified unless it is also put."""
        return self._current(cls, Key(collection_of(cls), id))

    def prefetch(self, *keys: tuple[type, str]) -> None:
        """Read several documents in one call; later gets of them cost nothing."""
        wanted = [Key(collection_of(cls), id) for cls, id in keys]
        missing = [key for key in wanted if key not in self._seen]
        if missing:
            self._remember(self._backend.get(missing, self._timeout))

    def hint(self, cls: type[D], query: Query) -> list[D]:
        """What matches, with this transaction's own writes laid over it. Not verified: phantoms are possible.

        A document found here and then put is checked against the version found here.
        """
        touched = {key for key in (*self._puts, *self._deletes) if key.collection == query.collection}
        hidden = sum(1 for key in touched if matches(query, self._seen[key].raw or {}))
        wider = replace(query, limit=query.limit + hidden) if query.limit is not None else query
        read = self._ask(wider)
        self._now = self._now or read.now
        found = [f for f in read.found if f.key not in touched]
        for f in found:
            self._refuse_masked(f.key)
            self._seen.setdefault(f.key, f)
        found += self._overlaid(query)
        found = in_order(query, found) if touched else found
        values = [self._value(cls, f.key) for f in found[: query.limit]]
        if None in values:
            raise Torn("a document was found that a moment ago was not there")
        return values

    def glimpse(self, cls: type[D], query: Query) -> list[D]:
        """What matches in the store, as it is now. No part of the view: what `hint` finds is as it was first seen here."""
        return [from_raw(cls, found.raw) for found in self._ask(query).found if found.raw is not None]

    def _ask(self, query: Query) -> Read:
        """One view, one answer: of 64 folded bodies that ask the same the first pays."""
        asked = repr(query)
        if asked not in self._answers:
            self._answers[asked] = self._backend.query(query, self._timeout)
        return self._answers[asked]

    def adopt(self, cls: type[D], hint: Hint) -> D | None:
        """A document that a query outside has found, as if read here; a repeated attempt reads it anew, and so does a
        shared view: a body that shares it may answer by it and write nothing that would check it."""
        key = hint.found.key
        if self.attempt == 0 and not self._shared:
            self._seen.setdefault(key, hint.found)
        return self.get(cls, key.id)

    def _overlaid(self, query: Query) -> list[Found]:
        puts = [(key, to_raw(value)) for key, value in self._puts.items() if key.collection == query.collection]
        return [Found(key, raw, None) for key, raw in puts if matches(query, raw)]

    def _current(self, cls: type[D], key: Key) -> D | None:
        if key in self._deletes:
            return None
        self._refuse_masked(key)
        if key not in self._puts and key not in self._seen:
            self._remember(self._backend.get([key], self._timeout))
        value: D | None = self._value(cls, key)
        return value

    def _value(self, cls: type[D], key: Key) -> Any:
        if key in self._puts:
            return self._puts[key]
        if key not in self._decoded:
            raw = self._seen[key].raw
            self._decoded[key] = None if raw is None else from_raw(cls, raw)
        return self._decoded[key]

    def _remember(self, read: Any) -> None:
        self._now = self._now or read.now
        for found in read.found:
            self._seen.setdefault(found.key, found)

    # --- writing

    def put(self, document: Any) -> None:
        """Create or replace. The commit fails if the document is not as it was read (or found) here."""
        key = key_of(document)
        if key not in self._seen:
            raise LookupError(f"{key} is put without having been read: nothing would protect it")
        self._puts[key] = document
        self._deletes.discard(key)

    def create(self, document: Any) -> None:
        """Create. The commit fails if there is one of that id."""
        key = key_of(document)
        self._seen.setdefault(key, Found(key, None, None))
        self._puts[key] = document

    def delete(self, cls: type, id: str) -> None:
        """Delete, if it is still as it was read here."""
        key = Key(collection_of(cls), id)
        self._puts.pop(key, None)
        self._deletes.add(key)

    def mask(self, cls: type, id: str, fields: Raw) -> None:
        """Set fields without looking at the version: cannot be starved. Nobody may read the document here after that."""
        self._masks.append(Mask(Key(collection_of(cls), id), fields))

    def _refuse_masked(self, key: Key) -> None:
        """A folded body must not read past what another one masked, and then put it back: they are committed apart."""
        if any(mask.key == key for mask in self._masks):
            raise Torn(f"{key} is masked in this very commit")

    # --- for the committer

    def savepoint(self) -> _Mark:
        """The writes so far."""
        return _Mark(dict(self._puts), set(self._deletes), list(self._masks), set(self._relied_on))

    def rollback(self, mark: _Mark) -> None:
        """Forget the writes since the mark."""
        self._puts, self._deletes, self._masks, self._relied_on = mark

    def settles(self, commit_id: str, keys: list[Key]) -> bool:
        """Whether a commit that wrote `keys`, and whose reply was lost, is seen to have been applied.

        If not, this transaction writes one of them as it is: whichever of the two commits comes first excludes the other.
        """
        missing = [key for key in keys if key not in self._seen]
        if missing:
            self._remember(self._backend.get(missing, self._timeout))
        present = [(key, raw) for key in keys if (raw := self._seen[key].raw) is not None]
        self._rewritten.update(key for key, _ in present[:1])
        return any(commit_id in raw.get("commits", ()) for _, raw in present)

    def written_keys(self) -> list[Key]:
        """Documents that the commit puts."""
        return [*self._puts, *self._rewritten_only()]

    def writes(self, commit_id: str) -> list[Write]:
        """The commit: every write with the version it relies on. Empty when nothing is written.

        Each put carries the ids of its last commits: it never equals the old document, and a lost reply can be proved.
        """
        writes: list[Write] = [self._put_write(key, to_raw(value), commit_id) for key, value in self._puts.items()]
        writes += [self._put_write(key, self._seen[key].raw or {}, commit_id) for key in self._rewritten_only()]
        writes += [Delete(key, self._version(key)) for key in self._deletes]
        writes += self._masks
        if writes:
            unwritten = self._relied_on - self._puts.keys() - self._deletes - self._rewritten
            writes += [Verify(key, self._version(key)) for key in sorted(unwritten)]
        return writes

    def _rewritten_only(self) -> list[Key]:
        return sorted(self._rewritten - self._puts.keys() - self._deletes)

    def _put_write(self, key: Key, raw: Raw, commit_id: str) -> Put:
        before = self._seen[key].raw or {}
        commits = [*before.get("commits", ()), commit_id][-REMEMBERED_COMMITS:]
        return Put(key, {**raw, "commits": commits}, self._version(key))

    def _version(self, key: Key) -> Version | None:
        return self._seen[key].version
