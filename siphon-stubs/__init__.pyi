"""Types of the module `siphon`, which a host makes at run time: `from siphon import http`.

It is a stub package (PEP 561): editors and checkers find it, Python does not. Another extension adds the types of its
namespace as a file of its own beside this one.
"""

from siphon import _cache as cache
from siphon import _http as http
from siphon import _log as log
from siphon import _metrics as metrics
from siphon import _timer as timer

__all__ = ["cache", "http", "log", "metrics", "timer"]
