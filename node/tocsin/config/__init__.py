"""The configuration: one TOML file, one frozen tree.

`load` reads the file and nothing else, and says all that is wrong with it at once; `check_files` then looks at what it
refers to. Relative paths are relative to the folder of the configuration file. No secret stands in it: a secret is
`{ file = "…" }` or `{ env = "…" }`. `example` is the file that `tocsin init` writes.
"""

from tocsin.config.example import example
from tocsin.config.problems import BadConfigError
from tocsin.config.tables import Cluster, IssueRule, Lab, Limits, Peer, Reader, Secret
from tocsin.config.tree import Config, check_files, differing, load

__all__ = [
    "BadConfigError",
    "Cluster",
    "Config",
    "IssueRule",
    "Lab",
    "Limits",
    "Peer",
    "Reader",
    "Secret",
    "check_files",
    "differing",
    "example",
    "load",
]
