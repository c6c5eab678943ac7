"""The certificates: fetched rarely, by one thread, kept through an outage, and never trusted too long."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from headgate.core.errors import Unavailable
from headgate.web.certificates import (
    AFTER_FAILURE_SECONDS,
    AGAIN_SECONDS,
    FRESH_SECONDS,
    USABLE_SECONDS,
    Certificates,
    certificates_of,
    fetch_google,
)
from tests.support.tokens import certificate, certificates
from tests.support.world import Facts


@dataclass
class Google:
    """An endpoint that can be down, and a clock."""

    published: Mapping[str, str] = field(default_factory=certificates)
    down: bool = False
    fetches: int = 0
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.telemetry = Facts()
        self.certificates = Certificates(self.fetch, lambda: self.now, self.telemetry)

    def fetch(self) -> Mapping[str, str]:
        self.fetches += 1
        if self.down:
            raise ConnectionError("no route")
        return self.published

    def knows(self, kid: str) -> bool:
        return self.certificates.key(kid) is not None


def test_one_fetch_serves_for_an_hour():
    google = Google()
    assert google.fetches == 0, "nothing is fetched before it is needed"
    assert all(google.knows("key-1") for _ in range(50))
    google.now += FRESH_SECONDS - 1
    assert google.knows("key-1")
    assert google.fetches == 1
    google.now += 1
    assert google.knows("key-1")
    assert google.fetches == 2


def test_a_new_key_is_found_and_an_old_one_forgotten():
    google = Google()
    assert google.knows("key-1")
    google.published = certificates("key-2")
    google.now += AGAIN_SECONDS
    assert google.knows("key-2")
    assert not google.knows("key-1")


def test_unknown_key_ids_cost_one_fetch_a_minute():
    google = Google()
    for second in range(600):
        assert not google.knows(f"unknown-{second}")
        google.now += 1
    assert google.fetches == 600 / AGAIN_SECONDS


def test_old_certificates_serve_through_an_outage_of_a_day_then_nothing_is_accepted():
    google = Google()
    assert google.knows("key-1")
    google.down = True
    google.now += USABLE_SECONDS - 1
    assert google.knows("key-1")
    google.now += 1 + AFTER_FAILURE_SECONDS
    with pytest.raises(Unavailable) as down:
        google.knows("key-1")
    assert down.value.retry_after == 10
    assert "push.certificates_unavailable" in google.telemetry.actions()
    google.down = False
    google.now += AFTER_FAILURE_SECONDS
    assert google.knows("key-1")


def test_a_stranger_cannot_make_an_outage_of_ours():
    """While Google's endpoint is down an unknown key id is unknown, and not fetched for at every request."""
    google = Google()
    assert google.knows("key-1")
    google.down = True
    google.now += AGAIN_SECONDS
    assert not any(google.knows("unknown") for _ in range(100))
    assert google.fetches == 2


def test_without_any_certificate_a_start_tries_again_soon():
    google = Google(down=True)
    for _ in range(10):
        with pytest.raises(Unavailable):
            google.knows("key-1")
    assert google.fetches == 1
    google.down, google.now = False, google.now + AFTER_FAILURE_SECONDS
    assert google.knows("key-1")


@pytest.mark.parametrize("published", [{"key-1": "no certificate"}, {"key-1": "-----BEGIN CERTIFICATE-----\n"}])
def test_an_answer_that_is_no_list_of_certificates_is_an_outage(published: Mapping[str, str]):
    with pytest.raises(Unavailable):
        Google(published=published).knows("key-1")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"a": 1}', b"<html>", b"[" * 100_000])
def test_a_body_that_is_no_list_of_certificates(body: bytes):
    with pytest.raises(ValueError, match=r"\w"):
        certificates_of(body)


def test_a_key_on_a_curve_is_left_out():
    google = Google(published=certificates() | {"curve": certificate(ec.generate_private_key(ec.SECP256R1()))})
    assert google.knows("key-1")
    assert not google.knows("curve")


def test_of_many_threads_one_fetches_and_who_has_a_key_does_not_wait():
    google = Google()
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(google.knows, ["key-1"] * 64))
    assert google.fetches == 1

    google.now += FRESH_SECONDS
    fetching, go_on = threading.Event(), threading.Event()

    def slow() -> Mapping[str, str]:
        fetching.set()
        assert go_on.wait(10)
        return certificates()

    google.certificates._fetch = slow
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(google.knows, "key-1")
        assert fetching.wait(10)
        assert pool.submit(google.knows, "key-1").result(timeout=5), "it waited for the other's fetch"
        go_on.set()
        assert first.result(timeout=5)


def test_googles_own_list_is_asked_for_with_a_deadline(monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[str, float]] = []

    class Answer:
        content = b'{"key-1": "pem"}'

        def raise_for_status(self) -> None:
            return

    def get(url: str, timeout: float) -> Answer:
        asked.append((url, timeout))
        return Answer()

    monkeypatch.setattr("requests.get", get)
    assert fetch_google() == {"key-1": "pem"}
    assert asked == [("https://www.googleapis.com/oauth2/v1/certs", 3.0)]
