"""The frame source that a bus's settings ask for: SocketCAN, any other interface of python-can, or a replay."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from glob import glob
from pathlib import Path
from typing import Any, Final, Protocol

from edge.frame_source import REPLAY, FrameSource, ReaderError
from edge.lean_imports import without_asammdf
from edge.protocols.transmit_rules import TransmitRules

REPLAY_KEYS: Final = ("channel", "dbc", "log_channel", "loop", "name", "speed", "strict")
SOCKETCAN: Final = "socketcan"
SOCKETCAN_KEYS: Final = ("bitrate", "channel", "dbc", "fd", "listen_only", "name", "receive_buffer", "strict")


class BusSettings(Protocol):
    """What the agent's file says about one bus (edge.config.CanSettings)."""

    @property
    def interface(self) -> str: ...
    @property
    def channel(self) -> str | Sequence[str]: ...
    @property
    def name(self) -> str | None: ...
    @property
    def listen_only(self) -> bool: ...
    @property
    def speed(self) -> float: ...
    @property
    def loop(self) -> bool: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


def open_bus(
    bus: BusSettings, filters: Sequence[dict[str, int | bool]] = (), *, rules: TransmitRules | None = None
) -> FrameSource:
    """The source that the settings name; `filters` are the decoder's. Connects in `async with`. Raises ReaderError.

    It sends what `rules` allow, and nothing without any.
    """
    if rules is not None and bus.listen_only:
        problem = "poll asks the vehicle's controllers, which is to send: say listen_only = false, or leave out poll"
        raise ReaderError(bus.name or _channels(bus)[0], problem)
    if bus.interface == REPLAY:
        return _open_replay(bus)
    with without_asammdf():
        from can.interfaces import BACKENDS

    channels = _channels(bus)
    if bus.interface not in BACKENDS:
        near = get_close_matches(bus.interface, [REPLAY, *BACKENDS], n=1, cutoff=0.0)[0]
        problem = f"python-can has no interface {bus.interface!r}; did you mean {near!r}?"
        raise ReaderError(bus.name or channels[0], problem)
    if len(channels) != 1:
        raise ReaderError(bus.name or channels[0], "one channel a bus: give each its own [[can]]")
    if bus.interface == SOCKETCAN:
        from edge.buses.socketcan import has_socketcan

        if has_socketcan():
            return _open_socketcan(bus, filters, rules)
    from edge.can_reader import CanReader

    return CanReader(
        bus.interface,
        channels[0],
        name=bus.name,
        options=bus.options,
        filters=filters,
        listen_only=bus.listen_only,
        rules=rules,
    )


def _open_socketcan(
    bus: BusSettings, filters: Sequence[dict[str, int | bool]], rules: TransmitRules | None
) -> FrameSource:
    from edge.buses.socketcan_reader import BUFFER_BYTES, SocketCan, SocketCanReader

    (channel,) = _channels(bus)
    options = dict(bus.options)
    interface = SocketCan(
        channel,
        filters=filters,
        listen_only=bus.listen_only,
        sends=rules is not None,
        fd=bool(_number(bus, options, "fd", True)),
        bitrate=_number(bus, options, "bitrate", 0),
        buffer_bytes=_number(bus, options, "receive_buffer", BUFFER_BYTES),
    )
    _refuse_unknown(bus, options, SOCKETCAN_KEYS, "SocketCAN")
    return SocketCanReader(interface, name=bus.name or channel, rules=rules)


def _open_replay(bus: BusSettings) -> FrameSource:
    from edge.recordings.replay import ReplayReader

    options = dict(bus.options)
    log_channel = options.pop("log_channel", None)
    _refuse_unknown(bus, options, REPLAY_KEYS, "a replay")
    paths = [path for channel in _channels(bus) for path in _paths(channel)]
    return ReplayReader(paths, name=bus.name or paths[0].name, speed=bus.speed, loop=bus.loop, log_channel=log_channel)


def _channels(bus: BusSettings) -> list[str]:
    return [bus.channel] if isinstance(bus.channel, str) else list(bus.channel)


def _number(bus: BusSettings, options: dict[str, Any], key: str, default: int) -> int:
    """The option, of the type of its default; taken from the options."""
    value: int = options.pop(key, default)
    if type(value) is not type(default) or value < 0:
        what = "true or false" if isinstance(default, bool) else "a whole number"
        raise ReaderError(bus.name or _channels(bus)[0], f"{key} is {value!r}; write {what}")
    return value


def _refuse_unknown(bus: BusSettings, options: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    for unknown in options:
        near = get_close_matches(unknown, known, n=1, cutoff=0.0)[0]
        problem = f"{what} has no setting {unknown!r}; did you mean {near!r}? Known: {', '.join(known)}"
        raise ReaderError(bus.name or _channels(bus)[0], problem)


def _paths(text: str) -> list[Path]:
    """The file, or those that a pattern such as `logs/*.MF4` matches, by name."""
    if Path(text).exists() or not set("*?[") & set(text):
        return [Path(text)]
    paths = sorted(Path(path) for path in glob(text))
    if not paths:
        raise ReaderError(text, "no file matches")
    return paths
