"""A reader of one node's stream: every report verified, seen once, and completeness proven by the signed heads.

    import asyncio
    from tocsin.reader import Subscriber

    async def main():
        async with Subscriber.from_file("reader.toml") as subscriber:
            async for seen in subscriber:
                print(seen.header.origin, seen.fields.get("title"), [w.name for w in seen.withheld])

    asyncio.run(main())

Its `reader.toml`, as the institute that gave access says:

    [reader]
    audience = "public"              # or the reader's own party id
    [node]
    id = "gb"                        # whose stream it is
    [trust]
    file = "trust.json"
    [kafka]
    bootstrap = "kafka.gb.example:9094"
    security = "scram"
    username = "press"
    password = { env = "TOCSIN_KAFKA_PASSWORD" }
"""

from tocsin.reader.health import Condition, Health
from tocsin.reader.seen import Seen, Withheld
from tocsin.reader.subscriber import Subscriber

__all__ = ["Condition", "Health", "Seen", "Subscriber", "Withheld"]
