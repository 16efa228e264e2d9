# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A strategy that is always busy: it enters every pair, leaves after seconds, and lets some orders rest unfilled.

It runs inside freqtrade's own environment and is copied into the bot's folder.
"""

from __future__ import annotations

import datetime as dt

from freqtrade.persistence import Trade
from freqtrade.strategy import IStrategy
from pandas import DataFrame

# Entries of these pairs are priced too low, exits of those too high to fill: their orders stay open.
RESTING_ENTRIES = ("BTC/USDT", "ETH/USDT")
RESTING_EXITS = ("SOL/USDT",)


class LabStrategy(IStrategy):
    INTERFACE_VERSION = 3
    timeframe = "1m"
    startup_candle_count = 1
    process_only_new_candles = False
    use_exit_signal = True
    minimal_roi = {"0": 10}  # noqa: RUF012
    stoploss = -0.5

    def populate_indicators(self, dataframe: DataFrame, metadata: dict[str, str]) -> DataFrame:
        return dataframe

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict[str, str]) -> DataFrame:
        dataframe["enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict[str, str]) -> DataFrame:
        return dataframe

    def custom_exit(
        self,
        pair: str,
        trade: Trade,
        current_time: dt.datetime,
        current_rate: float,
        current_profit: float,
        **kwargs: object,
    ) -> str | None:
        age = (current_time - trade.open_date_utc).total_seconds()
        return "lab" if age > 5 + trade.id % 5 * 5 else None

    def custom_entry_price(
        self,
        pair: str,
        trade: Trade | None,
        current_time: dt.datetime,
        proposed_rate: float,
        entry_tag: str | None,
        side: str,
        **kwargs: object,
    ) -> float:
        return proposed_rate * (0.97 if pair in RESTING_ENTRIES else 1.001)

    def custom_exit_price(
        self,
        pair: str,
        trade: Trade,
        current_time: dt.datetime,
        proposed_rate: float,
        current_profit: float,
        exit_tag: str | None,
        **kwargs: object,
    ) -> float:
        return proposed_rate * (1.03 if pair in RESTING_EXITS else 0.999)
