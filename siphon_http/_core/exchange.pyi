"""Types of exchange.pyx. The methods of both classes are for Cython only: see exchange.pxd."""

from typing_extensions import disjoint_base

__all__ = ["Exchange", "Handler"]

@disjoint_base
class Exchange:
    """One way back to a client."""

@disjoint_base
class Handler:
    """Where requests go."""
