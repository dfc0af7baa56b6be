"""What the soak says of a memory line, what it draws, and what /proc tells of a process and its children."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.chart import line_chart
from bench.load import Sender
from bench.processes import Spent, cpu_s, memory_bytes
from bench.series import Series
from bench.soak import Moment, trends, write_csv
from bench.synthetic import START_MS, Second
from cloud.ingest.quick import read_quickly
from cloud.streams.entries import unpack


def moments(*lines: float, minutes: int = 60) -> list[Moment]:
    """One line that rises by so much in an hour for each number, from 100 MB on; it warms up for ten minutes first."""
    return [
        Moment(minute, 0, {f"{rise:g}": 100 + rise * minute / 60 - max(0, 10 - minute) * 5 for rise in lines})
        for minute in range(minutes + 1)
    ]


def test_line_is_flat_once_it_is_warm_and_a_leak_is_told() -> None:
    found = trends(moments(0.0, 2.0, 30.0))
    assert [found[name].is_flat for name in ("0", "2", "30")] == [True, True, False]
    assert found["30"].mb_per_hour == pytest.approx(30)


def test_table_has_a_line_for_each_moment(tmp_path: Path) -> None:
    write_csv(moments(1.0, minutes=2), tmp_path / "soak.csv")
    lines = (tmp_path / "soak.csv").read_text().splitlines()
    assert lines[0] == "minute,stored,1 MB"
    assert len(lines) == 4


def test_chart_has_each_line_with_its_name_and_all_points() -> None:
    chart = ET.fromstring(line_chart("a < b", "minutes", [0, 1, 2], {"one": [1, 2, 3], "other": [1, 2, 3.01]}))
    texts = ["".join(text.itertext()) for text in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a < b", "minutes", "one", "other"} <= set(texts)
    points = [line.get("points", "").split() for line in chart.iter("{http://www.w3.org/2000/svg}polyline")]
    assert [len(of) for of in points] == [3, 3]


@pytest.mark.parametrize("most", [0.7, 3.0, 99.0, 100.0, 1234.0])
def test_chart_fits_what_it_shows(most: float) -> None:
    chart = ET.fromstring(line_chart("", "", [0, 1], {"x": [0, most]}))
    (line,) = chart.iter("{http://www.w3.org/2000/svg}polyline")
    assert all(0 < float(point.split(",")[1]) < 420 for point in line.get("points", "").split())


def test_cpu_and_memory_count_the_children_and_those_that_ended() -> None:
    burn = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(3_000_000))']); print(); input()"
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert cpu_s({"parent": parent.pid})["parent"] > 0.02
        assert memory_bytes({"parent": parent.pid})["parent"] > 1_000_000
        parent.communicate(b"\n")
    assert memory_bytes({"gone": parent.pid}) == {"gone": 0}


def test_spent_is_told_by_run_and_share() -> None:
    spent = Spent()
    with spent.on({"me": os.getpid()}):
        sum(range(5_000_000))
    assert len(spent.totals_s) == 1
    assert spent.shares == {"me": 1.0}


def test_series_is_what_an_agent_sends() -> None:
    (sender,) = Sender.of([("van-1", "token")])
    series = Series(sender, Second(signals=2, samples=3).draft(1), t0_ms=START_MS)
    plain = unpack(series.request(7).partition(b"\r\n\r\n")[2])
    reading = read_quickly(plain, "van-1")
    assert reading is not None
    assert [(one.seq, one.samples) for one in reading.taken] == [(7, 6)]
    assert unpack(series.item(7).body) == reading.taken[0].body
