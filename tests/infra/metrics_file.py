"""infra/metrics.yaml, made from the table in the code: infra/ stands alone and reads no file outside itself.

python -m tests.infra.metrics_file    # writes it
"""

from __future__ import annotations

from pathlib import Path

import yaml

from headgate.telemetry.metrics import COUNTERS, DISTRIBUTIONS, GAUGES

FILE = Path(__file__).parents[2] / "infra" / "metrics.yaml"
HEAD = """\
# What the code emits. Made by `python -m tests.infra.metrics_file` from the table in the code
# (services/headgate/telemetry/metrics.py); a test compares the two.
"""


def rendered() -> str:
    """The file as it should be."""
    content = {
        "gauges": [
            {"name": one.name, "unit": one.unit, "help": one.help, "labels": list(one.labels)} for one in GAUGES
        ],
        "counters": [
            {
                "name": one.name,
                "help": one.help,
                "actions": list(one.actions),
                "labels": dict(one.labels),
                "above": dict([one.above] if one.above else []),
            }
            for one in COUNTERS
        ],
        "distributions": [
            {"name": d.name, "unit": d.unit, "help": d.help, "action": d.action, "fact": d.fact, "bounds": [*d.bounds]}
            for d in DISTRIBUTIONS
        ],
    }
    return HEAD + yaml.safe_dump(content, sort_keys=False, width=110)


if __name__ == "__main__":
    FILE.write_text(rendered())
