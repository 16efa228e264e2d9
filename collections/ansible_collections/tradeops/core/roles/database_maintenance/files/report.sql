-- One answer for the report: tables with many dead rows, sessions that wait for a lock, sizes. Sizes of tables are those of the
-- catalogue, for to measure a table takes a lock on it.
SELECT
    pg_database_size(current_database()) AS bytes,
    (
        SELECT coalesce(json_agg(b ORDER BY b.dead DESC), '[]')
        FROM (
            SELECT relname AS name, n_dead_tup AS dead, n_live_tup AS live
            FROM pg_stat_user_tables
            WHERE n_dead_tup > %(dead_rows)s
        ) AS b
    ) AS bloated,
    (
        SELECT coalesce(json_agg(w), '[]')
        FROM (
            SELECT a.pid, pg_blocking_pids(a.pid) AS blocked_by, a.usename AS role, a.application_name AS application
            FROM pg_stat_activity AS a
            WHERE a.datname = current_database() AND cardinality(pg_blocking_pids(a.pid)) > 0
        ) AS w
    ) AS waiting,
    (
        SELECT json_agg(s)
        FROM (
            SELECT
                c.relname AS name,
                c.relpages::bigint * current_setting('block_size')::bigint AS bytes,
                sum(i.relpages::bigint * current_setting('block_size')::bigint) AS index_bytes
            FROM pg_stat_user_tables AS t
            INNER JOIN pg_class AS c ON c.oid = t.relid
            LEFT JOIN pg_index AS x ON x.indrelid = c.oid
            LEFT JOIN pg_class AS i ON i.oid = x.indexrelid
            GROUP BY c.relname, c.relpages
            ORDER BY 2 DESC LIMIT 10
        ) AS s
    ) AS largest
