# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platforms that the simulator can play, one module each.

How to add a platform
---------------------

1. Write ``platforms/<platform>.py`` with a constant ``PLATFORM = Platform(...)`` (see ``base.py``; ``flashmm.py`` is
   the worked example). It holds data: the services with their path prefixes, the ways of signing in, the platform's
   words for states, its field names, the shape of its errors, and a table of routes::

       Route("GET", "/trading/status", status)
       Route("DELETE", "/trading/orders/{id}", cancel_one, auth="emergency", writes=True)

   ``writes=True`` marks an endpoint that changes something. It decides whether the endpoint's work runs in a
   transaction under the site's lock, what ``write`` says in the request log, and which faults fit. Signing in is no
   write.

2. A handler is ``async def handler(call: Call) -> Any``. ``call`` has ``body`` (a mapping, from JSON or a form),
   ``query``, ``path`` (the ``{...}`` parts), ``actor`` (the name of the token that signed in) and ``engine``. It calls
   one operation of ``engine`` and returns the JSON answer, or a ``Reply(body, status)`` where the status is not 200.
   It refuses with ``raise Refusal(status, code, message)``, which the platform's ``error`` function gives its shape;
   nothing that the handler did before is kept. A handler keeps no state of its own: all state is in the tables
   (``engine.settings()`` and ``engine.put(key=value)`` hold whatever a platform has beside orders and positions), so
   that a restart loses nothing and the faults ``lie``, ``delay`` and ``stale`` work by running the same handler in a
   transaction of another kind.

3. Shaping helpers are in ``shapes.py``. ``shape(row, FIELDS)`` renames: FIELDS maps the platform's key to the engine's
   key, or to a function of the row. ``word("status", WORDS)`` translates a value. ``scope(call)`` reads the filter keys
   (account, venue, strategy, symbol, owner) from query and body. Handler factories (``listing``, ``transition``, ...)
   cover what most platforms have; write a handler of your own where a platform is special.

4. Add the services and secrets of the platform to ``catalogue.yml``; the names there are the names used in
   ``services=`` and in the ways of signing in (``Bearer("token")`` takes the site's secret ``token``).

Rows of the engine (all operations are documented in ``simulator/engine.py`` and ``simulator/orders.py``):
order: id, symbol, side (buy|sell), quantity, price, type (limit|market), status (open|filled|cancelled|rejected),
account, venue, strategy, owner, reduce_only, placed_at, updated_at. position: symbol, quantity (signed), price,
account. result of a cancellation or a closing: id, symbol, ok, status, why. breaker: pair, open, reason, since.
rollout: pair, percentage, status (in_progress|complete|stopped|emergency_stopped). limit: name, value.
"""

from __future__ import annotations

import functools
import importlib
import typing as t

from .base import Platform


@functools.cache
def load(name: str) -> Platform:
    """Return the platform ``name``. Raises LookupError when there is no such adapter."""
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as exc:
        raise LookupError(f"the simulator has no adapter for the platform {name!r}") from exc
    return t.cast(Platform, module.PLATFORM)
