"""What a campaign asks of this vehicle: held against the signals that it has, ready for the pipeline to go by."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from edge.campaigns.conditions import Conditions, UnknownSignal
from edge.campaigns.sampling_rules import sampling_rules
from edge.errors import EdgeError
from edge.sampler import SamplingRule
from wire.campaign import Campaign, Capture
from wire.expression import parse_condition


class CampaignRefused(EdgeError):
    """A campaign that this vehicle cannot go by; its text is the reason."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which samples are kept, and what starts a capture. `campaign` is the one that says so, as `id version`."""

    rules: Sequence[SamplingRule]
    captures: Sequence[Capture] = ()
    known: frozenset[str] = frozenset()
    campaign: tuple[str, int] | None = None

    def conditions(self) -> Conditions:
        """Those of the captures, in their order, new."""
        return Conditions([parse_condition(capture.when) for capture in self.captures], self.known)


def select(campaign: Campaign, known: Iterable[str], *, can_capture: bool = True) -> Selection:
    """Raises CampaignRefused. `known` are the full names that conditions may name, without sources."""
    if campaign.capture and not can_capture:
        raise CampaignRefused("it has captures, and [blackbox] max_bytes = 0 keeps no frames to take them from")
    selection = Selection(
        rules=sampling_rules(campaign.sampling),
        captures=campaign.capture,
        known=frozenset(known),
        campaign=(campaign.id, campaign.version),
    )
    for capture in campaign.capture:
        try:
            Conditions([parse_condition(capture.when)], selection.known)
        except UnknownSignal as error:
            raise CampaignRefused(f"capture {capture.name!r}: {capture.when!r}: {error}") from error
    return selection


def idle_rules(campaign: Campaign, known: Iterable[str]) -> list[str]:
    """Patterns that match no signal of this vehicle: of another model's, or misspelt."""
    names = {name.rpartition(":")[2] for name in known}
    return [rule.match for rule in campaign.sampling.rule if not any(fnmatchcase(name, rule.match) for name in names)]
