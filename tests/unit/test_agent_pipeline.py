"""Frames to drafts: decoded, sampled, collected, and accounted for."""

import json
from pathlib import Path

import cantools
import pytest

from edge.batcher import Draft
from edge.campaigns.frame_ring import FrameRing
from edge.campaigns.selection import CampaignRefused, Selection, idle_rules, select
from edge.decoder import Decoder, SignalTable
from edge.fix import Fix
from edge.fix_signals import FixSignals
from edge.frame import Frame
from edge.pipeline import Pipeline
from edge.sampler import SamplingPolicy, SamplingRule
from wire.campaign import read_campaign_toml
from wire.codec import decode_batch, encode_batch

T_NS = 1_700_000_000_000_000_000
DBC = """
VERSION ""
NS_ :
BS_:
BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ Speed : 0|16@1+ (0.25,0) [0|16383.75] "rpm" Vector__XXX
 SG_ Gear : 16|8@1+ (1,0) [0|8] "" Vector__XXX
BO_ 257 Position: 8 ECU
 SG_ Lat : 0|32@1- (1e-07,0) [-90|90] "deg" Vector__XXX
 SG_ Lon : 32|32@1- (1e-07,0) [-180|180] "deg" Vector__XXX
VAL_ 256 Gear 0 "Neutral" 1 "First" ;
"""
J1939 = """
VERSION ""
NS_ :
BS_:
BU_: ECU
BO_ 2364540158 EEC1: 8 ECU
 SG_ EngineSpeed : 24|16@1+ (0.125,0) [0|8031.875] "rpm" Vector__XXX
BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","reserved","J1939PG";
BA_DEF_DEF_ "VFrameFormat" "J1939PG";
"""
EVERY = [SamplingRule("*", SamplingPolicy(every=True))]


def engine(ms: int, rpm: float, gear: int = 1) -> Frame:
    data = int(rpm * 4).to_bytes(2, "little") + bytes([gear]) + bytes(5)
    return Frame(T_NS + ms * 1_000_000 + 999_999, "can0", 256, False, data)


def position(ms: int, lat: float, lon: float) -> Frame:
    data = b"".join(round(angle * 1e7).to_bytes(4, "little", signed=True) for angle in (lat, lon))
    return Frame(T_NS + ms * 1_000_000, "can0", 257, False, data)


class Vehicle:
    def __init__(
        self, rules=EVERY, *, bus: str | None = None, fixes: dict[str, str] | None = None, ring: FrameRing | None = None
    ) -> None:
        table = SignalTable()
        self.decoder = Decoder([cantools.database.load_string(DBC)], bus=bus, table=table)
        self.pipeline = Pipeline(
            table.signals,
            rules,
            max_age_ms=1_000,
            max_samples=100_000,
            fix_signals=FixSignals(fixes, table.signals) if fixes else None,
            ring=ring,
        )

    def take(self, *frames: Frame) -> list[Draft]:
        self.pipeline.take_frames(self.decoder, frames, T_NS)
        self.pipeline.finish(wall_ms=T_NS // 1_000_000 + 60_000)
        return list(self.pipeline.take().drafts)


def samples(draft: Draft) -> dict[str, list[tuple[int, float]]]:
    start = T_NS // 1_000_000
    return {
        name: [(t_ms - start, value) for t_ms, value in zip(column.t_ms, column.v, strict=True)]
        for name, column in draft.columns.items()
    }


def test_frames_become_columns_with_floored_times() -> None:
    (draft,) = Vehicle().take(engine(0, 800), engine(10, 801), engine(10, 801))
    assert samples(draft) == {
        "Engine.Speed": [(0, 800.0), (10, 801.0), (10, 801.0)],
        "Engine.Gear": [(0, 1), (10, 1), (10, 1)],
    }


def test_sampling_patterns_look_at_the_name_without_its_bus() -> None:
    rules = [SamplingRule("Engine.Sp*", SamplingPolicy(every=True)), SamplingRule("*", SamplingPolicy(0, 0))]
    (draft,) = Vehicle(rules, bus="pt").take(engine(0, 800), engine(10, 800), engine(20, 800, gear=2))
    assert samples(draft) == {
        "pt:Engine.Speed": [(0, 800.0), (10, 800.0), (20, 800.0)],
        "pt:Engine.Gear": [(0, 1), (20, 2)],
    }


def test_windows_have_names_and_stand_in_the_catalog() -> None:
    rules = [
        SamplingRule("*.Speed", SamplingPolicy(aggregate=("count", "max", "last"))),
        SamplingRule("*", SamplingPolicy(off=True)),
    ]
    vehicle = Vehicle(rules, bus="pt")
    vehicle.pipeline.take_frames(vehicle.decoder, [engine(0, 800), engine(10, 900), engine(20, 850)], T_NS)
    vehicle.pipeline.finish(wall_ms=T_NS // 1_000_000 + 60_000)
    output = vehicle.pipeline.take()
    (draft,) = output.drafts
    assert {name: column[0][1] for name, column in samples(draft).items()} == {
        "pt:Engine.Speed": 850.0,
        "pt:Engine.Speed:count": 3,
        "pt:Engine.Speed:max": 900.0,
    }
    signals = {signal["name"]: signal["unit"] for signal in json.loads(output.catalogs[0][1])["signals"]}
    assert signals["pt:Engine.Speed:max"] == "rpm"
    assert signals["pt:Engine.Speed:count"] is None
    assert "pt:Engine.Gear:max" not in signals
    batch = draft.to_batch(vehicle="v", stream="0199c0de-0000-7000-8000-000000000001", seq=0)
    assert decode_batch(encode_batch(batch)) == batch


def test_catalog_comes_ahead_of_the_batches_that_name_it() -> None:
    vehicle = Vehicle(bus="pt")
    vehicle.pipeline.take_frames(vehicle.decoder, [engine(0, 800)], T_NS)
    vehicle.pipeline.finish(wall_ms=0)
    output = vehicle.pipeline.take()
    ((name, body),) = output.catalogs
    assert [draft.catalog for draft in output.drafts] == [name]
    signals = {signal["name"]: signal for signal in json.loads(body)["signals"]}
    assert signals["pt:Engine.Speed"] == {
        "name": "pt:Engine.Speed",
        "unit": "rpm",
        "min": 0.0,
        "max": 16383.75,
        "choices": None,
    }
    assert signals["pt:Engine.Gear"]["choices"] == {"0": "Neutral", "1": "First"}


def test_sources_that_are_heard_one_by_one_make_one_catalog_a_batch() -> None:
    table = SignalTable()
    decoder = Decoder([cantools.database.load_string(J1939)], table=table)
    pipeline = Pipeline(table.signals, EVERY, max_age_ms=1_000, max_samples=100_000)
    for round_s in range(2):
        heard = range(round_s * 50, round_s * 50 + 50)
        pipeline.take_frames(
            decoder, [Frame(T_NS, "can0", 0x0CF00400 | source, True, bytes(8)) for source in heard], T_NS
        )
        pipeline.tick(wall_ms=T_NS // 1_000_000, monotonic_ms=2_000 * round_s)
        pipeline.tick(wall_ms=T_NS // 1_000_000, monotonic_ms=2_000 * round_s + 1_000)
        output = pipeline.take()
        ((name, body),) = output.catalogs
        assert len(json.loads(body)["signals"]) == 50 * (round_s + 1)
        assert [draft.catalog for draft in output.drafts] == [name]
    assert pipeline.take().catalogs == []


def test_fixes_come_out_of_signals_and_out_of_a_receiver() -> None:
    vehicle = Vehicle(fixes={"lat": "Position.Lat", "lon": "Position.Lon"})
    vehicle.pipeline.take_fix(Fix(T_NS // 1_000_000, 1.0, 2.0))
    (draft,) = vehicle.take(position(5, 48.1, 11.5), engine(6, 800))
    assert [(fix.lat, fix.lon) for fix in draft.fixes] == [(1.0, 2.0), (pytest.approx(48.1), pytest.approx(11.5))]


def test_frame_without_a_time_is_stamped_now() -> None:
    (draft,) = Vehicle().take(engine(0, 800)._replace(t_ns=None))
    assert samples(draft)["Engine.Speed"] == [(0, 800.0)]


def test_unknown_frames_are_counted() -> None:
    vehicle = Vehicle()
    assert vehicle.take(Frame(T_NS, "can0", 999, False, b"\x00")) == []
    assert (vehicle.pipeline.frames, vehicle.pipeline.decoded) == (1, 0)


def test_tick_releases_what_waited_and_closes_what_is_old() -> None:
    vehicle = Vehicle([SamplingRule("*", SamplingPolicy(min_interval_ms=100))])
    pipeline, start = vehicle.pipeline, T_NS // 1_000_000
    pipeline.take_frames(vehicle.decoder, [engine(0, 800), engine(10, 900)], T_NS)
    pipeline.tick(wall_ms=start + 50, monotonic_ms=0)
    assert not pipeline.take().drafts
    pipeline.tick(wall_ms=start + 100, monotonic_ms=999)
    assert not pipeline.is_ready
    pipeline.tick(wall_ms=start + 101, monotonic_ms=1_000)
    (draft,) = pipeline.take().drafts
    assert samples(draft)["Engine.Speed"] == [(0, 800.0), (10, 900.0)]


BRAKE = """
id = "brake"
version = 2
[sampling]
off = true
[[capture]]
name = "hard"
when = "Speed > 1000 and Gear == 1"
before_s = 1
after_s = 1
"""


def chosen(text: str) -> Selection:
    return select(read_campaign_toml(text), ["Engine.Speed", "Engine.Gear"])


def test_capture_sends_raw_frames_and_says_why() -> None:
    vehicle = Vehicle(ring=FrameRing(1_000_000))
    pipeline = vehicle.pipeline
    pipeline.apply(chosen(BRAKE), wall_ms=T_NS // 1_000_000)
    odd = Frame(T_NS + 4_500_000_000, "can0", 0x7, True, b"")
    frames = [engine(n * 100, 1_200 if 50 <= n < 60 else 800) for n in range(100)]
    frames.insert(45, odd)
    for frame in frames:
        pipeline.take_frames(vehicle.decoder, [frame], T_NS)
        pipeline.tick(wall_ms=frame.t_ns // 1_000_000, monotonic_ms=frame.t_ns // 1_000_000)
    pipeline.finish(wall_ms=T_NS // 1_000_000 + 10_000)
    drafts = pipeline.take().drafts
    (event,) = [event for draft in drafts for event in draft.events]
    start = T_NS // 1_000_000
    assert (event.kind, event.t) == ("capture", start + 5_000)
    assert event.data == {
        "capture": "hard",
        "campaign": "brake",
        "version": 2,
        "when": "Speed > 1000 and Gear == 1",
        "values": {"Engine.Speed": 1_200.0, "Engine.Gear": 1.0},
        "before_s": 1.0,
        "after_s": 1.0,
    }
    assert [frame for draft in drafts for frame in draft.frames] == [
        frame for frame in frames if start + 4_000 <= frame.t_ns / 1e6 <= start + 6_000
    ]
    assert pipeline.sampler.counts.not_selected > 0
    assert not any(draft.columns for draft in drafts)
    blocks = []
    for draft in drafts:
        batch = draft.to_batch(vehicle="v", stream="0199c0de-0000-7000-8000-000000000001", seq=0)
        assert decode_batch(encode_batch(batch)) == batch
        blocks += batch.frames
    assert 0x80000007 in [number for block in blocks for number in block.id]
    assert pipeline.captures.taken == {"hard": 1}


def test_condition_that_holds_already_fires_though_its_frame_only_repeats() -> None:
    vehicle = Vehicle(ring=FrameRing(1_000_000))
    vehicle.pipeline.take_frames(vehicle.decoder, [engine(0, 1_200)] * 3, T_NS)
    vehicle.pipeline.apply(chosen(BRAKE), wall_ms=T_NS // 1_000_000)
    vehicle.pipeline.take_frames(vehicle.decoder, [engine(10, 1_200)] * 3, T_NS)
    assert vehicle.pipeline.captures.taken == {"hard": 1}


def test_new_selection_samples_otherwise_from_there_on_and_loses_nothing_of_before() -> None:
    vehicle = Vehicle([SamplingRule("*", SamplingPolicy(min_interval_ms=10_000))])
    pipeline = vehicle.pipeline
    pipeline.take_frames(vehicle.decoder, [engine(0, 800), engine(10, 900)], T_NS)
    every = 'id = "every"\nversion = 1\n[sampling]\nevery = true\n'
    pipeline.apply(chosen(every), wall_ms=T_NS // 1_000_000 + 10)
    pipeline.take_frames(vehicle.decoder, [engine(20, 900), engine(30, 900)], T_NS)
    before, after = (samples(draft)["Engine.Speed"] for draft in vehicle.take())
    assert (before, after) == ([(0, 800.0), (10, 900.0)], [(20, 900.0), (30, 900.0)])
    counts = pipeline.sampler.counts
    assert counts.seen == counts.kept + counts.unchanged == 8


def test_what_was_recorded_under_the_old_selection_names_its_catalog() -> None:
    vehicle = Vehicle()
    pipeline = vehicle.pipeline
    pipeline.take_frames(vehicle.decoder, [engine(0, 800)], T_NS)
    windows = 'id = "c"\nversion = 1\n[sampling]\naggregate = ["max"]\n'
    pipeline.apply(chosen(windows), wall_ms=T_NS // 1_000_000 + 10)
    pipeline.take_frames(vehicle.decoder, [engine(20, 900)], T_NS)
    pipeline.finish(wall_ms=T_NS // 1_000_000 + 60_000)
    output = pipeline.take()
    described = {name: {signal["name"] for signal in json.loads(body)["signals"]} for name, body in output.catalogs}
    before, after = output.drafts
    assert before.columns.keys() <= described[before.catalog]
    assert "Engine.Speed:max" not in described[before.catalog]
    assert after.columns.keys() == {"Engine.Speed:max", "Engine.Gear:max"} <= described[after.catalog]


def test_new_selection_is_as_sparing_as_the_one_before() -> None:
    vehicle = Vehicle()
    vehicle.pipeline.be_sparing(batch_age_ms=0, interval_ms=1_000)
    vehicle.pipeline.apply(chosen('id = "c"\nversion = 1\n'), wall_ms=T_NS // 1_000_000)
    (draft,) = vehicle.take(*(engine(n * 100, 800 + n) for n in range(20)))
    assert len(samples(draft)["Engine.Speed"]) == 3  # at 0, after a second, and what waited at the end


def test_campaign_with_an_unknown_signal_is_refused_with_the_nearest() -> None:
    with pytest.raises(CampaignRefused, match=r"capture 'hard': .* no signal 'Geer'; did you mean 'Gear'\?"):
        chosen(BRAKE.replace("Gear ==", "Geer =="))
    mine = read_campaign_toml(BRAKE + '[[sampling.rule]]\nmatch = "Engin.*"\n[[sampling.rule]]\nmatch = "Engine.*"\n')
    assert idle_rules(mine, ["pt:Engine.Speed"]) == ["Engin.*"]


def test_shared_real_drive_is_conserved() -> None:
    data = Path(__file__).parents[3] / "shared" / "data" / "obd2-trip"
    if not data.is_dir():
        pytest.skip("the shared recordings are not beside the checkout")
    from edge.recordings.recording import open_recording

    table = SignalTable()
    databases = [cantools.database.load_file(data / name) for name in ("OBD-v4.4.dbc", "canmod-gnss.dbc")]
    decoder = Decoder(databases, table=table)
    rules = [SamplingRule("*", SamplingPolicy(min_interval_ms=1_000, deadband=0.5))]
    pipeline = Pipeline(table.signals, rules, max_age_ms=1_000, max_samples=5_000)
    pipeline.take_frames(decoder, open_recording(data / "converted-00000001-60FE3F04.candump.log"), T_NS)
    pipeline.finish(wall_ms=0)
    counts = pipeline.sampler.counts
    kept = sum(draft.sample_count for draft in pipeline.take().drafts)
    assert kept == counts.kept
    assert counts.seen == kept + counts.unchanged + counts.deadband + counts.min_interval + counts.not_finite
    assert 0 < kept < counts.seen / 5
