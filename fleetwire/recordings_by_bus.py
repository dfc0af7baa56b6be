"""`--replay [BUS=]FILE`: recordings in place of the buses that the settings name."""

from collections.abc import Sequence
from pathlib import Path

import click

from edge.config import CanSettings, EdgeConfig
from edge.frame_source import REPLAY


def by_bus(config: EdgeConfig, recordings: Sequence[str]) -> dict[int, list[str]]:
    """Which files each bus plays, by its place in the settings. Raises click.UsageError for what is not there."""
    names = {name: index for index, bus in enumerate(config.can) for name in (bus.name, bus.channel) if name}
    chosen: dict[int, list[str]] = {}
    for text in recordings:
        bus, separator, file = text.partition("=")
        if not separator or Path(text).exists():
            bus, file = "", text
        if bus and bus not in names:
            known = ", ".join(str(name) for name in names)
            raise click.UsageError(f"--replay {text}: there is no bus {bus!r} in the settings; there are: {known}")
        if not config.can:
            raise click.UsageError("--replay: the settings have no [[can]] bus")
        if not Path(file).is_file():
            raise click.UsageError(f"--replay {text}: there is no file {file}")
        chosen.setdefault(names[bus] if bus else 0, []).append(file)
    return chosen


def as_replay(bus: CanSettings, files: Sequence[str]) -> CanSettings:
    """The bus with files in place of its interface."""
    return CanSettings(
        interface=REPLAY,
        channel=tuple(files),
        name=bus.name,
        dbc=bus.dbc,
        strict=bus.strict,
        protocols=bus.protocols,
    )
