"""What a simulation does: which histories, and which schedules of the tiny scenarios; drawn, or as a file has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from headgate.verify import schedule_file
from headgate.verify.faults import Faults
from headgate.verify.mixes import MIXES
from headgate.verify.scenarios import SCENARIOS
from headgate.verify.schedule_file import Part
from headgate.verify.search import Choices


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One history: its seed, and its mix and faults where they are not to come from the seed."""

    seed: int
    mix: str | None = None
    faults: Faults | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`searched` = at most so many schedules of each scenario; `followed` = these very schedules."""

    histories: Sequence[Drawn] = ()
    searched: int = 0
    followed: Sequence[tuple[str, Choices]] = ()

    @classmethod
    def of_seeds(cls, seeds: Sequence[int], searched: int = 0) -> Plan:
        """Histories in which everything comes from the seed."""
        return cls(histories=[Drawn(seed=seed) for seed in seeds], searched=searched)

    @classmethod
    def load(cls, file: Path) -> Plan:
        """As `save` wrote it; `mix` and `faults` (0-1 each, the others 0) of a history may be absent. Raises InvalidRequest."""
        whole = schedule_file.read(file)
        parts = whole.fields(optional=("histories", "scenarios"))
        histories = [_drawn(part) for part in parts["histories"].list()] if "histories" in parts else []
        followed = [_followed(part) for part in parts["scenarios"].list()] if "scenarios" in parts else []
        if not histories and not followed:
            whole.wrong("must have histories or scenarios")
        return cls(histories=histories, followed=followed)

    def save(self, file: Path) -> None:
        """To be repeated. Raises InvalidRequest."""
        scenarios = [{"name": name, "choices": list(choices)} for name, choices in self.followed]
        schedule_file.write(file, {"histories": [_as_json(one) for one in self.histories], "scenarios": scenarios})


def _as_json(one: Drawn) -> Mapping[str, object]:
    faults = None if one.faults is None else {name: chance for name, chance in asdict(one.faults).items() if chance}
    said = {"seed": one.seed, "mix": one.mix, "faults": faults}
    return {name: value for name, value in said.items() if value is not None}


def _drawn(part: Part) -> Drawn:
    parts = part.fields("seed", optional=("mix", "faults"))
    return Drawn(
        seed=parts["seed"].whole(-(2**53)),
        mix=parts["mix"].one_of(*MIXES) if "mix" in parts else None,
        faults=_faults(parts["faults"]) if "faults" in parts else None,
    )


def _faults(part: Part) -> Faults:
    chances = part.fields(optional=[field.name for field in fields(Faults)])
    return Faults(**{name: chance.number(0, 1.0001) for name, chance in chances.items()})


def _followed(part: Part) -> tuple[str, Choices]:
    parts = part.fields("name", "choices")
    return parts["name"].one_of(*SCENARIOS), tuple(choice.whole(0, 1000) for choice in parts["choices"].list())
