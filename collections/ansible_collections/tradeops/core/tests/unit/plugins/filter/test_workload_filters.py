# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order workloads are moved, and what has to be applied for another version of them."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.core.plugins.filter.ailing import ailing
from ansible_collections.tradeops.core.plugins.filter.blue_green import blue_green
from ansible_collections.tradeops.core.plugins.filter.moves import moves
from ansible_collections.tradeops.core.plugins.filter.versioned import versioned

ROWS: list[dict[str, t.Any]] = [
    {"name": "db", "stage": 1, "external": True},
    {"name": "data", "stage": 2, "stops": 2},
    {"name": "risk", "stage": 2, "stops": 1, "budget": 9},
    {"name": "api", "stage": 3, "stops": 2},
]


def said(found: list[dict[str, t.Any]]) -> list[str]:
    return [f"{move['state']} {' '.join(row['name'] for row in move['workloads'])}" for move in found]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("started",), ["started db", "started data risk", "started api"]),
        (("stopped",), ["stopped risk", "stopped data api"]),
        (
            ("restarted",),
            ["stopped risk", "stopped data api", "started db", "started data risk", "started api"],
        ),
        (("restarted", ["api"]), ["stopped api", "started api"]),
        (("restarted", ["data", "api"], True), ["stopped data", "started data", "stopped api", "started api"]),
        (("stopped", ["db"]), []),
    ],
)
def test_moves(arguments: tuple[t.Any, ...], expected: list[str]) -> None:
    assert said(moves(ROWS, *arguments)) == expected


def test_stopping_is_the_reverse_unless_said_otherwise() -> None:
    rows: list[dict[str, t.Any]] = [{"name": "a", "stage": 1}, {"name": "b", "stage": 2}, {"name": "c"}]
    assert said(moves(rows, "stopped")) == ["stopped b", "stopped a c"]


def test_a_move_has_the_longest_budget_of_its_workloads() -> None:
    assert [move["budget"] for move in moves(ROWS, "started")] == [0, 9, 0]


@pytest.mark.parametrize(
    ("rows", "arguments", "problem"),
    [
        (ROWS, ("started", ["nobody"]), "has no nobody; it has db, data, risk, api"),
        ([], ("started",), "has no entry; it is empty"),
        (ROWS, ("sideways",), "'sideways' is none of started, stopped, restarted"),
        ([{"name": "a"}, {"name": "a"}], ("started",), "'a' is no name, or stands there twice"),
        ([{"name": "a", "stage": "1"}], ("started",), "stage of a is '1'; give a whole number"),
        ([{"stage": 1}], ("started",), "None is no name"),
    ],
)
def test_wrong_moves(rows: list[dict[str, t.Any]], arguments: tuple[t.Any, ...], problem: str) -> None:
    with pytest.raises(AnsibleFilterError, match=problem):
        moves(rows, *arguments)


BLUE = {
    "metadata": {"name": "brain", "labels": {"app": "brain"}},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "brain", "deployment": "blue"}},
        "template": {
            "metadata": {"labels": {"app": "brain", "deployment": "blue"}},
            "spec": {"containers": [{"name": "brain", "image": "x/brain:1"}, {"name": "proxy", "image": "p:7"}]},
        },
    },
}
SAID = {"brain": {"image": "x/brain", "service": "brain-service"}}


def test_a_twin_differs_in_name_color_and_image_only() -> None:
    kept = copy.deepcopy(BLUE)
    plan = blue_green([BLUE], SAID, "2")
    assert kept == BLUE
    (green,) = plan["greens"]
    assert (green["kind"], green["metadata"]["name"], green["spec"]["replicas"]) == ("Deployment", "brain-green", 2)
    labels = {"app": "brain", "deployment": "green"}
    assert green["spec"]["selector"]["matchLabels"] == green["spec"]["template"]["metadata"]["labels"] == labels
    images = [container["image"] for container in green["spec"]["template"]["spec"]["containers"]]
    assert images == ["x/brain:2", "p:7"]
    assert plan["blues"][0]["spec"]["template"]["spec"]["containers"] == [{"name": "brain", "image": "x/brain:2"}]
    assert plan["to_green"][0]["spec"] == {"selector": {"deployment": "green"}}
    assert plan["to_blue"][0]["spec"] == {"selector": {"deployment": "blue"}}
    assert (plan["names"], plan["green_names"], plan["current"]) == (["brain"], ["brain-green"], False)
    assert blue_green([BLUE], SAID, "1")["current"] is True


@pytest.mark.parametrize(
    ("spoil", "said", "problem"),
    [
        (lambda blue: None, {}, r"no Deployment \(none is named\); it has brain"),
        (lambda blue: None, {"nobody": {"image": "x", "service": "y"}}, "no Deployment nobody; it has brain"),
        (
            lambda blue: blue["spec"]["selector"].update(matchLabels={"app": "brain"}),
            SAID,
            "not select its pods by a label",
        ),
        (lambda blue: blue["spec"]["template"]["spec"]["containers"][0].update(name="b"), SAID, "has 2 containers"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(
    spoil: t.Callable[[t.Any], t.Any], said: dict[str, t.Any], problem: str
) -> None:
    blue = copy.deepcopy(BLUE)
    spoil(blue)
    with pytest.raises(AnsibleFilterError, match=problem):
        blue_green([blue], said, "2")


def deployment(name: str, image: str, wanted: int = 2, **status: int) -> dict[str, t.Any]:
    return {
        "metadata": {"name": name, "generation": 3},
        "spec": {"replicas": wanted, "template": {"spec": {"containers": [{"name": name, "image": image}]}}},
        "status": {"observedGeneration": 3, "readyReplicas": wanted, "updatedReplicas": wanted, **status},
    }


def test_a_version_in_place() -> None:
    deployments = [deployment("agent", "acme/agent:1.0"), deployment("feed", "acme/feed:1.1", wanted=0)]
    plan = versioned(deployments, {"agent": {"image": "acme/agent"}, "feed": {"image": "acme/feed"}}, "1.1")
    images = [item["spec"]["template"]["spec"]["containers"] for item in plan["objects"]]
    assert images == [[{"name": "agent", "image": "acme/agent:1.1"}], [{"name": "feed", "image": "acme/feed:1.1"}]]
    assert (plan["names"], plan["served"], plan["current"]) == (["agent", "feed"], ["agent"], False)
    assert plan["before"] == {"agent": "acme/agent:1.0", "feed": "acme/feed:1.1"}
    assert versioned(deployments, {"feed": {"image": "acme/feed"}}, "1.1")["current"] is True
    with pytest.raises(AnsibleFilterError, match="has no Deployment nobody; it has agent, feed"):
        versioned(deployments, {"nobody": {"image": "x"}}, "1")


def test_what_ails() -> None:
    deployments = [
        deployment("whole", "x:1"),
        deployment("stopped", "x:1", wanted=0),
        deployment("lacking", "x:1", readyReplicas=1),
        deployment("rolling", "x:1", updatedReplicas=1),
        deployment("unseen", "x:1", observedGeneration=2),
    ]
    names = [item["metadata"]["name"] for item in deployments]
    assert ailing(deployments, names) == ["lacking", "rolling", "unseen"]
    assert ailing(deployments, ["whole"]) == []
    with pytest.raises(AnsibleFilterError, match="has no Deployment nobody"):
        ailing(deployments, ["nobody"])
