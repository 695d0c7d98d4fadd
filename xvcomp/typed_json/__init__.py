"""Attributes and encodings as plain JSON that remembers every type."""

# Importing a module registers the tags that it knows.
from . import codecs, moments, numerals
from .walk import pack_json, unpack_json

__all__ = ["codecs", "moments", "numerals", "pack_json", "unpack_json"]
