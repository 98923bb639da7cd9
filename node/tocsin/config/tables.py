"""The tables of the configuration; each setting is documented where it is defined, with its unit and its default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tocsin.config.problems import Wrong
from tocsin.config.values import (
    LARGEST_ENVELOPE,
    LONGEST_RETENTION,
    Address,
    Addresses,
    Audience,
    Count,
    Duration,
    File,
    PartyId,
    RetentionDays,
    StoreUrl,
    TlpName,
    duration_ms,
    is_loopback,
)
from tocsin.errors import AdapterError
from tocsin.private_file import read_private
from tocsin.wire.header import Tlp


def _keep(days: int) -> int:
    """What a topic shows must be here too, or it could not be sent again."""
    if days != 0 and days < LONGEST_RETENTION:
        raise Wrong(
            f"{days} days are fewer than a topic may keep", f"Write 0 (for ever), or {LONGEST_RETENTION} or more"
        )
    return days


def _default_id(fields: dict[str, Any]) -> str:
    return str(fields.get("id", ""))


class Table(BaseModel):
    """A table of the file: frozen, with no other keys than its own."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )


class Secret(Table):
    """A secret by reference: exactly one of the two."""

    file: File | None = None
    """A file of mode 0600 that holds it; a final newline does not count."""
    env: str | None = None
    """The name of an environment variable that holds it."""

    @model_validator(mode="before")
    @classmethod
    def _never_inline(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise Wrong("a secret stands in the configuration", 'Write { file = "…" } or { env = "…" }, and change it')
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.file is None) == (self.env is None):
            raise Wrong("a secret has exactly one of file and env", 'Write { file = "…" } or { env = "…" }')
        return self

    def read(self) -> str:
        """The secret. `AdapterError` where it is not there, or the file is open to others."""
        if self.file is not None:
            try:
                return read_private(self.file).decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                remedy = "Write the password alone into it, as UTF-8"
                raise AdapterError("the secret is no text", place=str(self.file), remedy=remedy) from error
        value = os.environ.get(self.env or "")
        if not value:
            remedy = "Set it in the environment of the process that reads this file"
            raise AdapterError("the environment variable is not set", place=str(self.env), remedy=remedy)
        return value


class Node(Table):
    """Who this node is."""

    id: PartyId
    """The institute's party id, as in everybody's trust view. No unit; no default."""
    jurisdiction: Annotated[str, Field(pattern="^[A-Z]{2}$")]
    """Two capitals: a country of ISO 3166-1, or EU. No default."""
    data: File = Path("data")
    """The folder for what the node keeps itself. Default: data."""


class Store(Table):
    """What the node knows is kept here."""

    url: StoreUrl | None = Field(default=None, examples=['"postgresql://tocsin@127.0.0.1:5432/tocsin"'])
    """postgresql://USER@HOST:PORT/NAME, or sqlite:///FILE. Default: SQLite, tocsin.db in the folder node.data."""
    password: Secret | None = Field(default=None, examples=['{ file = "secrets/postgresql" }'])
    """PostgreSQL's password, by reference. Default: none."""
    keep_days: Annotated[int, Field(strict=True), AfterValidator(_keep)] = 400
    """Days that sent records can be sent again, and settled rejects and notes looked at; 0 is for ever. Default: 400."""


class Keys(Table):
    """The node's private keys: Ed25519, PKCS#8 PEM, mode 0600. Event and relay key are two keys."""

    relay: File = Path("keys/relay.pem")
    """Signs hops and statements; the node needs it. Default: keys/relay.pem."""
    relay_passphrase: Secret | None = Field(default=None, examples=['{ env = "TOCSIN_RELAY_PASSPHRASE" }'])
    """Its passphrase, by reference. Default: none, the file is not encrypted."""
    event: File | None = Field(default=None, examples=['"keys/event.pem"'])
    """Signs the national reports. Leave it out where reports are issued elsewhere. Default: none."""
    event_passphrase: Secret | None = Field(default=None, examples=['{ env = "TOCSIN_EVENT_PASSPHRASE" }'])
    """Its passphrase, by reference. Default: none, the file is not encrypted."""


class Trust(Table):
    """Who is known, by which keys."""

    file: File = Path("trust.json")
    """The pinned trust view; its version only grows. Default: trust.json."""


class Schemas(Table):
    """Schemas of reports beyond the published ones that come with the software."""

    extra: tuple[File, ...] = ()
    """Folders laid out as schemas/: NAME/MAJOR.MINOR/NAME.avsc. Default: none."""


class Policy(Table):
    """A disclosure policy. Without one nothing is released."""

    file: File = Field(examples=['"policies/incident.toml"'])
    """Its text; of several versions the highest that is in force counts. No default."""


class Cluster(Table):
    """A Kafka cluster, as this node reaches it."""

    bootstrap: Addresses = Field(examples=['"kafka.example:9093"'])
    """HOST:PORT of one or more brokers, separated by commas. No default."""
    security: Literal["plaintext", "mtls", "scram"] = "plaintext"
    """plaintext (loopback only), mtls (a certificate) or scram (a password over TLS). Default: plaintext."""
    ca: File | None = Field(default=None, examples=['"pki/ca.pem"'])
    """mtls, scram: who vouches for the brokers. Default: whom the system trusts."""
    certificate: File | None = Field(default=None, examples=['"pki/client.pem"'])
    """mtls: this node's certificate for that cluster. Default: none."""
    key: File | None = Field(default=None, examples=['"pki/client.key"'])
    """mtls: the key of that certificate, mode 0600. Default: none."""
    username: str | None = Field(default=None, examples=['"gb"'])
    """scram: the name, SCRAM-SHA-512. Default: none."""
    password: Secret | None = Field(default=None, examples=['{ env = "TOCSIN_KAFKA_PASSWORD" }'])
    """scram: the password, by reference. Default: none."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {"plaintext": (), "mtls": ("certificate", "key"), "scram": ("username", "password")}[self.security]
        allowed = (*needed, *(() if self.security == "plaintext" else ("ca",)))
        given = [
            name for name in ("ca", "certificate", "key", "username", "password") if getattr(self, name) is not None
        ]
        missing = [name for name in needed if name not in given]
        if missing:
            raise Wrong(f"security {self.security} needs {' and '.join(missing)}")
        besides = [name for name in given if name not in allowed]
        if besides:
            raise Wrong(f"security {self.security} has no use for {', '.join(besides)}", "Take it out, or set security")
        far = [host for host in self.hosts() if self.security == "plaintext" and not is_loopback(host)]
        if far:
            raise Wrong(f"plain text to {far[0]}, which is not loopback", 'Set security to "mtls" or "scram"')
        return self

    def hosts(self) -> list[str]:
        """The hosts of the brokers."""
        return [address.rpartition(":")[0].strip("[]") for address in self.bootstrap.split(",")]


class Kafka(Cluster):
    """The node's own Kafka cluster."""

    retention_days: RetentionDays = 30
    """Days that the node's topics keep a record; at most 30 where streams carry personal data. Default: 30."""
    principal: str | None = Field(default=None, examples=['"gb"'])
    """This node's own name at its cluster, without User:. Default: node.id."""
    operators: tuple[str, ...] = Field(default=(), examples=['["broker", "admin"]'])
    """Names at the cluster, without User:, that may hold any right; they raise no alarm. Default: none."""


class Peer(Cluster):
    """Another institute: whose stream for this node is read, and how its cluster is reached."""

    id: PartyId = Field(examples=['"jp"'])
    """Its party id. No default."""
    retention_days: RetentionDays = 30
    """Days that its topics keep a record, as agreed with it: what is not fetched again by then is gone. Default: 30."""
    suspended: bool = False
    """true: nothing is read from it. Default: false."""


class Lab(Table):
    """A lab that may submit to this node."""

    id: PartyId = Field(examples=['"lab-a"'])
    """Its party id. No default."""
    principal: str = Field(default_factory=_default_id, examples=['"lab-a"'])
    """Its name at this node's cluster, without User:. Default: its id."""


class Reader(Table):
    """Somebody who may read one of this node's streams. Whoever else may is alarmed upon."""

    id: str = Field(min_length=1, examples=['"jp"'])
    """A name for this entry: a party id, or any name for a reader of a group. No default."""
    audience: Audience = Field(default_factory=_default_id, examples=['"jp"'])
    """Whose stream it reads: a party id, public, or community-NAME. Default: its id."""
    principal: str = Field(default_factory=_default_id, examples=['"jp"'])
    """Its name at this node's cluster, without User:. Default: its id."""


class Http(Table):
    """Metrics, health and the public descriptor."""

    listen: Address = "127.0.0.1:9464"
    """HOST:PORT. It speaks plain HTTP: beyond loopback, put a proxy with TLS before it. Default: 127.0.0.1:9464."""

    @property
    def host(self) -> str:
        """The address to bind."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to bind; 0 is any free one."""
        return int(self.listen.rpartition(":")[2])


class Limits(Table):
    """What one source may cost this node."""

    batch: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 64
    """Records that are read and stored together. Default: 64."""
    records_per_second: Count = 500
    """Records per second and source; more wait in the topic. Default: 500."""
    bytes_per_second: Annotated[int, Field(strict=True, ge=LARGEST_ENVELOPE)] = 4_194_304
    """Bytes per second and source, at least one largest envelope (262144). Default: 4194304 (4 MiB)."""
    quarantined_values: Count = 1_000
    """Rejected records per source whose bytes are kept; of more only place, hash and reason. Default: 1000."""
    chains_per_leaf: Count = 16
    """Copies of one report by different chains, per source. Default: 16."""


class Holds(Table):
    """Releases that wait for an officer."""

    due: Duration = "PT24H"
    """PnD or PTnH: after that an open hold alarms; nothing is released by time alone. Default: PT24H."""

    @property
    def due_ms(self) -> int:
        """The same in milliseconds."""
        return duration_ms(self.due)


class IssueRule(Table):
    """A lab whose submissions are issued as national reports without an officer, up to a severity that is known."""

    lab: PartyId = Field(examples=['"lab-a"'])
    """The lab's party id. No default."""
    max_severity: Annotated[int, Field(strict=True, ge=0, le=7)] = Field(examples=["2"])
    """0 to 7, inclusive: graver ones, and those whose severity is unknown, wait for an officer. No default."""
    tlp: TlpName = Tlp.AMBER
    """The TLP of the national report; a stricter one of the submission counts instead. Default: AMBER."""


class Log(Table):
    """What is written to the standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is written: debug, info, warning or error. Default: info."""
