"""What a dataset says of itself: ``COLLECTION.json``."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ...errors import PlanError

__all__ = ["TACO_VERSION", "Collection", "Provider", "load_collection"]

TACO_VERSION = "0.5.0"
"""The version of the TACO specification that ``COLLECTION.json`` names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """Who made, processed or hosts the data; the fields are those of STAC."""

    name: str
    roles: tuple[str, ...] = ()
    url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Collection:
    """A dataset's description, for people and catalogues.

    Parameters
    ----------
    id : str
        Short name of the dataset.
    licenses : tuple of str
        SPDX identifiers, such as ``CC-BY-4.0``.
    providers : tuple of Provider
    version : str
        Of the dataset.
    citation, doi : str or None
        How to cite it.
    tasks : tuple of str
        What the data are for, in TACO's words: ``regression``, ``other`` ...
    extra : Mapping
        Further entries of ``COLLECTION.json``, as they are.

    Raises
    ------
    PlanError
        If the id is empty, or an extra entry would replace one of TACO's own.
    """

    id: str
    title: str = ""
    description: str = ""
    licenses: tuple[str, ...] = ()
    providers: tuple[Provider, ...] = ()
    keywords: tuple[str, ...] = ()
    version: str = "1.0.0"
    citation: str | None = None
    doi: str | None = None
    tasks: tuple[str, ...] = ("other",)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id.strip():
            raise PlanError("a collection needs an id that is not empty")
        taken = sorted(key for key in self.extra if key in _OWN or key.startswith("taco:"))
        if taken:
            raise PlanError(f"the extra entry {taken[0]!r} would replace one of the collection's")

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of ``COLLECTION.json`` that do not depend on the samples."""
        found: dict[str, Any] = {
            "id": self.id,
            "title": self.title or self.id,
            "description": self.description,
            "licenses": list(self.licenses),
            "providers": [_provider(each) for each in self.providers],
            "keywords": list(self.keywords),
            "dataset_version": self.version,
            "taco_version": TACO_VERSION,
            "tasks": list(self.tasks),
        }
        if self.citation or self.doi:
            found["publications"] = [{"doi": self.doi or "", "citation": self.citation or ""}]
        return found | dict(self.extra)


_OWN = {
    "dataset_version", "description", "extent", "id", "keywords", "licenses", "providers",
    "publications", "taco_version", "tasks", "title",
}  # fmt: skip


def _provider(provider: Provider) -> dict[str, Any]:
    found: dict[str, Any] = {"name": provider.name}
    if provider.roles:
        found["roles"] = list(provider.roles)
    return found if provider.url is None else found | {"url": provider.url}


def load_collection(path: Path) -> Collection:
    """Read a collection from a TOML or JSON file whose keys are the fields of `Collection`.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    PlanError
        If it cannot be read, or a key is unknown or of the wrong type.
    """
    try:
        data = path.read_bytes()
        loaded = json.loads(data) if path.suffix == ".json" else tomllib.loads(data.decode())
    except ValueError as error:
        raise PlanError(f"{path} cannot be read: {error}") from error
    if not isinstance(loaded, dict):
        raise PlanError(f"{path} must be a table of entries, such as id and title")
    return _from_dict(loaded, str(path))


def _from_dict(loaded: Mapping[str, Any], name: str) -> Collection:
    known = {each.name: each for each in fields(Collection)}
    unknown = sorted(set(loaded) - set(known))
    if unknown:
        raise PlanError(f"{name}: unknown key {unknown[0]!r}; known: {', '.join(known)}")
    if "id" not in loaded:
        raise PlanError(f"{name}: the key 'id' is missing")
    return Collection(**{key: _value(name, key, value) for key, value in loaded.items()})


def _value(name: str, key: str, value: Any) -> Any:
    if key == "extra":
        if not isinstance(value, dict):
            raise PlanError(f"{name}: 'extra' must be a table, not {value!r}")
        return value
    if key in ("licenses", "keywords", "tasks", "providers"):
        listed = value if isinstance(value, list) else [value]
        make = _as_provider if key == "providers" else _text
        return tuple(make(name, key, each) for each in listed)
    return _text(name, key, value)


def _text(name: str, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise PlanError(f"{name}: {key!r} must be text, not {value!r}")
    return value


def _as_provider(name: str, key: str, value: Any) -> Provider:
    """Read ``"ESA"`` or ``{name = "ESA", roles = ["producer"], url = "https://..."}``."""
    if isinstance(value, str):
        return Provider(name=value)
    if not isinstance(value, dict) or "name" not in value or set(value) - {"name", "roles", "url"}:
        raise PlanError(
            f"{name}: {key!r} must hold names, or tables of name, roles, url: {value!r}"
        )
    roles = tuple(_text(name, "roles", each) for each in value.get("roles", ()))
    url = value.get("url")
    return Provider(
        name=_text(name, "name", value["name"]),
        roles=roles,
        url=None if url is None else _text(name, "url", url),
    )
