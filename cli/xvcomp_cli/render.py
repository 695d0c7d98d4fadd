"""Results as text: tables with aligned columns, units spelled out, and strict JSON."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from xvcomp.results import GroupReport, Report
from xvcomp.spec import MaxError, Plan, Psnr, Target

__all__ = [
    "counted",
    "echo_json",
    "format_bytes",
    "format_target",
    "plan_text",
    "report_text",
    "table",
]

_NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?( [kMGT]?B)?")


def echo_json(value: Any) -> None:
    """Print strict JSON: infinite and undefined numbers become "inf", "-inf" and "nan"."""
    click.echo(json.dumps(_strict(value), indent=2, allow_nan=False))


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _strict(inner) for key, inner in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(float(value))
    if isinstance(value, Iterable):
        return [_strict(inner) for inner in value]
    return str(value)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align columns: the first to the left, numbers to the right."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    right = [i > 0 and all(_is_number(row[i]) for row in cells[1:]) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _is_number(cell: str) -> bool:
    return cell in ("-", "inf", "exact") or _NUMBER.fullmatch(cell) is not None


def counted(count: int, thing: str) -> str:
    """Write ``1 cube``, ``2 cubes``."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def format_bytes(nbytes: int) -> str:
    """Write a size with three digits: ``912 B``, ``34.5 kB``, ``1.20 MB``."""
    size, unit = float(nbytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 999.5 or unit == "TB":
            break
        size /= 1000
    return f"{nbytes} B" if unit == "B" else f"{size:.3g} {unit}"


def format_target(target: Target) -> str:
    """Say a target as one would: ``PSNR >= 45 dB``."""
    if isinstance(target, Psnr):
        peak = "" if target.peak is None else f" (peak {target.peak:g})"
        return f"PSNR >= {target.db:g} dB{peak}"
    if isinstance(target, MaxError):
        of = {"absolute": "", "range": " of the range", "pointwise": " of each sample"}
        return f"|error| <= {target.value:g}{of[target.relative]}"
    forms = {
        "bpppb": ("bits", "<= {:g} bpppb"),
        "ratio": ("ratio", "ratio >= {:g}"),
        "ssim": ("value", "SSIM >= {:g}"),
        "quality": ("db", "quality {:g}"),
    }
    kind = getattr(target, "kind", "")
    if kind not in forms:
        return "lossless"
    name, form = forms[kind]
    return form.format(getattr(target, name))


def plan_text(plan: Plan) -> str:
    """Write a plan: a table of choices, then the reason for each."""
    header = ["group", "variables", "transform", "layout", "codec", "bits", "gop", "fold", "target"]
    rows = [
        [
            group.name,
            _short_list(group.variables),
            group.transform,
            group.layout,
            f"{group.codec} ({group.preset})",
            str(group.bit_depth),
            str(group.gop),
            str(group.fold),
            format_target(group.target),
        ]
        for group in plan.groups
    ]
    parts = [f"target: {format_target(plan.target)}", table(header, rows)]
    for group in plan.groups:
        why = [f"  {choice}: {reason}" for choice, reason in group.reasons.items()]
        parts.append("\n".join([f"why {group.name}:", *why]))
    if plan.sidecar:
        kept = table(("beside the video", "why"), plan.sidecar.items())
        parts.append(kept)
    return "\n\n".join(parts)


def report_text(report: Report) -> str:
    """Write a report: one line per group, the quality sets, then the totals."""
    header = (
        "variables", "codec", "size", "ratio", "bpppb", "PSNR dB", "peak", "max error",
        "encode s", "decode s",
    )  # fmt: skip
    parts = [table(header, [_group_row(group) for group in report.groups])]
    if not report.groups:
        parts = ["nothing was worth a video: all variables are kept losslessly beside it"]
    if report.set_psnr_db:
        parts.append(table(("quality set", "PSNR dB", "peak"), _set_rows(report)))
    parts.append(_totals(report))
    return "\n\n".join(parts + [f"note: {note}" for note in report.notes])


def _set_rows(report: Report) -> list[list[str]]:
    """Name each set by its variables: a target holds for the set, not for each group."""
    rows = []
    for name, psnr_db in report.set_psnr_db.items():
        members = [g for g in report.groups if g.quality_set == name and not g.lossless]
        variables = [variable for group in members for variable in group.variables]
        peak = report.set_peak.get(name, math.nan)
        rows.append([_short_list(variables), _psnr(psnr_db), _number(peak)])
    return rows


def _group_row(group: GroupReport) -> list[str]:
    known = group.raw_nbytes and group.nbytes
    return [
        _short_list(group.variables),
        group.codec + ("" if group.quantizer is None else f" q{group.quantizer}"),
        format_bytes(group.nbytes),
        f"{group.raw_nbytes / group.nbytes:.1f}" if known else "-",
        f"{group.bpppb:.4f}",
        _psnr(group.psnr_db),
        _number(group.peak),
        _number(group.max_error),
        f"{group.encode_seconds:.2f}",
        f"{group.decode_seconds:.2f}",
    ]


def _totals(report: Report) -> str:
    seconds = f"{report.encode_seconds:.1f} s to encode, {report.verify_seconds:.1f} s to verify"
    bpppb = f", {report.bpppb:.4f} bpppb" if report.groups else ""
    beside = f"{format_bytes(report.sidecar_nbytes)} beside the video"
    overhead = f"{format_bytes(report.overhead_nbytes)} of overhead"
    return (
        f"{report.path}: {format_bytes(report.nbytes)}, {report.ratio:.1f} times smaller than "
        f"{format_bytes(report.raw_nbytes)}{bpppb}\n"
        f"target {format_target(report.target)}; {beside}, {overhead}; {seconds}"
    )


def _psnr(psnr_db: float) -> str:
    if math.isnan(psnr_db):
        return "-"
    return "exact" if math.isinf(psnr_db) else f"{psnr_db:.2f}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _short_list(names: Sequence[str]) -> str:
    text = ",".join(names)
    return text if len(text) <= 40 else f"{names[0]}..{names[-1]} ({len(names)})"
