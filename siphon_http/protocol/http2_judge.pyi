"""Types of http2_judge.pyx. All that it offers is for Cython: see http2_judge.pxd."""

__all__: list[str] = []
