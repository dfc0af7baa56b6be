"""The generated decoder against cantools: same numbers, same types, same order, on every database at hand."""

import copy
import json
import math
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from cantools.database.can import Database, Message, Signal
from cantools.database.conversion import BaseConversion
from cantools.database.errors import DecodeError
from cantools.database.errors import Error as CantoolsError

from edge.dbc import DbcError, load_database
from edge.decoder import Decoder

DATA = Path(__file__).parents[3] / "shared" / "data"
DATABASES = sorted(str(path.relative_to(DATA)) for path in DATA.rglob("*.dbc"))
PROJECT_DATABASES = Path(__file__).parents[2] / "dbc"
REFUSED = {"car-kona-ev/pcan.dbc", "tricky-dbc/opendbc_gm_global_a_lowspeed.dbc"}
VECTORS = DATA / "decode-vectors" / "database-vectors.json"

pytestmark = pytest.mark.skipif(not DATABASES, reason="no ../shared/data beside this checkout")

Values = list[tuple[str, int | float]]


@pytest.mark.parametrize("name", sorted(set(DATABASES) - REFUSED))
def test_random_payloads_decode_as_cantools_does(name: str) -> None:
    assert_equal_on_random_payloads(_load(DATA / name), seed=name)


def test_the_projects_own_database_decodes_as_cantools_does() -> None:
    for path in sorted(PROJECT_DATABASES.glob("*.dbc")):
        assert_equal_on_random_payloads(load_database(path), seed=path.name)


def test_published_vectors() -> None:
    checked = 0
    for vector in json.loads(VECTORS.read_text())["vectors"]:
        database = _load(VECTORS.parent / vector["dbc_file"])
        decoder = Decoder([database])
        arbitration_id, data = int(vector["frame_id"], 16), bytes.fromhex(vector["data"])
        decoded = _named(decoder, arbitration_id, vector["extended"], data)
        message = database.get_message_by_frame_id(arbitration_id, force_extended_id=vector["extended"])
        assert decoded.keys() == vector["expected"].keys()
        for signal, expected in vector["expected"].items():
            number = _choice_number(message, signal, expected) if isinstance(expected, str) else expected
            assert decoded[signal] == pytest.approx(number, rel=1e-6), (vector["source_test"], signal)
        checked += 1
    assert checked == 16


@pytest.mark.parametrize("seed", range(40))
def test_random_layouts_decode_as_cantools_does(seed: int) -> None:
    chance = random.Random(seed)
    messages = [_random_message(chance, number) for number in range(10)]
    assert_equal_on_random_payloads(Database(messages, strict=False), seed=str(seed))


def test_changes_are_those_of_the_signals_whose_bits_differ() -> None:
    for name in sorted(set(DATABASES) - REFUSED):
        assert_changes_are_found(_load(DATA / name), seed=name)
    for seed in range(10):
        chance = random.Random(seed)
        messages = [_random_message(chance, number) for number in range(10)]
        assert_changes_are_found(Database(messages, strict=False), seed=str(seed))


def assert_changes_are_found(database: Database, *, seed: str) -> None:
    """Whatever cantools gives another value for is found, with that value, and nothing whose bits are the same."""
    chance = random.Random(seed)
    for message in database.messages:
        decoder = Decoder([Database([message], strict=False)])
        first = chance.randbytes(message.length)
        decoder.decode(message.frame_id, message.is_extended_frame, first)
        slot = decoder.slot(message.frame_id, message.is_extended_frame)
        assert slot is not None
        if slot.length < 0 or slot.reader.changes is None:
            assert slot.length < 0 or message.is_multiplexed()
            continue
        for second in _near(first, chance):
            before, after = reference(message, first), reference(message, second)
            found = {decoder.signals[index].signal: value for index, value in slot.reader.changes(second, first)}
            order = [name for name, _ in after]
            assert sorted(found, key=order.index) == list(found)
            for (name, old), (_, new) in zip(before, after, strict=True):
                assert name in found or _same(old, new), (message.name, name)
                assert name not in found or _same(found[name], new), (message.name, name)
            unchanged = [signal for signal in message.signals if _raw(signal, first) == _raw(signal, second)]
            assert not {signal.name for signal in unchanged} & found.keys()


def _near(data: bytes, chance: random.Random) -> Iterable[bytes]:
    """The same payload, others that differ in a single bit, in some, and in all of their bytes."""
    yield data
    yield chance.randbytes(len(data))
    for _ in range(10):
        changed = bytearray(data)
        for _ in range(chance.choice([1, 1, 2, 5]) if changed else 0):
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        yield bytes(changed)


def _raw(signal: Signal, data: bytes) -> str:
    """The signal's bits, one by one, in the order of cantools' documentation of start bits."""
    bits = [f"{byte:08b}"[::-1] for byte in data]
    place, taken = signal.start, ""
    for _ in range(signal.length):
        taken += bits[place // 8][place % 8]
        if signal.byte_order == "little_endian":
            place += 1
        else:
            place = place - 1 if place % 8 else place + 15
    return taken


def assert_equal_on_random_payloads(database: Database, *, seed: str) -> None:
    chance = random.Random(seed)
    decoder = Decoder([database])
    for message in database.messages:
        for data in _payloads(message, chance):
            found = _pairs(decoder, message, data)
            expected = reference(message, data)
            assert [name for name, _ in found] == [name for name, _ in expected], (message.name, data.hex())
            for (name, value), (_, wanted) in zip(found, expected, strict=True):
                assert _same(value, wanted), (message.name, name, data.hex(), value, wanted)


def reference(message: Message, data: bytes) -> Values:
    """cantools' own values; where it raises, those of the levels that do not depend on what it raised for."""
    try:
        decoded = message.decode(data, decode_choices=False, allow_truncated=True)
    except DecodeError:
        return _level_by_level(message, data)
    return list(decoded.items())


def _level_by_level(message: Message, data: bytes) -> Values:
    """By messages of single levels, so that cantools decodes each level for itself."""
    taken: Values = []

    def take(tree: Sequence[object]) -> None:
        names = [element if isinstance(element, str) else next(iter(element)) for element in tree]
        signals = [message.get_signal_by_name(name) for name in names]
        level = _alone(message, signals)
        try:
            values = level.decode(data, decode_choices=False, allow_truncated=True)
        except DecodeError:
            return
        taken.extend(values.items())
        for element in tree:
            if isinstance(element, str):
                continue
            (name, children), *_ = element.items()
            if name in values and int(values[name]) in children:
                take(children[int(values[name])])

    take(message.signal_tree)
    return taken


def _alone(message: Message, signals: Iterable[Signal]) -> Message:
    flat = []
    for signal in signals:
        single = copy.copy(signal)
        single.is_multiplexer, single.multiplexer_ids, single.multiplexer_signal = False, None, None
        flat.append(single)
    return Message(
        message.frame_id, message.name, message.length, flat, is_extended_frame=message.is_extended_frame, strict=False
    )


def _payloads(message: Message, chance: random.Random) -> Iterable[bytes]:
    """Random ones, extremes, one that reaches each signal through its selectors, and lengths that do not fit."""
    length = message.length
    yield bytes(length)
    yield b"\xff" * length
    for _ in range(30):
        yield chance.randbytes(length)
    for other in {0, 1, length - 1, length // 2, length + 1, 64} - {length, -1}:
        yield chance.randbytes(other)
    for signal in message.signals:
        data = chance.randbytes(length)
        while signal.multiplexer_signal is not None:
            data = _with_selector(message, signal.multiplexer_signal, chance.choice(signal.multiplexer_ids), data)
            signal = message.get_signal_by_name(signal.multiplexer_signal)
        yield data


def _with_selector(message: Message, name: str, value: int, data: bytes) -> bytes:
    """`data` with one selector set, by cantools' own encoding of that signal alone."""
    signal = message.get_signal_by_name(name)
    full = 1 << signal.length
    if signal.is_signed and value >= full // 2:
        value -= full
    single = _alone(message, [signal])
    mask = int.from_bytes(single.encode({name: -1 if signal.is_signed else full - 1}, strict=False, scaling=False))
    bits = int.from_bytes(single.encode({name: value}, strict=False, scaling=False))
    return (int.from_bytes(data) & ~mask | bits).to_bytes(message.length)


def _random_message(chance: random.Random, number: int) -> Message:
    """Any bit position, length, byte order, sign, float size and scaling; now and then signals that overlap."""
    length = chance.choice([1, 2, 5, 8, 8, 8, 8, 12, 64])
    signals: list[Signal] = []
    overlaps = chance.random() < 0.1
    for attempt in range(30):
        is_float = chance.random() < 0.15
        signal = Signal(
            f"S{attempt}",
            chance.randrange(8 * length),
            chance.choice([16, 32, 64]) if is_float else chance.choice([1, 2, 5, 8, 8, 12, 16, 16, 31, 33, 64, 70]),
            byte_order=chance.choice(["little_endian", "big_endian"]),
            is_signed=chance.random() < 0.5,
            conversion=BaseConversion.factory(
                chance.choice([1, 1, 1.0, 2, 3.0, 0.1, -0.5, 0.0078125, -1]),
                chance.choice([0, 0, 0, 0.0, 5, -40, 0.3, -273.15]),
                is_float=is_float,
            ),
        )
        try:
            Message(number, f"M{number}", length, [*signals, signal], strict=not overlaps)
        except CantoolsError:
            continue
        signals.append(signal)
    return Message(number, f"M{number}", length, signals, strict=False)


def _pairs(decoder: Decoder, message: Message, data: bytes) -> Values:
    decoded = decoder.decode(message.frame_id, message.is_extended_frame, data)
    assert decoded is not None
    indices, values, _ = decoded
    return [(decoder.signals[index].signal, value) for index, value in zip(indices, values, strict=True)]


def _named(decoder: Decoder, arbitration_id: int, is_extended: bool, data: bytes) -> dict[str, int | float]:
    decoded = decoder.decode(arbitration_id, is_extended, data)
    assert decoded is not None
    return {decoder.signals[index].signal: value for index, value in zip(decoded[0], decoded[1], strict=True)}


def _choice_number(message: Message, signal: str, text: str) -> int | float:
    found = message.get_signal_by_name(signal)
    return found.conversion.choice_to_number(text) * found.scale + found.offset


def _same(value: int | float, wanted: int | float) -> bool:
    if type(value) is not type(wanted):
        return False
    return repr(value) == repr(wanted) or (math.isnan(value) and math.isnan(wanted))


def _load(path: Path) -> Database:
    try:
        return load_database(path)
    except DbcError:
        return load_database(path, strict=False)
