"""Describes the machine that a figure was measured on."""

import os
import platform
from pathlib import Path
from typing import Any

# CPU features that decide how fast a net runs, as /proc/cpuinfo spells them (x86, then ARM).
_NET_FEATURES = ("avx2", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "bf16", "i8mm")


def describe_machine() -> dict[str, Any]:
    """Returns the CPU's model, the usable cores, its matrix features and the present load."""
    fields = _read_cpuinfo()
    flags = set((fields.get("flags") or fields.get("Features", "")).split())
    return {
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "features": [feature for feature in _NET_FEATURES if feature in flags],
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def as_sentence(machine: dict[str, Any]) -> str:
    """Returns the description as one line, to stand above a table."""
    features = ", ".join(machine["features"]) or "no matrix features"
    return (
        f"{machine['cpu']}, {machine['cores']} cores ({features}), "
        f"Python {machine['python']}, load {machine['load_1min']} before the run"
    )


def _read_cpuinfo() -> dict[str, str]:
    """Returns the first processor's fields; none on a system without /proc."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().split("\n\n")[0].splitlines() if path.exists() else []
    return {name.strip(): value.strip() for name, _, value in (li.partition(":") for li in lines)}
