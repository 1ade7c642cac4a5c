"""`python -m siphon_http`: the same as the command `siphon-http`."""

from __future__ import annotations

import sys

from siphon_http.host.cli import main

if __name__ == "__main__":
    sys.exit(main())
