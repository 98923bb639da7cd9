"""Pure bytes: the protocol's formats, and the verification of what arrives. No clock, files, randomness or logging."""
