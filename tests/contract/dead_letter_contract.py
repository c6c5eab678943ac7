"""Messages that were given up, on any store: recorded once, with the end of their run; a part of StoreContract."""

from __future__ import annotations

from functools import partial

from headgate.core.run import Run
from headgate.delivery.port import Message
from headgate.flow import dead_letters, retention
from headgate.flow.replay import list_letters
from headgate.flow.submit import Accepted
from headgate.store.documents import DeadLetter
from headgate.store.port import Backend
from tests.support.live import Live
from tests.support.places import store_over
from tests.support.threads import all_well, together

AWKWARD = 'not JSON: "\\ \x00 \ufffd ü 🏗 ' + "x" * 70_000


class DeadLetterContract:
    """Subclass it and define the fixture `backend`."""

    def test_one_dead_letter_many_times_at_once_is_one_record_and_one_end(self, backend: Backend):
        live = Live(store_over(backend))
        live.prepare(acme="pro")
        answer = live.submit("acme")
        assert isinstance(answer, Accepted)
        message = Message(run_id=answer.run.id, fence=answer.run.fence)
        bury = partial(dead_letters.bury, live.deps, live.dispatcher, message, AWKWARD)
        all_well(together([bury] * 8))
        [letter] = list_letters(live.deps, {"tenant": "acme", "state": "open"}, 10).letters
        assert (letter.outcome, letter.count, letter.run) == ("ended", 8, answer.run.id)
        assert letter.body == AWKWARD[: dead_letters.MOST_BODY]
        ended = live.deps.store.get(Run, answer.run.id)
        assert ended is not None
        assert (ended.state, live.tenant("acme").holders) == ("failed", {})
        live.assert_books_balance()

    def test_what_is_malformed_is_kept_until_its_time_is_over(self, backend: Backend):
        live = Live(store_over(backend))
        live.prepare(acme="pro")
        for name in ("a", "b", "b"):
            dead_letters.quarantine(live.deps, f"dl_{name}", AWKWARD, "no JSON")
        found = {letter.id: letter.count for letter in list_letters(live.deps, {"reason": "malformed"}, 10).letters}
        assert found == {"dl_a": 1, "dl_b": 2}
        [kept, _] = list_letters(live.deps, {}, 10).letters
        assert retention.remove_expired(live.deps, kept.expire_at - 60_000) == 0
        assert retention.remove_expired(live.deps, kept.expire_at) == 2
        assert live.deps.store.get(DeadLetter, "dl_a") is None
