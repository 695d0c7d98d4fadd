"""Numeric transforms between bands and integer codes, and what undoes their noise."""

from . import folding, klt, post_filter, quantize, wiener

__all__ = ["folding", "klt", "post_filter", "quantize", "wiener"]
