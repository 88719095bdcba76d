"""Whom a client of Hark's trusts at a wss:// address.

Rule: the authorities that the system trusts, and this user's own server, whose certificate lies in the data folder.
Refuses: to trust anybody else unless told so.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from hark.config import Settings
from hark.edge.tls import own_path


def own_certificate(settings: Settings) -> Path | None:
    """The one that `hark serve --tls-self-signed` made here, if it has."""
    path = own_path(settings.data_folder)
    return path if path.is_file() else None


def usual(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if own := own_certificate(settings):
        context.load_verify_locations(own)
    return context


def nobody() -> ssl.SSLContext:
    """Encrypted, and whoever it is. For a server that checks itself, and for --insecure."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
