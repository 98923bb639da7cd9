"""`tocsin peer …`, `tocsin lab …`, `tocsin reader …`: who takes part, in the configuration and in the trust view."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import tomlkit
import typer

from tocsin.cli.files import (
    as_written,
    edit_config,
    party_of,
    read_aloud,
    read_record,
    replace_trust,
    with_party,
    without_party,
)
from tocsin.cli.output import OPTIONS, Moment, command, confirm, give, needing, print_json, rows, say
from tocsin.cli.trust import known_trust
from tocsin.config import Config, load
from tocsin.errors import InputError, TocsinError
from tocsin.light.trust_file import read_trust_document
from tocsin.trust import load_trust
from tocsin.wire.keys import PartyKind, TrustView

Record = Annotated[Path, typer.Argument(help="The party record that it handed over.", exists=True, dir_okay=False)]
Party = Annotated[str, typer.Argument(metavar="ID", help="Its party id.")]
Yes = Annotated[bool, typer.Option("--yes", help="The fingerprints were compared; do not ask.")]
Sure = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Bootstrap = Annotated[str | None, typer.Option("--bootstrap", help="Its Kafka, HOST:PORT. Without: only trusted.")]
Security = Annotated[str | None, typer.Option("--security", help="plaintext (loopback only; default), mtls or scram.")]
Ca = Annotated[Path | None, typer.Option("--ca", help="Who vouches for its brokers.")]
Certificate = Annotated[Path | None, typer.Option("--certificate", help="mtls: this node's certificate there.")]
Key = Annotated[Path | None, typer.Option("--key", help="mtls: the key of that certificate, mode 0600.")]
Username = Annotated[str | None, typer.Option("--username", help="scram: this node's name there.")]
Password = Annotated[str | None, typer.Option("--password", help="scram: env:VARIABLE, or file:PATH of mode 0600.")]
Distrust = Annotated[bool, typer.Option("--distrust", help="Take its keys out of the trust view too.")]
Principal = Annotated[str | None, typer.Option("--principal", help="Its name at this node's Kafka. Default: its id.")]
ReaderId = Annotated[str, typer.Argument(metavar="ID", help="A party id, or any name for a reader of a group.")]
Audience = Annotated[str | None, typer.Option("--audience", help="Whose stream it reads. Default: its id.")]
OfParty = Annotated[Path | None, typer.Option("--record", help="Its party record, where it is a party.", exists=True)]

_CREDENTIALS = ("ca", "certificate", "key", "username", "password")
_RESTART = "A running node takes the trust view at SIGHUP (reload); [[peer]] and [[lab]] wait for a restart."


@command
async def peer_add(
    record: Record,
    bootstrap: Bootstrap = None,
    security: Security = None,
    ca: Ca = None,
    certificate: Certificate = None,
    key: Key = None,
    username: Username = None,
    password: Password = None,
    yes: Yes = False,
) -> None:
    """Trust an institute (or authority, or body) by its record, and with --bootstrap read its stream for this node.

    For a party that is known already its new keys are added; settings that are given replace the old ones.
    """
    found = read_record(record)
    if found["kind"] == PartyKind.LAB:
        raise InputError("a lab is no peer", place=str(record), remedy="`tocsin lab enrol RECORD` enrols it")
    if bootstrap is not None and found["kind"] != PartyKind.MEMBER:
        raise InputError(f"a {found['kind']} has no node to read", place=str(record), remedy="Leave --bootstrap out")
    settings = _given(
        bootstrap=bootstrap,
        security=security,
        ca=_path(ca),
        certificate=_path(certificate),
        key=_path(key),
        username=username,
        password=_secret(password),
    )
    if settings and bootstrap is None:
        raise InputError(
            "settings of a connection, but no --bootstrap", remedy="Give --bootstrap HOST:PORT, or leave them out"
        )
    entry = ("peer", {"id": found["party"], **settings}) if bootstrap is not None else None
    _add(found, entry, yes=yes)
    if entry:
        say(
            f"Next: a stream for it, by an audience in your policy and `tocsin reader add {found['party']}`. {_RESTART}"
        )


@command
async def peer_list() -> None:
    """Show the peers, and the fingerprints to be read aloud."""
    config, trust = _config_and_trust()
    found = []
    for peer in config.peers:
        state = "suspended" if peer.suspended else "active"
        found.append({"id": peer.id, "bootstrap": peer.bootstrap, "security": peer.security, "state": state})
    configured = {peer["id"] for peer in found}
    found += [
        {"id": party.id, "bootstrap": "", "security": "", "state": "only trusted"}
        for party in trust.parties.values()
        if party.id not in configured | {config.node.id} and party.kind is not PartyKind.LAB
    ]
    _show_parties(found, trust, "no peers; `tocsin peer add RECORD --bootstrap HOST:PORT` adds one")


@command
async def peer_suspend(party: Party) -> None:
    """Read nothing more from a peer; what it sent stays, and its stream is still written."""
    _set_suspended(party, suspended=True)


@command
async def peer_resume(party: Party) -> None:
    """Read from a suspended peer again, from where it was left."""
    _set_suspended(party, suspended=False)


@command
async def peer_remove(party: Party, distrust: Distrust = False, yes: Sure = False) -> None:
    """Read from a peer no more. Its keys stay trusted, so that what it sent still verifies, unless --distrust."""
    if distrust:
        confirm(f"Nothing that {party} signed or passed on verifies any more, what is held included. Go on?", sure=yes)
    _remove("peer", party, distrust=distrust)
    if any(reader.audience == party for reader in load(OPTIONS.config).readers):
        say(f"It may still read its stream here: `tocsin reader remove {party}` and `topics apply --revoke-unknown`.")


@command
async def lab_enrol(record: Record, principal: Principal = None, yes: Yes = False) -> None:
    """Let a lab submit: trust its record, and give it a topic to write and one for its receipts."""
    found = read_record(record)
    if found["kind"] != PartyKind.LAB:
        remedy = "`tocsin peer add RECORD` adds whoever is no lab"
        raise InputError(f"{found['party']} is no lab but a {found['kind']}", place=str(record), remedy=remedy)
    entry = {"id": found["party"], **_given(principal=principal)}
    _add(found, ("lab", entry), yes=yes)
    say(f"Next: tocsin topics apply. {_RESTART}")


@command
async def lab_list() -> None:
    """Show the labs, and the fingerprints to be read aloud."""
    config, trust = _config_and_trust()
    found = [{"id": lab.id, "principal": lab.principal, "state": "enrolled"} for lab in config.labs]
    _show_parties(found, trust, "no labs; `tocsin lab enrol RECORD` enrols one")


@command
async def lab_remove(party: Party) -> None:
    """Take no more submissions from a lab; its keys stay trusted, so that what it sent still verifies."""
    _remove("lab", party, distrust=False)


@command
async def reader_add(
    name: ReaderId,
    audience: Audience = None,
    principal: Principal = None,
    record: OfParty = None,
    yes: Yes = False,
) -> None:
    """Let somebody read a stream of this node; what stands in the stream is the policy's business."""
    found = read_record(record) if record is not None else None
    if found is not None and found["party"] != (audience or name):
        raise InputError(
            f"the record is of {found['party']!r}, the stream of {audience or name!r}",
            place=str(record),
            remedy="A party reads the stream that bears its id",
        )
    _add(found, ("reader", {"id": name, **_given(audience=audience, principal=principal)}), yes=yes)
    _warn_unless_named(audience or name)
    say("Next: tocsin topics apply")


@command
async def reader_list() -> None:
    """Show who may read which stream."""
    config = load(OPTIONS.config)
    found = [{"id": reader.id, "audience": reader.audience, "principal": reader.principal} for reader in config.readers]
    rows(found, empty="no readers; `tocsin reader add ID --audience AUDIENCE` adds one")


@command
async def reader_remove(name: ReaderId) -> None:
    """Let somebody read no more; `topics apply --revoke-unknown` then takes the right away at the cluster."""
    _remove("reader", name, distrust=False)
    say("Next: tocsin topics apply --revoke-unknown")


def _add(record: dict[str, Any] | None, entry: tuple[str, dict[str, Any]] | None, *, yes: bool) -> None:
    """Both files checked, then both written: trust first, since an entry without keys verifies nothing."""
    config = load(OPTIONS.config)
    trust = config.trust.file
    old = new = read_trust_document(trust)
    if record is not None:
        if record["party"] == config.node.id:
            raise InputError(
                "this is the node itself", place=config.node.id, remedy="Give the record of the other side"
            )
        new = with_party(old, record)
        load_trust(new)
    if record is not None and new != old:
        party = party_of(record)
        say(f"{party.id}, {party.kind.value} of {party.jurisdiction or 'no country'}; compare by telephone:")
        for line in read_aloud(party):
            say(f"  {line}")
        confirm("Did the other side read the same?", sure=yes)
    if entry is None:
        replace_trust(trust, old, new)
    else:
        edit_config(OPTIONS.config, lambda d: _put(d, *entry), load, first=lambda: replace_trust(trust, old, new))
    added = entry[1]["id"] if entry else record["party"] if record else ""
    give({"added": added, "trust_version": new["version"]})


def _warn_unless_named(audience: str) -> None:
    """A policy may come later than its readers; a name that is misspelt would leave a reader in silence."""
    with needing("node"):
        from tocsin.desk import read_policies, read_schemas  # noqa: PLC0415 - see `cli.node.at_the_desk`
    config = load(OPTIONS.config)
    try:
        policies = read_policies(config, read_schemas(config))
    except TocsinError:  # the start says what is wrong with a policy
        return
    named = sorted({name for policy in policies for name in policy.audiences})
    if audience not in named:
        say(f"No policy names the audience {audience!r}: nothing goes to it. Named are: {', '.join(named) or 'none'}")


def _put(document: tomlkit.TOMLDocument, table: str, entry: Mapping[str, Any]) -> None:
    """Add an entry to [[table]], or change the one with that id."""
    if table not in document:
        if not document.as_string().endswith("\n\n"):
            document.add(tomlkit.nl())
        document.add(table, tomlkit.aot())
    entries: Any = document[table]
    known = next((one for one in entries if one.get("id") == entry["id"]), None)
    if known is not None:
        for name in _CREDENTIALS if "security" in entry else ():
            known.pop(name, None)  # those of another way to reach it
        known.update(entry)
        return
    made = tomlkit.table()
    made.update(entry)
    made.add(tomlkit.nl())
    entries.append(made)


def _set_suspended(party: str, *, suspended: bool) -> None:
    def change(document: tomlkit.TOMLDocument) -> None:
        known = _entry(document, "peer", party)
        if suspended:
            known["suspended"] = True
        else:
            known.pop("suspended", None)

    edit_config(OPTIONS.config, change, load)
    give({"id": party, "state": "suspended" if suspended else "active"})
    say(_RESTART)


def _remove(table: str, name: str, *, distrust: bool) -> None:
    def change(document: tomlkit.TOMLDocument) -> None:
        known = _entry(document, table, name)
        entries: Any = document[table]
        entries.remove(known)
        if not entries:
            document.remove(table)

    config = edit_config(OPTIONS.config, change, load)
    if distrust:
        old = read_trust_document(config.trust.file)
        replace_trust(config.trust.file, old, without_party(old, name))
    give({"removed": name} | ({"distrusted": True} if distrust else {}))
    say(_RESTART)


def _entry(document: tomlkit.TOMLDocument, table: str, name: str) -> Any:
    entries = document.get(table, [])
    known = next((one for one in entries if one.get("id") == name), None)
    if known is None:
        there = ", ".join(str(one.get("id")) for one in entries) or "none"
        raise InputError(f"no {table} {name!r}", place=str(OPTIONS.config), remedy=f"There are: {there}")
    return known


def _config_and_trust() -> tuple[Config, TrustView]:
    config = load(OPTIONS.config)
    return config, known_trust(config.trust.file)


def _show_parties(found: list[dict[str, Any]], trust: TrustView, empty: str) -> None:
    for one in found:
        party = trust.party(one["id"])
        one["jurisdiction"] = party.jurisdiction if party else ""
        keys = party.keys if party else ()
        one["keys"] = [
            {
                "use": k.use.value,
                "key_id": k.key_id,
                "until": Moment(k.not_after_ms),
                "revoked": k.revoked_at_ms is not None,
            }
            for k in keys
        ]
        if OPTIONS.json:
            print_json(one)
            continue
        where = f"  {one['bootstrap']} ({one['security']})" if one.get("bootstrap") else ""
        who = f"  principal {one['principal']}" if one.get("principal") else ""
        say(f"{one['id']}  {one['jurisdiction'] or '--'}  {one['state']}{where}{who}")
        if party is None:
            say("  not in the trust view: nothing of it verifies")
            continue
        revoked = [key.revoked_at_ms is not None for key in keys] or [False]
        for is_revoked, line in zip(revoked, read_aloud(party), strict=True):
            say(f"  {line}" + ("  REVOKED" if is_revoked else ""))
    if not found:
        say(empty)


def _given(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _path(path: Path | None) -> str | None:
    return as_written(path, OPTIONS.config) if path is not None else None


def _secret(text: str | None) -> Any:
    """A secret by reference: itself it never stands on a command line, where every process can read it."""
    if text is None:
        return None
    kind, _, rest = text.partition(":")
    if kind not in {"env", "file"} or not rest:
        raise InputError(
            "this is no reference to a password", place="--password", remedy="Write env:VARIABLE or file:PATH"
        )
    table = tomlkit.inline_table()
    table[kind] = rest if kind == "env" else _path(Path(rest))
    return table
