"""All mutants, by the rooms of ARCHITECTURE.md."""

from __future__ import annotations

from tests.mutants.mutant import Mutant
from tests.mutants.of_core import CORE
from tests.mutants.of_edges import HANDLERS, WEB
from tests.mutants.of_flow import FLOW
from tests.mutants.of_line import LINE
from tests.mutants.of_store import DELIVERY, STORE

CATALOGUE: tuple[Mutant, ...] = (*CORE, *STORE, *DELIVERY, *FLOW, *LINE, *HANDLERS, *WEB)
