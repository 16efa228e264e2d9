-- Copyright: tradeops contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- The tables of one simulated site. orders and positions are the platform's book; venue_* is what the venue knows.

CREATE TABLE IF NOT EXISTS settings (key text PRIMARY KEY, value jsonb NOT NULL);

-- due_at: when a cancelled order comes back (fault `reopen`; status 'reopening').
CREATE TABLE IF NOT EXISTS orders (
    id text PRIMARY KEY,
    symbol text NOT NULL,
    side text NOT NULL CHECK (side IN ('buy', 'sell')),
    quantity numeric NOT NULL CHECK (quantity > 0),
    price numeric NOT NULL,
    type text NOT NULL,
    status text NOT NULL CHECK (status IN ('open', 'filled', 'cancelled', 'rejected', 'reopening')),
    account text NOT NULL,
    venue text NOT NULL,
    strategy text NOT NULL,
    owner text NOT NULL,
    reduce_only boolean NOT NULL DEFAULT false,
    placed_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz
);
CREATE INDEX IF NOT EXISTS orders_working ON orders (status, placed_at) WHERE status IN ('open', 'reopening');
CREATE INDEX IF NOT EXISTS orders_recent ON orders (placed_at);

-- Working orders at the venue. due_at: when a market order executes, or when the book learns of a fill.
-- stray: unknown to the platform (fault `drift`).
CREATE TABLE IF NOT EXISTS venue_orders (
    id text PRIMARY KEY,
    order_id text NOT NULL UNIQUE,
    symbol text NOT NULL,
    side text NOT NULL,
    quantity numeric NOT NULL,
    price numeric NOT NULL,
    type text NOT NULL,
    status text NOT NULL CHECK (status IN ('open', 'filled')),
    account text NOT NULL,
    venue text NOT NULL,
    reduce_only boolean NOT NULL DEFAULT false,
    due_at timestamptz,
    stray boolean NOT NULL DEFAULT false
);

CREATE TABLE IF NOT EXISTS positions (
    symbol text PRIMARY KEY, quantity numeric NOT NULL, price numeric NOT NULL, account text NOT NULL
);
CREATE TABLE IF NOT EXISTS venue_positions (
    symbol text PRIMARY KEY, quantity numeric NOT NULL, price numeric NOT NULL, account text NOT NULL,
    stray boolean NOT NULL DEFAULT false
);
CREATE TABLE IF NOT EXISTS trades (
    id bigserial PRIMARY KEY,
    "timestamp" timestamptz NOT NULL DEFAULT now(),
    order_id text NOT NULL,
    symbol text NOT NULL,
    side text NOT NULL,
    quantity numeric NOT NULL,
    price numeric NOT NULL
);
CREATE TABLE IF NOT EXISTS breakers (pair text PRIMARY KEY, open boolean NOT NULL, reason text NOT NULL, since timestamptz);
CREATE TABLE IF NOT EXISTS rollouts (pair text PRIMARY KEY, percentage integer NOT NULL, status text NOT NULL);
CREATE TABLE IF NOT EXISTS limits (name text PRIMARY KEY, value numeric NOT NULL);

-- Only hashes (SHA-256, hex) are kept. A name may have several tokens, so that they can be changed without a gap.
CREATE TABLE IF NOT EXISTS tokens (
    hash text PRIMARY KEY,
    name text NOT NULL,
    revoked boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS audit (
    id bigserial PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
