"""Ids by which one request is found in the logs of all who took part in it."""

cpdef object current_id()
cdef int set_id(str request_id) except -1
cpdef str new_id()
cdef str kept_or_new(object sent)
cdef list with_request_id(list fields, str id)
cpdef bint is_request_id(str text)
