"""The tables that both light clients' files have; each setting is documented where it is defined."""

from __future__ import annotations

from pydantic import Field

from tocsin.config.tables import Cluster, Table, Trust
from tocsin.config.values import PartyId


class Institute(Table):
    """The institute's node that this client talks to."""

    id: PartyId = Field(examples=['"gb"'])
    """Its party id, as in the trust view. No default."""


class Client(Table):
    """What every light client must know."""

    node: Institute
    trust: Trust
    kafka: Cluster
