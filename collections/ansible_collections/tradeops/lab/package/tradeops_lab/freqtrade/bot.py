# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bot and its exchange: configure, start, wait until it trades, stop."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import typing as t

from .. import ports, processes
from ..errors import LabError
from ..folder import Folder, read_json, write_private
from ..processes import Command, plain_environment
from ..waiting import NotYet, wait_for
from ..web import call_async
from . import install
from .exchange import PAIRS

SITE = "freqtrade-dry"
_EXCHANGE, _BOT = "freqtrade-exchange", "freqtrade"  # the parts, and the names of their logs
_PACKAGES = pathlib.Path(__file__).resolve().parents[2]
_STRATEGY = pathlib.Path(__file__).parent / "strategies" / "lab_strategy.py"
_START_BUDGET = 120.0  # seconds; 10 s were seen on two idle cores
_LOCK_BUDGET = 300.0  # seconds

Tell = t.Callable[[str], None]
Entry = dict[str, t.Any]


async def up(folder: Folder, tell: Tell) -> tuple[Entry, bool]:
    """Bring the site up and join it to the lab; return its entry of lab.json, and whether anything changed."""
    program = install.ensure(tell)
    with folder.locked(_LOCK_BUDGET, tell, create=True):
        folder.furnish()
        running = processes.find(folder)
        site = read_json(_description(folder))
        if site and _EXCHANGE in running and _BOT in running:
            tell(f"{SITE} runs already: {await wait_for(lambda: _probe(site), 15, f'{SITE} does not answer')}")
            return site, _join(folder, site)
        await _stop(folder)
        holder = ports.claim()
        with holder:
            site = _configure(folder, holder)
            try:
                seen = await _start(folder, program, site, holder.getsockname()[1])
            except BaseException:
                await _stop(folder)
                raise
        _join(folder, site)
        tell(f"{SITE} is ready: {seen}")
    return site, True


async def down(folder: Folder, tell: Tell) -> bool:
    """Stop the site, take it out of the lab and remove what it stored; return whether there was anything to do."""
    with folder.locked(_LOCK_BUDGET, tell, create=False) as exists:
        if not exists:
            return False
        known = _description(folder).exists()
        stopped = await _stop(folder)
        _leave(folder)
        shutil.rmtree(_home(folder), ignore_errors=True)
        for part in (_EXCHANGE, _BOT):
            (folder.logs / f"{part}.log").unlink(missing_ok=True)
        if known and not folder.plan_json.exists():  # the folder was made for this site alone
            folder.purge()
    return bool(stopped) or known


async def status(folder: Folder) -> str:
    """Say how the site is."""
    site = read_json(_description(folder))
    if not site or _BOT not in processes.find(folder):
        return f"{SITE} does not run"
    try:
        return f"{SITE} runs: {await _probe(site)}"
    except (NotYet, OSError) as exc:
        return f"{SITE} does not answer: {exc}"


# -- configuration -----------------------------------------------------------------------------------------------------


def _home(folder: Folder) -> pathlib.Path:
    return folder.run / "freqtrade"


def _description(folder: Folder) -> pathlib.Path:
    return _home(folder) / "site.json"


def _configure(folder: Folder, holder: socket.socket) -> Entry:
    home = _home(folder)
    shutil.rmtree(home, ignore_errors=True)
    (home / "strategies").mkdir(parents=True, mode=0o700)
    shutil.copy(_STRATEGY, home / "strategies")
    exchange, api = holder.getsockname()[1] + 1, holder.getsockname()[1] + 2
    site: Entry = {
        "platform": "freqtrade",
        "role": "dry",
        "services": {"api": f"http://{ports.HOST}:{api}"},
        # The name in front tells which secret it is that turned up where it should not.
        "secrets": {name: f"{name}-{secrets.token_hex(16)}" for name in ("username", "password")},
    }
    write_private(home / "config.json", json.dumps(_config(home, exchange, api, site["secrets"]), indent=1) + "\n")
    write_private(_description(folder), json.dumps(site, indent=1) + "\n")
    return site


def _config(home: pathlib.Path, exchange: int, api: int, login: t.Mapping[str, str]) -> Entry:
    pricing = {"price_side": "same", "use_order_book": True, "order_book_top": 1}
    market = f"http://{ports.HOST}:{exchange}"
    urls = {
        "public": f"{market}/api/v3",
        "private": f"{market}/api/v3",
        "v1": f"{market}/api/v1",
        "sapi": f"{market}/sapi/v1",
    }
    return {
        "bot_name": SITE,
        "dry_run": True,
        "dry_run_wallet": 100_000,
        "trading_mode": "spot",
        "stake_currency": "USDT",
        "stake_amount": 1000,
        "max_open_trades": 8,
        "initial_state": "running",
        "force_entry_enable": True,
        "custom_price_max_distance_ratio": 0.05,
        "entry_pricing": pricing,
        "exit_pricing": pricing,
        "unfilledtimeout": {"entry": 30, "exit": 30, "unit": "seconds"},
        "order_types": {
            "entry": "limit",
            "exit": "limit",
            "force_entry": "limit",
            "force_exit": "market",
            "emergency_exit": "market",
            "stoploss": "market",
            "stoploss_on_exchange": False,
        },
        "exchange": {
            "name": "binance",
            "enable_ws": False,
            "pair_whitelist": PAIRS,
            "pair_blacklist": [],
            "ccxt_config": {
                "enableRateLimit": False,
                "options": {"fetchMarkets": {"types": ["spot"]}},
                "urls": {"api": urls},
            },
        },
        "pairlists": [{"method": "StaticPairList"}],
        "api_server": {
            "enabled": True,
            "listen_ip_address": ports.HOST,
            "listen_port": api,
            "verbosity": "error",
            "jwt_secret_key": secrets.token_hex(32),
            "ws_token": secrets.token_urlsafe(24),
            "CORS_origins": [],
            **login,
        },
        "internals": {"process_throttle_secs": 1},
        "strategy": "LabStrategy",
        "user_data_dir": str(home),
        "db_url": f"sqlite:///{home}/trades.sqlite",
    }


# -- processes ---------------------------------------------------------------------------------------------------------


async def _start(folder: Folder, program: pathlib.Path, site: Entry, first_port: int) -> str:
    # Only loopback: proxies are not among what plain_environment keeps.
    search = os.pathsep.join(filter(None, (str(_PACKAGES), os.environ.get("PYTHONPATH"))))
    python = [sys.executable, "-m", "tradeops_lab.freqtrade.exchange", str(first_port + 1)]
    home = _home(folder)
    exchange = Command(python, home, {**plain_environment(), "PYTHONPATH": search})
    bot = Command([str(program), "trade", "--config", str(home / "config.json")], home, plain_environment())
    started = {
        part: processes.start(command, folder.logs / f"{part}.log")
        for part, command in ((_EXCHANGE, exchange), (_BOT, bot))
    }

    async def trades() -> str:
        for part, process in started.items():
            _alive(folder, part, process)
        return await _probe(site, busy=True)

    return await wait_for(trades, _START_BUDGET, f"{SITE} does not trade")


def _alive(folder: Folder, part: str, process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        log = folder.logs / f"{part}.log"
        raise LabError(
            f"{part} ended with status {process.returncode}. Its log, {log}, ends with:\n{processes.tail(log)}"
        )


async def _stop(folder: Folder) -> list[str]:
    parts = (_BOT, _EXCHANGE)
    return await processes.stop(folder, dict.fromkeys(parts, signal.SIGTERM), dict.fromkeys(parts, 10.0))


async def _probe(site: Entry, *, busy: bool = False) -> str:
    """Ask the bot for its state; with ``busy`` it must also have a position and an open order."""
    url = f"{site['services']['api']}/api/v1"
    pair = f"{site['secrets']['username']}:{site['secrets']['password']}"
    headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"}
    config, status = [await call_async("GET", f"{url}/{name}", None, headers) for name in ("show_config", "status")]
    for answer in (config, status):
        if answer.status != 200:
            raise NotYet(f"it answered {answer.status}")
    bot, trades = config.json(), status.json()
    held, ordered = sum(row["amount"] > 0 for row in trades), sum(row["has_open_orders"] for row in trades)
    seen = f"freqtrade {bot['version']} is {bot['state']}, {held} positions, {ordered} trades with open orders"
    if busy and not (held and ordered):
        raise NotYet(seen)
    return seen


# -- lab.json ----------------------------------------------------------------------------------------------------------


def _join(folder: Folder, site: Entry) -> bool:
    return _edit(folder, lambda sites: sites | {SITE: site})


def _leave(folder: Folder) -> bool:
    return _edit(folder, lambda sites: {name: entry for name, entry in sites.items() if name != SITE})


def _edit(folder: Folder, change: t.Callable[[Entry], Entry]) -> bool:
    """Change the sites of lab.json, where there is a lab; return whether that changed it."""
    lab = read_json(folder.lab_json)
    if lab is None or (sites := change(lab["sites"])) == lab["sites"]:
        return False
    write_private(folder.lab_json, json.dumps({**lab, "sites": sites}, indent=1) + "\n")
    return True
