"""Damage that knows the structure: bytes, fields, JSON values; all of it from a seed."""

import copy
import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

__all__ = ["mutate_bytes", "mutate_json", "mutate_text"]

_NUMBERS = (
    0, 1, -1, 2, 7, 127, 128, 255, 256, 4095, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1,
    2**32, 2**40, 2**53, 2**63 - 1, -(2**31), -(2**63),
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, "", "x", "../../etc/passwd", "object", "<f8", "<U999999999", "S2147483647",
    "M8[ns]", "O,i4", 1e308, -0.0, 0.5, [], {}, [[]], {"$type": "object"},
    {"$int": "9" * 400}, {"$f": "nan"},
    {"$array": ["<f8", [2**40], []]}, {"$codec": ["numcodecs", {"id": "pickle"}]}, [2**40] * 4,
    {"$tuple": [1, 2]}, {"$datetime": ["2020-13-01", 0, "../x"]},
    {"$cftime": ["Datetime360Day", []]},
)  # fmt: skip


def mutate_bytes(data: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """Apply one to four random damages."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        if not out:
            break
        random.choice(_BYTE_DAMAGES)(out, random, others)
    return bytes(out)


def _flip(out: bytearray, random: Random, _others: Sequence[bytes]) -> None:
    for _ in range(random.choice((1, 1, 2, 8))):
        out[random.randrange(len(out))] ^= 1 << random.randrange(8)


def _overwrite(out: bytearray, random: Random, _others: Sequence[bytes]) -> None:
    start = random.randrange(len(out))
    length = min(random.choice((1, 2, 4, 16, 64)), len(out) - start)
    fill = random.choice((b"\0", b"\xff", None))
    out[start : start + length] = fill * length if fill else random.randbytes(length)


def _number(out: bytearray, random: Random, _others: Sequence[bytes]) -> None:
    """Put a tempting number where a count, a size or an offset may be."""
    width, code = random.choice(((2, "H"), (4, "I"), (8, "Q")))
    start = random.randrange(max(1, len(out) - width))
    order = random.choice("<>")
    value = random.choice(_NUMBERS) % 2 ** (8 * width)
    out[start : start + width] = struct.pack(order + code, value)


def _nudge(out: bytearray, random: Random, _others: Sequence[bytes]) -> None:
    """Change a 32-bit number a little."""
    start = random.randrange(max(1, len(out) - 4))
    field = out[start : start + 4]
    order = random.choice(("little", "big"))
    value = int.from_bytes(field, order) + random.choice((-16, -4, -1, 1, 4, 16))
    out[start : start + len(field)] = (value % 2 ** (8 * len(field))).to_bytes(len(field), order)


def _cut(out: bytearray, random: Random, _others: Sequence[bytes]) -> None:
    start = random.randrange(len(out))
    del out[start : start + random.choice((1, 2, 4, 8, 100, len(out)))]


def _repeat(out: bytearray, random: Random, _others: Sequence[bytes]) -> None:
    start = random.randrange(len(out))
    out[start:start] = out[start : start + random.choice((1, 4, 8, 100))]


def _splice(out: bytearray, random: Random, others: Sequence[bytes]) -> None:
    """Put in a piece of another input, or of elsewhere in this one."""
    source = random.choice([*others, bytes(out)])
    length = random.choice((4, 8, 32, 256))
    start, place = random.randrange(max(1, len(source))), random.randrange(len(out))
    end = place + (length if random.random() < 0.7 else 0)
    out[place:end] = source[start : start + length]


_BYTE_DAMAGES: tuple[Callable[[bytearray, Random, Sequence[bytes]], None], ...] = (
    _flip, _flip, _overwrite, _number, _number, _nudge, _cut, _repeat, _splice,
)  # fmt: skip


def mutate_json(tree: Any, random: Random) -> Any:
    """Change one to three values, keys or lengths somewhere in a tree of plain JSON."""
    out = copy.deepcopy(tree)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = list(_places(out))
        if not places:
            return out
        holder, key = random.choice(places)
        _change(holder, key, random)
    return out


def _places(tree: Any) -> list[tuple[Any, Any]]:
    found, waiting = [], [tree]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])
    return found


def _change(holder: Any, key: Any, random: Random) -> None:
    value = holder[key]
    kind = random.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        # A copy: what is put in may be changed in turn.
        holder[key] = copy.deepcopy(random.choice(_VALUES))
    elif isinstance(value, bool) or value is None:
        holder[key] = random.choice((not value, 1, ""))
    elif isinstance(value, int | float):
        near = value + random.choice((-1, 1, 0.5))
        holder[key] = random.choice((*_NUMBERS, -value, value * 2, near))
    elif isinstance(value, str):
        holder[key] = mutate_text(value, random)
    elif isinstance(value, list) and value:
        holder[key] = random.choice((value[1:], value + value[-1:], value * 3, value[::-1]))
    elif isinstance(value, dict) and isinstance(holder, list):
        holder.append(copy.deepcopy(value))


_PIECES = (
    "nan", "inf", "-", "'", '"', "(", ")", "[", "]", "{", "}", ",", ":", "\0", "é",
    "__import__('os')", "1e999", "9" * 50, "lambda: 0", "array([1.])", "np.float32(1)", " " * 40,
    "(" * 90, "None",
)  # fmt: skip


def mutate_text(text: str, random: Random) -> str:
    """Change characters, cut, repeat, or put in what parsers stumble over."""
    for _ in range(random.choice((1, 1, 2, 3))):
        start = random.randrange(len(text) + 1)
        end = start + random.choice((0, 0, 1, 2, 10))
        piece = random.choice((*_PIECES, chr(random.randrange(32, 127)), text[start : start + 20]))
        text = text[:start] + piece + text[end:]
    return text


def dump(tree: Any) -> bytes:
    """Write JSON as short as the format does."""
    return json.dumps(tree, separators=(",", ":")).encode()
