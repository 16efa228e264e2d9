# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A profile that could not work, or would do something else, is refused with its file, line and key."""

from __future__ import annotations

import pathlib
import threading

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common import typed
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError, ProfileError
from ansible_collections.tradeops.core.plugins.module_utils._platform import profiles
from ansible_collections.tradeops.core.plugins.module_utils._platform.door import SHIPPED
from ansible_collections.tradeops.core.tests.unit.fake_platform import LOGIN_PROFILE, PROFILE


def test_the_test_profiles_are_valid() -> None:
    assert profiles.parse(PROFILE, "bench.yml").capabilities.trading is not None
    assert profiles.parse(LOGIN_PROFILE, "bench.yml").auth["operator"].secrets() == ["username", "password"]


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yml")), ids=lambda path: path.stem)
def test_every_shipped_profile_is_valid(path: pathlib.Path) -> None:
    assert profiles.load(path).name == path.stem


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("blind: true", "blnd: true", "unknown key (did you mean 'blind'?)"),
        ("path: /metrics}}", "path: metrics}}", "the path 'metrics' must begin with a slash"),
        ("path: /metrics}}", "path: '/metrics?a=1'}}", "hold no blank, ? or #"),
        ("path: /metrics}}", "path: /met rics}}", "hold no blank"),
        ("path: /metrics}}", "path: /metrics, service: web}}", "services has no 'web'"),
        ("path: /metrics}}", "path: /metrics, auth: root}}", "auth has no 'root'"),
        (
            '{reason: "{reason}"}}\n      - {to: reducing',
            '{reason: "{raeson}"}}\n      - {to: reducing',
            "unknown placeholder {raeson}",
        ),
        ("status: open", "status: 2026-01-01", "query and body may hold JSON values only; quote dates"),
        ("RUN: active", "RUN: running", "gives running; it may give active, reducing"),
        ("map: {RUN: active, REDUCE: reducing, HALT: halted, STOP: stopped}", "map: {}", "a map must say"),
        ("quiet: 0.02", "quiet: 0", "0 seconds are not more than 0"),
        ("as_of: as_of", "max_age: -1", "max_age must be more than 0"),
        ("fields: {id: id, symbol: symbol}", "fields: {symbol: symbol}", "fields must name an id"),
        ("account: account, quantity: quantity", "account: account", "must name a quantity"),
        ("symbol: query.symbol", "symbol: symbol", "must begin with query. or body."),
        ("scopes: {symbol: query.symbol}", "scopes: {pair: query.symbol}", "'pair' is not one of account"),
        ("to: active, from: [reducing], repeatable: true", "to: active, from: [reducing], blind: true", "never blind"),
        (
            "    transitions:\n",
            "    levels: {halted: reducing}\n    transitions:\n",
            "reducing is no stricter state than halted",
        ),
        ("    transitions:\n", "    levels: {reducing: flat}\n    transitions:\n", "no transition leads to flat"),
        ("normal: disabled", "normal: off_", "gives off_; it may give disabled"),
        ("fields: {id: pair, open: open}", "fields: {id: pair}", "must name open"),
        ("good: pass", "good: fine", "gives fine; it may give pass, warn, fail"),
        ("operator: {kind: bearer, token: token}", "operator: {kind: bearer}", "an auth of kind bearer needs token"),
        ("operator: {kind: bearer", "other: {kind: bearer", "has no 'operator', which is the default_auth"),
        ("title: Bench platform", "title: Bench platform\nrequests_per_second: 0", "must be more than 0"),
        ("read:\n      sources: {status", "read:\n      sources: {}\n      x: {status", "unknown key"),
    ],
)
def test_a_typo_is_told_with_its_line(old: str, new: str, error: str) -> None:
    text = PROFILE.replace(old, new, 1)
    assert text != PROFILE
    with pytest.raises(ProfileError) as caught:
        profiles.parse(text, "bench.yml")
    assert error in str(caught.value)
    assert str(caught.value).startswith("bench.yml:")


def test_the_line_is_that_of_the_key() -> None:
    text = PROFILE.replace("path: /metrics}}", "path: /metrics, service: web}}", 1)
    line = next(number for number, row in enumerate(text.splitlines(), 1) if "service: web" in row)
    with pytest.raises(
        ProfileError, match=rf"^bench.yml:{line}: capabilities.trading.witness.sources.metrics.service: "
    ):
        profiles.parse(text, "bench.yml")


def test_a_profile_is_found_by_name_or_path(tmp_path: pathlib.Path) -> None:
    own = tmp_path / "own.yml"
    own.write_text(PROFILE, encoding="utf-8")
    assert profiles.find("own", [tmp_path, SHIPPED]) == own
    assert profiles.find(str(own), []) == own
    assert profiles.find("flashmm", [tmp_path, SHIPPED]).parent == SHIPPED
    with pytest.raises(InputError, match=r"there is no profile 'flashm' in .*; known: .*flashmm.*, own"):
        profiles.find("flashm", [tmp_path, SHIPPED])
    with pytest.raises(InputError, match=r"the file .*none.yml does not exist"):
        profiles.find(str(tmp_path / "none.yml"), [])


def test_a_file_that_cannot_be_read_is_named(tmp_path: pathlib.Path) -> None:
    own = tmp_path / "own.yml"
    own.write_bytes(b"name: \xff")
    with pytest.raises(ProfileError, match=r"own.yml:1: not UTF-8"):
        profiles.load(own)
    with pytest.raises(ProfileError, match=r"none.yml:1: cannot be read: No such file"):
        profiles.load(tmp_path / "none.yml")


def test_a_hundred_threads_read_a_file_once_and_a_new_version_anew(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.yml"
    own.write_text(PROFILE, encoding="utf-8")
    read: list[str] = []
    real = typed.Document.__init__

    def count(self: typed.Document, text: str, name: str) -> None:
        read.append(name)
        real(self, text, name)

    monkeypatch.setattr(typed.Document, "__init__", count)
    threads = [threading.Thread(target=profiles.load, args=(own,)) for _number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == [str(own)]
    own.write_text(PROFILE.replace("Bench platform", "Another"), encoding="utf-8")
    assert profiles.load(own).title == "Another"
