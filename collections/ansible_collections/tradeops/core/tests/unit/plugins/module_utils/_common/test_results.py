# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results have one shape, and arguments are checked as a module's would be."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.argspec import OPERATION, SITE, ArgumentSpec
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._common.outcome import Object, Outcome, Proof, Result, tally


def test_tally_counts_what_became_of_objects() -> None:
    objects = [Object(str(n), "order", "open", "cancelled", "cancelled") for n in range(3)]
    objects += [Object("x", "order", "open", "filled", "refused", "already filled")]
    assert tally(objects) == "3 cancelled, 1 refused: already filled"
    assert tally([]) == ""


@pytest.mark.parametrize("result", t.get_args(Result))
def test_a_result_says_whether_it_failed(result: Result) -> None:
    outcome = Outcome("s", "trading", "halted", result, True, {"state": "a"}, {"state": "b"})
    told = outcome.to_result()
    assert told["failed"] is (result in ("refused", "unproven", "unreachable"))
    assert told["diff"] == {"before": {"state": "a"}, "after": {"state": "b"}}
    assert set(told) >= {"site", "capability", "wanted", "result", "changed", "plan", "proof", "msg", "notes"}


def test_cleaning_reaches_every_text() -> None:
    item = Object("secret", "order", "secret", {"a": "secret"}, "cancelled", "secret")
    proof = Proof("secret", objects=[item])
    texts: dict[str, t.Any] = {"plan": [{"path": "/secret"}], "msg": "secret", "notes": ["secret"]}
    outcome = Outcome("s", "t", "w", "proven", True, {"x": "secret"}, {}, proof=proof, **texts)
    cleaned = outcome.cleaned(lambda value: eval(repr(value).replace("secret", "***")))  # noqa: S307 - our own literals
    assert "secret" not in repr(cleaned)


SPEC = SITE.merge(OPERATION, ArgumentSpec({"state": {"type": "str", "choices": ["a", "b"], "required": True}}))


def test_defaults_and_types() -> None:
    found = SPEC.validate("s", {"profile": "p", "urls": {"api": "http://x"}, "state": "a", "request_timeout": "3"})
    assert (found["request_timeout"], found["wait_timeout"], found["validate_certs"]) == (3.0, 30.0, True)
    assert "secrets" not in SPEC.public(found)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"state": "c"}, "value of state must be one of: a, b, got: c"),
        ({"wait_timeout": "soon"}, "wait_timeout"),
        ({"unknown": 1}, "unknown"),
        ({"urls": "x y"}, "urls"),
        ({"profile": None}, "profile"),
    ],
)
def test_a_wrong_argument_is_one_sentence_with_the_site(more: dict[str, object], problem: str) -> None:
    given = {"profile": "p", "urls": {"api": "http://x"}, "state": "a", "secrets": {"token": "s3cr3t"}} | more
    with pytest.raises(InputError) as caught:
        SPEC.validate("bench-1", given)
    text = str(caught.value)
    assert text.startswith("bench-1: ")
    assert text.endswith("Nothing was sent.")
    assert problem in text
    assert "s3cr3t" not in text
