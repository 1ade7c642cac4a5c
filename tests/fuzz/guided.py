"""Run one fuzz target under libFuzzer: `python -m tests.fuzz.guided TARGET [options of libFuzzer] [folders]`.

Of use only with modules that were built for it; `make fuzz` does so.
"""

from __future__ import annotations

import sys

import atheris

# Python code that is imported here reports what is reached of it, as the C code does.
with atheris.instrument_imports(include=["siphon_http"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Hand a target over to libFuzzer, which ends the process."""
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
