"""Which campaign the agent goes by: checked before it counts, kept beside the spool, given up for the last good one.

A campaign that was refused is not asked for again in this run; in the next, with other databases perhaps, it is. One
with which the agent ended early again and again (it was never confirmed) is refused for good; what was good before
holds.

Pure but for its file, which appears whole or not at all. Blocking.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import structlog
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from edge.campaigns.selection import CampaignRefused, Selection, idle_rules, select
from edge.service.private_file import replacing
from wire.campaign import NO_CAMPAIGN, CampaignError, campaign_etag, read_campaign

MOST_EARLY_ENDS: Final = 3
_MODE: Final = 0o640
Decision = Literal["nothing", "fetch", "withdraw", "drop"]

log = structlog.get_logger(__name__)


class _Kept(BaseModel):
    """A campaign's own bytes."""

    model_config = ConfigDict(frozen=True)

    body: str

    @property
    def etag(self) -> str:
        return campaign_etag(self.body.encode())


class _Refused(BaseModel):
    model_config = ConfigDict(frozen=True)

    etag: str
    id: str | None = None
    version: int | None = None
    reason: str
    for_good: bool = False


class _File(BaseModel):
    model_config = ConfigDict(frozen=True)

    active: _Kept | None = None
    good: _Kept | None = None  # the one before, which was confirmed
    refused: _Refused | None = None
    confirmed: bool = True
    early_ends: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds now: `selection` is None for the agent's own file. `told` is the event that says so."""

    selection: Selection | None
    told: dict[str, JsonValue]


class CampaignKeeper:
    """`known` gives the names that conditions may use, as far as they are known by now."""

    def __init__(self, path: Path, known: Callable[[], Iterable[str]], *, can_capture: bool = True) -> None:
        self._path = path
        self._known = known
        self._can_capture = can_capture
        self._file = _File()
        self.standing = _own_file(None)

    @property
    def has_file(self) -> bool:
        """Whether there was ever a campaign."""
        return self._path.exists()

    def start(self) -> Standing:
        """What holds from the last run."""
        self._file = _read(self._path)
        if self._file.refused is not None and not self._file.refused.for_good:
            self._file = self._file.model_copy(update={"refused": None})
        kept = self._file.active
        if kept is None:
            self.standing = _own_file(self._file.refused)
            return self.standing
        if not self._file.confirmed and self._file.early_ends >= MOST_EARLY_ENDS:
            reason = f"the agent ended early {self._file.early_ends} times with it"
            return self._fall_back(_refusal(kept, reason, for_good=True))
        try:
            selection, told = self._check(kept.body.encode())
        except (CampaignError, CampaignRefused) as error:  # databases have changed since
            return self._fall_back(_refusal(kept, str(error)))
        if not self._file.confirmed:
            self._write(early_ends=self._file.early_ends + 1)
        if self._file.refused is not None:
            told = _told_refused(self._file.refused, instead=self._active_name())
        self.standing = Standing(selection, told)
        return self.standing

    def decide(self, etag: str) -> Decision:
        """What is to be done about what the cloud means."""
        active = NO_CAMPAIGN if self._file.active is None else self._file.active.etag
        refused = self._file.refused
        if etag == active:
            return "nothing" if refused is None else "withdraw"
        if etag == NO_CAMPAIGN:
            return "drop"
        return "nothing" if refused is not None and etag == refused.etag else "fetch"

    def withdraw(self) -> Standing:
        """What was refused is no longer meant, but what is active."""
        if self._file.active is None:
            return self.drop()
        self._write(refused=None)
        _, told = self._check(self._file.active.body.encode())
        self.standing = Standing(self.standing.selection, told)
        return self.standing

    def take(self, body: bytes) -> Standing:
        """The campaign that is meant; refused, what holds goes on to hold."""
        try:
            selection, told = self._check(body)
            kept = _Kept(body=body.decode())
        except (CampaignError, CampaignRefused, UnicodeDecodeError) as error:
            refused = _Refused(etag=campaign_etag(body), reason=str(error), **_name(body))
            self._write(refused=refused)
            self.standing = Standing(self.standing.selection, _told_refused(refused, instead=self._active_name()))
            return self.standing
        good = self._file.active if self._file.confirmed else self._file.good
        self._write(active=kept, good=good, refused=None, confirmed=False, early_ends=0)
        self.standing = Standing(selection, told)
        return self.standing

    def drop(self) -> Standing:
        """No campaign is meant: the agent's own file holds."""
        self._write(active=None, good=None, refused=None, confirmed=True, early_ends=0)
        self.standing = _own_file(None)
        return self.standing

    def forgive(self) -> None:
        """The agent has run for a while with what is active: its end is no early one, nor were those before."""
        if self._file.early_ends:
            self._write(early_ends=0)

    def confirm(self) -> None:
        """What is active has proven good."""
        if not self._file.confirmed:
            self._write(confirmed=True, early_ends=0)

    def _fall_back(self, refused: _Refused) -> Standing:
        good = self._file.good
        selection = None
        if good is not None:
            try:
                selection, _ = self._check(good.body.encode())
            except (CampaignError, CampaignRefused):
                good = None
        self._write(active=good, good=None, refused=refused, confirmed=True, early_ends=0)
        self.standing = Standing(selection, _told_refused(refused, instead=self._active_name()))
        return self.standing

    def _check(self, body: bytes) -> tuple[Selection, dict[str, JsonValue]]:
        """Raises CampaignError or CampaignRefused."""
        campaign = read_campaign(body)
        known = frozenset(self._known())
        told: dict[str, JsonValue] = {
            "state": "active",
            "id": campaign.id,
            "version": campaign.version,
            "etag": campaign_etag(body),
        }
        if idle := idle_rules(campaign, known):
            told["idle"] = [*idle]
        return select(campaign, known, can_capture=self._can_capture), told

    def _active_name(self) -> str | None:
        if self._file.active is None:
            return None
        campaign = read_campaign(self._file.active.body)
        return f"{campaign.id} {campaign.version}"

    def _write(self, **changes: object) -> None:
        """What cannot be written holds until the end of this run, and is fetched again in the next."""
        self._file = self._file.model_copy(update=changes)
        try:
            with replacing(self._path, mode=_MODE) as file:
                file.write(self._file.model_dump_json(indent=1))
        except OSError as error:
            log.warning("campaign_not_kept", path=str(self._path), error=str(error))


def campaign_file(spool: Path) -> Path:
    """Beside the spool."""
    return spool.with_name(f"{spool.name}.campaign")


def _own_file(refused: _Refused | None) -> Standing:
    if refused is not None:
        return Standing(None, _told_refused(refused, instead=None))
    return Standing(None, {"state": "none", "etag": NO_CAMPAIGN})


def _read(path: Path) -> _File:
    try:
        return _File.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _File()
    except (OSError, ValidationError) as error:
        log.warning("campaign_not_read", path=str(path), error=str(error), advice="the cloud will be asked for it")
        return _File()


def _refusal(kept: _Kept, reason: str, *, for_good: bool = False) -> _Refused:
    return _Refused(etag=kept.etag, reason=reason, for_good=for_good, **_name(kept.body.encode()))


def _name(body: bytes) -> dict[str, Any]:
    """What a document that may be anything calls itself."""
    try:
        campaign = read_campaign(body)
    except CampaignError:
        return {}
    return {"id": campaign.id, "version": campaign.version}


def _told_refused(refused: _Refused, *, instead: str | None) -> dict[str, JsonValue]:
    told = refused.model_dump(exclude={"for_good"}, exclude_none=True)
    return {"state": "refused", **told, "instead": instead or "its own file"}
