"""HTTP: routes, middleware and hooks of this script, and calls to other servers."""

from siphon_http._core.message import Request as Request
from siphon_http._core.message import Response as Response
from siphon_http.client.api import Client as Client
from siphon_http.errors import ClientError as ClientError
from siphon_http.errors import ConnectError as ConnectError
from siphon_http.errors import ConnectTimeout as ConnectTimeout
from siphon_http.errors import HttpError as HttpError
from siphon_http.errors import HttpStatusError as HttpStatusError
from siphon_http.errors import PoolTimeout as PoolTimeout
from siphon_http.errors import ReadError as ReadError
from siphon_http.errors import ReadTimeout as ReadTimeout
from siphon_http.errors import RemoteProtocolError as RemoteProtocolError
from siphon_http.errors import RouteError as RouteError
from siphon_http.errors import TlsError as TlsError
from siphon_http.errors import TotalTimeout as TotalTimeout
from siphon_http.errors import WriteError as WriteError
from siphon_http.errors import WriteTimeout as WriteTimeout
from siphon_http.extension_namespace import CallNext as CallNext
from siphon_http.extension_namespace import HttpNamespace

_namespace: HttpNamespace

route = _namespace.route
middleware = _namespace.middleware
on_startup = _namespace.on_startup
on_shutdown = _namespace.on_shutdown
