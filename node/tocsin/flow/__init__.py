"""The order of things: receive, issue, decide, seal, send, tell, recover; over ports, without any I/O library."""
