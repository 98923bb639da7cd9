"""From the configuration to clusters and what is wanted of them."""

from __future__ import annotations

from tocsin.config import Cluster, Config
from tocsin.kafka.connection import Connection
from tocsin.kafka.plan import Access, Wanted, want


def reach(cluster: Cluster, client_id: str) -> Connection:
    """How a cluster of the configuration is reached. `AdapterError` where its password cannot be read."""
    return Connection(
        bootstrap=cluster.bootstrap,
        tls=cluster.security != "plaintext",
        ca=cluster.ca,
        certificate=cluster.certificate,
        key=cluster.key,
        username=cluster.username or "",
        password=cluster.password.read() if cluster.password is not None else "",
        client_id=client_id,
    )


def wanted(config: Config, audiences: frozenset[str]) -> Wanted:
    """Topics and rights for the labs and readers of the configuration, and a stream for every audience of a policy."""
    streams: dict[str, frozenset[str]] = dict.fromkeys(audiences, frozenset())
    for reader in config.readers:
        streams[reader.audience] = streams.get(reader.audience, frozenset()) | {reader.principal}
    access = Access(
        node_principal=config.principal,
        labs={lab.id: lab.principal for lab in config.labs},
        streams=streams,
        operators=frozenset(config.kafka.operators),
    )
    return want(config.node.id, access, retention_days=config.kafka.retention_days)
