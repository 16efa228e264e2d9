# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Probes of Kubernetes, Prometheus and Alertmanager."""

from __future__ import annotations

import typing as t
import urllib.parse

from ..._common.errors import CallError
from ..._platform import wire
from ..asked import Asked
from ..checks import Alertmanager, Kubernetes, Prometheus
from ..reading import NoAnswer, Reading, Unreadable
from .web import readable

_TOLD = 3  # how many alerts are named
_REDUCE: dict[str, t.Callable[[list[float]], float]] = {
    "max": max,
    "min": min,
    "sum": sum,
    "avg": lambda values: sum(values) / len(values),
    "count": len,
}


def kubernetes(check: Kubernetes, asked: Asked) -> Reading:
    kind, _slash, name = check.workload.partition("/")
    namespace = check.namespace or asked.given["namespace"]
    found = _api(asked, f"/apis/apps/v1/namespaces/{namespace}/{kind}s/{name}", check.workload)
    where = f"{check.workload} in {namespace}"
    if check.read == "restarts":
        pods = _api(asked, f"/api/v1/namespaces/{namespace}/pods?{_selector(found)}", check.workload)["items"]
        statuses = [row for pod in pods for row in pod.get("status", {}).get("containerStatuses", [])]
        return Reading(float(sum(row.get("restartCount", 0) for row in statuses)), where, note=f"of {len(pods)} pods")
    status = found.get("status", {})
    if status.get("observedGeneration", 0) < found.get("metadata", {}).get("generation", 0):
        raise Unreadable("its controller has not looked at its newest description yet")
    if kind == "daemonset":
        wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
    else:
        wanted, ready = found.get("spec", {}).get("replicas", 1), status.get("readyReplicas", 0)
    percent = 100.0 * ready / wanted if wanted else 100.0
    note = f"{ready} of {wanted} ready"
    plain = check.warning is None and check.critical is None
    return Reading(round(percent, 1), where, level=("pass" if percent >= 100 else "fail") if plain else None, note=note)


def prometheus(check: Prometheus, asked: Asked) -> Reading:
    values = _query(check, asked, check.query)
    if len(values) > 1 and check.reduce is None:
        raise Unreadable(f"the query gives {len(values)} series; say in reduce what to make of them")
    value = _REDUCE[check.reduce or "max"](values)
    taken = None
    if check.max_age is not None:
        taken = min(_query(check, asked, f"timestamp({check.query})"))
    return Reading(float(value), check.url, taken, note=f"of {len(values)} series" if len(values) > 1 else "")


def alertmanager(check: Alertmanager, asked: Asked) -> Reading:
    pairs = [("active", "true"), ("silenced", "false"), ("inhibited", "false")]
    query = urllib.parse.urlencode([*pairs, *(("filter", matcher) for matcher in check.matchers)])
    alerts = _read(check, asked, f"{check.url.rstrip('/')}/api/v2/alerts?{query}")
    if not isinstance(alerts, list):
        raise Unreadable("it gives no list of alerts")
    names = sorted({str(alert.get("labels", {}).get("alertname", "?")) for alert in alerts})
    return Reading(
        float(len(alerts)), check.url, note=", ".join(names[:_TOLD]) + (" ..." if len(names) > _TOLD else "")
    )


def _query(check: Prometheus, asked: Asked, query: str) -> list[float]:
    url = f"{check.url.rstrip('/')}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    body = _read(check, asked, url)
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict) or body.get("status") != "success":
        raise Unreadable("it does not answer as a Prometheus does")
    result = data.get("result") or []
    samples = [result] if data.get("resultType") == "scalar" else [row.get("value") or [None, None] for row in result]
    if not samples:
        raise Unreadable("no data")
    values = [wire.number(sample[1]) for sample in samples]
    if None in values:
        raise Unreadable(f"a series gives {samples[values.index(None)][1]!r}, which is no number")
    return t.cast("list[float]", values)


def _read(check: Prometheus | Alertmanager, asked: Asked, url: str) -> t.Any:
    try:
        reply = asked.get(url, token=asked.secret(check.token) if check.token else None, service=check.kind)
    except CallError as exc:
        raise Unreadable(str(exc)) from exc
    return readable(reply, check.url)


def _api(asked: Asked, path: str, what: str) -> t.Any:
    url = str(asked.given["urls"]["kubernetes"]).rstrip("/") + path
    try:
        reply = asked.get(url, token=asked.secret("kubernetes_token"), service="kubernetes")
    except CallError as exc:
        raise Unreadable(str(exc)) from exc
    if reply.status == 404:
        raise NoAnswer(f"there is no {what}")
    return readable(reply, path.partition("?")[0])


def _selector(workload: dict[str, t.Any]) -> str:
    selector = workload.get("spec", {}).get("selector", {})
    parts = [f"{key}={value}" for key, value in selector.get("matchLabels", {}).items()]
    for rule in selector.get("matchExpressions", []):
        values = ",".join(rule.get("values", []))
        key, operator = rule["key"], rule["operator"]
        said = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        parts.append(said[operator])
    return urllib.parse.urlencode({"labelSelector": ",".join(parts)})
