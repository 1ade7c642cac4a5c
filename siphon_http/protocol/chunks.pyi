"""Types of chunks.pyx."""

__all__ = ["measure_chunks"]

def measure_chunks(
    data: bytes, cap: int, max_trailer_bytes: int = 65536, max_trailer_lines: int = 128
) -> tuple[int, bool, int]: ...
