"""Views of dead letters: look, replay, discard. For operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headgate.api import cursors
from headgate.api.body import read
from headgate.api.bulk import item_of, item_of_error
from headgate.api.bulk_models import BatchItemAnswer
from headgate.api.exchange import Ask, Reply, View
from headgate.api.runs import answered
from headgate.api.switch_models import (
    LETTER_WORDS,
    DeadLetterAnswer,
    DeadLetterDone,
    DeadLetterListAnswer,
    DeadLettersDoneAnswer,
    DeadLettersRequest,
)
from headgate.api.wire import run_json
from headgate.core.access import Permission
from headgate.core.errors import HeadgateError, InvalidRequest
from headgate.flow import audit
from headgate.flow.replay import MOST, OPEN, Redelivered, Replayer, find_letter, list_letters
from headgate.store.documents import DeadLetter
from headgate.wiring import System

_FIELDS = {"tenantId": "tenant", "runId": "run", "reason": "reason", "state": "state"}


class DeadLetterViews:
    """`/admin/dead-letters`."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._deps = system.deps

    def views(self) -> dict[str, View]:
        """By the names of the operations."""
        return {
            "listDeadLetters": self.list,
            "getDeadLetter": self.get,
            "replayDeadLetters": self.replay,
            "discardDeadLetters": self.discard,
        }

    def list(self, ask: Ask) -> Reply:
        """A page, newest first."""
        ask.require(Permission.PLATFORM_READ)
        after = None
        if "cursor" in ask.query:
            at, id = cursors.decoded(ask.query["cursor"], int, str)
            after = (int(at), str(id))
        for name, words in LETTER_WORDS.items():
            if ask.query.get(name, words[0]) not in words:
                raise InvalidRequest(f"{name} must be one of {', '.join(words)}.", field=name)
        equal = {field: ask.query[name] for name, field in _FIELDS.items() if name in ask.query}
        page = list_letters(self._deps, equal, ask.limit, after)
        cursor = None if page.after is None else cursors.encoded(*page.after)
        return Reply(body=DeadLetterListAnswer(items=[*map(_letter, page.letters)], next_cursor=cursor).as_json())

    def get(self, ask: Ask) -> Reply:
        """One."""
        ask.require(Permission.PLATFORM_READ)
        return Reply(body=_letter(find_letter(self._deps, ask.path["deadLetterId"])).as_json())

    def replay(self, ask: Ask) -> Reply:
        """Each again, with an answer of its own."""

        def one(replayer: Replayer, id: str) -> BatchItemAnswer:
            answer = replayer.replay(id)
            if isinstance(answer, Redelivered):
                return BatchItemAnswer(status=200, run=run_json(answer.run))
            return item_of(answered(self._deps, answer, ask.correlation.request_id))

        return self._each(ask, one)

    def discard(self, ask: Ask) -> Reply:
        """Each laid aside, with an answer of its own."""

        def one(replayer: Replayer, id: str) -> BatchItemAnswer:
            replayer.discard(id)
            return BatchItemAnswer(status=200)

        return self._each(ask, one)

    def _each(self, ask: Ask, act: Callable[[Replayer, str], BatchItemAnswer]) -> Reply:
        ask.require(Permission.PLATFORM_OPERATE)
        asked = read(DeadLettersRequest, ask.body)
        ids, more = self._wanted(asked)
        replayer = self._replayer(ask, asked.reason)
        items = [self._one(ask, act, replayer, id) for id in ids]
        return Reply(body=DeadLettersDoneAnswer(items=items, more=more).as_json())

    def _one(
        self, ask: Ask, act: Callable[[Replayer, str], BatchItemAnswer], replayer: Replayer, id: str
    ) -> DeadLetterDone:
        try:
            done = act(replayer, id)
        except HeadgateError as error:
            done = item_of_error(error, ask.correlation.request_id)
        return DeadLetterDone(dead_letter_id=id, status=done.status, run=done.run, error=done.error)

    def _wanted(self, asked: DeadLettersRequest) -> tuple[Sequence[str], bool]:
        if asked.filter is None:
            return asked.ids or (), False
        said = asked.filter.model_dump(by_alias=True, exclude_none=True)
        equal = {_FIELDS[name]: value for name, value in said.items()} | {"state": OPEN}
        page = list_letters(self._deps, equal, MOST)
        return [letter.id for letter in page.letters], page.after is not None

    def _replayer(self, ask: Ask, reason: str) -> Replayer:
        request_id = ask.correlation.request_id
        return Replayer(
            deps=self._deps,
            dispatcher=self._system.dispatcher,
            submitter=self._system.submitter,
            caller=ask.caller,
            asking=ask.correlation.asking,
            why=audit.Reason(id="", actor=ask.caller.credential, reason=reason, request_id=request_id),
        )


def _letter(letter: DeadLetter) -> DeadLetterAnswer:
    return DeadLetterAnswer(
        dead_letter_id=letter.id,
        at=letter.at,
        reason=letter.reason,
        detail=letter.detail,
        body=letter.body,
        outcome=letter.outcome,
        tenant_id=letter.tenant,
        run_id=letter.run,
        fence=letter.fence,
        state=letter.state,
        count=letter.count,
    )
