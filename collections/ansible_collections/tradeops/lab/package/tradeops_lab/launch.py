# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tradeops_lab.launch FILE``: become the server that the file describes.

Its log becomes its standard error, which makes it a process of the lab (see ``processes``); the supervisor, which
would put a pipe there, keeps the process id.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys


def main(arguments: list[str] | None = None) -> None:
    (file,) = sys.argv[1:] if arguments is None else arguments
    given = json.loads(pathlib.Path(file).read_text(encoding="utf-8"))
    log = os.open(given["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.umask(0o077)
    os.chdir(given["cwd"])
    if given["user"]:
        uid, gid = given["user"]
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.execve(given["argv"][0], given["argv"], given["env"])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
