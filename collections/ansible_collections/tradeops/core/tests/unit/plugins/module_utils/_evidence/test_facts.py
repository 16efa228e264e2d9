# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who, when and with which code."""

from __future__ import annotations

import datetime
import json
import pathlib

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._evidence import facts

COMMIT = "8f14e45fceea167a5a36dedd4bea2543aaaaaaaa"


def test_operation_ids_sort_by_time_and_are_file_names() -> None:
    early = facts.new_operation_id(datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC))
    assert early.startswith("20260102T030405Z-")
    assert early < facts.new_operation_id(datetime.datetime(2026, 1, 2, 3, 4, 6, tzinfo=datetime.UTC))
    assert facts.check_operation_id(early) == early
    assert facts.new_operation_id() != facts.new_operation_id()


@pytest.mark.parametrize("text", ["", ".", "..", "../x", "a/b", "-x", "a b", "a\n", "é", "x" * 101])
def test_other_texts_are_no_operation_ids(text: str) -> None:
    with pytest.raises(InputError, match="cannot be a file name"):
        facts.check_operation_id(text)


def test_the_operator_is_told_or_known_or_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    awx = {"awx_user_name": "ann", "tower_user_name": "tom"}
    assert facts.find_operator({"TRADEOPS_OPERATOR": "maria"}, awx)["name"] == "ann"
    assert facts.find_operator({"TRADEOPS_OPERATOR": "maria"}, {})["name"] == "maria"
    assert facts.find_operator({}, awx) == {"name": "ann", "source": "awx_user_name"}
    assert facts.find_operator({}, {"tower_user_name": "tom"})["name"] == "tom"
    monkeypatch.setenv("LOGNAME", "ops")
    assert facts.find_operator({}, {}) == {"name": "ops", "source": "login"}


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert facts.login_name().startswith("uid ")


def test_the_version_of_a_source_tree_and_of_an_installed_collection(tmp_path: pathlib.Path) -> None:
    assert facts.collection_version(tmp_path) == ""
    (tmp_path / "galaxy.yml").write_text("name: core\nversion: '1.2.3'  # the next\n")
    assert facts.collection_version(tmp_path) == "1.2.3"
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"collection_info": {"version": "1.2.4"}}))
    assert facts.collection_version(tmp_path) == "1.2.4"
    (tmp_path / "MANIFEST.json").write_text("{}")
    assert facts.collection_version(tmp_path) == ""


def test_the_commit_of_a_branch_packed_or_not_and_detached(tmp_path: pathlib.Path) -> None:
    git, inner = tmp_path / ".git", tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert facts.git_commit(inner) == ""
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert facts.git_commit(inner) == "", "a branch without a commit"
    (git / "packed-refs").write_text(f"# pack-refs\n{'b' * 40} refs/heads/other\n{COMMIT} refs/heads/main\n")
    assert facts.git_commit(inner) == COMMIT
    (git / "refs" / "heads" / "main").write_text(f"{'c' * 40}\n")
    assert facts.git_commit(inner) == "c" * 40
    (git / "HEAD").write_text(f"{COMMIT}\n")
    assert facts.git_commit(inner) == COMMIT


def test_the_commit_of_a_worktree(tmp_path: pathlib.Path) -> None:
    shared, tree = tmp_path / "repo" / ".git", tmp_path / "tree"
    private = shared / "worktrees" / "tree"
    private.mkdir(parents=True)
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {private}\n")
    (private / "HEAD").write_text("ref: refs/heads/work\n")
    (private / "commondir").write_text("../..\n")
    (shared / "refs" / "heads").mkdir(parents=True)
    (shared / "refs" / "heads" / "work").write_text(f"{COMMIT}\n")
    assert facts.git_commit(tree) == COMMIT
