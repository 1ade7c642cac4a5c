"""Named stores of text, in memory or in Redis, as `cache:` of siphon.yaml names them."""

from siphon_http.host.cache import CacheNamespace

_namespace: CacheNamespace

has_cache = _namespace.has_cache
fetch = _namespace.fetch
store = _namespace.store
delete = _namespace.delete
exists = _namespace.exists
expire = _namespace.expire
list_push = _namespace.list_push
list_pop_all = _namespace.list_pop_all
list_len = _namespace.list_len
list_len_sum = _namespace.list_len_sum
