# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log files of a site: of today, of last week, and of the month before."""

from __future__ import annotations

import gzip
import os
import pathlib
import shutil
import time

_DAYS = {"application.log": 0, "application-1.log": 8, "application-2.log.gz": 20, "application-3.log.gz": 40}


def furnish(folder: pathlib.Path) -> None:
    """Write them anew, each as old as it is to look."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    for name, days in _DAYS.items():
        path = folder / name
        text = f"{days} days ago, nothing to tell\n".encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        then = time.time() - days * 86400
        os.utime(path, (then, then))
