"""Types of http2_flood.pyx."""

__all__ = ["flood_limit"]

def flood_limit(kind: int, seconds: float = 0.0, count: int = 1000000) -> int: ...
