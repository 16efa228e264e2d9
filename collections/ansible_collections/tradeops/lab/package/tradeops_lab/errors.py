# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stops the lab. The message is for the person at the keyboard: what was found and what to do."""

from __future__ import annotations


class LabError(Exception):
    """The command ends with this sentence and exit code 1."""
