"""Datasets of cubes: TACO v2, ZIP archives whose members are read by byte range.

A ``.tacozip`` holds one cube file per sample, uncompressed, and a Parquet table that says
where each lies; a header at its start says where the table is. Large datasets are parts
beside a folder ``.tacocat`` with one table for all of them. Other TACO v2 readers open
what is written here.
"""

from .collection import Collection, Provider, load_collection
from .extract import extract
from .filters import Condition, parse_condition
from .reader import Payload, TacoReader, open_member, open_taco
from .sample import TacoSample, check_id
from .writer import write_taco

__all__ = [
    "Collection",
    "Condition",
    "Payload",
    "Provider",
    "TacoReader",
    "TacoSample",
    "check_id",
    "extract",
    "load_collection",
    "open_member",
    "open_taco",
    "parse_condition",
    "write_taco",
]
