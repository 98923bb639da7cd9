"""`python -m tests.conformance.second FILE…`."""

import sys

from tests.conformance.second.main import main

main(sys.argv[1:])
