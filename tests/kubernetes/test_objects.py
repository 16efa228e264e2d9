# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of a namespace are captured from a real API server, spoilt, and put back; nobody ever sees a Secret."""

from __future__ import annotations

import base64
import dataclasses
import json
import pathlib
import shlex
import subprocess
import typing as t

import pytest
import yaml
from clustered import SITE, Cluster
from kept import Kept
from restoring import Site
from taking import by_hand

from ansible_collections.tradeops.core.plugins.module_utils._backup.engines import kubernetes as applying
from ansible_collections.tradeops.core.plugins.module_utils._backup.engines.kubernetes import Kubernetes
from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import Component
from ansible_collections.tradeops.core.plugins.module_utils._backup.registry import VERBS, run_verb
from ansible_collections.tradeops.core.plugins.module_utils._backup.stores.local import LocalStore
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import (
    InputError,
    Refused,
    TradeopsError,
    Unreachable,
)
from ansible_collections.tradeops.core.plugins.module_utils._common.outcome import Object
from ansible_collections.tradeops.core.plugins.module_utils._recovery.parts.objects import Objects
from tradeops_lab.kubernetes import programs

VALUE = "a-value-that-nobody-may-see"
KINDS = ["ConfigMap", "Secret", "Service", "Deployment"]
OPTIONS = {"kinds": KINDS}


@pytest.fixture
def given(cluster: Cluster) -> t.Iterator[dict[str, t.Any]]:
    ground = cluster.ground
    plan = ground.lab["sites"][SITE]
    authority = str(pathlib.Path(ground.lab["kubernetes"]["folder"]) / "ca.crt")
    yield {
        "urls": plan["services"],
        "secrets": plan["secrets"],
        "namespace": plan["namespace"],
        "ca_paths": {"kubernetes": authority},
        "ca_path": None,
        "validate_certs": True,
        "client_cert": None,
        "client_key": None,
        "request_timeout": 15.0,
        "recipients": ["age1example"],
    }
    for path in ("secrets/test-secret", "configmaps/test-config", "configmaps/test-fixed", "configmaps/test-child"):
        ground.kubernetes(SITE, "DELETE", f"api/v1 {path}")


def make(cluster: Cluster, kind: str, plural: str, name: str, **more: t.Any) -> dict[str, t.Any]:
    meta = {"name": name, **more.pop("metadata", {})}
    body = {"apiVersion": "v1", "kind": kind, "metadata": meta, **more}
    answer = cluster.ground.kubernetes(SITE, "POST", f"api/v1 {plural}", body)
    assert answer.status == 201, answer.body
    return t.cast("dict[str, t.Any]", answer.json)


def patch(cluster: Cluster, path: str, change: dict[str, t.Any]) -> None:
    answer = cluster.ground.kubernetes(SITE, "PATCH", f"api/v1 {path}", change, kind="merge-patch")
    assert answer.status == 200, answer.body


def read(cluster: Cluster, path: str) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", cluster.ground.kubernetes(SITE, "GET", f"api/v1 {path}").json)


def delete(cluster: Cluster, path: str) -> None:
    assert cluster.ground.kubernetes(SITE, "DELETE", f"api/v1 {path}").status == 200
    cluster.ground.until(lambda: not there(cluster, path))


def there(cluster: Cluster, path: str) -> bool:
    return cluster.ground.kubernetes(SITE, "GET", f"api/v1 {path}").status == 200


def captured(given: dict[str, t.Any]) -> tuple[Kept, Component]:
    kept = Kept(SITE, given)
    Kubernetes().check(SITE, OPTIONS, given)
    return kept, kept.whole(Kubernetes().capture("objects", OPTIONS, t.cast(t.Any, kept)))


def fates(found: list[Object]) -> dict[str, tuple[str, str]]:
    return {item.id: (item.result, item.why) for item in found}


def encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def test_what_is_kept_is_clean_and_what_others_make_is_left_out(cluster: Cluster, given: dict[str, t.Any]) -> None:
    owner = make(cluster, "ConfigMap", "configmaps", "test-config", data={"A": "1"}, metadata={"finalizers": []})
    controller = {"apiVersion": "v1", "kind": "ConfigMap", "name": "test-config", "uid": owner["metadata"]["uid"]}
    make(
        cluster,
        "ConfigMap",
        "configmaps",
        "test-child",
        metadata={"ownerReferences": [{**controller, "controller": True}]},
    )
    make(cluster, "Secret", "secrets", "test-secret", data={"PASSWORD": encoded(VALUE)})
    kept, component = captured(given)
    items = {
        f"{item['kind']}/{item['metadata']['name']}": item for item in yaml.safe_load_all(kept.stored["objects.yml"])
    }
    assert list(items) == component.facts["objects"]
    assert items["ConfigMap/test-config"] == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "test-config", "namespace": given["namespace"]},
        "data": {"A": "1"},
    }
    assert component.facts["skipped"]["ConfigMap/test-child"] == "made by ConfigMap test-config"
    assert "ConfigMap/kube-root-ca.crt" in component.facts["skipped"]
    assert not any(
        key in item["metadata"] for item in items.values() for key in ("uid", "managedFields", "resourceVersion")
    )
    assert not any("status" in item for item in items.values())
    assert not any("clusterIP" in item["spec"] for item in items.values() if item["kind"] == "Service")
    assert VALUE not in json.dumps(component.facts) and encoded(VALUE) not in json.dumps(component.facts)
    assert component.facts["server_version"].startswith("v1.")


def test_objects_are_planned_put_back_and_read_again(cluster: Cluster, given: dict[str, t.Any]) -> None:
    make(cluster, "ConfigMap", "configmaps", "test-config", data={"A": "1", "B": "2"})
    make(cluster, "Secret", "secrets", "test-secret", data={"PASSWORD": encoded(VALUE)})
    make(cluster, "ConfigMap", "configmaps", "test-fixed", data={"A": "1"}, immutable=True)
    kept, component = captured(given)
    engine, back = Kubernetes(), t.cast(t.Any, kept)
    assert set(fates(engine.plan_restore(component, {}, back)).values()) == {("equal", "")}

    patch(cluster, "configmaps/test-config", {"data": {"A": "spoilt", "C": "new"}})
    patch(cluster, "secrets/test-secret", {"data": {"PASSWORD": encoded("another")}})
    cluster.ground.kubernetes(SITE, "DELETE", "api/v1 configmaps/test-fixed")
    make(cluster, "ConfigMap", "configmaps", "test-fixed", data={"A": "other"}, immutable=True)
    before = cluster.numbers()

    # Others hold these fields: that is told, and nothing is taken from them unasked.
    plan = fates(engine.plan_restore(component, {}, back))
    assert (
        plan["ConfigMap/test-config"][0]
        == plan["Secret/test-secret"][0]
        == plan["ConfigMap/test-fixed"][0]
        == "conflict"
    )
    assert ".data.A" in plan["ConfigMap/test-config"][1] and "restore_force" in plan["ConfigMap/test-config"][1]
    assert "restore_recreate" in plan["ConfigMap/test-fixed"][1] or "restore_force" in plan["ConfigMap/test-fixed"][1]

    told = engine.plan_restore(component, {"force": True, "recreate": True}, back)
    plan = fates(told)
    assert [name for name, (fate, _why) in plan.items() if fate == "changed"] == [
        "Secret/test-secret",
        "ConfigMap/test-config",
        "ConfigMap/test-fixed",
    ]
    assert plan["ConfigMap/test-config"][1] == "it has besides, and keeps: C"
    by_name = {item.id: item for item in told}
    assert (by_name["ConfigMap/test-config"].before, by_name["ConfigMap/test-config"].after) == (
        {"data.A": "spoilt"},
        {"data.A": "1"},
    )
    assert by_name["Secret/test-secret"].after == {"data.PASSWORD": "********"}
    assert read(cluster, "configmaps/test-config")["data"] == {"A": "spoilt", "B": "2", "C": "new"}

    done = engine.restore(component, {"force": True, "recreate": True}, back)
    assert fates(done) == plan
    assert read(cluster, "configmaps/test-config")["data"] == {"A": "1", "B": "2", "C": "new"}
    assert read(cluster, "secrets/test-secret")["data"] == {"PASSWORD": encoded(VALUE)}
    assert read(cluster, "configmaps/test-fixed")["data"] == {"A": "1"}
    assert set(fates(engine.restore(component, {"force": True}, back)).values()) <= {
        ("equal", ""),
        ("equal", "it has besides, and keeps: C"),
    }
    assert cluster.numbers() == before
    everything = repr([vars(item) for item in (*told, *done)]) + repr(kept.gate.plan)
    assert not any(text in everything for text in (VALUE, encoded(VALUE), encoded("another")))


def test_a_new_workload_comes_without_pods(cluster: Cluster, given: dict[str, t.Any]) -> None:
    kept, component = captured(given)
    number = cluster.numbers()["data-handler"][0]
    cluster.ground.kubernetes(SITE, "DELETE", "apis/apps/v1 deployments/data-handler")
    back = t.cast(t.Any, Kept(SITE, given))
    back.stored = kept.stored
    found = fates(Kubernetes().restore(component, {}, back))
    fate, why = found["Deployment/data-handler"]
    assert (fate, "without pods" in why) == ("created", True)
    live = cluster.ground.kubernetes(SITE, "GET", "apis/apps/v1 deployments/data-handler").json
    assert live["spec"]["replicas"] == 0
    assert live["metadata"]["annotations"]["tradeops.core/replicas"] == str(number)
    # Once more changes nothing, also not its number.
    assert fates(Kubernetes().restore(component, {}, back))["Deployment/data-handler"][0] == "equal"
    started = cluster.work("started", "data-handler")
    assert (started["result"], cluster.numbers()["data-handler"]) == ("proven", (number, number))
    assert fates(Kubernetes().restore(component, {}, back))["Deployment/data-handler"][0] == "equal"
    assert cluster.numbers()["data-handler"] == (number, number)


def test_long_lists_come_in_pages_and_begin_anew(
    cluster: Cluster, given: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "ansible_collections.tradeops.core.plugins.module_utils._backup.engines.kubernetes"
    monkeypatch.setattr(f"{module}._PAGE", 2)
    _kept, component = captured(given)
    names = {f"Deployment/{name}" for name in cluster.numbers()}
    assert names <= set(component.facts["objects"])
    cluster.fault("error_before", "GET", "*/deployments", status=410, times=3)
    _kept, again = captured(given)
    assert again.facts["objects"] == component.facts["objects"]


def test_what_cannot_be_kept_is_refused_before_anything_is_read(cluster: Cluster, given: dict[str, t.Any]) -> None:
    for options, changes, says in (
        ({}, {"recipients": []}, "tradeops_backup_recipients"),
        ({"kinds": ["Lease"]}, {}, "Lease"),
        ({"kinds": [{"kind": "Event", "version": "v1", "plural": "events"}]}, {}, "of the moment"),
        ({}, {"urls": {}}, "tradeops_urls has no 'kubernetes'"),
        ({}, {"namespace": None}, "tradeops_namespace"),
    ):
        with pytest.raises(InputError, match=says):
            Kubernetes().check(
                SITE, t.cast("dict[str, t.Any]", options), {**given, **t.cast("dict[str, t.Any]", changes)}
            )
    Kubernetes().check(SITE, {"kinds": ["ConfigMap"]}, {**given, "recipients": []})
    cluster.fault("error_before", status=503)
    with pytest.raises(TradeopsError, match="503"):
        captured(given)


def test_objects_are_put_back_by_the_line_of_the_page(
    cluster: Cluster, given: dict[str, t.Any], tmp_path: pathlib.Path
) -> None:
    make(cluster, "ConfigMap", "configmaps", "test-config", data={"A": "1"})
    make(cluster, "Secret", "secrets", "test-secret", data={"PASSWORD": encoded(VALUE)})
    kept, _component = captured(given)
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "objects.yml").write_bytes(kept.stored["objects.yml"])
    cluster.ground.kubernetes(SITE, "DELETE", "api/v1 secrets/test-secret")
    cluster.ground.kubernetes(SITE, "DELETE", "api/v1 configmaps/test-config")
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\nexec {shlex.join(programs.command("kubectl"))} "$@"\n', encoding="utf-8")
    kubectl.chmod(0o755)
    (line,) = (block for block in by_hand() if "kubectl " in block)
    config = pathlib.Path(cluster.ground.lab["kubernetes"]["folder"]) / f"{SITE}.kubeconfig"
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "KUBECONFIG": str(config), "WORK": str(tmp_path)}

    def by_the_page(line: str) -> subprocess.CompletedProcess[str]:
        argv = ["bash", "-euo", "pipefail", "-c", line]
        return subprocess.run(
            argv, env={**environment, "HOME": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=300
        )

    done = by_the_page(line)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read(cluster, "configmaps/test-config")["data"] == {"A": "1"}
    assert read(cluster, "secrets/test-secret")["data"] == {"PASSWORD": encoded(VALUE)}
    # Of an object that somebody changed meanwhile the page says what to add.
    patch(cluster, "configmaps/test-config", {"data": {"A": "spoilt"}})
    done = by_the_page(line)
    assert done.returncode != 0 and "conflict" in done.stderr
    done = by_the_page(f"{line} --force-conflicts")
    assert done.returncode == 0, done.stdout + done.stderr
    assert read(cluster, "configmaps/test-config")["data"] == {"A": "1"}


class Restored:
    """The site with a set of its objects, which are then spoilt."""

    def __init__(self, cluster: Cluster, given: dict[str, t.Any], folder: pathlib.Path) -> None:
        self.cluster = cluster
        self.site = Site(cluster.ground, folder, SITE)
        halted = cluster.run("trading_state", state="halted")
        assert halted["result"] in ("proven", "unchanged"), halted
        reach = {name: given[name] for name in ("namespace", "ca_paths", "request_timeout")}
        self.options = {**reach, "components": [{"name": name, "engine": "kubernetes"} for name in ("first", "last")]}
        make(cluster, "ConfigMap", "configmaps", "test-config", data={"A": "1"})
        make(cluster, "Secret", "secrets", "test-secret", data={"PASSWORD": encoded(VALUE)})
        kept, component = captured(given)
        parts = [(dataclasses.replace(component, name=name), kept.stored) for name in ("first", "last")]
        self.set_id = self.site.store.put(*t.cast(t.Any, parts))
        patch(cluster, "configmaps/test-config", {"data": {"A": "spoilt"}})
        patch(cluster, "secrets/test-secret", {"data": {"PASSWORD": encoded("another")}})

    def restore(self, set_id: str, **options: t.Any) -> dict[str, t.Any]:
        return self.site.restore(id=set_id, only=["first"], force=True, **self.options, **options)

    def run(self, verb: str, **options: t.Any) -> dict[str, t.Any]:
        given = self.site.given()
        given = {name: given[name] for name in ("site", "stores", "secrets", "lease_dir")} | options
        return run_verb(verb, VERBS[verb].spec.validate(SITE, given), check_mode=False)

    def safeties(self) -> list[dict[str, t.Any]]:
        """The sets of before, the oldest first."""
        return list(reversed(self.run("backup_info", types=["safety"])["sets"]))

    def now(self) -> tuple[str, str]:
        secret = read(self.cluster, "secrets/test-secret")["data"]["PASSWORD"]
        return read(self.cluster, "configmaps/test-config")["data"]["A"], base64.b64decode(secret).decode()


@pytest.fixture
def restored(cluster: Cluster, given: dict[str, t.Any], tmp_path: pathlib.Path) -> Restored:
    return Restored(cluster, given, tmp_path)


def test_what_a_restore_replaces_is_a_set_of_before_which_is_put_back_by_its_id(restored: Restored) -> None:
    planned = restored.restore(restored.set_id, check_mode=True)
    assert (planned["result"], restored.safeties()) == ("planned", []), planned["msg"]
    assert any("stays as a set of type safety" in step.get("why", "") for step in planned["plan"])

    done = restored.restore(restored.set_id)
    assert (done["result"], restored.now()) == ("proven", ("1", VALUE)), done["msg"]
    (safety,) = restored.safeties()
    assert any(safety["id"] in note and "puts it back" in note for note in done["notes"])
    assert (safety["type"], safety["state"], safety["level"], safety["tag"]) == (
        "safety",
        "whole",
        "hashes",
        restored.set_id,
    )
    assert restored.run("backup_info")["latest"]["id"] == restored.set_id, "it is no backup to begin with"
    again = restored.restore("latest")
    assert (again["result"], len(restored.safeties())) == ("unchanged", 1), "nothing was replaced, and nothing kept"

    back = restored.restore(safety["id"])
    assert (back["result"], restored.now()) == ("proven", ("spoilt", "another")), back["msg"]
    ids = [one["id"] for one in restored.safeties()]
    assert len(ids) == 2

    rules = {"local": {"keep_last": 5, "floor": 1, "types": {"safety": {"keep_last": 1}}}}
    assert restored.run("backup_retention", retention=rules)["result"] == "proven"
    assert [one["id"] for one in restored.safeties()] == ids[1:]
    for file in restored.site.store.path.rglob("*"):
        assert not file.is_file() or VALUE.encode() not in file.read_bytes()


def test_what_fails_later_puts_objects_back_as_they_were(restored: Restored, monkeypatch: pytest.MonkeyPatch) -> None:
    switch = Objects.switch

    def broken(self: Objects) -> None:
        if self.component.name == "last":
            raise Refused("the API server is gone", method="PATCH", path="", sent=False)
        switch(self)
        assert restored.now() == ("1", VALUE)

    monkeypatch.setattr(Objects, "switch", broken)
    done = restored.site.restore(id=restored.set_id, force=True, **restored.options)
    assert done["failed"] and "the API server is gone" in done["msg"], done
    assert restored.now() == ("spoilt", "another")
    assert done["msg"].endswith("Nothing that the site uses was changed.")


@pytest.mark.parametrize("touched", [False, True])
def test_what_a_restore_that_fails_has_made_is_removed_unless_somebody_changed_it(
    restored: Restored, monkeypatch: pytest.MonkeyPatch, touched: bool
) -> None:
    """The object is seen just as it was made, and only that one is deleted."""
    cluster, switch = restored.cluster, Objects.switch
    delete(cluster, "secrets/test-secret")

    def broken(self: Objects) -> None:
        if self.component.name == "last":
            raise Refused("the API server is gone", method="PATCH", path="", sent=False)
        switch(self)
        assert restored.now() == ("1", VALUE)
        if touched:
            patch(cluster, "secrets/test-secret", {"data": {"PASSWORD": encoded("of somebody")}})

    monkeypatch.setattr(Objects, "switch", broken)
    done = restored.site.restore(id=restored.set_id, force=True, **restored.options)
    assert done["failed"] and "the API server is gone" in done["msg"], done
    assert read(cluster, "configmaps/test-config")["data"] == {"A": "spoilt"}
    if touched:
        assert restored.now() == ("spoilt", "of somebody")
        assert "Secret/test-secret was not there before, and somebody has changed it since" in done["msg"]
        assert "of somebody" not in json.dumps(done) and done["result"] == "unproven"
    else:
        assert not there(cluster, "secrets/test-secret")
        assert done["msg"].endswith("Nothing that the site uses was changed.")


def test_a_cluster_that_is_lost_in_the_middle_of_applying_is_told(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was applied until then is taken back, and the one that was on its way is looked at."""
    cluster, apply = restored.cluster, applying._apply
    delete(cluster, "configmaps/test-config")

    def lost(*given: t.Any, dry: bool, **more: t.Any) -> t.Any:
        if not dry and given[2]["metadata"]["name"] == "test-config":
            apply(*given, dry=dry, **more)  # it is done, and the answer is lost
            raise Unreachable("the API server is gone", method="PATCH", path="", sent=None)
        return apply(*given, dry=dry, **more)

    monkeypatch.setattr(applying, "_apply", lost)
    done = restored.restore(restored.set_id)
    assert done["failed"] and "the API server is gone" in done["msg"], done
    assert "ConfigMap/test-config was not there before, and nobody knows who made it" in done["msg"]
    assert restored.now() == ("1", "another"), "the Secret, which came before, is as it was"


def test_without_a_copy_of_before_nothing_is_replaced(restored: Restored, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_given: t.Any, **_more: t.Any) -> t.NoReturn:
        raise Refused("the store local is full", method="write", path="", sent=True)

    monkeypatch.setattr(LocalStore, "upload", full)
    done = restored.restore(restored.set_id)
    assert done["failed"] and "what is there now cannot be kept" in done["msg"], done
    assert (restored.now(), restored.safeties()) == (("spoilt", "another"), [])
