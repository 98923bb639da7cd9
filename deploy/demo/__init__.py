"""Three countries, three Apache Kafka clusters, real incidents: `python -m deploy.demo`, or `make demo`.

brokers.py     the brokers' processes                            clusters.py     their topics, rights and passwords
countries.py   who takes part, drawn from the policy packs       assessments.py  what officers add to the records
folder.py      the state folder: made anew, one run at a time    prepare.py      keys, trust view, certificates, files
nodes.py       the node processes                                federation.py   all of it, begun and ended in order
labs.py        labs that submit                                  officers.py     officers who issue; what a node knows
readers.py     readers of every stream                           attacks.py      what must be stopped, and who tries it
view.py        one report, as everybody sees it                  trace.py        one report, hop by hop
run.py         one run, its end and its verdict                  story.py        the acts, in order
screen.py      what is shown, and the claims that it makes
"""

import time

BEGAN = time.monotonic()
"""When the demonstration began (monotonic clock, seconds): before anything else of it was imported."""
INSTITUTES = ("gb", "jp", "ke")
"""The three institutes, by whose names the rest is told apart."""
