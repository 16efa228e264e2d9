# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a site is backed up and restored, against what operators do today. Figures inform; they fail nothing.

All of it in one run on the same data: whole ``ansible-playbook`` processes against plain ``pg_dump | gzip``, ``psql`` and
``pg_restore``. SIZE in the environment is how many megabytes the database has.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import html
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import typing as t

import boto3
import psycopg
from bench import RESULTS, ROOT, Lab, Line, Peak, Run, progress

PLACE = "/var/tmp"  # noqa: S108 - the folder in it is made fresh; /tmp may be memory
SITE = "ai-trading-primary"
JOBS = 2
_SETTLED = 600  # s for the log of what was done before to be archived
SMALL = 50  # MB of the site that is captured while its trading is halted
ROW = 300  # bytes that a row takes on disk, about
# Dumped as text, gzip leaves some 45 % of it: hexadecimal digits of chance, beside what repeats.
_FILL = """
CREATE TABLE ticks (id bigint PRIMARY KEY, at timestamptz NOT NULL, symbol text NOT NULL, bid numeric NOT NULL,
    ask numeric NOT NULL, payload text NOT NULL);
INSERT INTO ticks
SELECT n, timestamptz '2026-01-01' + n * interval '37 ms', (ARRAY['BTC-USD', 'ETH-USD', 'SOL-USD'])[1 + n % 3],
    round((60000 + random() * 9000)::numeric, 2), round((60000 + random() * 9000)::numeric, 2),
    md5(random()::text) || md5(random()::text) || md5(random()::text) || md5(random()::text) || 'accepted by venue north'
FROM generate_series(1, {rows}) AS n;
"""


@dataclasses.dataclass
class Bar:
    """One bar of the picture."""

    what: str
    seconds: float
    ours: bool


class Backups(Lab):
    """A lab of one site with a server of its own, and what plain tools need to work on it."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder, 1)
        self.work = pathlib.Path(folder, "work")
        self.work.mkdir()

    def __enter__(self) -> Backups:
        self._command("up", "--sites", SITE, "--without", "kubernetes")
        facts = json.loads(pathlib.Path(self.folder, "lab", "lab.json").read_text(encoding="utf-8"))
        self.control, self.sites = facts["control"], [SITE]
        self.known = self._known()
        self.server = self.known["tradeops_postgresql"]
        secret = self.known["tradeops_secrets"]["postgresql_password"]
        self.tools = {
            **os.environ,
            "PATH": f"{self.known['tradeops_postgresql_bin']}:{os.environ['PATH']}",
            "PGHOST": self.server["host"],
            "PGPORT": str(self.server["port"]),
            "PGUSER": self.server["user"],
            "PGPASSWORD": secret,
            "PGDATABASE": self.server["database"],
        }
        # Straight to S3, as in production: the lab's front, which writes down and breaks requests, takes a processor.
        found = next(store for store in self.known["tradeops_backup_stores"] if store["kind"] == "s3")
        self.remote = {**found, "endpoint": facts["s3"]["server"]}
        place = self.known["tradeops_postgresql_server"]
        self.own = {**place, "barman": {**place["barman"], "endpoint": facts["s3"]["server"]}}
        return self

    def _known(self) -> dict[str, t.Any]:
        """The variables of the site, as a playbook has them."""
        command = ["ansible-inventory", "-i", "inventories/lab", "--host", SITE]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, check=True)
        return t.cast("dict[str, t.Any]", json.loads(done.stdout))

    def bucket(self) -> t.Any:
        store, secrets = self.remote, self.known["tradeops_secrets"]
        resource = boto3.resource(
            "s3",
            endpoint_url=store["endpoint"],
            region_name=store.get("region") or "us-east-1",
            aws_access_key_id=secrets[store["access_key_secret"]],
            aws_secret_access_key=secrets[store["secret_key_secret"]],
            verify=store.get("ca_path") or True,
        )
        return resource.Bucket(store["bucket"])

    def sql(self, statement: str) -> list[tuple[t.Any, ...]]:
        with self._session(self.server["database"]) as session:
            cursor = session.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    @contextlib.contextmanager
    def scratch(self, name: str) -> t.Iterator[str]:
        """An empty database, for as long as the block."""
        with self._session("postgres") as session:
            session.execute(f'CREATE DATABASE "{name}"')
            try:
                yield name
            finally:
                session.execute(f'DROP DATABASE "{name}"')

    def _session(self, database: str) -> psycopg.Connection[tuple[t.Any, ...]]:
        server = self.server
        return psycopg.connect(
            host=server["host"],
            port=server["port"],
            user=server["user"],
            password=self.tools["PGPASSWORD"],
            dbname=database,
            autocommit=True,
        )

    def shell(self, script: str, **more: str) -> float:
        """Run a script as operators have them; return the seconds."""
        self.settle()
        began = time.monotonic()
        command = ["bash", "-euo", "pipefail", "-c", script]
        subprocess.run(command, cwd=self.work, env={**self.tools, **more}, check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - began

    def operate(self, playbook: str, **variables: t.Any) -> Run:
        """Run a playbook of the product. ``mebibytes`` are those of Python alone: pg_dump is not ours."""
        self.settle()
        command = ["ansible-playbook", "-i", "inventories/lab", f"playbooks/{playbook}.yml", "-l", SITE]
        told = ["-e", json.dumps({"tradeops_reason": "bench", **variables})]
        wall, started = time.time(), time.monotonic()
        with subprocess.Popen(
            [*command, *told],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            peak = Peak(process.pid, only="python")
            output, _nothing = process.communicate()
        seconds = time.monotonic() - started
        if process.returncode:
            raise RuntimeError(f"{playbook} failed:\n{output[-6000:]}")
        return Run(seconds, wall, peak.finish())

    def elapsed(self, capability: str) -> float:
        """How long the verb of the latest run took, as its journal says: without Ansible, guards and health."""
        journal = max(
            pathlib.Path(self.folder, "state", "journal").glob("*.jsonl"), key=lambda path: path.stat().st_mtime
        )
        records = [json.loads(line) for line in journal.read_bytes().splitlines()]
        took = [record["proof"]["elapsed"] for record in records if record.get("capability") == capability]
        return float(took[-1])

    def settle(self) -> None:
        """Wait until the log of what was done before is archived, which takes a processor for a second a segment."""
        behind = "SELECT pg_walfile_name(pg_current_wal_lsn()), last_archived_wal FROM pg_stat_archiver"
        began = time.monotonic()
        while True:
            ((now, said),) = self.sql(behind)
            archived = said or "0" * 24  # nothing yet
            # Of one timeline: the last eight digits count within four gigabytes of log.
            if (int(now[8:16], 16) - int(archived[8:16], 16)) * 256 + int(now[16:], 16) - int(archived[16:], 16) <= 1:
                return
            if time.monotonic() - began > _SETTLED:
                raise RuntimeError(f"the server is at {now}, and its archive still at {archived} after {_SETTLED} s")
            time.sleep(0.5)

    def newest(self) -> dict[str, t.Any]:
        """The manifest of the newest set in the bucket."""
        manifests = [
            item for item in self.bucket().objects.filter(Prefix=f"{SITE}/") if item.key.endswith("/manifest.json")
        ]
        return t.cast("dict[str, t.Any]", json.loads(max(manifests, key=lambda item: item.key).get()["Body"].read()))


def measure(lab: Backups, size: int) -> tuple[list[Line], list[Bar]]:
    lab.reset(market=True)
    lines = [quiesced(lab)]

    progress(f"filling the database to {size} MB")
    _fill(lab, size)
    lab.reset(market=False)
    dumped, bars = dump(lab)
    lines += dumped
    restored, more = restore(lab)
    return [*lines, *restored], [*bars, *more]


def _fill(lab: Backups, size: int) -> None:
    lab.sql("DROP TABLE IF EXISTS ticks")
    lab.sql(_FILL.format(rows=size * 1_000_000 // ROW))
    lab.sql("VACUUM ANALYZE ticks")


def quiesced(lab: Backups) -> Line:
    """All components of a small site that trades; how long it did not trade, its own audit tells."""
    progress(f"a quiesced set of a site of {SMALL} MB")
    _fill(lab, SMALL)
    lab.operate("backup", backup_type="manual", backup_consistency="quiesced")
    rows = lab.sql(
        "SELECT extract(epoch FROM at)::float8, object FROM audit WHERE action = 'trading_state' ORDER BY id"
    )
    halted = next(at for at, state in rows if state != "active")
    resumed = rows[-1]
    if resumed[1] != "active":
        raise RuntimeError(f"the site was left {resumed[1]}")
    seconds = resumed[0] - halted
    return Line(f"quiesced set of {SMALL} MB, all components", f"{seconds:.1f} s halted", "< 10 s", seconds < 10)


def dump(lab: Backups) -> tuple[list[Line], list[Bar]]:
    """pg_dump | gzip and an upload, then our set in the same bucket."""
    bucket, remote = lab.bucket(), [lab.remote]
    progress("pg_dump | gzip, then an upload")
    script = lab.shell("pg_dump | gzip > operators.sql.gz")
    began = time.monotonic()
    bucket.upload_file(str(lab.work / "operators.sql.gz"), "operators.sql.gz")
    upload = time.monotonic() - began
    theirs = script + upload
    gzipped = (lab.work / "operators.sql.gz").stat().st_size

    empty = lab.play("empty")
    progress("our backup of the same database into the same bucket")
    ours = lab.operate(
        "backup", backup_type="database", backup_components_only=["database"], tradeops_backup_stores=remote
    )
    artefacts = _artefacts(lab.newest(), "postgresql")
    stored = sum(artefact["stored"]["size"] for artefact in artefacts)
    plain = lab.sql("SELECT pg_database_size(current_database())")[0][0]
    lines = [
        Line(
            "the database, and what gzip makes of its dump", f"{plain / 1e6:.0f} MB, {gzipped / 1e6:.0f} MB", "", True
        ),
        Line("pg_dump | gzip, then the upload", f"{script:.1f} s + {upload:.1f} s", "", True),
        Line(
            "our backup to S3, with Ansible and all",
            f"{ours.seconds:.1f} s, {theirs / ours.seconds:.1f} x faster",
            ">= 4 x",
            theirs / ours.seconds >= 4,
        ),
        Line("what it stores", f"{stored / 1e6:.0f} MB, {stored / gzipped:.2f} x theirs", "<= 1 x", stored <= gzipped),
        Line(
            "memory of all Python, that of an empty play",
            f"{ours.mebibytes:.0f} MiB, {empty.mebibytes:.0f} MiB",
            "< 150 MB",
            ours.mebibytes < 143,
        ),
    ]
    return lines, [
        Bar("backup: pg_dump | gzip, upload", theirs, ours=False),
        Bar("backup: tradeops", ours.seconds, ours=True),
    ]


def restore(lab: Backups) -> tuple[list[Line], list[Bar]]:
    """gunzip | psql and bare pg_restore, then our restores of the same data."""
    manifest = lab.newest()
    progress("gunzip | psql")
    with lab.scratch("by_psql") as name:
        psql = lab.shell("gunzip -c operators.sql.gz | psql -X -q -v ON_ERROR_STOP=1", PGDATABASE=name)

    progress("bare pg_restore")
    lab.shell("pg_dump -Fc -f operators.dump")  # compressed as pg_dump does it by itself
    with lab.scratch("by_pg_restore") as name:
        bare = lab.shell(f"pg_restore --exit-on-error --jobs {JOBS} -d {name} operators.dump")

    stop = {"tradeops_confirm": SITE, "tradeops_backup_stores": [lab.remote]}
    lab.operate("emergency_stop")
    progress("our logical restore")
    logical = lab.operate("restore", backup_id=manifest["id"], restore_what="database", restore_jobs=JOBS, **stop)
    itself = lab.elapsed("restore")

    for (name,) in lab.sql("SELECT datname FROM pg_database WHERE datname LIKE '%\\_before\\_%'"):
        lab.sql(f'DROP DATABASE "{name}"')  # a recovery is of the whole server, and psql has restored no safety copy
    progress("a base backup, then our recovery to a point in time")
    # Without max_age: a base backup of now, and not the log of all that the bench did before.
    wal = {
        "tradeops_backup_components": [{"name": "wal", "engine": "barman"}],
        "tradeops_postgresql_server": lab.own,
    }
    types = {"tradeops_backup_types": {"daily": {"components": ["wal"]}}}
    lab.operate("backup", backup_type="daily", tradeops_backup_stores=[lab.remote], **wal, **types)
    target = lab.sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00:00'")[0][
        0
    ]
    lab.sql("CREATE TABLE after_the_target (n int)")
    physical = lab.operate("restore", restore_at=target, **stop, **wal)
    recovered = lab.elapsed("restore")
    if lab.sql("SELECT to_regclass('after_the_target')")[0][0]:
        raise RuntimeError("the recovery went past its target")
    lines = [
        Line("gunzip | psql", f"{psql:.1f} s", "", True),
        Line(f"bare pg_restore, {JOBS} jobs, from a local file", f"{bare:.1f} s", "", True),
        Line(
            "our logical restore from S3, read whole, compared and switched",
            f"{itself:.1f} s, {itself / bare:.2f} x",
            "<= 1.1 x",
            itself <= 1.1 * bare,
        ),
        Line("with Ansible, guards and health", f"{logical.seconds:.1f} s", "", True),
        Line(
            "our recovery to a point in time, until the site's server answers and was compared",
            f"{recovered:.1f} s, {psql / recovered:.2f} x faster than psql",
            ">= 2 x",
            psql / recovered >= 2,
        ),
        Line("with Ansible, guards, health and a new base backup", f"{physical.seconds:.1f} s", "", True),
    ]
    return lines, [
        Bar("restore: gunzip | psql", psql, ours=False),
        Bar(f"restore: pg_restore -j{JOBS}", bare, ours=False),
        Bar("restore: tradeops, logical", itself, ours=True),
        Bar("restore: tradeops, point in time", recovered, ours=True),
    ]


def _artefacts(manifest: dict[str, t.Any], engine: str) -> list[dict[str, t.Any]]:
    return [item for part in manifest["components"] if part["engine"] == engine for item in part["artefacts"]]


def picture(bars: list[Bar], lines: list[Line]) -> str:
    """A page with the seconds as bars, and every line below."""
    longest, step = max(bar.seconds for bar in bars), 30
    drawn = "".join(
        f'<text x="250" y="{top + 15}" text-anchor="end">{html.escape(bar.what)}</text>'
        f'<rect x="260" y="{top}" width="{bar.seconds / longest * 400:.1f}" height="20" fill="{"#1f6f50" if bar.ours else "#999"}"/>'
        f'<text x="{266 + bar.seconds / longest * 400:.1f}" y="{top + 15}">{bar.seconds:.1f} s</text>'
        for top, bar in zip(range(5, 5 + step * len(bars), step), bars, strict=True)
    )
    rows = "".join(
        f"<tr><td>{html.escape(line.what)}<td>{html.escape(line.measured)}<td>{html.escape(line.target)}<td>{'' if line.met else 'MISSED'}"
        for line in lines
    )
    return (
        '<!doctype html><meta charset="utf-8"><title>Backup and restore</title>'
        "<style>body{font:14px sans-serif;margin:2em}td{padding:2px 1em 2px 0}</style><h1>Backup and restore</h1>"
        f'<svg width="760" height="{10 + step * len(bars)}" font-size="13">{drawn}</svg><table>{rows}</table>'
    )


def _megabytes(text: str) -> int:
    number, unit = text.upper().rstrip("B"), 1
    if number[-1:] in ("M", "G"):
        number, unit = number[:-1], {"M": 1, "G": 1000}[number[-1]]
    return int(float(number) * unit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=_megabytes, default=os.environ.get("SIZE") or "1GB", help="such as 600MB")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tradeops-bench-", dir=os.environ.get("TMPDIR") or PLACE) as folder:
        os.chmod(folder, 0o755)  # noqa: S103 - PostgreSQL runs as another user when the bench runs as root
        with Backups(folder) as lab:
            lines, bars = measure(lab, given.size)
    width = max(len(line.what) for line in lines)
    for line in lines:
        print(f"{line.what:<{width}}  {line.measured:<36} {line.target:<9} {'' if line.met else 'MISSED'}".rstrip())
    RESULTS.mkdir(parents=True, exist_ok=True)
    told = json.dumps([dataclasses.asdict(line) for line in lines], indent=1)
    (RESULTS / "backup.json").write_text(told, encoding="utf-8")
    (RESULTS / "backup.html").write_text(picture(bars, lines), encoding="utf-8")
    print(f"as a picture: {RESULTS / 'backup.html'}", file=sys.stderr)


if __name__ == "__main__":
    main()
