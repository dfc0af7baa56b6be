"""A campaign's file."""

from pathlib import Path

import click

from wire.campaign import Campaign, CampaignError, read_campaign, read_campaign_toml


def load_campaign(file: Path) -> Campaign:
    """Of TOML, or of JSON by its suffix. Raises ClickException."""
    try:
        text = file.read_text(encoding="utf-8")
        return read_campaign(text) if file.suffix == ".json" else read_campaign_toml(text)
    except CampaignError as error:
        raise click.ClickException(f"{file}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file}: {getattr(error, 'strerror', None) or error}") from error
