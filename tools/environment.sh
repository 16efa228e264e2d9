#!/usr/bin/env bash
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes the virtual environment .venv and installs requirements files into it, unless they are already there.
# A file called *-alone.txt is installed last, without the dependencies of its packages.
#   tools/environment.sh REQUIREMENTS...      PYTHON=python3.12 chooses the interpreter, VENV=folder the place
set -euo pipefail
umask 022 # as root the lab runs PostgreSQL as another user, who has to read what is installed here

cd "$(dirname "$0")/.."
venv=${VENV:-$PWD/.venv}
PATH=${PATH//"$venv/bin:"/} # a venv is not made with the interpreter that it replaces

fail() {
    printf 'tradeops: %s\n' "$*" >&2
    exit 1
}

usable() { # a pyenv shim may be on PATH and still not run, so the interpreter itself has to answer
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

complete() { # Debian and Ubuntu keep ensurepip, which venv needs, in a package of its own
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}

choose() { # the newest usable interpreter, if possible one that is complete
    local name first=""
    for name in python3.13 python3.12 python3.11 python3; do
        usable "$name" || continue
        complete "$name" && printf '%s\n' "$name" && return
        first=${first:-$name}
    done
    printf '%s\n' "$first"
}

interpreter() {
    local python=${PYTHON:-}
    if [[ -n $python ]]; then
        usable "$python" || fail "PYTHON=$python does not run or is older than Python 3.11."
    else
        python=$(choose)
        [[ -n $python ]] || fail "no Python 3.11 or newer on PATH. Install one, or name it: make PYTHON=/path/to/python3.12 ..."
    fi
    if ! complete "$python"; then
        local package
        package=python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
        if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
            fail "$python cannot make virtual environments: its ensurepip is missing. On Debian or Ubuntu: sudo apt-get install $package"
        fi
        echo "tradeops: installing $package, which $python needs to make virtual environments" >&2
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"; } >&2
        complete "$python" || fail "$python still cannot make virtual environments after installing $package."
    fi
    printf '%s\n' "$python"
}

ready() { # the venv runs, was made here with the interpreter asked for, and holds what these requirements files say
    usable "$venv/bin/python" && [[ $(cat "$venv/.place" 2>/dev/null) == "$venv" ]] || return 1
    [[ -z ${PYTHON:-} || $(cat "$venv/.interpreter" 2>/dev/null) == "$PYTHON" ]] || return 1
    local file
    for file in "$@"; do
        cmp -s "$file" "$venv/.installed/$file" || return 1
    done
}

for file in "$@"; do [[ -f $file ]] || fail "$file is missing."; done
ready "$@" && exit 0

mkdir -p "$(dirname "$venv")"
[[ -w $(dirname "$venv") ]] || fail "$(id -un) may not write $venv. Name another place: make VENV=/path/to/folder ..."
if command -v flock >/dev/null; then # two runs at once: the second waits and finds the work done
    exec 9>"$venv.lock"
    flock 9
    ready "$@" && exit 0
fi
if ! ready; then
    python=$(interpreter)
    echo "tradeops: making $venv with $("$python" --version)" >&2
    "$python" -m venv --clear "$venv"
    printf '%s' "${PYTHON:-}" >"$venv/.interpreter"
    printf '%s' "$venv" >"$venv/.place" # its scripts name this folder: a copy of it elsewhere would not work
fi
echo "tradeops: installing $* (once, about a minute)" >&2
install() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@"; }
together=() alone=()
for file in "$@"; do
    if [[ $file == *-alone.txt ]]; then alone+=("--requirement=$file"); else together+=("--requirement=$file"); fi
done
install "${together[@]}"
[[ ${#alone[@]} == 0 ]] || install --no-deps "${alone[@]}"
mkdir -p "$venv/.installed"
cp "$@" "$venv/.installed/"
