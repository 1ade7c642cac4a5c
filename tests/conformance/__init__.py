"""Black-box conformance: a real server process, asked over raw sockets."""
