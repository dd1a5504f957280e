"""A plain boto3 loop as a program: python -m benchmarks.plain_loop push|pull BUCKET LIST

LIST is a JSON file of [key, path] pairs. Eight threads call put_object, or get_object and write the body; nothing is
checked. Endpoint and keys come from the environment, as boto3 reads them.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3

THREADS = 8


def main(verb: str, bucket: str, pairs: list[tuple[str, str]]) -> None:
    """Move every object."""
    client = boto3.client("s3")

    def push(pair: tuple[str, str]) -> None:
        with Path(pair[1]).open("rb") as body:
            client.put_object(Bucket=bucket, Key=pair[0], Body=body)

    def pull(pair: tuple[str, str]) -> None:
        Path(pair[1]).write_bytes(client.get_object(Bucket=bucket, Key=pair[0])["Body"].read())

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map({"push": push, "pull": pull}[verb], pairs))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(Path(sys.argv[3]).read_text()))
