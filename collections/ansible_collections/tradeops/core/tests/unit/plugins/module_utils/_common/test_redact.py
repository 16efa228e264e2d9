# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No form of a secret survives."""

from __future__ import annotations

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.redact import HIDDEN, Redactor


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("s3cr3t", "it was s3cr3t!"),
        ('p/ss "w0rd"', 'got {"pw": "p/ss \\"w0rd\\""}'),
        ('p/ss "w0rd"', "at ?pw=p%2Fss%20%22w0rd%22"),
        ('p/ss "w0rd"', "at ?pw=p%2Fss+%22w0rd%22"),
        ("geheim-ß", "\\u00df as geheim-\\u00df"),
    ],
)
def test_a_secret_is_hidden_in_every_form_it_is_echoed_in(secret: str, text: str) -> None:
    cleaned = Redactor([secret]).text(text)
    assert HIDDEN in cleaned
    assert "w0rd" not in cleaned
    assert "s3cr3t" not in cleaned
    assert "geheim" not in cleaned


def test_the_longest_secret_goes_first() -> None:
    assert Redactor(["abcd", "abcdefgh"]).text("x abcdefgh y abcd") == f"x {HIDDEN} y {HIDDEN}"


def test_structures_are_cleaned_deeply_and_nothing_else_is_touched() -> None:
    redactor = Redactor(["abc", "secret"])
    assert redactor.clean({"secret": ["a secret", ("secret", 1, None, True)], "abc": 1.5}) == {
        HIDDEN: [f"a {HIDDEN}", [HIDDEN, 1, None, True]],
        "abc": 1.5,
    }
