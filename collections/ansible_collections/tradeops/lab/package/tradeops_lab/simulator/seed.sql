-- Copyright: tradeops contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Fill the empty tables of one site from one JSON document ($1, made by seed.py).

WITH doc AS (SELECT $1::jsonb AS d),
a AS (INSERT INTO settings (key, value) SELECT key, value FROM doc, jsonb_each(d -> 'settings')),
b AS (
    INSERT INTO orders (id, symbol, side, quantity, price, type, status, account, venue, strategy, owner, placed_at)
    SELECT r.id, symbol, side, quantity, price, 'limit', 'open', account, venue, strategy, owner,
        now() - age * interval '1 second'
    FROM doc, jsonb_to_recordset(d -> 'orders') AS r(id text, symbol text, side text, quantity numeric, price numeric,
        account text, venue text, strategy text, owner text, age float8)
),
c AS (
    INSERT INTO venue_orders (id, order_id, symbol, side, quantity, price, type, status, account, venue)
    SELECT 'V' || r.id, r.id, symbol, side, quantity, price, 'limit', 'open', account, venue
    FROM doc, jsonb_to_recordset(d -> 'orders') AS r(id text, symbol text, side text, quantity numeric, price numeric,
        account text, venue text)
),
e AS (
    INSERT INTO positions (symbol, quantity, price, account) SELECT symbol, quantity, price, account
    FROM doc, jsonb_to_recordset(d -> 'positions') AS r(symbol text, quantity numeric, price numeric, account text)
),
f AS (
    INSERT INTO venue_positions (symbol, quantity, price, account) SELECT symbol, quantity, price, account
    FROM doc, jsonb_to_recordset(d -> 'positions') AS r(symbol text, quantity numeric, price numeric, account text)
),
g AS (
    INSERT INTO breakers (pair, open, reason) SELECT symbol, false, ''
    FROM doc, jsonb_to_recordset(d -> 'positions') AS r(symbol text)
),
h AS (
    INSERT INTO rollouts (pair, percentage, status) SELECT pair, percentage, status
    FROM doc, jsonb_to_recordset(d -> 'rollouts') AS r(pair text, percentage integer, status text)
),
i AS (INSERT INTO limits (name, value) SELECT key, value::numeric FROM doc, jsonb_each(d -> 'limits')),
j AS (INSERT INTO tokens (hash, name) SELECT key, value #>> '{}' FROM doc, jsonb_each(d -> 'tokens'))
INSERT INTO audit (actor, action, object) VALUES ('lab', 'seeded', '');
