"""Datasets on the Hugging Face Hub: a folder ready to publish, and its way there."""

from .folder import Published, make_dataset
from .pushing import Pushed, push

__all__ = ["Published", "Pushed", "make_dataset", "push"]
