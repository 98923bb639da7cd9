"""Three countries, three Apache Kafka clusters, real incidents: `python -m deploy.demo`, or `make demo`.

countries.py   who takes part, drawn from the policy packs       assessments.py  what officers add to the records
folder.py      the state folder: made anew, one run at a time    prepare.py      keys, trust view, certificates, files
clusters.py    the brokers, their topics, rights and passwords   nodes.py        the node processes
labs.py        labs that submit                                  officers.py     officers who issue; what a node knows
readers.py     readers of every stream                           attacks.py      what must be stopped, and who tries it
view.py        one report, as everybody sees it                  trace.py        one report, hop by hop
screen.py      what is shown, and the claims that it makes       story.py        the acts, in order
"""
