# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shaping that platforms share: renaming fields, translating words, filters, pages, factories of handlers."""

from __future__ import annotations

import base64
import typing as t

from .base import Call, Handler, Refusal, Reply, Row

Fields = t.Mapping[str, str | t.Callable[[Row], t.Any]]
SCOPES = ("account", "venue", "strategy", "symbol", "owner")
CONFIRMATION = "EMERGENCY_STOP_CONFIRMED"


def shape(row: Row, fields: Fields) -> dict[str, t.Any]:
    """Rename the keys of ``row``: a text takes that key of the row, a function is called with the row."""
    return {name: row[source] if isinstance(source, str) else source(row) for name, source in fields.items()}


def shapes(rows: t.Iterable[Row], fields: Fields) -> list[dict[str, t.Any]]:
    return [shape(row, fields) for row in rows]


def word(key: str, words: t.Mapping[t.Any, t.Any]) -> t.Callable[[Row], t.Any]:
    """A field that translates ``row[key]``; a value that ``words`` does not know stays as it is."""
    return lambda row: words.get(row[key], row[key])


def scope(call: Call, names: t.Mapping[str, str] | None = None) -> dict[str, str]:
    """The filter of a request, from its query and its body. ``names`` maps the platform's key to the engine's."""
    wanted = names or {key: key for key in SCOPES}
    given = {**call.body, **call.query}
    return {engine: str(given[name]) for name, engine in wanted.items() if given.get(name)}


def text(call: Call, key: str) -> str:
    """A required text of the request body. Refuses with 400 when it is missing."""
    value = call.body.get(key)
    if not isinstance(value, str) or not value:
        raise Refusal(400, "invalid_request", f"the field {key} is required")
    return value


def number(call: Call, key: str) -> float:
    """A required number of the request body (a text that is a number will do). Refuses with 400."""
    value = call.body.get(key)
    try:
        if isinstance(value, bool) or value is None:
            raise ValueError(value)
        return float(value)
    except (TypeError, ValueError):
        raise Refusal(400, "invalid_request", f"the field {key} must be a number, not {value!r}") from None


def confirm(call: Call, key: str = "confirmation", phrase: str = CONFIRMATION) -> None:
    """Check the confirmation phrase of an emergency call. Refuses with 400, so that nothing is done."""
    if call.body.get(key) != phrase:
        raise Refusal(400, "confirmation_required", f"{key} must be {phrase}")


def cursor(call: Call, rows: t.Sequence[Row], size: int) -> tuple[t.Sequence[Row], str | None]:
    """One page of ``rows`` by opaque cursor (query key ``cursor``), and the cursor of the next page or None."""
    try:
        start = int(base64.urlsafe_b64decode(call.query.get("cursor", "") or "MA==").decode())
    except ValueError:
        raise Refusal(400, "invalid_cursor", "the cursor is not one of ours") from None
    end = start + size
    following = base64.urlsafe_b64encode(str(end).encode()).decode() if end < len(rows) else None
    return rows[start:end], following


def page(call: Call, rows: t.Sequence[Row], size: int) -> tuple[t.Sequence[Row], int | None]:
    """One page of ``rows`` by number (query or body key ``page``, from 1), and the next number or None."""
    given = call.query.get("page") or call.body.get("page") or 1
    try:
        at = int(given)
    except (TypeError, ValueError):
        raise Refusal(400, "invalid_page", f"page must be a whole number, not {given!r}") from None
    start = (at - 1) * size
    return rows[start : start + size], at + 1 if start + size < len(rows) else None


def listing(source: str, key: str | None, fields: Fields, **extra: t.Any) -> Handler:
    """A handler that lists ``source`` (a listing of the engine without a filter) under ``key``, with ``as_of``.

    With ``key`` None the answer is the plain list. ``extra`` adds constant keys.
    """

    async def handler(call: Call) -> t.Any:
        rows = shapes(await getattr(call.engine, source)(), fields)
        return rows if key is None else {key: rows, "as_of": await call.engine.now(), **extra}

    return handler


def transition(
    state: str, answer: t.Callable[[Call], t.Any], *, confirmed: bool = False, status: int = 200, **settings: t.Any
) -> Handler:
    """A handler that moves the trading state; ``settings`` are stored with it (a maintenance mode, for example)."""

    async def handler(call: Call) -> Reply:
        if confirmed:
            confirm(call)
        await call.engine.set_state(state, call.reason, **settings)
        return Reply(answer(call), status)

    return handler


def states(call: Call, state: str) -> dict[str, t.Any]:
    """The plain answer of a transition: the platform's word for the new state."""
    return {"status": "accepted", "state": call.platform.word(state)}
