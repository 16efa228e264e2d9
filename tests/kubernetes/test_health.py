# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of workloads on a real API server: ready as a whole, still rolling out, not there, not readable."""

from __future__ import annotations

import typing as t

from clustered import SITE, Cluster


def one(cluster: Cluster, **check: t.Any) -> dict[str, t.Any]:
    result = cluster.run("health", checks=[{"name": "it", "kind": "kubernetes", "timeout": 30.0, **check}])
    assert not result["failed"], result["msg"]
    (row,) = result["checks"]
    return t.cast("dict[str, t.Any]", row)


def test_a_workload_is_read_from_the_cluster(cluster: Cluster) -> None:
    row = one(cluster, workload="deployment/data-handler")
    assert (row["level"], row["value"], row["why"]) == ("pass", 100.0, "3 of 3 ready"), row
    row = one(cluster, workload="deployment/data-handler", read="restarts", critical="3")
    assert (row["level"], row["value"], row["why"]) == ("pass", 0.0, "of 3 pods"), row
    row = one(cluster, workload="deployment/nobody")
    assert (row["level"], row["why"]) == ("fail", "there is no deployment/nobody"), row
    assert cluster.writes() == []


def test_a_cluster_that_does_not_answer_is_unknown(cluster: Cluster) -> None:
    for fault, says in (
        ({"kind": "hang"}, "no answer within"),
        ({"kind": "error_before", "status": 503}, "answered 503"),
    ):
        cluster.ground.faults(SITE, {"service": "kubernetes", **fault})
        row = one(cluster, workload="deployment/data-handler", timeout=1.0 if fault["kind"] == "hang" else 20.0)
        assert (row["level"], says in row["why"]) == ("unknown", True), row
    cluster.ground.faults(SITE)
    wrong = cluster.run(
        "health",
        checks=[{"name": "it", "kind": "kubernetes", "workload": "deployment/data-handler"}],
        ca_paths={},
    )
    assert (wrong["verdict"], "not trusted" in wrong["checks"][0]["why"]) == ("unknown", True), wrong["checks"]
