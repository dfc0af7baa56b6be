"""Whom the uplink trusts, and what it shows of itself."""

import ssl

from edge.config import WaySettings
from edge.errors import UplinkError


def tls_context(settings: WaySettings) -> ssl.SSLContext:
    """The system's authorities, or those of `ca_file` alone; with the client certificate, if one is named.

    Raises UplinkError.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise UplinkError(
            f"{settings.ca_file}: {error.strerror or error}: ca_file is to hold PEM certificates"
        ) from error
    if settings.cert_file is not None:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        except OSError as error:
            raise UplinkError(
                f"{settings.cert_file}: {error.strerror or error}: cert_file and key_file are to hold a "
                "certificate and its key, both PEM"
            ) from error
    return context
