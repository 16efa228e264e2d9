# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The S3 of the lab is reached through a front, which passes on unchanged, remembers, and breaks what it is told to."""

from __future__ import annotations

import os
import typing as t

import boto3
import botocore.config
import botocore.exceptions
import pytest
from simulator_ground import Ground
from simulator_ground import ground as ground_of

PART = 5 * 2**20  # bytes, the least that S3 takes
BUCKET = "backups"
ground = ground_of("flashmm-primary")


@pytest.fixture
def s3(ground: Ground) -> t.Iterator[t.Any]:
    """A client that tries once, and no faults."""
    settings = ground.lab["s3"]
    client = boto3.client(
        "s3",
        endpoint_url=settings["endpoint"],
        region_name="us-east-1",
        aws_access_key_id=settings["access_key"],
        aws_secret_access_key=settings["secret_key"],
        config=botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=20),
    )
    ground.control("DELETE", "/s3/faults")
    ground.control("DELETE", "/s3/requests")
    yield client
    ground.control("DELETE", "/s3/faults")


def break_(ground: Ground, **fault: t.Any) -> None:
    ground.control("PUT", "/s3/faults", {"faults": [fault]})


def upload(s3: t.Any, key: str, content: bytes) -> None:
    """In parts, as large objects go."""
    begun = s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    parts = []
    for number, first in enumerate(range(0, len(content), PART), 1):
        body = content[first : first + PART]
        etag = s3.upload_part(Bucket=BUCKET, Key=key, UploadId=begun, PartNumber=number, Body=body)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    s3.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=begun, MultipartUpload={"Parts": parts})


def test_what_goes_through_is_whole_and_remembered(ground: Ground, s3: t.Any) -> None:
    content = os.urandom(2 * PART + 12345)
    upload(s3, "whole/ä b+c", content)
    assert s3.get_object(Bucket=BUCKET, Key="whole/ä b+c")["Body"].read() == content
    part = s3.get_object(Bucket=BUCKET, Key="whole/ä b+c", Range="bytes=10-19")
    assert (part["ResponseMetadata"]["HTTPStatusCode"], part["Body"].read()) == (206, content[10:20])
    assert s3.head_object(Bucket=BUCKET, Key="whole/ä b+c")["ContentLength"] == len(content)
    assert [item["Size"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="whole/")["Contents"]] == [len(content)]
    seen = ground.control("GET", "/s3/requests")["requests"]
    assert [row["method"] for row in seen] == ["POST", "PUT", "PUT", "PUT", "POST", "GET", "GET", "HEAD", "GET"]
    assert [row["write"] for row in seen] == [True] * 5 + [False] * 4
    assert all(row["status"] in (200, 206) for row in seen)
    assert "partNumber=2" in seen[2]["query"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"kind": "error_before", "status": 500}, "InternalError"),
        ({"kind": "error_before"}, "SlowDown"),
        ({"kind": "error_after"}, "BadGateway"),
        ({"kind": "expire_token"}, "ExpiredToken"),
        ({"kind": "reset"}, "Connection"),
        ({"kind": "hang", "seconds": 60}, "timed out|timeout"),
    ],
)
def test_an_upload_breaks_at_the_part_that_is_meant(ground: Ground, s3: t.Any, fault: t.Any, said: str) -> None:
    s3.meta.config.read_timeout = 2
    break_(ground, path="*partNumber=*", after=1, **fault)
    with pytest.raises((botocore.exceptions.ClientError, botocore.exceptions.HTTPClientError), match=f"(?i){said}"):
        upload(s3, "broken", bytes(3 * PART))
    parts = [row for row in ground.control("GET", "/s3/requests")["requests"] if "partNumber" in row["query"]]
    assert [row["fault"] for row in parts] == [None, fault["kind"]]
    # Other requests are left alone, so what was begun can be found and given up.
    (begun,) = s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    s3.abort_multipart_upload(Bucket=BUCKET, Key="broken", UploadId=begun["UploadId"])
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def test_a_download_is_cut_in_the_middle(ground: Ground, s3: t.Any) -> None:
    content = os.urandom(PART)
    s3.put_object(Bucket=BUCKET, Key="cut", Body=content)
    break_(ground, kind="truncate", method="GET", times=1)
    got = s3.get_object(Bucket=BUCKET, Key="cut")["Body"]
    with pytest.raises(botocore.exceptions.BotoCoreError):
        got.read()
    assert s3.get_object(Bucket=BUCKET, Key="cut")["Body"].read() == content


def test_slow_and_dead_are_so_for_as_long_as_they_are_told(ground: Ground, s3: t.Any) -> None:
    break_(ground, kind="dead")
    with pytest.raises(botocore.exceptions.EndpointConnectionError):
        s3.list_buckets()
    break_(ground, kind="slow", seconds=1.0)
    assert ground.until(lambda: s3.list_buckets()["Buckets"])
    (slow,) = ground.control("GET", "/s3/faults")["faults"]
    assert slow["hits"] == 1


def test_a_fault_that_s3_does_not_know_is_refused(ground: Ground, s3: t.Any) -> None:
    with pytest.raises(AssertionError, match="s3 knows no fault lie"):
        break_(ground, kind="lie")
