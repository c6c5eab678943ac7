"""The worker's doors: pushed runs, dead letters, and the sweep's alarm clock. Request and answer only.

A push is acknowledged (204) whenever there is nothing left to do with it: executed, doubled, stale, cancelled, and also
when it is no message of ours, once it is recorded as a dead letter. It is sent back (503) only when a dependency of ours
is down or this process stops, for one refusal slows the whole subscription. Whoever cannot prove to be Pub/Sub or Cloud
Scheduler gets 401, in every mode.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from headgate.core.errors import Unauthenticated
from headgate.delivery import envelope
from headgate.delivery.envelope import Envelope, Malformed
from headgate.flow import dead_letters, sweep
from headgate.flow.execute import Handled
from headgate.settings import PUSH_PATH
from headgate.telemetry.logs import correlated, redacted
from headgate.web.certificates import Certificates, fetch_google
from headgate.web.oidc import PushVerifier
from headgate.wiring import System
from headgate.worker.answers import Stopping, answer_errors, correlation

DEAD_LETTER_PATH = "/pubsub/dead-letter"
SWEEP_PATH = "/tasks/sweep"


def create_worker(system: System, verifier: PushVerifier | None = None) -> Flask:
    """The worker's application over a system whose executor is started. It wants whole paths, no prefix taken off."""
    worker = _Worker(system, verifier or push_verifier(system))
    app = Flask("headgate.worker", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = envelope.MAX_BODY
    answer_errors(app, system.deps)
    for path, view in ((PUSH_PATH, worker.push), (DEAD_LETTER_PATH, worker.dead_letter), (SWEEP_PATH, worker.sweep)):
        app.add_url_rule(path, path, view, methods=["POST"], provide_automatic_options=False)
    return app


def push_verifier(system: System) -> PushVerifier:
    """The verifier that the settings ask for, with Google's certificates."""
    settings, timing = system.settings, system.deps.timing
    return PushVerifier(
        mode=settings.push_auth,
        audience=settings.push_audience,
        service_account=settings.push_service_account,
        certificates=Certificates(fetch_google, timing.monotonic, system.deps.telemetry),
        wall_ms=timing.wall_ms,
    )


class _Worker:
    """The three views."""

    def __init__(self, system: System, verifier: PushVerifier) -> None:
        self._system = system
        self._deps = system.deps
        self._verifier = verifier
        account = system.settings.sweep_service_account or verifier.service_account
        self._scheduler = replace(verifier, service_account=account)

    def push(self) -> Response:
        """Execute the run of a message; answers when the attempt is over and its outcome is stored."""
        return self._deal_with(self._execute)

    def dead_letter(self) -> Response:
        """The broker gave a message up: it is recorded, and its run fails if it still waits for that very message."""
        return self._deal_with(self._bury)

    def sweep(self) -> Response:
        """One round of the sweep; answers how many of each it found."""
        with self._verified(self._scheduler):
            return jsonify(asdict(sweep.sweep(self._deps, self._system.dispatcher)))

    def _deal_with(self, act: Callable[[Envelope, bytes], None]) -> Response:
        with self._verified(self._verifier):
            body = b""
            try:
                body = _body()
                pushed = envelope.parse(body, dict(request.headers))
            except Malformed as why:
                self._quarantine(body, str(why))
            else:
                attributes = pushed.message.attributes
                with correlated(
                    request_id=attributes.get("requestId"),
                    traceparent=attributes.get("traceparent"),
                    message_id=pushed.message_id,
                ):
                    act(pushed, body)
        return Response(status=204)

    def _quarantine(self, body: bytes, why: str) -> None:
        """It would be as malformed the next time: recorded first, then acknowledged."""
        self._deps.telemetry.warning("push.malformed", why=why, path=request.path)
        id = envelope.fingerprint(body, dict(request.headers))
        dead_letters.quarantine(self._deps, f"dl_{id}", _text(body), why)

    def _execute(self, pushed: Envelope, body: bytes) -> None:
        if pushed.attempt is not None and pushed.attempt > 1:
            facts = {"run_id": pushed.message.run_id, "delivery_attempt": pushed.attempt}
            self._deps.telemetry.info("push.redelivered", **facts)
        if self._system.executor.handle(pushed.message) is Handled.STOPPING:
            raise Stopping("This worker is stopping.", retry_after=1)

    def _bury(self, pushed: Envelope, body: bytes) -> None:
        dead_letters.bury(self._deps, self._system.dispatcher, pushed.message, _text(body))

    @contextlib.contextmanager
    def _verified(self, verifier: PushVerifier) -> Iterator[None]:
        """What is done inside is done for Pub/Sub or the scheduler, and logged under the request's id."""
        with correlated(request_id=correlation().request_id, traceparent=correlation().traceparent):
            try:
                verifier.verify(request.headers.get("Authorization"))
            except Unauthenticated as refused:
                self._deps.telemetry.warning(
                    "push.refused", reason=refused.code, detail=refused.detail, path=request.path
                )
                raise
            yield


def _body() -> bytes:
    """The request's body, read at most as far as a message may reach. Raises Malformed."""
    try:
        return request.get_data(cache=False)
    except RequestEntityTooLarge as error:
        raise Malformed(f"the body is above {envelope.MAX_BODY} bytes") from error


def _text(body: bytes) -> str:
    """A body as it is kept for people to read: what looks like a secret is blacked out; headers are never kept."""
    return redacted(body.decode("utf-8", "replace"))
