# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A bucket as a store, by botocore, which is in boto3. Parts of unfinished uploads are taken back, versions removed,
locks respected."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import datetime as dt
import functools
import hashlib
import importlib
import io
import mmap
import os
import tempfile
import typing as t
from xml.etree import ElementTree

from ..._common.errors import CallError, Denied, InputError, Refused, TradeopsError, Unreachable
from ..store import Entry
from .given import S3

_PIECE = 1 << 20  # bytes
_MIB = 1 << 20
_FIRST = 6 * _MIB  # the size of the first parts; a larger one waits in a temporary file
_PARTS = 10_000  # the limit of S3
_LISTED_AT_ONCE = 8  # parts of a long list
_AT_ONCE = 2  # parts on their way at the same time
_LOST_KEYS = frozenset(
    {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException"}
    | {"InvalidToken", "TokenRefreshRequired", "RequestExpired", "401", "403"}
)
_UNLOCKED = ("/running.json", "/hold.json", "/deleting.json")
_STAMP = "%Y%m%dT%H%M%SZ"
_MISSING = frozenset({"NoSuchKey", "NotFound", "404"})


def library(name: str) -> t.Any:
    """Return a module of botocore. Raises InputError when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise InputError("the Python library boto3 is missing where the backup runs: install it") from exc


@functools.cache
def _models(place: str | None) -> t.Any:
    """What botocore knows of S3, read once: that takes longer and more room than everything else of a client."""
    return library("botocore.loaders").create_loader(place)


def part_size(number: int) -> int:
    """Return the size of part ``number`` (from 1): it doubles every thousand parts, so any size fits into 10,000."""
    return _FIRST << (number - 1) // 1000


class S3Store:
    """``facts`` is the entry of the inventory; ``secrets`` are those of the site."""

    def __init__(self, facts: S3, secrets: t.Mapping[str, str]) -> None:
        self.name = facts.name
        self.bucket = facts.bucket
        self.facts = facts
        prefix = facts.prefix.strip("/")
        self.prefix = f"{prefix}/" if prefix else ""
        self._errors = library("botocore.exceptions")
        self.client = self._connect(secrets)

    def entries(self, prefix: str) -> t.Iterator[Entry]:
        """List by pages; a list of sets that is longer than one is cut by time, and its parts are listed together."""
        first, token = self._page(prefix)
        yield from first
        if not token:
            return
        # A part has what lies after its cut, up to and with the next one, so nothing is missed wherever they lie. The
        # first goes on where the first page ended.
        cuts = _cuts(first[-1].key, prefix)
        asked = [{"ContinuationToken": token}, *({"StartAfter": self.prefix + cut} for cut in cuts)]
        with concurrent.futures.ThreadPoolExecutor(_LISTED_AT_ONCE, thread_name_prefix=f"list {self.name}") as pool:
            parts = [
                pool.submit(self._part, prefix, where, last) for where, last in zip(asked, [*cuts, ""], strict=True)
            ]
            try:
                while parts:
                    yield from parts.pop(0).result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _part(self, prefix: str, where: dict[str, str], last: str) -> list[Entry]:
        """Return what is from ``where`` on, up to and with the key ``last``, or to the end."""
        found: list[Entry] = []
        while where:
            page, token = self._page(prefix, **where)
            found += [entry for entry in page if not last or entry.key <= last]
            over = bool(last and page and page[-1].key > last)
            where = {"ContinuationToken": token} if token and not over else {}
        return found

    def _page(self, prefix: str, **where: str) -> tuple[list[Entry], str]:
        """Return one page of a list, and the token of the next one, if there is one."""
        page = self.call("list_objects_v2", prefix, Prefix=self.prefix + prefix, **where)
        found = [
            Entry(str(item["Key"]).removeprefix(self.prefix), int(item["Size"]), item["LastModified"].timestamp())
            for item in page.get("Contents", ())
        ]
        if not page.get("IsTruncated"):
            return found, ""
        token = str(page.get("NextContinuationToken") or "")
        if not token or token == where.get("ContinuationToken") or not found:
            text = (
                f"the store {self.name} (bucket {self.bucket}) has more of {prefix}, as it says, and does not give it"
            )
            raise Unreachable(text, method="list_objects_v2", path=prefix)
        return found, token

    def head(self, key: str) -> Entry | None:
        try:
            found = self.call("head_object", key, Key=self.prefix + key)
        except Refused as exc:
            if exc.status == 404:
                return None
            raise
        return Entry(key, int(found["ContentLength"]), found["LastModified"].timestamp())

    def read(self, key: str) -> t.Iterator[bytes]:
        answer = self.call("get_object", key, Key=self.prefix + key)
        body, expected, got = answer["Body"], int(answer["ContentLength"]), 0
        try:
            with self.told("read", key):
                while piece := body.read(_PIECE):
                    got += len(piece)
                    yield piece
        finally:
            body.close()
        if got != expected:
            text = f"{self.said(key)}: the answer ended after {got} of {expected} bytes."
            raise Unreachable(text, method="read", path=key)

    def upload(self, key: str) -> S3Upload:
        return S3Upload(self, key)

    def put(self, key: str, data: bytes, *, new: bool = False) -> Entry:
        request = self.locked({"Key": self.prefix + key, "Body": data, "ContentMD5": _md5(data)}, key)
        if new:
            if self.head(key):
                raise Refused(f"{self.said(key)} is there already.", method="write", path=key, sent=False)
            request["IfNoneMatch"] = "*"
        self.call("put_object", key, **request)
        return self.written(key, len(data))

    def delete(self, key: str) -> None:
        full = self.prefix + key
        versions = self._versions(key)
        # A lock is looked for first, so that an object that is held keeps all of its versions.
        for version in versions:
            why = self._lock(key, version) if self._locks else ""
            if why:
                raise Refused(f"{self.said(key)} is held by {why}.", method="delete", path=key, sent=False)
        for version in versions:
            self.call("delete_object", key, Key=full, VersionId=version)
        # To remove what is not there would leave a mark of its removal.
        if not versions and self.head(key):
            self.call("delete_object", key, Key=full)
        if self.head(key):
            raise Refused(
                f"{self.said(key)} is still there after it was removed.", method="delete", path=key, sent=True
            )

    def held(self, key: str) -> str:
        if not self._locks:
            return ""
        return next(filter(None, (self._lock(key, version) for version in self._versions(key))), "")

    def unfinished(self, prefix: str) -> t.Iterator[str]:
        request = {"Bucket": self.bucket, "Prefix": self.prefix + prefix}
        for page in self._pages("list_multipart_uploads", request, prefix):
            for item in page.get("Uploads", ()):
                yield f"{str(item['Key']).removeprefix(self.prefix)}?{item['UploadId']}"

    def sweep(self, unfinished: str) -> None:
        key, _mark, upload = unfinished.rpartition("?")
        with _gone():
            self.call("abort_multipart_upload", key, Key=self.prefix + key, UploadId=upload)

    def free(self) -> int | None:
        return None

    def said(self, key: str) -> str:
        """Name an object for a sentence."""
        return f"{key} of the store {self.name} (bucket {self.bucket})"

    def call(self, method: str, key: str, **request: t.Any) -> t.Any:
        """Make one call about ``key``. Raises Unreachable, Denied or Refused."""
        with self.told(method, key):
            return getattr(self.client, method)(Bucket=self.bucket, **request)

    def written(self, key: str, size: int) -> Entry:
        """Return what is there after an object was written. Raises Refused unless it has its size."""
        found = self.head(key)
        if found is None or found.size != size:
            seen = "nothing" if found is None else f"{found.size} bytes"
            text = f"{self.said(key)}: {size} bytes were sent and {seen} is there."
            raise Refused(text, method="write", path=key, sent=True)
        return found

    def locked(self, request: dict[str, t.Any], key: str) -> dict[str, t.Any]:
        """Add the lock of this store to a request that makes an object. What only marks or tells of a set has none."""
        lock = self.facts.object_lock
        if lock is None or key.endswith(_UNLOCKED) or "/verified/" in key:
            return request
        until = dt.datetime.now(dt.UTC) + dt.timedelta(days=lock.days)
        return {**request, "ObjectLockMode": lock.mode, "ObjectLockRetainUntilDate": until}

    @contextlib.contextmanager
    def told(self, method: str, key: str) -> t.Iterator[None]:
        """Tell what botocore raises as an error of ours."""
        try:
            yield
        except self._errors.ClientError as exc:
            raise self._refusal(method, key, exc.response) from exc
        except (self._errors.BotoCoreError, self._errors.HTTPClientError, OSError) as exc:
            if isinstance(exc, (self._errors.NoCredentialsError, self._errors.PartialCredentialsError)):
                text = f"the store {self.name} needs credentials: {exc}"
                raise Denied(text, method=method, path=key, sent=False) from exc
            text = f"the store {self.name} (bucket {self.bucket}) does not answer to {method} of {key}: {exc}"
            raise Unreachable(text, method=method, path=key) from exc

    def _refusal(self, method: str, key: str, response: dict[str, t.Any]) -> CallError:
        error = response.get("Error", {})
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = str(error.get("Code", status))
        said = f"{code}: {error.get('Message', '')}".rstrip(": ")
        facts: dict[str, t.Any] = {"method": method, "path": key, "status": status, "sent": True}
        if code in _MISSING or status == 404:
            return Refused(f"{self.said(key)} is not there ({said}).", **{**facts, "status": 404})
        if code in ("PreconditionFailed", "ConditionalRequestConflict") or status == 412:
            return Refused(f"{self.said(key)} is there already.", **facts)
        if code in _LOST_KEYS or status in (401, 403):
            text = f"the store {self.name} (bucket {self.bucket}) denies our credentials to {method} {key} ({said})."
            return Denied(f"{text} Renew them in the vault and run it again.", **facts)
        if status >= 500 or code in ("SlowDown", "RequestTimeout"):
            text = f"the store {self.name} (bucket {self.bucket}) failed at {method} of {key} ({said})."
            return Unreachable(text, **{**facts, "sent": None})
        return Refused(f"the store {self.name} (bucket {self.bucket}) refused {method} of {key} ({said}).", **facts)

    def _pages(self, method: str, request: dict[str, t.Any], prefix: str) -> t.Iterator[dict[str, t.Any]]:
        with self.told(method, prefix):
            yield from self.client.get_paginator(method).paginate(**request)

    def _versions(self, key: str) -> list[str]:
        full = self.prefix + key
        return [
            str(item["VersionId"])
            for page in self._pages("list_object_versions", {"Bucket": self.bucket, "Prefix": full}, key)
            for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
            if item["Key"] == full
        ]

    @functools.cached_property
    def _locks(self) -> bool:
        """Whether objects of this bucket can be locked: only a bucket that was made for it has locks."""
        try:
            found = self.call("get_object_lock_configuration", "")
        except Denied:
            return True  # who may not ask that is told by each object
        except CallError as exc:
            if exc.status in (404, 501):  # 501: a server without locks
                return False
            raise
        return bool(found.get("ObjectLockConfiguration"))

    def _lock(self, key: str, version: str) -> str:
        """Say what holds this version, and until when. Raises Denied where nobody tells us."""
        full = {"Key": self.prefix + key, "VersionId": version}
        found = self._of_lock("head_object", key, **full)
        if found is None:  # a delete marker
            return ""
        hold, until = found.get("ObjectLockLegalHoldStatus"), found.get("ObjectLockRetainUntilDate")
        # To whom may not see locks an object that has one looks like one that has none. So silence is asked about.
        if hold is None:
            hold = (self._of_lock("get_object_legal_hold", key, **full) or {}).get("LegalHold", {}).get("Status")
        if until is None:
            until = (
                (self._of_lock("get_object_retention", key, **full) or {}).get("Retention", {}).get("RetainUntilDate")
            )
        if hold == "ON":
            return "a legal hold"
        if until and until > dt.datetime.now(dt.UTC):
            return f"an object lock until {until.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
        return ""

    def _of_lock(self, method: str, key: str, **request: t.Any) -> dict[str, t.Any] | None:
        """Return the answer, None where there is nothing of it."""
        try:
            return t.cast("dict[str, t.Any]", self.call(method, key, **request))
        except Refused as exc:
            if exc.status in (404, 405):
                return None
            raise

    def _connect(self, secrets: t.Mapping[str, str]) -> t.Any:
        facts = self.facts
        for name in (facts.access_key_secret, facts.secret_key_secret):
            if name and not secrets.get(name):
                raise InputError(
                    f"the store {self.name}: tradeops_secrets has no {name}, which the store names. Nothing was sent."
                )
        # Servers other than Amazon's often know no checksums in trailers; every part has its MD5 anyway.
        checksums = "when_required" if facts.endpoint and ".amazonaws.com" not in facts.endpoint else "when_supported"
        config = library("botocore.config").Config(
            signature_version="s3v4",
            # What is stored has its MD5 in headers that are signed: to hash it once more for that tells nothing new.
            s3={"addressing_style": facts.addressing, "payload_signing_enabled": False},
            connect_timeout=min(10.0, facts.timeout),
            read_timeout=facts.timeout,
            retries={"mode": "standard", "total_max_attempts": facts.attempts},
            request_checksum_calculation=checksums,
            response_checksum_validation=checksums,
            max_pool_connections=4 * _AT_ONCE,
            tcp_keepalive=True,
        )
        # A session of its own: the default one is shared by threads, and it is not made for that.
        session = library("botocore.session").Session()
        session.register_component("data_loader", _models(session.get_config_variable("data_path")))
        client = session.create_client(
            "s3",
            endpoint_url=facts.endpoint or None,
            region_name=facts.region or ("us-east-1" if facts.endpoint else None),
            aws_access_key_id=secrets.get(facts.access_key_secret) if facts.access_key_secret else None,
            aws_secret_access_key=secrets.get(facts.secret_key_secret) if facts.secret_key_secret else None,
            verify=os.path.expanduser(facts.ca_path) if facts.ca_path else None,
            config=config,
        )
        client.meta.events.register("before-parse.s3.ListObjectsV2", _read_list)
        return client


class S3Upload:
    """Bytes are gathered into parts; two parts at most are on their way. A small object is put at once."""

    def __init__(self, store: S3Store, key: str) -> None:
        self._store = store
        self._key = key
        self._id = ""
        self._size = 0
        self._part = _Part(1)
        self._done: list[dict[str, t.Any]] = []
        self._sending: list[concurrent.futures.Future[dict[str, t.Any]]] = []
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None
        self._ended = False

    def write(self, data: bytes) -> None:
        if self._ended:
            raise ValueError("this upload has ended")
        rest = memoryview(data)
        while rest:
            rest = rest[self._part.add(rest) :]
            if self._part.full:
                self._send()
        self._size += len(data)

    def commit(self) -> Entry:
        if self._ended:
            raise ValueError("this upload has ended")
        store, key = self._store, self._key
        if not self._id:
            with self._part.body() as body:
                entry = store.put(key, body.read())
        else:
            if self._part.size:
                self._send()
            self._collect(0)
            parts = {"Parts": sorted(self._done, key=lambda part: int(part["PartNumber"]))}
            store.call(
                "complete_multipart_upload", key, Key=store.prefix + key, UploadId=self._id, MultipartUpload=parts
            )
            entry = store.written(key, self._size)
        self._ended = True
        self._close()
        return entry

    def abort(self) -> None:
        """Take back the parts. What cannot be taken back now is named as unfinished and swept later."""
        if self._ended:
            return
        self._ended = True
        # A part that is on its way could arrive after the rest was taken back, so it is waited for.
        self._close()
        if self._id:
            with contextlib.suppress(TradeopsError):
                self._store.sweep(f"{self._key}?{self._id}")

    def _send(self) -> None:
        store, part = self._store, self._part
        if part.number >= _PARTS:
            text = f"{store.said(self._key)} is larger than an object of a bucket can be."
            raise Refused(text, method="write", path=self._key, sent=False)
        if not self._id:
            request = store.locked({"Key": store.prefix + self._key}, self._key)
            self._id = str(store.call("create_multipart_upload", self._key, **request)["UploadId"])
            self._pool = concurrent.futures.ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=f"upload to {store.name}")
        self._collect(_AT_ONCE - 1)
        if self._pool is None:
            raise ValueError("this upload has not begun")
        self._sending.append(self._pool.submit(self._deliver, part))
        self._part = _Part(part.number + 1)

    def _deliver(self, part: _Part) -> dict[str, t.Any]:
        store, number = self._store, part.number
        with part.body() as body:
            answer = store.call(
                "upload_part",
                self._key,
                Key=store.prefix + self._key,
                UploadId=self._id,
                PartNumber=number,
                Body=body,
                ContentMD5=part.md5(),
            )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _collect(self, left: int) -> None:
        """Wait until at most ``left`` parts are on their way; raise what one of them met."""
        while len(self._sending) > left:
            self._done.append(self._sending.pop(0).result())

    def _close(self) -> None:
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._part.close()


class _Part:
    """Bytes of one part, in memory or, when parts are large, in a temporary file; and their MD5 as they come."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.size = 0
        self._limit = part_size(number)
        # Pages of its own go back to the system at once; in the heap they would leave holes.
        self._mapped = self._limit == _FIRST
        self._file: t.Any = mmap.mmap(-1, self._limit) if self._mapped else tempfile.TemporaryFile()  # noqa: SIM115 -- closed when it was sent
        self._md5 = hashlib.md5(usedforsecurity=False)

    @property
    def full(self) -> bool:
        return self.size >= self._limit

    def add(self, data: memoryview) -> int:
        """Take what fits in; return how much that was."""
        piece = data[: self._limit - self.size]
        self._file.write(piece)
        self._md5.update(piece)
        self.size += len(piece)
        return len(piece)

    @contextlib.contextmanager
    def body(self) -> t.Iterator[t.Any]:
        """Give the part as a file, from its beginning; it is let go afterwards."""
        self._file.seek(0)
        try:
            # What is mapped is as long as a full part.
            yield io.BytesIO(self._file.read(self.size)) if self._mapped and not self.full else self._file
        finally:
            self.close()

    def md5(self) -> str:
        return base64.b64encode(self._md5.digest()).decode()

    def close(self) -> None:
        self._file.close()


def _cuts(first: str, prefix: str) -> list[str]:
    """Return where a list that goes on after ``first`` is cut: in equal times, for what is below ``prefix`` begins with
    its time where it is a set. What begins otherwise is not cut."""
    try:
        begin = dt.datetime.strptime(first.removeprefix(prefix)[:16], _STAMP).replace(tzinfo=dt.UTC)
    except ValueError:
        return []
    step = (dt.datetime.now(dt.UTC) - begin) / _LISTED_AT_ONCE
    cuts = [f"{prefix}{begin + step * number:{_STAMP}}" for number in range(1, _LISTED_AT_ONCE)]
    return [cut for cut in cuts if cut > first]


def _read_list(response_dict: dict[str, t.Any], customized_response_dict: dict[str, t.Any], **_more: t.Any) -> None:
    """Take the objects out of a page before botocore reads it, which takes longer for them than the server does."""
    try:
        root = ElementTree.fromstring(response_dict["body"])  # noqa: S314 -- by the very parser of botocore
        space = root.tag.removesuffix("ListBucketResult")
        found = [
            {
                "Key": item.findtext(f"{space}Key"),
                "Size": int(item.findtext(f"{space}Size") or ""),
                "LastModified": dt.datetime.fromisoformat(item.findtext(f"{space}LastModified") or ""),
            }
            for item in root.findall(f"{space}Contents")
        ]
    except (ElementTree.ParseError, ValueError):
        return  # an error, or something else that botocore may know
    if found:
        root[:] = [part for part in root if part.tag != f"{space}Contents"]
        response_dict["body"] = ElementTree.tostring(root)
        customized_response_dict["Contents"] = found


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


@contextlib.contextmanager
def _gone() -> t.Iterator[None]:
    """Let a removal of what is not there any more pass."""
    try:
        yield
    except Refused as exc:
        if exc.status != 404:
            raise
