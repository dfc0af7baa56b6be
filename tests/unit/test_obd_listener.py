"""Answers on a bus as the agent keeps them: values, trouble codes, the VIN."""

import cantools
from cantools.database.can import Database

from edge.batcher import Draft
from edge.decoder import Decoder, SignalTable
from edge.frame import Frame
from edge.pipeline import Pipeline
from edge.protocols.listener import Listener
from edge.sampler import SamplingPolicy, SamplingRule

T_NS = 1_700_000_000_000_000_000
HEAD = 'VERSION ""\nNS_ :\nBS_:\nBU_: ECU\n'
BODY = HEAD + 'BO_ 256 Body: 8 ECU\n SG_ Doors : 0|8@1+ (1,0) [0|0] "" ECU\n'
WITH_ANSWERS = BODY + (
    'BO_ 2024 Answers: 8 ECU\n SG_ Service : 8|8@1+ (1,0) [0|0] "" ECU\n'
    'BO_ 1900 Other: 8 ECU\n SG_ Something : 0|8@1+ (1,0) [0|0] "" ECU\n'
)
REQUEST, ENGINE = 0x7DF, 0x7E8
Told = tuple[str, dict[str, object]]


class Car:
    """A bus with its pipeline. Every frame comes 10 ms after the one before."""

    def __init__(self, dbc: str = BODY, *, bus: str | None = None, protocols: tuple[str, ...] | None = None) -> None:
        database = cantools.database.load_string(dbc, "dbc")
        assert isinstance(database, Database)
        table = SignalTable()
        self.decoder = Decoder([database], bus=bus, table=table)
        self.listener = Listener(self.decoder, protocols)  # type: ignore[arg-type]
        every = SamplingRule("*", SamplingPolicy(every=True))
        self.pipeline = Pipeline(table.signals, [every], max_age_ms=1000, max_samples=5000)
        self.t_ns = T_NS

    def hear(self, *frames: tuple[int, str], extended: bool = False) -> Draft:
        """What a batch has after these frames, written as in single frames of up to 7 bytes or as they are."""
        stamped = []
        for arbitration_id, data in frames:
            content = bytes.fromhex(data)
            if len(content) < 8:
                content = (bytes([len(content)]) + content).ljust(8, b"\xaa")
            stamped.append(Frame(self.t_ns, "can0", arbitration_id, extended, content))
            self.t_ns += 10_000_000
        self.pipeline.take_frames(self.decoder, stamped, 0, self.listener)
        self.pipeline.finish(wall_ms=self.t_ns // 1_000_000)
        drafts = self.pipeline.take().drafts
        return drafts[0] if drafts else Draft()

    def values(self, *frames: tuple[int, str], extended: bool = False) -> dict[str, list[float]]:
        return {name: list(column.v) for name, column in self.hear(*frames, extended=extended).columns.items()}

    def events(self, *frames: tuple[int, str], extended: bool = False) -> list[Told]:
        return [(event.kind, dict(event.data)) for event in self.hear(*frames, extended=extended).events]

    def wait(self, seconds: int) -> None:
        self.t_ns += seconds * 1_000_000_000


def told(kind: str, protocol: str, source: str, code: str, status: str) -> Told:
    return kind, {"protocol": protocol, "source": source, "code": code, "status": status}


def test_values_are_signals_with_unit_and_range() -> None:
    car = Car()
    assert car.values((REQUEST, "010C"), (ENGINE, "410C1AF8"), (0x7E9, "410C0000"), (ENGINE, "410C1B00")) == {
        "OBD.EngineSpeed": [1726, 1728],
        "OBD.EngineSpeed@7E9": [0],
    }
    info = next(info for info in car.decoder.signals if info.name == "OBD.EngineSpeed@7E9")
    assert (info.unit, info.minimum, info.maximum, info.label) == ("rpm", 0, 16383.75, "EngineSpeed@7E9")
    assert info.pattern_name == "OBD.EngineSpeed"


def test_answers_with_long_identifiers() -> None:
    car = Car(bus="obd")
    assert car.values((0x18DAF110, "410D32"), (0x18DAF118, "410D33"), extended=True) == {
        "obd:OBD.VehicleSpeed": [50],
        "obd:OBD.VehicleSpeed@18": [51],
    }


def test_answer_of_several_frames_with_several_pids() -> None:
    frames = [(ENGINE, "100A410C1AF80D58"), (0x7E0, "3000000000000000"), (ENGINE, "21057B04FFAABBCC")]
    assert Car().values(*frames) == {
        "OBD.EngineSpeed": [1726],
        "OBD.VehicleSpeed": [88],
        "OBD.CoolantTemperature": [83],
        "OBD.CalculatedLoad": [100],
    }


def test_identifier_that_a_database_defines_is_decoded_by_it_alone() -> None:
    car = Car(WITH_ANSWERS)
    assert car.values((ENGINE, "410C1AF8"), (0x100, "0500000000000000")) == {
        "Answers.Service": [0x41],
        "Body.Doors": [5],
    }
    assert car.events((ENGINE, "43010123")) == [told("dtc_set", "obd2", "7E8", "P0123", "stored")]


def test_codes_become_events_when_they_appear_and_disappear() -> None:
    car = Car()
    assert car.events((REQUEST, "03"), (ENGINE, "4300")) == []
    assert car.events((ENGINE, "43020123C100")) == [
        told("dtc_set", "obd2", "7E8", "P0123", "stored"),
        told("dtc_set", "obd2", "7E8", "U0100", "stored"),
    ]
    assert car.events((ENGINE, "43020123C100"), (0x7E9, "4300")) == []
    assert car.events((ENGINE, "47010123")) == [told("dtc_set", "obd2", "7E8", "P0123", "pending")]
    assert car.events((ENGINE, "4301C100")) == [told("dtc_cleared", "obd2", "7E8", "P0123", "stored")]


def test_codes_of_several_frames() -> None:
    frames = [(ENGINE, "100E430601000200"), (ENGINE, "2103000400050006"), (ENGINE, "2200AAAAAAAAAAAA")]
    assert [data["code"] for _, data in Car().events(*frames)] == ["P0100", "P0200", "P0300", "P0400", "P0500", "P0600"]
    assert Car().events(*frames[:2]) == []


def test_vehicle_identification_number_is_told_once() -> None:
    frames = [(ENGINE, "1014490201314434"), (ENGINE, "2147503030523535"), (ENGINE, "2242313233343536")]
    car = Car(bus="obd")
    assert car.events(*frames) == [("vin", {"source": "7E8", "bus": "obd", "vin": "1D4GP00R55B123456"})]
    assert car.events(*frames) == []


def test_codes_of_uds() -> None:
    car = Car()
    assert car.events((REQUEST, "190208"), (0x7EC, "5902FF58128728")) == [
        told("dtc_set", "uds", "7EC", "C1812-87", "confirmed")
    ]
    assert car.events((REQUEST, "190208"), (0x7EC, "5902FF58128709")) == []
    car.wait(10)
    assert car.events((REQUEST, "190208"), (0x7EC, "5902FF")) == [
        ("dtc_cleared", {"protocol": "uds", "source": "7EC", "code": "C1812-87", "status": "confirmed"})
    ]


def test_code_that_was_not_asked_for_is_not_cleared() -> None:
    car = Car()
    car.events((REQUEST, "1902FF"), (0x7EC, "5902FF58128704"))
    car.wait(10)
    assert car.events((REQUEST, "190208"), (0x7EC, "5902FF")) == []
    car.wait(10)
    assert car.events((0x7EC, "5902FF")) == []  # nobody was heard to ask
    assert car.events((REQUEST, "190208"), (REQUEST, "1902AF"), (0x7EC, "5902FF")) == []  # to which of them?
    car.wait(10)
    assert [kind for kind, _ in car.events((REQUEST, "190204"), (0x7EC, "5902FF"))] == ["dtc_cleared"]


def test_other_identifiers_count_when_somebody_asked() -> None:
    car = Car()
    assert car.events((0x7BB, "59020992381309")) == []
    assert car.decoder.counts.unknown_id == {"7BB": 1}
    asked = told("dtc_set", "uds", "7BB", "B1238-13", "confirmed")
    assert car.events((REQUEST, "190208"), (0x7BB, "59020992381309")) == [asked]
    car.wait(6)
    assert car.events((0x7BB, "59020992381409")) == []
    assert car.events((0x7B3, "190208"), (0x7BB, "7F1978")) == []
    car.wait(4)
    assert car.events((0x7BB, "7F1978")) == []
    car.wait(4)
    assert [data["code"] for _, data in car.events((0x7BB, "59020992381409"))] == ["B1238-14"]


def test_values_of_other_identifiers_are_not_believed() -> None:
    assert Car().values((REQUEST, "010C"), (0x7BB, "410C1AF8")) == {}


def test_identifier_that_a_database_defines_is_its_own() -> None:
    car = Car(WITH_ANSWERS)
    frames = [(REQUEST, "190208"), (1900, "59020992381309")]
    draft = car.hear(*frames)
    assert (list(draft.columns), list(draft.events)) == (["Other.Something"], [])


def test_protocols_can_be_chosen() -> None:
    car = Car(protocols=())
    assert car.values((ENGINE, "410C1AF8")) == {}
    assert car.decoder.counts.unknown_id == {"7E8": 1}
    truck = Car(protocols=("isotp",))
    assert truck.listener.j1939 is None
    assert list(truck.values((ENGINE, "410C1AF8"))) == ["OBD.EngineSpeed"]


def test_what_was_not_heard_whole_is_counted() -> None:
    car = Car()
    car.hear((ENGINE, "1014490201314434"), (ENGINE, "2242313233343536"))
    assert car.listener.faults()["isotp_wrong_sequence"] == 1


def test_filters_let_the_protocols_frames_in() -> None:
    car = Car()
    filters = car.decoder.filters(car.listener.filters())
    for arbitration_id, extended in ((0x7E8, False), (0x7DF, False), (0x18DAF110, True), (0x18DB33F1, True)):
        assert any(
            arbitration_id & filter_["can_mask"] == filter_["can_id"] and filter_["extended"] == extended
            for filter_ in filters
        )
