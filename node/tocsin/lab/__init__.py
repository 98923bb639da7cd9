"""A lab reports to its institute: signed, kept on disk before `report` returns, and answered by a signed receipt.

A lab's first report:

    import asyncio
    from tocsin.lab import Reporter

    async def main():
        async with Reporter.from_file("lab.toml") as reporter:
            report = {"title": "Agent deleted a production database", "severity": 2, "severity_assessed_by": "frontier"}
            pending = await reporter.report(report, tlp="AMBER")
            receipt = await pending.receipt()
            print(receipt.decision, pending.leaf.hex())

    asyncio.run(main())

Its `lab.toml`, as the institute that enrolled the lab says:

    [lab]
    id = "frontier"
    [node]
    id = "gb"                        # the institute
    [keys]
    event = "keys/event.pem"
    relay = "keys/relay.pem"
    [trust]
    file = "trust.json"
    [kafka]
    bootstrap = "kafka.gb.example:9094"
    security = "scram"
    username = "frontier"
    password = { env = "TOCSIN_KAFKA_PASSWORD" }

A report is a mapping by field name, or a `tocsin.report.incident.Incident`; fields are those of incident/1.0 in
`schemas/README.md`. What comes later is `reporter.report(later, follows=pending.leaf)`, with `stage="FINAL"` or
`stage="RETRACTION"` where it is that.
"""

from tocsin.lab.receipts import SignedReceipt
from tocsin.lab.reporter import Pending, Reporter

__all__ = ["Pending", "Reporter", "SignedReceipt"]
