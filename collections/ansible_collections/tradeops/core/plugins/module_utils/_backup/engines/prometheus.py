# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Ranges of metrics from the HTTP API of a Prometheus, as JSON lines: one query a line, with its series.

A query is asked in parts that are small enough for the server to answer whole; the parts of a series are joined again.
A query without data is a failure: an empty archive looks like one that was never needed. Moments without data are told.
"""

from __future__ import annotations

import json
import math
import time
import typing as t
import urllib.parse

from ..._common.errors import CallError, InputError, Unproven, Unreachable
from ..._common.times import iso, span
from ..._common.waiter import Deadline
from ..._platform.http import HttpTransport, transport_of
from ..engine import Capture
from ..manifest import Component

ARTEFACT = "ranges.jsonl"
_SERVICE = "prometheus"
# Prometheus refuses more than 11,000 points a series; and one answer may hold many series.
_POINTS = 10_000
# What Prometheus says to a question that is too large, and what we say to an answer that is.
_TOO_LARGE = ("maximum resolution", "too many samples", "larger than")
_BUDGET = 600.0  # s
_TIMEOUT = 60.0

Series = dict[str, t.Any]


class Prometheus:
    """Options: ``url``, ``queries``, ``period`` (such as 24h), ``step`` (s) and ``token`` (the name of a secret)."""

    def check(self, site: str, options: dict[str, t.Any], given: dict[str, t.Any]) -> None:
        url, queries = str(options.get("url") or ""), options.get("queries")
        if not url.startswith(("http://", "https://")):
            raise InputError(f"{site}: metrics are asked of no address: give url. Nothing was captured.")
        if not isinstance(queries, list) or not queries or not all(isinstance(one, str) and one for one in queries):
            raise InputError(f"{site}: queries is {queries!r}; give a list of PromQL texts. Nothing was captured.")
        period, step = _times(site, options)
        if step > period:
            raise InputError(
                f"{site}: step is {step:g} s, longer than the period of {period:g} s. Nothing was captured."
            )
        token = options.get("token")
        if token and not given["secrets"].get(token):
            raise InputError(f"{site}: the secret {token!r} is missing in tradeops_secrets. Nothing was captured.")

    def capture(self, name: str, options: dict[str, t.Any], capture: Capture) -> Component:
        given, deadline = capture.given, Deadline(_BUDGET)
        url = str(options["url"])
        period, step = _times(capture.site, options)
        started = iso()
        # Whole steps, so that two archives of one period have the same moments.
        end = math.floor(time.time() / step) * step
        begin = end - math.floor(period / step) * step
        transport = transport_of({**given, "request_timeout": _TIMEOUT}, {_SERVICE: url})
        secret = given["secrets"].get(options["token"]) if options.get("token") else None
        headers = {"Accept": "application/json", "User-Agent": "tradeops"}
        if secret:
            headers["Authorization"] = f"Bearer {secret}"
        counts: dict[str, dict[str, int]] = {}
        try:
            with capture.artefact(ARTEFACT) as sink:
                for query in options["queries"]:
                    series: dict[str, Series] = {}
                    for first, last in windows(begin, end, step, _POINTS):
                        capture.progress(f"{name}: {query} from {iso(first)} to {iso(last)}")
                        asked = {"query": query, "start": first, "end": last, "step": step}
                        for part in _range(transport, url, asked, headers, deadline):
                            join(series, part)
                    samples = sum(len(one["values"]) for one in series.values())
                    if not samples:
                        raise Unproven(
                            f"{capture.site}: {url} has no data for {query} from {iso(begin)} to {iso(end)}; nothing "
                            "of it is kept"
                        )
                    counts[query] = {"series": len(series), "samples": samples}
                    asked_for = round((end - begin) / step) + 1
                    kept = len({moment for one in series.values() for moment, _value in one["values"]})
                    if kept < asked_for:
                        capture.note(
                            f"{query} has data for {kept} of {asked_for} moments from {iso(begin)} to {iso(end)}"
                        )
                    line = {"query": query, "start": begin, "end": end, "step": step, "series": list(series.values())}
                    sink.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        finally:
            transport.close()
        return Component(
            name=name,
            engine="prometheus",
            started=started,
            moment=iso(end),
            ended=iso(),
            facts={"url": url, "begin": iso(begin), "end": iso(end), "step": step, "queries": counts},
        )


def windows(begin: float, end: float, step: float, points: int) -> t.Iterator[tuple[float, float]]:
    """Yield first and last moment of parts of at most ``points`` points, which together have each moment once."""
    first = begin
    while first <= end:
        last = min(end, first + (points - 1) * step)
        yield first, last
        first = last + step


def join(series: dict[str, Series], found: t.Iterable[Series]) -> None:
    """Add the series of a later part to what earlier parts had."""
    for one in found:
        key = json.dumps(one["metric"], sort_keys=True)
        series.setdefault(key, {"metric": one["metric"], "values": []})["values"].extend(one["values"])


def _range(
    transport: HttpTransport, url: str, asked: dict[str, t.Any], headers: t.Mapping[str, str], deadline: Deadline
) -> t.Iterator[list[Series]]:
    """Yield the series of a part, in halves where the server or our own limit finds the answer too large."""
    try:
        yield _asked(transport, url, asked, headers, deadline)
    except CallError as exc:
        points = round((asked["end"] - asked["start"]) / asked["step"]) + 1
        if points < 2 or not any(words in str(exc) for words in _TOO_LARGE):
            raise
        middle = asked["start"] + (points // 2) * asked["step"]
        yield from _range(transport, url, {**asked, "end": middle - asked["step"]}, headers, deadline)
        yield from _range(transport, url, {**asked, "start": middle}, headers, deadline)


def _asked(
    transport: HttpTransport, url: str, asked: t.Mapping[str, t.Any], headers: t.Mapping[str, str], deadline: Deadline
) -> list[Series]:
    path = "/api/v1/query_range"
    address = f"{url.rstrip('/')}{path}?{urllib.parse.urlencode(asked)}"
    reply = transport.exchange("GET", address, headers, None, deadline, write=False)
    where: dict[str, t.Any] = {"method": "GET", "path": path, "status": reply.status}
    try:
        body = json.loads(reply.body)
    except ValueError as exc:
        raise Unreachable(f"{url} answered {reply.status} with what is no JSON", **where) from exc
    if not isinstance(body, dict) or reply.status != 200 or body.get("status") != "success":
        said = body.get("error") if isinstance(body, dict) else None
        raise CallError(f"{url} answered {reply.status} to {asked['query']}: {said or 'without a reason'}", **where)
    if body.get("warnings"):
        # What a remote store could not give is missing from the answer, which is called a success all the same.
        raise Unproven(f"{url} answered {asked['query']} with a warning: {body['warnings'][0]}")
    data = body.get("data") or {}
    found = data.get("result")
    if data.get("resultType") != "matrix" or not isinstance(found, list):
        raise Unreachable(f"{url} does not answer {asked['query']} with ranges", **where)
    for one in found:
        if not isinstance(one.get("values"), list):
            raise Unproven(f"{url} gives {asked['query']} as histograms, which are not kept")
    return found


def _times(site: str, options: t.Mapping[str, t.Any]) -> tuple[float, float]:
    found = []
    for key, default in (("period", "24h"), ("step", 300)):
        value = options.get(key, default)
        seconds = span(value)
        if seconds is None or seconds <= 0:
            raise InputError(
                f"{site}: {key} is {value!r}; give seconds, or a time such as 15m, 24h or 7d. Nothing was captured."
            )
        found.append(seconds)
    return found[0], found[1]
