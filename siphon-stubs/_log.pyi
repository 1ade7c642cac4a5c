"""The log: one line for each call, from any thread."""

from siphon_http.host.log import LogNamespace

_namespace: LogNamespace

debug = _namespace.debug
info = _namespace.info
warn = _namespace.warn
warning = _namespace.warning
error = _namespace.error
