"""Mutants of the store, the delivery: store/, delivery/."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

SQLITE = "tests/contract/test_store_sqlite.py"

STORE = (
    Mutant(
        "what-was-only-read-is-not-verified",
        "A commit checks what it writes and forgets what it relied on.",
        "store/transaction.py",
        "            writes += [Verify(key, self._version(key)) for key in sorted(unwritten)]\n",
        "            writes += [Verify(key, self._version(key)) for key in sorted(unwritten & self._deletes)]\n",
        f"{SQLITE} -k 'verified'",
    ),
    Mutant(
        "an-adopted-document-is-not-verified",
        "A document found outside is believed as it was found.",
        "store/transaction.py",
        "        return self.get(cls, key.id)\n",
        "        return self.peek(cls, key.id)\n",
        "tests/contract/test_sqlite_edges.py",
    ),
    Mutant(
        "a-query-does-not-see-this-commit",
        "A query answers from the store alone, without what the same commit has changed.",
        "store/transaction.py",
        "        found += self._overlaid(query)\n",
        "",
        f"{SQLITE} -k 'query_sees_the_writes'",
    ),
    Mutant(
        "a-body-that-fails-leaves-its-writes",
        "Folded callers share a view; the one that raised is not taken out of it.",
        "store/committer.py",
        "        tx.rollback(mark)\n",
        "",
        f"{SQLITE} -k 'only_its_own_writes'",
    ),
    Mutant(
        "a-lost-reply-is-a-failure",
        "A commit whose reply was lost is made again without asking whether it stands.",
        "store/committer.py",
        "groups.append(_Group(group.jobs, group.attempt + 1, group.doubts))",
        "groups.append(_Group(group.jobs, group.attempt + 1))",
        f"{SQLITE} -k 'one_caller_counts or answered_once'",
    ),
    Mutant(
        "doubt-forgotten-at-a-conflict",
        "Splitting a group after a conflict, its doubts stay behind.",
        "store/committer.py",
        "_Group(part, self.attempt + 1, list(self.doubts)) for part",
        "_Group(part, self.attempt + 1) for part",
        f"{SQLITE} -k 'every_submission'",
    ),
    Mutant(
        "an-early-refusal",
        "A caller is answered over others' writes before these are committed.",
        "store/committer.py",
        "        writes = tx.writes(commit_id)\n",
        "        _answer([answer for answer in answers if answer[2] is not None])\n        writes = tx.writes(commit_id)\n",
        f"{SQLITE} -k 'refusal'",
    ),
    Mutant(
        "a-batch-without-bound",
        "Bodies are folded however much they write.",
        "store/committer.py",
        "and (not batch or size + queue[0].weight <= MAX_BYTES)",
        "and (not batch or size <= MAX_BYTES * MAX_BODIES)",
        f"{SQLITE} -k 'bounded_by'",
    ),
    Mutant(
        "a-conflict-leaves-half",
        "The savepoint of a commit that conflicts is released, not rolled back.",
        "store/sqlite.py",
        "        for write in writes:\n            if not _holds(work, write):\n"
        '                raise Conflict(f"{write.key.collection}/{write.key.id} has changed")\n'
        "        for write in writes:\n            _write(work, write, number)\n",
        "        for write in writes:\n            if not _holds(work, write):\n"
        '                raise Conflict(f"{write.key.collection}/{write.key.id} has changed")\n'
        "            _write(work, write, number)\n"
        "    except Conflict as error:\n        return error\n",
        "tests/contract/test_backend_sqlite.py -k 'one_precondition'",
    ),
    Mutant(
        "the-clock-goes-back",
        "The store's time is taken as the machine gives it.",
        "store/sqlite.py",
        "self._latest = max(self._latest, read)",
        "self._latest = read",
        "tests/contract/test_sqlite_edges.py",
    ),
    Mutant(
        "a-withdrawn-commit-is-written",
        "A caller that was told that nothing was written finds it written.",
        "store/sqlite.py",
        "job.started = not job.abandoned",
        "job.started = True",
        "tests/contract/test_sqlite_edges.py",
    ),
    Mutant(
        "a-page-and-no-more",
        "Who reads every document stops after the first page.",
        "store/reader.py",
        "            after = (page[-1].found.key.id,)\n",
        "            return\n",
        "tests/contract/test_sqlite_edges.py",
    ),
    Mutant(
        "everybody-waits-for-a-dead-store",
        "Whoever probes a silent store is not alone.",
        "store/breaker.py",
        "            self._closed_until = now + self._patience  # this caller is the probe\n",
        "            self._closed_until = now  # this caller is the probe\n",
        "tests/flow/test_alarm.py",
    ),
)

DELIVERY = (
    Mutant(
        "true-is-a-fence",
        "isinstance where a bool must not pass.",
        "delivery/envelope.py",
        "if type(fence) is not int or not 0 <= fence",
        "if not isinstance(fence, int) or not 0 <= fence",
        "tests/delivery/test_envelope.py",
    ),
    Mutant(
        "any-base64",
        "Without validate=True Python skips what is no base64.",
        "delivery/envelope.py",
        "base64.b64decode(text, validate=True)",
        "base64.b64decode(text)",
        "tests/delivery/test_envelope.py",
    ),
    Mutant(
        "part-of-an-id-will-do",
        "`match` for `fullmatch`: an id may go on with anything.",
        "delivery/envelope.py",
        "not RUN_ID.fullmatch(run_id)",
        "not RUN_ID.match(run_id)",
        "tests/delivery/test_envelope.py",
    ),
    Mutant(
        "a-failed-message-is-not-told",
        "A handler's exception ends in a thread where nobody hears of it.",
        "delivery/embedded.py",
        "            self._failed(message, error)",
        "            del error",
        "tests/contract/test_delivery_embedded.py",
    ),
    Mutant(
        "attributes-counted-in-characters",
        "Pub/Sub's limit is in bytes.",
        "delivery/pubsub.py",
        "len(value.encode()) <= VALUE_BYTES",
        "len(value) <= VALUE_BYTES",
        "tests/contract/test_delivery_pubsub.py -k 'correlation'",
    ),
)
