"""docs/configuration.md is what the tables say."""

from pathlib import Path

from headgate.configuration_page import main, page
from headgate.policy_file import load_policy
from headgate.policy_file.keys import HOUSE, SEEDS
from headgate.settings.table import variables

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_up_to_date():
    remedy = "run: PYTHONPATH=services python -m headgate.configuration_page docs/configuration.md"
    assert DOCS.read_text(encoding="utf-8") == page(), remedy


def test_it_names_every_variable_and_every_key():
    text = page()
    assert all(f"| `{variable.name}` |" in text for _, variable in variables())
    assert all(f"| `{'.'.join(key.path)}` |" in text for key in (*HOUSE, *SEEDS))


def test_its_examples_are_good_policy_files():
    example, default = (block.split("```")[0] for block in page().split("```yaml\n")[1:])
    assert load_policy(example, "example").plan("pro").run_limits.memory_bytes == 1024**3
    assert load_policy(default, "default") == load_policy("", "empty")


def test_it_is_written_or_printed(tmp_path, capsys):
    main([str(tmp_path / "page.md")])
    main([])
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == capsys.readouterr().out == page()
