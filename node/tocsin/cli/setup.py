"""`tocsin init`, `tocsin lab init`, `tocsin reader init`: a folder with everything that it needs; never over old files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tomlkit
import typer

from tocsin.cli.files import (
    RECORD,
    as_written,
    party_of,
    read_aloud,
    read_record,
    require_absent,
    trust_text,
    with_party,
    write_new,
)
from tocsin.cli.output import OPTIONS, ask, command, give, now_ms, say
from tocsin.config import BadConfigError, example, load
from tocsin.errors import InputError
from tocsin.lab.config import load as load_lab
from tocsin.packaged import packaged
from tocsin.reader.config import load as load_reader
from tocsin.report.regions import REGIONS
from tocsin.report.texts import date_text
from tocsin.signer import generate
from tocsin.trust import load_parties
from tocsin.wire.keys import SUITE_ED25519_SHA256, KeyUse, PartyKind, is_party_id

DAY_MS = 86_400_000
KEY_DAYS = 730
"""Two years: long enough not to be in the way, short enough that a change of keys is practised."""
_USES = (KeyUse.EVENT, KeyUse.RELAY)

Name = Annotated[str | None, typer.Option("--id", help="The party id: a-z, 0-9 and inner hyphens.")]
Country = Annotated[str | None, typer.Option("--jurisdiction", help="Two capitals: ISO 3166-1, or EU.")]
Bootstrap = Annotated[str, typer.Option("--bootstrap", help="The node's own Kafka, HOST:PORT.")]
Encrypt = Annotated[
    bool,
    typer.Option("--encrypt", help="Encrypt the keys by $TOCSIN_EVENT_PASSPHRASE and $TOCSIN_RELAY_PASSPHRASE."),
]
Days = Annotated[int, typer.Option("--key-days", min=1, help="Days that the keys are valid for.")]
Institute = Annotated[Path, typer.Option("--institute", help="The institute's party record.", exists=True)]
Reach = Annotated[str, typer.Option("--bootstrap", help="The institute's Kafka, HOST:PORT.")]
Others = Annotated[list[Path] | None, typer.Option("--trust", help="Records of others to trust.", exists=True)]
User = Annotated[str | None, typer.Option("--username", help="Its SCRAM name at the institute's Kafka.")]
Ca = Annotated[Path | None, typer.Option("--ca", help="Who vouches for its brokers. Default: whom the system trusts.")]
Audience = Annotated[str, typer.Option("--audience", help="Whose stream: its own party id, public, or community-….")]
Kind = Annotated[str | None, typer.Option("--kind", help="Where it is a party: MEMBER, AUTHORITY or BODY.")]


@command
async def init(
    name: Name = None,
    jurisdiction: Country = None,
    bootstrap: Bootstrap = "127.0.0.1:9092",
    encrypt: Encrypt = False,
    key_days: Days = KEY_DAYS,
) -> None:
    """Set a node up in this folder: configuration, keys, trust view, policy, and the record to hand to peers."""
    name, jurisdiction = _identity(name, jurisdiction)
    config = OPTIONS.config
    folder = config.absolute().parent
    keys = {use: folder / "keys" / f"{use.value}.pem" for use in _USES}
    trust, policy, public = folder / "trust.json", folder / "policies" / "incident.toml", folder / f"{name}{RECORD}"
    require_absent([config, *keys.values(), trust, policy, public])
    phrases = {use: _passphrase(use) if encrypt else None for use in _USES}
    write_new(config, _config_text(name, jurisdiction, bootstrap, encrypted=encrypt))
    _require_good(config, load)
    record = _new_party(name, PartyKind.MEMBER, jurisdiction, keys, phrases, key_days)
    write_new(trust, trust_text({"version": 1, "parties": [record]}))
    write_new(public, trust_text(record))
    text_of_policy, from_pack = _policy(name, jurisdiction)
    write_new(policy, text_of_policy)
    _give_new(record, config, public)
    say(
        f"\npolicies/incident.toml is the example for {jurisdiction}: your lawyers decide what it says."
        if from_pack
        else "\npolicies/incident.toml gives nothing to anybody yet: write rules, then `tocsin policy validate` it."
    )
    say(f"Hand {public.name} to your peers, and read the fingerprints to them over the telephone.")
    say("Next: tocsin peer add RECORD --bootstrap HOST:PORT, tocsin lab enrol RECORD, tocsin topics apply, tocsin run")


@command
async def lab_init(
    institute: Institute,
    bootstrap: Reach,
    name: Name = None,
    jurisdiction: Country = None,
    username: User = None,
    ca: Ca = None,
    trust: Others = None,
    encrypt: Encrypt = False,
    key_days: Days = KEY_DAYS,
) -> None:
    """Set a lab's client up in this folder: lab.toml, keys, trust view, and the record for its institute."""
    name, jurisdiction = _identity(name, jurisdiction)
    folder = OPTIONS.config.absolute().parent
    config, trust_file, public = folder / "lab.toml", folder / "trust.json", folder / f"{name}{RECORD}"
    keys = {use: folder / "keys" / f"{use.value}.pem" for use in _USES}
    require_absent([config, trust_file, public, *keys.values()])
    known = [read_record(path) for path in (institute, *(trust or ()))]
    tables = _client(known[0], bootstrap, username, as_written(ca, config) if ca else None)
    own: dict[str, Any] = {use.value: as_written(path, config) for use, path in keys.items()}
    if encrypt:
        own |= {f"{use.value}_passphrase": _env(_variable(use)) for use in _USES}
    write_new(config, tomlkit.dumps({"lab": {"id": name}, "keys": own, **tables}))
    _require_good(config, load_lab)
    phrases = {use: _passphrase(use) if encrypt else None for use in _USES}
    record = _new_party(name, PartyKind.LAB, jurisdiction, keys, phrases, key_days)
    write_new(trust_file, trust_text(_view([record, *known])))
    write_new(public, trust_text(record))
    _give_new(record, config, public)
    say(f"\nHand {public.name} to the institute, and read the fingerprints to it over the telephone.")
    _say_trusted(known)
    say("Next, once it has enrolled you: tocsin report FILE --as lab.toml --wait 60")


@command
async def reader_init(
    institute: Institute,
    bootstrap: Reach,
    audience: Audience,
    kind: Kind = None,
    jurisdiction: Country = None,
    username: User = None,
    ca: Ca = None,
    trust: Others = None,
) -> None:
    """Set a reader's client up in this folder: reader.toml, its trust view; for a party also its record.

    A party that only reads signs nothing: its record has no keys.
    """
    folder = OPTIONS.config.absolute().parent
    config, trust_file, public = folder / "reader.toml", folder / "trust.json", folder / f"{audience}{RECORD}"
    require_absent([config, trust_file, public])
    known = [read_record(path) for path in (institute, *(trust or ()))]
    if is_party_id(audience):
        known.append(_reading_party(audience, kind, jurisdiction))
    tables = _client(known[0], bootstrap, username, as_written(ca, config) if ca else None)
    write_new(config, tomlkit.dumps({"reader": {"audience": audience}, **tables}))
    _require_good(config, load_reader)
    write_new(trust_file, trust_text(_view(known)))
    told = {"written": str(config), "audience": audience, "trusted": [record["party"] for record in known]}
    if is_party_id(audience):
        write_new(public, trust_text(known[-1]))
        told |= {"record": str(public)}
    give(told)
    _say_trusted(known)
    say("Next, once the institute gave you access: tocsin watch --reader reader.toml")


def _say_trusted(known: Sequence[dict[str, Any]]) -> None:
    say("\nCompare the fingerprints of everybody whom you trust by telephone:")
    for record in known:
        for line in read_aloud(party_of(record)):
            say(f"  {record['party']:<8} {line}")


def _reading_party(name: str, kind: str | None, jurisdiction: str | None) -> dict[str, Any]:
    kinds = [one.value for one in PartyKind if one is not PartyKind.LAB]
    if kind not in kinds:
        words = f"{name!r} is a party, and of which kind is not said"
        raise InputError(words, place="--kind", remedy=f"One of {', '.join(kinds)}")
    country = "" if kind == PartyKind.BODY else _identity(name, jurisdiction)[1]
    return {"party": name, "kind": kind, "jurisdiction": country, "keys": []}


def _require_good(config: Path, load: Callable[[Path], object]) -> None:
    """A file that was just written loads, or is not left there."""
    try:
        load(config)
    except BadConfigError:
        config.unlink()
        raise


def _identity(name: str | None, jurisdiction: str | None) -> tuple[str, str]:
    name = name or ask("Party id (a-z, 0-9 and inner hyphens)", "--id")
    if not is_party_id(name):
        remedy = "1 to 32 of a-z, 0-9 and inner hyphens; not public, not community-…"
        raise InputError(f"{name[:40]!r} is no party id", place="--id", remedy=remedy)
    jurisdiction = jurisdiction or ask("Jurisdiction (two capitals, as in GB)", "--jurisdiction")
    if jurisdiction not in {"EU", *REGIONS}:
        remedy = "Two capitals: a country of ISO 3166-1, or EU"
        raise InputError(f"{jurisdiction[:40]!r} is no jurisdiction", place="--jurisdiction", remedy=remedy)
    return name, jurisdiction


def _new_party(
    name: str,
    kind: PartyKind,
    jurisdiction: str,
    files: dict[KeyUse, Path],
    phrases: dict[KeyUse, bytes | None],
    days: int,
) -> dict[str, Any]:
    """New keys in new files, and the public record of them."""
    begin = now_ms() // DAY_MS * DAY_MS  # a report bears only its day: keys are valid for whole days
    keys = []
    for use, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        public = generate(path, phrases[use])
        keys.append(
            {
                "use": use.value,
                "suite": SUITE_ED25519_SHA256,
                "public_hex": public.hex(),
                "not_before_ms": begin,
                "not_after_ms": begin + days * DAY_MS,
                "revoked_at_ms": None,
            }
        )
    record = {"party": name, "kind": kind.value, "jurisdiction": jurisdiction, "keys": keys}
    load_parties([record])
    return record


def _view(records: list[dict[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {"version": 1, "parties": []}
    for record in records:
        document = with_party(document, record) | {"version": 1}
    return document


def _config_text(name: str, jurisdiction: str, bootstrap: str, *, encrypted: bool) -> str:
    """The commented example, with the policy named and what was asked for set."""
    text = example(name, jurisdiction)
    lines = ["[[policy]]", 'file = "policies/incident.toml"']
    if encrypted:
        lines += [f'{use.value}_passphrase = {{ env = "{_variable(use)}" }}' for use in _USES]
    for line in lines:
        if text.count(f"\n#{line}\n") != 1:
            raise AssertionError(f"the example configuration has no line #{line}")
        text = text.replace(f"\n#{line}\n", f"\n{line}\n")
    document = tomlkit.parse(text)
    kafka: Any = document["kafka"]
    kafka["bootstrap"] = bootstrap
    return tomlkit.dumps(document)


def _policy(name: str, jurisdiction: str) -> tuple[str, bool]:
    """The country's example, or the least policy that loads: it gives nothing."""
    try:
        return packaged(f"packs/{jurisdiction.lower()}/incident.toml").decode(), True
    except FileNotFoundError:
        pass
    today = time.strftime("%Y-%m-%d", time.gmtime())
    return (
        f"""\
# What this institute gives of incident reports, to whom, and when. Nothing is given unless a rule gives it.
policy = "{name}"
version = 1 # raise it with every change
schema = "incident/1.0"
jurisdiction = "{jurisdiction}"
effective_from = {today}T00:00:00Z

# Whom there is: a party of the trust view, or a group with one stream.
[audience.public]
kind = "PUBLIC"

# A rule that gives; take the # away. `tocsin policy validate` says what is wrong with a policy, `tocsin policy preview`
# what each audience would get.
#[[rule]]
#id = "public-summary"
#to = ["public"]
#disclose = ["event_kind", "severity_band", "occurred_month", "regions"]
#after = "P30D"
#basis = "article of your law"
""",
        False,
    )


def _client(institute: dict[str, Any], bootstrap: str, username: str | None, ca: str | None) -> dict[str, Any]:
    """The tables that both light clients have; with a user name, SCRAM over TLS by a password of the environment."""
    kafka: dict[str, Any] = {"bootstrap": bootstrap}
    if username:
        kafka |= {"security": "scram", "username": username, "password": _env("TOCSIN_KAFKA_PASSWORD")}
    if ca:
        kafka["ca"] = ca
    return {"node": {"id": institute["party"]}, "trust": {"file": "trust.json"}, "kafka": kafka}


def _env(variable: str) -> Any:
    table = tomlkit.inline_table()
    table["env"] = variable
    return table


def _variable(use: KeyUse) -> str:
    return f"TOCSIN_{use.value.upper()}_PASSPHRASE"


def _passphrase(use: KeyUse) -> bytes:
    phrase = os.environ.get(_variable(use), "")
    if not phrase:
        remedy = "Set it, here and in the environment of whatever uses the keys, or leave --encrypt out"
        raise InputError("the environment variable is not set", place=_variable(use), remedy=remedy)
    return phrase.encode()


def _give_new(record: dict[str, Any], config: Path, public: Path) -> None:
    party = party_of(record)
    give(
        {
            "party": party.id,
            "kind": party.kind.value,
            "jurisdiction": party.jurisdiction,
            "configuration": str(config),
            "record": str(public),
            "keys_valid_until": date_text(party.keys[0].not_after_ms // DAY_MS),
            **{f"{key.use.value}_key": line[7:] for key, line in zip(party.keys, read_aloud(party), strict=True)},
        }
    )
