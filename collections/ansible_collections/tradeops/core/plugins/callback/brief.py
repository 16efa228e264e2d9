# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: brief
type: stdout
short_description: Ansible's own output, with the results of this collection in a few lines
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Prints what P(ansible.builtin.default#callback) prints.
  - Of a result of this collection it shows the word, the message and what became of the objects.
  - The whole proof is in the journal and in the evidence page, and with C(-v) on the screen.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout in the configuration, C(stdout_callback = tradeops.core.brief)
"""

import typing as t

from ansible.plugins.callback.default import CallbackModule as Default

_SHOWN = ("result", "msg", "before", "after", "notes")


class CallbackModule(Default):
    """At three in the morning nobody reads forty orders in YAML."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "tradeops.core.brief"

    def _dump_results(self, result: t.Mapping[str, t.Any], *arguments: t.Any, **options: t.Any) -> str:
        if "proof" in result and "capability" in result and not self._display.verbosity:
            proof = result["proof"]
            short: dict[str, t.Any] = {key: result[key] for key in _SHOWN if result.get(key)}
            if proof.get("summary"):
                short["what became of it"] = proof["summary"]
            result = short
        return str(super()._dump_results(result, *arguments, **options))
