#!/usr/bin/env python3
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ``ansible-test sanity`` for the collections named, with no other network than the package index that pip uses.

ansible-test makes a virtual environment per test. It bootstraps pip there with a script from a server of its own, and
it hides the environment's pip settings from pip. So it gets a home folder inside the project's virtual environment in
which the bootstrap script takes pip from the index, and in which pip finds its settings, whatever they came from.
"""

from __future__ import annotations

import argparse
import ast
import configparser
import os
import pathlib
import subprocess
import sys
import types

from ansible_test._internal.python_requirements import get_venv_packages

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLLECTIONS = ROOT / "collections" / "ansible_collections" / "tradeops"
HOME = pathlib.Path(sys.prefix) / "ansible-test"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

BOOTSTRAP = '''\
"""Stands in for get-pip.py: installs pip from a wheel that is already here."""

import runpy
import sys

sys.path.insert(0, {wheel!r})
sys.argv[1:] = ["install", "--disable-pip-version-check", "--no-index", {wheel!r}]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
'''


def pip(*arguments: str) -> str:
    """Run the project's pip and return what it printed."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def pip_settings() -> configparser.RawConfigParser:
    """The settings in force, as one file: those of pip's files, overruled by the environment, and the proxy."""
    settings = configparser.RawConfigParser()
    settings["global"] = {"quiet": "1", "progress_bar": "off"}
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    if proxy:
        settings["global"]["proxy"] = proxy
    listed = [line.partition("=") for line in pip("config", "list").splitlines() if "=" in line]
    for name, _, value in sorted(listed, key=lambda entry: entry[0].startswith(":env:")):
        section, _, key = name.rpartition(".")
        section = "global" if section == ":env:" else section
        if not settings.has_section(section):
            settings.add_section(section)
        settings[section][key] = ast.literal_eval(value)
    return settings


def write(path: pathlib.Path, text: str) -> None:
    """Write a file that only its owner reads: an index URL may hold a password."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def prepare() -> None:
    """Lay out the home folder that ansible-test runs with."""
    version = get_venv_packages(types.SimpleNamespace(version=PYTHON))["pip"]
    script = HOME / ".ansible" / "test" / "cache" / f"get_pip_{version.replace('.', '_')}.py"
    if not script.exists():
        wheels = HOME / "wheels"
        pip("download", "--quiet", "--no-deps", "--dest", str(wheels), f"pip=={version}")
        write(script, BOOTSTRAP.format(wheel=str(next(wheels.glob(f"pip-{version}-*.whl")))))
    config = HOME / ".config" / "pip" / "pip.conf"
    write(config, "")
    with config.open("w", encoding="utf-8") as stream:
        pip_settings().write(stream)
    # git refuses a working tree of another user (root in a user's clone) unless it is told otherwise.
    write(HOME / ".gitconfig", f"[safe]\n\tdirectory = {ROOT}\n")


def sanity(collection: str, extra: list[str]) -> bool:
    """Run all sanity tests of one collection; true if they pass."""
    print(f"ansible-test sanity: tradeops.{collection} on Python {PYTHON}", flush=True)
    environment = {**os.environ, "HOME": str(HOME), "XDG_CONFIG_HOME": str(HOME / ".config")}
    environment.pop("ANSIBLE_CONFIG", None)  # the tests bring a configuration of their own
    command = ["ansible-test", "sanity", "--python", PYTHON, "--color", "no", *extra]
    return subprocess.run(command, cwd=COLLECTIONS / collection, env=environment, check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "collection", nargs="+", choices=sorted(path.parent.name for path in COLLECTIONS.glob("*/galaxy.yml"))
    )
    arguments, extra = parser.parse_known_args()
    prepare()
    failed = [name for name in arguments.collection if not sanity(name, extra)]
    if failed:
        print(f"ansible-test sanity failed for: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
