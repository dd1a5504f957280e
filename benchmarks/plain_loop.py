"""A plain boto3 loop as a program: python -m benchmarks.plain_loop push|pull BUCKET LIST [checked]

LIST is a JSON file of [key, path] pairs. Eight threads call put_object, or get_object and write the body; nothing is
checked. With `checked` it does what any push and pull of DVC's objects cannot do without, in as few lines: before it
sends, and of what came, it compares the MD5 with the key, and after a pull there is a second copy beside the first.
Endpoint and keys come from the environment, as boto3 reads them.
"""

import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3

THREADS = 8


def main(verb: str, bucket: str, pairs: list[tuple[str, str]], checked: bool) -> None:
    """Move every object.

    Raises:
        ValueError: with `checked`, bytes are not what the key says.
    """
    client = boto3.client("s3")

    def push(pair: tuple[str, str]) -> None:
        with Path(pair[1]).open("rb") as body:
            if checked:
                _check(pair[0], hashlib.file_digest(body, "md5").hexdigest())
                body.seek(0)
            client.put_object(Bucket=bucket, Key=pair[0], Body=body)

    def pull(pair: tuple[str, str]) -> None:
        body = client.get_object(Bucket=bucket, Key=pair[0])["Body"].read()
        Path(pair[1]).write_bytes(body)
        if checked:
            _check(pair[0], hashlib.md5(body, usedforsecurity=False).hexdigest())
            Path(f"{pair[1]}.copy").write_bytes(body)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map({"push": push, "pull": pull}[verb], pairs))


def _check(key: str, md5: str) -> None:
    if md5 not in key.replace("/", ""):
        raise ValueError(f"{key} holds bytes of MD5 {md5}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(Path(sys.argv[3]).read_text()), "checked" in sys.argv[4:])
