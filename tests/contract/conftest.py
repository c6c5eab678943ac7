"""The processes that the races of this folder share, and failures that say what was compared."""

from __future__ import annotations

from pathlib import Path

import pytest

# The contracts are not test files themselves, so pytest would leave their assertions bare.
pytest.register_assert_rewrite(*(f"tests.contract.{file.stem}" for file in Path(__file__).parent.glob("*_contract.py")))

from tests.support.crew import crew  # noqa: E402 - nothing of the contracts may be imported before the line above

__all__ = ["crew"]
