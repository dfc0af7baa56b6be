"""The command that hurts the cloud tells how. What it finds: tests/integration/test_fault_matrix.py."""

from click.testing import CliRunner

from bench.faults.__main__ import main
from bench.faults.rows import ROWS


def test_help_names_every_row_and_its_fault() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    described = dict(line.strip().split(maxsplit=1) for line in shown.partition("Rows")[2].splitlines()[1:] if line)
    assert described == {name: row.fault for name, row in ROWS.items()}
