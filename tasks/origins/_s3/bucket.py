"""A bucket as the origin reads it: listed in pages, then read, each request pinned to what was listed."""

import os
import random
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from graft.core.errors import BadInput, EnvironmentProblem, GraftError, one_line
from graft.hub import store
from graft.hub.store import Store
from tasks.origins._s3 import proofs
from tasks.origins._s3.proofs import Proofs

PAGE = 1000
ELSEWHERE = "change the uri of the origin"
_SIGNED_WITH = ("signing", "auth_type", "client_config")
_BUSY = (429, 500, 502, 503, 504)
_BACKOFF_S = 0.5


class Listed(NamedTuple):
    """An object as the listing has it; `etag` without quotes, `size` in bytes."""

    key: str
    etag: str
    size: int


class Piece(NamedTuple):
    """Bytes of an object from `start` up to, not including, `stop`."""

    item: Listed
    start: int
    stop: int

    @property
    def is_whole(self) -> bool:
        return self.stop - self.start == self.item.size


class Content(NamedTuple):
    """What a piece holds.

    Attributes:
        data: its bytes.
        version: of the object, "" if the bucket keeps none.
        proofs: what the whole object must agree with; only an object's first piece has them.
    """

    data: bytes
    version: str
    proofs: Proofs


class Bucket:
    """One bucket behind one endpoint; to be listed first, then read from any number of threads.

    boto3 lists. A GET through it takes about 1.4 ms of processor time, which Python threads cannot share; the same GET
    signed by botocore's signer and sent by botocore's HTTP session takes about 0.6 ms. Address, region and way of
    signing are those of the listing, so custom endpoints and redirects to another region need no thought here.
    """

    def __init__(self, where: Store, connections: int) -> None:
        """Nothing is sent yet.

        Raises:
            EnvironmentProblem: the endpoint is no URL, or the AWS settings are broken.
        """
        from botocore.httpsession import URLLib3Session
        from botocore.utils import get_environ_proxies

        self.store = where
        self._base, self._context = "", dict[str, Any]()
        self._signer: Any = None
        with store.explained(where, ELSEWHERE):
            self._client = store.client(where)
            self._attempts = self._client.meta.config.retries["total_max_attempts"]
            self._http = URLLib3Session(
                verify=os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or True,
                proxies=get_environ_proxies(self._client.meta.endpoint_url),
                timeout=(store.CONNECT_S, store.READ_S),
                max_pool_connections=connections,
            )
        self._client.meta.events.register("before-sign.s3.ListObjectsV2", self._learn)

    def __enter__(self) -> "Bucket":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._client.close()

    def listing(self, prefix: str) -> Iterator[Listed]:
        """Every object whose key starts with `prefix`, a page at a time.

        Raises:
            EnvironmentProblem: no answer, no such bucket, or no permission.
        """
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.store.bucket, Prefix=prefix, PaginationConfig={"PageSize": PAGE}
        )
        with store.explained(self.store, ELSEWHERE):
            for page in pages:
                if "Name" not in page:  # boto3 makes an empty page of any other XML
                    raise store.refusal(self.store, "with no listing", ELSEWHERE)
                for found in page.get("Contents", ()):
                    yield Listed(found["Key"], found["ETag"].strip('"'), found["Size"])

    def get(self, piece: Piece) -> Content:
        """Read one piece.

        Raises:
            BadInput: the object is not what was listed any more.
            EnvironmentProblem: no answer, or a refusal.
        """
        headers = {"x-amz-checksum-mode": "ENABLED"}
        if not piece.is_whole:
            headers["Range"] = f"bytes={piece.start}-{piece.stop - 1}"
        answer = self._ask("GET", piece.item, headers)
        if len(answer.content) != piece.stop - piece.start:
            raise EnvironmentProblem(
                f"{self.name(piece.item)}: {self.store.endpoint or 'AWS'} sent {len(answer.content)} bytes where "
                f"{piece.stop - piece.start} were asked for; try again"
            )
        version = answer.headers.get("x-amz-version-id", "")
        known = self._proofs(piece, answer.headers) if piece.start == 0 else {}
        return Content(answer.content, "" if version == "null" else version, known)

    def name(self, item: Listed) -> str:
        """The object's address, fit to be shown."""
        return f"s3://{self.store.bucket}/{one_line(item.key, 200)}"

    def _proofs(self, piece: Piece, headers: Mapping[str, str]) -> Proofs:
        item = piece.item
        if known := proofs.of_etag(item.etag, item.size, headers):
            return known
        if proofs.n_parts(item.etag, headers) > 1:
            first = self._ask("HEAD", item, {}, "?partNumber=1").headers
            return proofs.of_parts(item.etag, int(first["content-length"]))
        if not piece.is_whole:  # no store tells the checksum of the whole with a range of it
            headers = self._ask("HEAD", item, {"x-amz-checksum-mode": "ENABLED"}).headers
        return proofs.of_checksums(headers)

    def _ask(self, method: str, item: Listed, headers: dict[str, str], query: str = "") -> Any:
        """The answer to one request; a few tries while the store is silent or busy, further and further apart."""
        from botocore.exceptions import BotoCoreError

        problem: GraftError
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(_BACKOFF_S * 2**attempt * random.uniform(0.5, 1))
            try:
                answer = self._http.send(self._signed(method, item, headers, query))
            except BotoCoreError as error:
                problem = store.no_answer(self.store, error)
                continue
            if answer.status_code in (200, 206):
                return answer
            problem = self._refusal(item, answer)
            if answer.status_code not in _BUSY:
                break
        raise problem

    def _signed(self, method: str, item: Listed, headers: dict[str, str], query: str) -> Any:
        from botocore.awsrequest import AWSRequest

        url = f"{self._base.rstrip('/')}/{quote(item.key, safe='/~')}{query}"
        request = AWSRequest(method, url, {"If-Match": f'"{item.etag}"', **headers})
        request.context.update(self._context)
        assert self._signer is not None, "list before you read"
        self._signer.sign(f"{method.title()}Object", request)
        return request.prepare()

    def _learn(self, request: Any, request_signer: Any, **_: object) -> None:
        self._base, self._signer = request.url.partition("?")[0], request_signer
        self._context = {name: request.context[name] for name in _SIGNED_WITH if name in request.context}

    def _refusal(self, item: Listed, answer: Any) -> GraftError:
        told = re.search(rb"<Code>([^<]{1,80})</Code>", answer.content[:4096])
        code = told[1].decode("ascii", "replace") if told else str(answer.status_code)
        if answer.status_code in (404, 412) and code != "NoSuchBucket":
            return BadInput(
                f"{self.name(item)} was changed or deleted while it was read; when the bucket is at rest, "
                "type the command again"
            )
        return EnvironmentProblem(f"{self.name(item)}: {store.refusal(self.store, code, ELSEWHERE)}")
