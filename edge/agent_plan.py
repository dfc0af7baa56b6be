"""What the agent's settings ask for, loaded and checked before anything is opened."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import structlog

from edge.buses.open_bus import open_bus
from edge.campaigns.conditions import FIX_NAMES
from edge.campaigns.frame_ring import FrameRing
from edge.campaigns.sampling_rules import sampling_rules
from edge.config import CanSettings, EdgeConfig, PollSettings
from edge.dbc import load_database
from edge.decoder import Decoder, SignalInfo, SignalTable
from edge.errors import ConfigError, UplinkError
from edge.fix_signals import FixSignals
from edge.frame_source import FrameSource
from edge.gps import GpsReader
from edge.pipeline import Pipeline
from edge.protocols.listener import Listener
from edge.protocols.obd_frames import Controller, Width
from edge.protocols.obd_pids import PIDS
from edge.protocols.obd_poll import PollLoop
from edge.protocols.obd_poller import ObdPoller, PollPlan
from edge.protocols.transmit_rules import TransmitRules
from edge.service.health import HealthSignals

TOKEN_ADVICE: Final = "it is to hold the token that 'fleetwire admin vehicle add' prints"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bus:
    """One bus: where its frames come from, and what they mean."""

    decoder: Decoder
    listener: Listener
    source: FrameSource
    signal_names: frozenset[str]
    """Every signal of its databases, whatever source it may come from."""
    poll: PollLoop | None = None
    """What asks its controllers, where the settings want that."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the settings ask for, checked and loaded, before anything is opened."""

    config: EdgeConfig
    buses: Sequence[Bus]
    gps: GpsReader | None
    fix_signals: FixSignals | None
    pipeline: Pipeline
    signals: Sequence[SignalInfo]
    """Of all buses, as far as they are known; grows."""
    health: HealthSignals | None


def plan_agent(config: EdgeConfig) -> Plan:
    """Load every database and check every name. Raises an EdgeError: an agent does not run on half of its settings."""
    table = SignalTable()
    buses = [_load_bus(bus, table, all_frames=config.blackbox.all_frames) for bus in config.can]
    gps = config.gps
    fix_signals = None
    if gps is not None and gps.can is not None:
        names = gps.can.model_dump(exclude_none=True)
        _check_names(names.values(), frozenset().union(*(bus.signal_names for bus in buses)))
        fix_signals = FixSignals(names, table.signals)
    health = HealthSignals(table, [bus.source.name for bus in buses]) if config.health.interval_s else None
    pipeline = Pipeline(
        table.signals,
        sampling_rules(config.sampling),
        max_age_ms=config.batch.max_age_ms,
        max_samples=config.batch.max_samples,
        fix_signals=fix_signals,
        ring=FrameRing(config.blackbox.max_bytes) if config.blackbox.max_bytes else None,
    )
    reader = GpsReader(gps.device, baud=gps.baud) if gps is not None and gps.device is not None else None
    return Plan(config, buses, reader, fix_signals, pipeline, table.signals, health)


def faults(plan: Plan) -> dict[str, int]:
    """What was wrong with frames, buses and positions so far, by cause; what never happened is left out."""
    found: Counter[str] = Counter()
    for bus in plan.buses:
        found.update(bus.decoder.counts.totals())
        found.update(bus.listener.faults())
        found.update(dropped=bus.source.counts.dropped, error_frames=bus.source.counts.error)
        found.update(bus_failures=bus.source.counts.restarts)
        found.update(bus.poll.faults() if bus.poll is not None else {})
    if plan.gps is not None:
        nmea = plan.gps.nmea
        found.update(gps_failures=plan.gps.counts.failures, no_fix=nmea.no_fix, bad_checksum=nmea.bad_checksum)
        found.update(malformed_sentences=nmea.malformed, broken_sentences=nmea.broken)
    if plan.fix_signals is not None:
        counts = plan.fix_signals.counts
        found.update(no_fix=counts.not_valid, incomplete_fix=counts.incomplete, implausible_fix=counts.implausible)
    return {cause: count for cause, count in found.items() if count}


def read_token(config: EdgeConfig) -> str:
    """The device token of [uplink], see `read_token_file`."""
    return read_token_file(config.uplink.token_file)


def read_token_file(path: Path) -> str:
    """A device token: the last word in its file, so that a printed "vehicle token" line will do. Raises UplinkError.

    It is read again for each request, so that a new one needs no restart.
    """
    try:
        words = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "holds no token"
        raise UplinkError(f"{path}: {reason}: {TOKEN_ADVICE}") from error
    if not words:
        raise UplinkError(f"{path}: is empty: {TOKEN_ADVICE}")
    if not words[-1].isprintable():  # as flash leaves a file that was being written when the power went
        raise UplinkError(f"{path}: holds no token: {TOKEN_ADVICE}")
    return words[-1]


def known_names(plan: Plan) -> frozenset[str]:
    """What a campaign's conditions may name: full names without a J1939 source."""
    names: set[str] = set(FIX_NAMES) if plan.config.gps is not None else set()
    for bus in plan.buses:
        names |= bus.signal_names
        if bus.listener.obd is not None:
            prefix = f"{bus.decoder.bus}:" if bus.decoder.bus else ""
            names |= {f"{prefix}OBD.{pid.name}" for pid in PIDS.values()}
    return frozenset(names | {info.name.partition("@")[0] for info in plan.signals})


def _load_bus(bus: CanSettings, table: SignalTable, *, all_frames: bool) -> Bus:
    if not bus.dbc and not bus.protocols and bus.poll is None:
        raise ConfigError(f'[[can]] {bus.name or bus.channel}: name its database: dbc = ["vehicle.dbc"]')
    databases = [load_database(path, strict=bus.strict) for path in bus.dbc]
    decoder = Decoder(databases, bus=bus.name, table=table, checks=bus.checks)
    for message in decoder.undecodable:
        log.warning("message_left_out", message=message, reason="cantools cannot unpack it")
    for message in decoder.overridden:
        log.warning("message_overridden", message=message, reason="a later database defines its identifier too")
    prefix = f"{bus.name}:" if bus.name else ""
    names = frozenset(
        f"{prefix}{message.name}.{signal.name}"
        for database in databases
        for message in database.messages
        for signal in message.signals
    )
    listener = Listener(decoder, bus.protocols)
    filters = [] if all_frames else decoder.filters(listener.filters())
    if bus.poll is None:
        return Bus(decoder, listener, open_bus(bus, filters), names)
    plan = _poll_plan(bus.poll)
    rules = TransmitRules(most_per_s=plan.most_per_s, others=[other.request_id for other in plan.controllers])
    source = open_bus(bus, filters, rules=rules)
    return Bus(decoder, listener, source, names, PollLoop(ObdPoller(plan), source, listener))


def _poll_plan(poll: PollSettings) -> PollPlan:
    widths: tuple[Width, ...] = ("11bit", "29bit") if poll.addressing == "auto" else (poll.addressing,)
    return PollPlan(
        pids=poll.intervals_s(),
        trouble_codes_s=poll.trouble_codes_s,
        uds=poll.uds,
        controllers=tuple(Controller(other.request, other.answer) for other in poll.controllers),
        most_per_s=poll.max_per_s,
        widths=widths,
    )


def _check_names(names: Iterable[str], known: frozenset[str]) -> None:
    """A misspelt signal would give no position for ever."""
    for name in names:
        if name.partition("@")[0] not in known:
            near = get_close_matches(name, sorted(known), n=1, cutoff=0.0)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"[gps] can: no database has a signal {name!r}{hint}")
