"""`from siphon import beacon`, as editors and type checkers see it."""

from siphon_beacon import Namespace

_namespace: Namespace

on = _namespace.on
