"""The benchmarks run, print what docs/benchmarks.md says, and find what they are asked for. No times are looked at."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import __main__ as command
from bench.decode import decode, decode_unchanged, fifteen_signals
from bench.drafts import EVERY_CHANGE, drafts
from bench.edge_cpu import edge_cpu, edge_cpu_paced, unchanged
from bench.figure import Figure, Unavailable, faster_is_better, interleaved, rounded, smaller_is_better
from bench.load import Sender, lanes, request
from bench.readme import BEGIN, END, replace_block, table
from bench.recordings import Recorded
from bench.results import Results, load, save
from bench.synthetic import Second
from bench.wire_bytes import wire_bytes
from edge.frame import Frame

FIELDS = ["name", "value", "unit", "baseline", "ratio", "runs", "note"]


def _recorded() -> Recorded:
    """Three seconds of a frame each 100 ms."""
    frames, databases = fifteen_signals(30).frames, fifteen_signals(1).databases
    return Recorded([Frame(place * 100_000_000, *frame[1:]) for place, frame in enumerate(frames)], databases)


@pytest.mark.parametrize(
    "take",
    [
        lambda: decode("decode.15-signals", fifteen_signals, frames=20, runs=1),
        lambda: decode_unchanged(frames=20, runs=1),
        lambda: edge_cpu("edge_cpu.test", unchanged, frames=150, runs=1),
        lambda: edge_cpu_paced("edge_cpu.test.paced", unchanged, frames=150, runs=1),
        lambda: wire_bytes("wire_bytes.test.1s", _recorded, seconds=1),
    ],
)
def test_a_figure_is_one_line_of_json(take: Callable[[], Figure]) -> None:
    line = take().line()
    figure = json.loads(line)
    assert "\n" not in line
    assert list(figure) == FIELDS
    quotient = figure["value"] / figure["baseline"]
    higher_is_better = figure["unit"].endswith("/s")
    assert figure["ratio"] == pytest.approx(quotient if higher_is_better else 1 / quotient, rel=0.01)


def test_ours_and_baseline_run_in_turns_and_the_medians_count() -> None:
    order: list[str] = []
    ours, baseline = iter([3.0, 1.0, 2.0]), iter([10.0, 30.0, 20.0])

    def run(name: str, values: object) -> Callable[[], float]:
        def one() -> float:
            order.append(name)
            return next(values)  # type: ignore[call-overload, no-any-return]

        return one

    medians = interleaved(run("A", ours), run("B", baseline), runs=3)
    assert order == ["A", "B"] * 3
    assert (medians.ours, medians.baseline, medians.runs) == (2.0, 20.0, 3)
    assert faster_is_better("n", medians, unit="u", note="").ratio == 0.1
    assert smaller_is_better("n", medians, unit="u", note="").ratio == 10


def test_numbers_are_cut_to_what_is_known() -> None:
    assert [rounded(value) for value in (1234567.0, 0.123456, 12.0, 0.5)] == [1235000, 0.1235, 12, 0.5]


def test_a_name_stands_for_its_variants() -> None:
    assert command.choose(("decode",)) == [name for name in command.FIGURES if name.startswith("decode.")]
    assert command.choose(("write", "decode.kona")) == ["decode.kona", "write"]
    assert command.choose(()) == list(command.FIGURES)


def test_an_unknown_name_is_one_line_and_exit_2() -> None:
    result = CliRunner().invoke(command.main, ["decod"])
    assert result.exit_code == 2
    assert "there is no figure 'decod'" in result.output


def test_list_takes_nothing() -> None:
    result = CliRunner().invoke(command.main, ["--list", "write"])
    assert (result.exit_code, result.output) == (0, "write\n")


def test_what_is_missing_is_skipped_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> Figure:
        raise Unavailable("there is no such recording")

    monkeypatch.setattr(command, "FIGURES", {"write": unavailable})
    result = CliRunner().invoke(command.main, ["write"])
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == "skipped write: there is no such recording\n"


def test_drafts_hold_every_change() -> None:
    recorded = _recorded()
    batches = list(drafts(recorded, EVERY_CHANGE, max_age_ms=1000))
    assert len(batches) == 3
    width = len(recorded.databases[0].messages[0].signals)
    assert width * 15 < sum(draft.sample_count for draft in batches) <= width * 30


def test_a_lane_holds_whole_vehicles_in_turns() -> None:
    by_vehicle = [[f"{vehicle}{seq}".encode() for seq in range(2)] for vehicle in "abc"]
    assert lanes(by_vehicle, connections=2) == [[b"a0", b"c0", b"a1", b"c1"], [b"b0", b"b1"]]


def test_a_request_announces_the_length_of_its_body() -> None:
    sender = Sender.of([("van-1", "fwd_token")])[0]
    head, _, body = request(sender, Second(signals=2, samples=3).draft(1), 0).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Authorization: Bearer fwd_token" in head


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    figure = Figure("write", 5, "rows/s", 10, 0.5, 3, "a note")
    save([figure], {"decode.kona": "no recording"}, tmp_path / "results.json")
    results = load(tmp_path / "results.json")
    assert results.figures == (figure,)
    assert results.skipped == {"decode.kona": "no recording"}
    assert results.machine
    assert results.date


def test_the_table_goes_between_the_markers_alone() -> None:
    figure = Figure("write", 480_000, "rows/s", 600_000, 0.8, 5, "a | note")
    text = table(Results("a machine", "2025-01-01", (figure,), {}), notes=True)
    page = replace_block(f"before\n{BEGIN}\nold\n{END}\nafter\n", text)
    assert page.startswith(f"before\n{BEGIN}\n")
    assert page.endswith(f"\n{END}\nafter\n")
    assert "| `write` | 480,000 rows/s | 600,000 | 0.80 | a \\| note |" in page
    assert "a machine" in page
    assert "old" not in page


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="bench"):
        replace_block("nothing here", "table")
