"""How `livedesk replay` shows its results."""

import io

import pytest
from rich.console import Console

from cli.replay import print_report
from streams.replay.check import Report
from streams.topology import TOPOLOGY


@pytest.mark.parametrize("stage", [stage.name for stage in TOPOLOGY])
def test_a_result_fits_80_columns(stage: str) -> None:
    console = Console(file=io.StringIO(), width=80, soft_wrap=True)
    big = 12_345_678
    report = Report(stage, inputs=big, timers=big, keys=big, outputs=big, rows=big, effects=big, pending=9, gone=big)
    print_report(console, report, show=False)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == f"{stage}: identical"
    assert lines[1].strip() == f"{big} inputs and {big} timer firings of {big} keys gave"
    assert lines[2].strip() == f"{big} outputs, {big} rows and {big} effects (9 pending)"
    assert max(map(len, lines)) <= 80
