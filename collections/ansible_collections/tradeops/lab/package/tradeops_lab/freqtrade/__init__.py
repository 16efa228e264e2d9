# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real freqtrade as the site ``freqtrade-dry`` of a lab: dry run, against a make-believe exchange on loopback.

``python -m tradeops_lab.freqtrade up|down|status [--lab <folder>]``. Optional, because freqtrade is large: the first
``up`` on a machine installs it into an environment of its own in the cache, the only moment that needs a network.
"""
