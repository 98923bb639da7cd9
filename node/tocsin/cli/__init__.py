"""The command line: every command of the operator, the officer and the verifier; nothing that decides."""
