"""Numeric transforms between bands and integer codes: KLT and quantisation."""

from . import folding, klt, quantize

__all__ = ["folding", "klt", "quantize"]
