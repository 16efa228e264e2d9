# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A make-believe spot exchange on loopback: the public REST endpoints of Binance that freqtrade reads in a dry run.

``python -m tradeops_lab.freqtrade.exchange <port>``. It holds no state: a price is a function of the clock, so candles,
tickers and order books always agree.
"""

from __future__ import annotations

import logging
import math
import sys
import time
import typing as t

from aiohttp import web

BASES: dict[str, float] = {
    "ADA": 0.45, "ATOM": 8.1, "AVAX": 27, "BNB": 610, "BTC": 64_000, "DOT": 6.2, "ETH": 3_100, "LINK": 14,
    "LTC": 82, "NEAR": 5.1, "SOL": 145, "XRP": 0.61,
}  # fmt: skip
QUOTE = "USDT"
PAIRS = [f"{base}/{QUOTE}" for base in BASES]
_STEP = {"1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "4h": 14400, "1d": 86400}  # seconds
_SPREAD = 0.0002


def price(base: str, at: float) -> float:
    """The middle price of ``base`` at ``at`` (Unix seconds): two waves around its level, within one per cent."""
    phase = sum(base.encode())
    wave = 0.006 * math.sin(at / 47 + phase) + 0.002 * math.sin(at / 7 + 3 * phase)
    return BASES[base] * (1 + wave)


def _base(request: web.Request) -> str:
    symbol = request.query.get("symbol", "")
    base = symbol.removesuffix(QUOTE)
    if base not in BASES or not symbol.endswith(QUOTE):
        raise web.HTTPBadRequest(text='{"code":-1121,"msg":"Invalid symbol."}', content_type="application/json")
    return base


async def exchange_info(_request: web.Request) -> web.Response:
    now = int(time.time() * 1000)
    return web.json_response(
        {"timezone": "UTC", "serverTime": now, "rateLimits": [], "symbols": [_market(b) for b in BASES]}
    )


def _market(base: str) -> dict[str, t.Any]:
    return {
        "symbol": f"{base}{QUOTE}",
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": QUOTE,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.0001", "maxPrice": "1000000", "tickSize": "0.0001"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "900000", "stepSize": "0.00001"},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0", "maxQty": "900000", "stepSize": "0"},
            {"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": True, "maxNotional": "9000000"},
        ],
    }


async def klines(request: web.Request) -> web.Response:
    base, step = _base(request), _STEP[request.query.get("interval", "1m")]
    limit = min(int(request.query.get("limit", 500)), 1000)
    last = int(time.time()) // step * step
    if "endTime" in request.query:
        last = min(last, int(request.query["endTime"]) // 1000 // step * step)
    first = last - (limit - 1) * step
    if "startTime" in request.query:
        first = -(-int(request.query["startTime"]) // (1000 * step)) * step
        last = min(last, first + (limit - 1) * step)
    return web.json_response([_candle(base, at, step) for at in range(first, last + 1, step)])


def _candle(base: str, at: int, step: int) -> list[t.Any]:
    seen = [price(base, at + part * step / 6) for part in range(7)]
    volume = 1000 / BASES[base] * 100
    figures = [seen[0], max(seen), min(seen), seen[-1], volume]
    close_time = (at + step) * 1000 - 1
    return [at * 1000, *map(_text, figures), close_time, _text(volume * seen[-1]), 100, _text(volume / 2), "0", "0"]


async def depth(request: web.Request) -> web.Response:
    middle = price(_base(request), time.time())
    rows = range(1, min(int(request.query.get("limit", 20)), 100) + 1)
    sides = {
        name: [[_text(middle * (1 + sign * _SPREAD * n)), "1000"] for n in rows]
        for name, sign in (("bids", -1), ("asks", 1))
    }
    return web.json_response({"lastUpdateId": int(time.time() * 1000), **sides})


async def tickers(request: web.Request) -> web.Response:
    if "symbol" in request.query:
        return web.json_response(_ticker(_base(request)))
    return web.json_response([_ticker(base) for base in BASES])


def _ticker(base: str) -> dict[str, t.Any]:
    now = time.time()
    last, before = price(base, now), price(base, now - 86_400)
    return {
        "symbol": f"{base}{QUOTE}",
        "priceChange": _text(last - before),
        "priceChangePercent": _text((last / before - 1) * 100),
        "weightedAvgPrice": _text(last),
        "prevClosePrice": _text(before),
        "lastPrice": _text(last),
        "lastQty": "1",
        "bidPrice": _text(last * (1 - _SPREAD)),
        "bidQty": "1000",
        "askPrice": _text(last * (1 + _SPREAD)),
        "askQty": "1000",
        "openPrice": _text(before),
        "highPrice": _text(BASES[base] * 1.01),
        "lowPrice": _text(BASES[base] * 0.99),
        "volume": _text(5_000_000 / BASES[base]),
        "quoteVolume": "5000000",
        "openTime": int(now - 86_400) * 1000,
        "closeTime": int(now * 1000),
        "firstId": 1,
        "lastId": 1000,
        "count": 1000,
    }


def _text(value: float) -> str:
    return f"{value:.8f}"


async def moment(_request: web.Request) -> web.Response:
    return web.json_response({"serverTime": int(time.time() * 1000)})


async def nothing(_request: web.Request) -> web.Response:
    return web.json_response([])


async def unknown(request: web.Request) -> web.Response:
    logging.warning("no such endpoint here: %s %s", request.method, request.path)
    return web.json_response({"code": -1000, "msg": f"the lab's exchange has no {request.path}"}, status=404)


def application() -> web.Application:
    """Return the exchange as an aiohttp application."""
    app = web.Application()
    app.router.add_get("/api/v3/ping", moment)
    app.router.add_get("/api/v3/time", moment)
    app.router.add_get("/api/v3/exchangeInfo", exchange_info)
    app.router.add_get("/api/v3/klines", klines)
    app.router.add_get("/api/v3/depth", depth)
    for name in ("24hr", "price", "bookTicker"):
        app.router.add_get(f"/api/v3/ticker/{name}", tickers)
    app.router.add_get("/sapi/v1/spot/delist-schedule", nothing)
    app.router.add_route("*", "/{rest:.*}", unknown)
    return app


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(message)s")
    web.run_app(application(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
