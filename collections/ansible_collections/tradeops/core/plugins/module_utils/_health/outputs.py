# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The health of a site in the forms that other programs read: health+json, Nagios, Prometheus, JUnit."""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
import typing as t
import xml.sax.saxutils as xml

from .._common.errors import InputError

Rows = t.Sequence[t.Mapping[str, t.Any]]
# What a plugin of Nagios exits with.
EXIT = {"pass": 0, "warn": 1, "fail": 2, "unknown": 3}
_WORDS = {"pass": "OK", "warn": "WARNING", "fail": "CRITICAL", "unknown": "UNKNOWN"}
_UNITS = ("s", "us", "ms", "%", "B", "KB", "MB", "GB", "TB")


class Told(t.TypedDict):
    """What is told of a site; ``at``: when it was read, UTC, ISO 8601; ``unix``: the same in seconds."""

    site: str
    verdict: str
    state: str
    explain: list[str]
    checks: list[dict[str, t.Any]]
    at: str
    unix: float


def health_json(told: Told) -> str:
    """draft-inadarei-api-health-check. It knows no ``unknown``, which is told as a failure and named beside it."""

    def status(level: str) -> str:
        return "fail" if level == "unknown" else level

    checks: dict[str, list[dict[str, t.Any]]] = {}
    for row in told["checks"]:
        found: dict[str, t.Any] = {"componentType": row["kind"], "status": status(row["level"]), "time": row["at"]}
        if row["value"] is not None:
            found["observedValue"] = row["value"]
        if row["unit"]:
            found["observedUnit"] = row["unit"]
        if row["level"] != "pass":
            found["output"] = f"{row['level']}: {row['why']}"
        checks[row["name"]] = [found]
    document = {
        "status": status(told["verdict"]),
        "serviceId": told["site"],
        "description": f"{told['verdict']}: {told['state']}",
        "notes": told["explain"],
        "checks": checks,
    }
    return json.dumps(document, indent=2) + "\n"


def nagios(told: Told) -> str:
    """One line of a plugin of Nagios, with its performance data; ``EXIT`` says the status that belongs to it."""
    said = "; ".join(told["explain"]).replace("|", "/")
    figures = " ".join(_figure(row) for row in told["checks"] if isinstance(row["value"], (int, float)))
    line = f"HEALTH {_WORDS[told['verdict']]} - {told['site']} is {told['state']}: {said}"
    return f"{' '.join(line.split())} | {figures}\n" if figures else f"{' '.join(line.split())}\n"


def _figure(row: t.Mapping[str, t.Any]) -> str:
    unit = row["unit"] if row["unit"] in _UNITS else ""
    return f"{row['name']}={row['value']}{unit};{row['warning'] or ''};{row['critical'] or ''}"


def prometheus(told: Told) -> str:
    """The text format of Prometheus, as its node exporter reads it from a file. Levels are the numbers of ``EXIT``."""
    site = {"site": told["site"]}
    checks = [(row, {**site, "check": row["name"], "kind": row["kind"]}) for row in told["checks"]]
    values = [(row, labels) for row, labels in checks if isinstance(row["value"], (int, float))]
    families: list[tuple[str, str, list[tuple[dict[str, str], t.Any]]]] = [
        ("level", "0 pass, 1 warn, 2 fail, 3 unknown", [(site, EXIT[told["verdict"]])]),
        ("time_seconds", "when it was read", [(site, told["unix"])]),
        ("check_level", "the same of one check", [(labels, EXIT[row["level"]]) for row, labels in checks]),
        ("check_value", "what it read", [({**labels, "unit": row["unit"]}, row["value"]) for row, labels in values]),
        ("check_seconds", "how long that took", [(labels, row["seconds"]) for row, labels in checks]),
    ]
    lines = []
    for name, meaning, samples in families:
        lines += [f"# HELP tradeops_health_{name} {meaning}", f"# TYPE tradeops_health_{name} gauge"]
        lines += [f"tradeops_health_{name}{{{_labels(labels)}}} {value}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: t.Mapping[str, str]) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())


def junit(told: Told) -> str:
    """A suite of JUnit: what fails is a failure, what is unknown an error; a warning passes and says why."""
    rows = told["checks"]
    counts = {level: sum(row["level"] == level for row in rows) for level in ("fail", "unknown")}
    head = {
        "name": told["site"],
        "tests": len(rows),
        "failures": counts["fail"],
        "errors": counts["unknown"],
        "time": f"{sum(row['seconds'] for row in rows):.3f}",
        "timestamp": told["at"],
    }
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuite {_attributes(head)}>"]
    for row in rows:
        case = {"classname": row["kind"], "name": row["name"], "time": f"{row['seconds']:.3f}"}
        element = {"fail": "failure", "unknown": "error", "warn": "system-out"}.get(row["level"])
        if element is None:
            lines.append(f"  <testcase {_attributes(case)}/>")
            continue
        said = xml.escape(f"{row['level']}: {row['why']}")
        start = element if element == "system-out" else f"{element} {_attributes({'message': row['why']})}"
        lines.append(f"  <testcase {_attributes(case)}><{start}>{said}</{element}></testcase>")
    return "\n".join([*lines, "</testsuite>"]) + "\n"


def _attributes(values: t.Mapping[str, t.Any]) -> str:
    return " ".join(f"{name}={xml.quoteattr(str(value))}" for name, value in values.items())


FORMS: dict[str, t.Callable[[Told], str]] = {
    "json": health_json,
    "nagios": nagios,
    "prometheus": prometheus,
    "junit": junit,
}


def write(site: str, output: t.Mapping[str, t.Any], told: Told) -> None:
    """Write the files that are asked for, each as a whole or not at all. Raises InputError."""
    for name, make in FORMS.items():
        if output.get(name):
            _write(site, name, pathlib.Path(str(output[name])).expanduser(), make(told))


def _write(site: str, name: str, path: pathlib.Path, text: str) -> None:
    scratch = ""
    try:
        descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(scratch, 0o644)  # other programs read it; it holds no secret
        os.replace(scratch, path)
    except OSError as exc:
        if scratch and os.path.exists(scratch):
            os.unlink(scratch)
        raise InputError(f"{site}: output.{name}: {path}: {(exc.strerror or '').lower()}; give another path.") from exc
