"""The command line: every command of the operator, the officer and the verifier; nothing that decides."""

import signal
import sys

if "run" in sys.argv[1:]:
    # From the first moment on: a reload (SIGHUP) that comes while the node is still being imported must not end it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
