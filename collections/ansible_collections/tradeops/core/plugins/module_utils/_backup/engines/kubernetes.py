# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Objects of one namespace: ConfigMaps, Secrets and the kinds that ``kinds`` names, as one stream of YAML documents.

A restore applies each on the server's side under a name of our own, so the server itself says what differs and who else
holds a field. The plan asks it for a dry run, which changes nothing.
"""

from __future__ import annotations

import base64
import dataclasses
import typing as t

from ..._common.errors import CallError, InputError, RateLimited, Refused, Unproven
from ..._common.libraries import yaml
from ..._common.outcome import Object
from ..._common.times import iso
from ..._common.waiter import Deadline, wait_until
from ..._platform import kubernetes
from ..._platform.http import transport_of
from ..._platform.profile import Answer, Capabilities, Profile, Request
from ..._platform.site import Site
from .. import objects
from ..engine import Capture, Restore
from ..manifest import Component
from ..objects import KINDS, Body, Kind

ARTEFACT = "objects.yml"
_DEFAULT = ("ConfigMap", "Secret")
_PAGE = 500
# How often a list is begun anew whose first pages are gone before its last ones were read.
_LISTINGS = 3
_BUDGET = 300.0  # s for all objects
_GONE = 30.0  # s for one that is deleted
_VERSION = Request(path="/version", service=kubernetes.NAME, auth=kubernetes.NAME)
_PROFILE = Profile(
    name=kubernetes.NAME,
    title="Kubernetes",
    services={kubernetes.NAME: kubernetes.SERVICE},
    auth={kubernetes.NAME: kubernetes.AUTH},
    capabilities=Capabilities(),
    default_auth=kubernetes.NAME,
)


class Kubernetes:
    """Options of the component: ``kinds`` (names, or mappings with ``kind``, ``version`` and ``plural``) and
    ``namespace``. A restore besides has ``force`` (take fields over from others) and ``recreate`` (delete and make anew
    what cannot be changed).
    """

    def check(self, site: str, options: dict[str, t.Any], given: dict[str, t.Any]) -> None:
        kinds = _kinds(site, options)
        if any(kind.name == "Secret" for kind in kinds) and not given.get("recipients"):
            raise InputError(
                f"{site}: Secrets are kept encrypted only, and there is nobody to encrypt for: give "
                "tradeops_backup_recipients, or leave Secret out of kinds. Nothing was captured."
            )
        cluster = cluster_of(site, options, given)
        cluster.check(*(kubernetes.request(kind.path) for kind in kinds))
        cluster.close()

    def capture(self, name: str, options: dict[str, t.Any], capture: Capture) -> Component:
        cluster = cluster_of(capture.site, options, capture.given)
        started, deadline = iso(), Deadline(_BUDGET)
        try:
            version = cluster.get(_VERSION, deadline).body
            found: list[Body] = []
            left: dict[str, str] = {}
            versions: dict[str, str] = {}
            kinds = _kinds(capture.site, options)
            for kind in kinds:
                capture.progress(f"{name}: reading {kind.plural}")
                items, versions[kind.name] = _listed(cluster, kind, deadline)
                for item in items:
                    why = objects.skipped(item)
                    if why:
                        left[objects.identity(item)] = why
                    else:
                        found.append(objects.stripped(item))
        finally:
            cluster.close()
        found.sort(key=objects.rank)
        moment = iso()
        with capture.artefact(ARTEFACT) as sink:
            for item in found:
                sink.write(yaml.safe_dump(item, explicit_start=True, sort_keys=True, allow_unicode=True).encode())
        return Component(
            name=name,
            engine="kubernetes",
            started=started,
            moment=moment,
            ended=iso(),
            facts={
                "namespace": cluster.values["namespace"],
                "server_version": str(version.get("gitVersion", "")) if isinstance(version, dict) else "",
                "resource_versions": versions,
                "kinds": {kind.name: {"version": kind.version, "plural": kind.plural} for kind in kinds},
                "objects": [objects.identity(item) for item in found],
                "skipped": left,
            },
        )

    def plan_restore(self, component: Component, options: dict[str, t.Any], back: Restore) -> list[Object]:
        return self._each(component, options, back, write=False)

    def restore(
        self, component: Component, options: dict[str, t.Any], back: Restore, made: dict[str, Body] | None = None
    ) -> list[Object]:
        """``made`` gets what was not there before, as the server has made it."""
        return self._each(component, options, back, write=True, made=made)

    def remove(
        self, component: Component, options: dict[str, t.Any], back: Restore, made: t.Mapping[str, Body | None]
    ) -> list[str]:
        """Remove what a restore has made and nobody has changed since; return what stays, and why.

        Of what is None it is not known whether it was made.
        """
        cluster = cluster_of(back.site, options, back.given)
        try:
            deadline = Deadline(_BUDGET)
            kinds = {name: Kind(name, **place) for name, place in component.facts["kinds"].items()}
            fates = [_removed(cluster, kinds, name, body, back, deadline) for name, body in reversed([*made.items()])]
            return [fate for fate in fates if fate]
        finally:
            cluster.close()

    def _each(
        self,
        component: Component,
        options: dict[str, t.Any],
        back: Restore,
        *,
        write: bool,
        made: dict[str, Body] | None = None,
    ) -> list[Object]:
        cluster = cluster_of(back.site, options, back.given)
        try:
            wanted = documents(component, back)
            for item in wanted:
                _hide(cluster, item)
            deadline = Deadline(_BUDGET)
            kinds = {name: Kind(name, **place) for name, place in component.facts["kinds"].items()}
            return [
                _put(cluster, kinds[item["kind"]], item, options, back, deadline, write=write, made=made)
                for item in wanted
            ]
        finally:
            cluster.close()


def documents(component: Component, back: Restore) -> list[Body]:
    """Return the objects of a component in the order in which they are put back. Raises Unproven."""
    found = []
    for artefact in component.artefacts:
        text = b"".join(back.read(artefact)).decode()
        try:
            found += [item for item in yaml.safe_load_all(text) if item]
            found.sort(key=objects.rank)
        except (yaml.YAMLError, KeyError, TypeError) as exc:
            raise Unproven(f"{back.site}: {artefact.name} holds no objects: {type(exc).__name__}") from exc
    wanted = component.facts.get("objects")
    names = [objects.identity(item) for item in found]
    if wanted is not None and sorted(names) != sorted(wanted):
        raise Unproven(f"{back.site}: {component.name} holds {len(names)} objects, its manifest names {len(wanted)}")
    return found


# -- one object ----------------------------------------------------------------------------------------------------


def _put(
    cluster: Site,
    kind: Kind,
    item: Body,
    options: dict[str, t.Any],
    back: Restore,
    deadline: Deadline,
    *,
    write: bool,
    made: dict[str, Body] | None,
) -> Object:
    fate = Object(objects.identity(item), "object", None, None, "refused")
    try:
        live = _read(cluster, kind, item, deadline)
        wanted = objects.resting(objects.placed(item, str(cluster.values["namespace"])), live)
        return _applied(cluster, kind, live, wanted, options, back, deadline, write=write, made=made)
    except Refused as exc:
        fate.result = "conflict" if exc.status == 409 else "refused"
        fate.why = str(exc)
        if exc.status == 409:
            fate.why += "; it is taken over with restore_force"
        return fate


def _applied(
    cluster: Site,
    kind: Kind,
    live: Body | None,
    wanted: Body,
    options: dict[str, t.Any],
    back: Restore,
    deadline: Deadline,
    *,
    write: bool,
    made: dict[str, Body] | None,
) -> Object:
    name, secret = objects.identity(wanted), wanted["kind"] == "Secret"
    force = bool(options.get("force"))
    if live is not None and live["metadata"].get("deletionTimestamp"):
        return Object(name, "object", None, None, "refused", "it is being deleted; try again when it is gone")
    recreate = False
    try:
        result = _apply(cluster, kind, wanted, deadline, force=force, dry=True)
    except Refused as exc:
        if live is None or exc.status != 422 or "immutable" not in str(exc):
            raise
        recreate = True
        result = wanted
    if live is None:
        why = "it is not there"
        if wanted.get("spec", {}).get("replicas") == 0:
            why += "; it is made without pods, and starting it gives it those it had"
        fate = Object(name, "object", None, "as kept", "created", why)
    else:
        differs = objects.differences(objects.stripped(live), objects.stripped(result), secret=secret, within=recreate)
        before = {path: old for path, (old, _new) in differs.items()}
        after = {path: new for path, (_old, new) in differs.items()}
        fate = Object(name, "object", before, after, "changed" if differs else "equal")
        more = objects.extras(live, wanted)
        if more:
            fate.why = f"it has besides, and keeps: {', '.join(more)}"
        if recreate and not options.get("recreate"):
            fate.result = "conflict"
            fate.why = "it is immutable and differs; it is deleted and made anew with restore_recreate"
        elif recreate:
            fate.why = "it is immutable: it is deleted and made anew"
    if not write or fate.result not in ("created", "changed"):
        return fate
    steps = [{"action": "apply", "kind": kind.name, "name": wanted["metadata"]["name"], "why": fate.result}]
    if recreate and live is not None:
        steps.insert(0, {**steps[0], "action": "delete", "why": "it is immutable"})

    def send() -> None:
        if recreate and live is not None:
            _delete(cluster, kind, live, deadline)
        body = _apply(cluster, kind, wanted, deadline, force=force, dry=False)
        if made is not None and live is None:
            made[name] = body

    back.gate.write(steps, send)
    if back.gate.check_mode:
        return fate
    return _looked_at(cluster, kind, wanted, fate, deadline, secret=secret)


def _looked_at(cluster: Site, kind: Kind, wanted: Body, fate: Object, deadline: Deadline, *, secret: bool) -> Object:
    """Read an object again after it was applied."""
    seen = _read(cluster, kind, wanted, deadline)
    if seen is None:
        return dataclasses.replace(fate, result="refused", why="it was applied, and it is not there")
    left = objects.differences(objects.stripped(seen), wanted, secret=secret, within=True)
    if left:
        why = f"it was applied, and still differs in {', '.join(left)}"
        return dataclasses.replace(fate, result="refused", why=why)
    return fate


def _read(cluster: Site, kind: Kind, item: Body, deadline: Deadline) -> Body | None:
    request = kubernetes.request(f"{kind.path}/{{id}}", answers=[Answer(status=404, means="empty")])
    answered = cluster.get(request, deadline, {"id": item["metadata"]["name"]})
    if answered.means == "empty":
        return None
    return {**answered.body, "kind": kind.name, "apiVersion": kind.version}


def _apply(cluster: Site, kind: Kind, item: Body, deadline: Deadline, *, force: bool, dry: bool) -> Body:
    query = {"fieldManager": objects.MANAGER, "force": "true" if force else "false"}
    request = Request(
        path=f"{kind.path}/{{id}}",
        method="PATCH",
        service=kubernetes.NAME,
        auth=kubernetes.NAME,
        encoding="apply",
        query={**query, **({"dryRun": "All"} if dry else {})},
        body="{object}",
    )
    answered = cluster.get(request, deadline, {"id": item["metadata"]["name"], "object": item})
    return {**answered.body, "kind": kind.name, "apiVersion": kind.version}


def _removed(
    cluster: Site, kinds: t.Mapping[str, Kind], identity: str, made: Body | None, back: Restore, deadline: Deadline
) -> str:
    """Delete an object that we have made, if it still is just that; say why it stays, or return an empty text."""
    kind_name, _slash, name = identity.partition("/")
    kind = kinds[kind_name]
    try:
        live = _read(cluster, kind, {"metadata": {"name": name}}, deadline)
        if live is None:
            return ""
        if made is None:
            return f"{identity} was not there before, and nobody knows who made it"
        if live["metadata"]["uid"] != made["metadata"]["uid"]:
            return f"{identity} was not there before, and is another one than was made"
        differs = objects.differences(
            objects.stripped(made), objects.stripped(live), secret=kind_name == "Secret", within=False
        )
        if differs:
            return f"{identity} was not there before, and somebody has changed it since ({', '.join(differs)})"
        step = {"action": "delete", "kind": kind_name, "name": name, "why": "it was not there before"}
        back.gate.write([step], lambda: _delete(cluster, kind, live, deadline, exactly=True))
    except CallError as exc:
        return f"{identity} was not there before: {exc}"
    return ""


def _delete(cluster: Site, kind: Kind, live: Body, deadline: Deadline, *, exactly: bool = False) -> None:
    """Delete an object unless it is another one by now, or with ``exactly`` a changed one. Raises Refused.

    It is seen gone.
    """
    meta = live["metadata"]
    same = {"uid": meta["uid"], **({"resourceVersion": meta["resourceVersion"]} if exactly else {})}
    name = live["metadata"]["name"]
    request = Request(
        path=f"{kind.path}/{{id}}",
        method="DELETE",
        service=kubernetes.NAME,
        auth=kubernetes.NAME,
        body={"preconditions": "{same}", "propagationPolicy": "Background"},
        answers=[Answer(status=404, means="done")],
    )
    cluster.get(request, deadline, {"id": name, "same": same}, attempts=1)
    gone, _left = wait_until(
        lambda: _read(cluster, kind, live, deadline),
        lambda seen: seen is None,
        Deadline(min(_GONE, deadline.remaining)),
    )
    if not gone:
        path = kind.path.replace("{namespace}", str(cluster.values["namespace"]))
        why = "something holds it with a finalizer"
        raise Refused(
            f"{kind.name}/{name} was deleted and is still there after {_GONE:g} s: {why}",
            method="DELETE",
            path=f"{path}/{name}",
        )


def _hide(cluster: Site, item: Body) -> None:
    """Let no value of a Secret out in what the server says."""
    if item["kind"] == "Secret":
        for values in (item.get("data") or {}, item.get("stringData") or {}):
            for value in values.values():
                cluster.redactor.add(str(value))
                cluster.redactor.add(_decoded(str(value)))


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except ValueError:
        return ""


# -- lists ---------------------------------------------------------------------------------------------------------


def _listed(cluster: Site, kind: Kind, deadline: Deadline) -> tuple[list[Body], str]:
    """Return every object of a kind, of one moment, and which. Raises CallError."""
    for last in (False,) * (_LISTINGS - 1) + (True,):
        try:
            return _pages(cluster, kind, deadline)
        except RateLimited as exc:
            # The server keeps what a list is continued from for some minutes only.
            if exc.status != 410 or last:
                raise
    raise AssertionError("the last attempt returns or raises")


def _pages(cluster: Site, kind: Kind, deadline: Deadline) -> tuple[list[Body], str]:
    found: list[Body] = []
    turn = version = ""
    while True:
        query = {"limit": _PAGE, **({"continue": turn} if turn else {})}
        request = kubernetes.request(kind.path, query=query)
        body = cluster.get(request, deadline, attempts=1 if turn else 3).body
        try:
            # The items of a list do not say what they are.
            found += [{"apiVersion": kind.version, "kind": kind.name, **item} for item in body["items"]]
            meta = body["metadata"]
            version, turn = str(meta["resourceVersion"]), meta.get("continue") or ""
        except (KeyError, TypeError, AttributeError) as exc:
            raise cluster.unusable(request, f"the answer is no list: {exc!r}") from exc
        if not turn:
            return found, version


# -- options -------------------------------------------------------------------------------------------------------


def _kinds(site: str, options: dict[str, t.Any]) -> list[Kind]:
    given = options.get("kinds") or list(_DEFAULT)
    found: dict[str, Kind] = {}
    for entry in given if isinstance(given, list) else [given]:
        if isinstance(entry, dict) and set(entry) == {"kind", "version", "plural"}:
            kind = Kind(str(entry["kind"]), str(entry["version"]), str(entry["plural"]))
        elif isinstance(entry, str) and entry in KINDS:
            kind = KINDS[entry]
        else:
            known = ", ".join(KINDS)
            raise InputError(
                f"{site}: kinds has {entry!r}; it knows {known}. Any other is a mapping with kind, version and plural. "
                "Nothing was captured."
            )
        if kind.name in objects.FLEETING:
            raise InputError(
                f"{site}: kinds has {kind.name}, which is of the moment: to put it back would be wrong. Nothing was "
                "captured."
            )
        found[kind.name] = kind
    return list(found.values())


def cluster_of(name: str, options: dict[str, t.Any], given: t.Mapping[str, t.Any]) -> Site:
    """Return the cluster of a site, with nothing but its API server."""
    urls = {str(key): str(url) for key, url in (given["urls"] or {}).items() if key == kubernetes.NAME}
    return Site(
        name=name,
        profile=_PROFILE,
        urls=urls,
        secrets={str(key): str(value) for key, value in given["secrets"].items() if value is not None},
        transport=transport_of(given, urls),
        values={"namespace": options.get("namespace") or given.get("namespace") or ""},
    )
