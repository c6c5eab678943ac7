"""Laws, and proof that they bite.

A law is a function of a sample and of the thing under test; it says whether the law holds. `holding` checks it on many
samples, `counterexample` shows that a deliberately wrong thing is caught: a law that catches nothing proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeVar

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How often a property is tried."""

_HUNT = settings(max_examples=2_000, deadline=None, database=None, phases=[Phase.generate])


def counterexample(samples: SearchStrategy[T], law: Callable[[T], bool]) -> T:
    """A sample that breaks the law. Fails when none is found: then the law would not notice this mistake."""
    try:
        return find(samples, lambda sample: not law(sample), settings=_HUNT, random=Random(1))
    except NoSuchExample:
        raise AssertionError("the law did not catch the mistake") from None
