"""Set a bucket up, as often as you like: `python -m infra.bucket`. What others have set there stays.

With --reader or --writer it prints a policy to attach to a user or role instead, and changes nothing.
"""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from graft.core.errors import GraftError, UsageError, message
from graft.hub import bundles, conformance
from graft.hub.store import Store, client, explained, known
from infra import policies

ABORT_AFTER_DAYS = 7
TRIALS_KEPT_DAYS = 1
JOBS_KEPT_DAYS = 30
ABSENT = ("NotImplemented", "MethodNotAllowed", "UnsupportedOperation")
NOTHING_SET = ("NoSuchLifecycleConfiguration", "NoSuchBucketPolicy", "404")
POLICIES = {"--reader": policies.reader, "--writer": policies.writer}


def set_up(store: Store) -> list[str]:
    """Create the bucket, if need be, and set it up; what was done, a line each.

    Raises:
        EnvironmentProblem: no answer, or this key may not.
    """
    with explained(store, "set GRAFT_BUCKET"):
        s3 = client(store)
        steps: dict[str, Callable[[Any, Store], str]] = {
            "bucket": _bucket,
            "versioning": _versioning,
            "lifecycle": _lifecycle,
            "policy": _policy,
        }
        return [f"{name}: {_done(step, s3, store)}" for name, step in steps.items()]


def uses_tls(store: Store) -> bool:
    """Whether requests to it are private on their way; AWS's are."""
    return not store.endpoint.startswith("http://")


def _done(step: Callable[[Any, Store], str], s3: Any, store: Store) -> str:
    try:
        return step(s3, store)
    except s3.exceptions.ClientError as error:
        code = str(error.response["Error"]["Code"])
        if code not in ABSENT:
            raise
        return f"this store has none ({code}), left as it is"


def _bucket(s3: Any, store: Store) -> str:
    try:
        s3.list_objects_v2(Bucket=store.bucket, MaxKeys=1)
        return f"{store.bucket} is there"
    except s3.exceptions.NoSuchBucket:
        region = "" if store.endpoint else s3.meta.region_name
        elsewhere = region not in ("", "us-east-1", "aws-global")
        where = {"CreateBucketConfiguration": {"LocationConstraint": region}} if elsewhere else {}
        s3.create_bucket(Bucket=store.bucket, **where)
        return f"{store.bucket} created"


def _versioning(s3: Any, store: Store) -> str:
    if s3.get_bucket_versioning(Bucket=store.bucket).get("Status") == "Enabled":
        return "on"
    s3.put_bucket_versioning(Bucket=store.bucket, VersioningConfiguration={"Status": "Enabled"})
    return "switched on"


def _lifecycle(s3: Any, store: Store) -> str:
    said = f"abandoned uploads end after {ABORT_AFTER_DAYS} days"
    there = _or_nothing(s3, lambda: s3.get_bucket_lifecycle_configuration(Bucket=store.bucket)["Rules"], [])
    ours = _rules(store)
    kept = {rule.get("ID", str(n)): rule for n, rule in enumerate(there)}
    if all(_agree(rule, kept.get(rule["ID"], {})) for rule in ours):
        return said
    others = [rule for rule in there if rule.get("ID") not in [rule["ID"] for rule in ours]]
    s3.put_bucket_lifecycle_configuration(Bucket=store.bucket, LifecycleConfiguration={"Rules": [*others, *ours]})
    return f"{said}, now set"


def _rules(store: Store) -> list[dict[str, Any]]:
    uploads = {
        "ID": "graft-abandoned-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_AFTER_DAYS},
    }
    trials = {
        "ID": "graft-conformance",  # a writer may not remove versions
        "Status": "Enabled",
        "Filter": {"Prefix": f"{conformance.PREFIX}/"},
        "Expiration": {"Days": TRIALS_KEPT_DAYS},
        "NoncurrentVersionExpiration": {"NoncurrentDays": TRIALS_KEPT_DAYS},
    }
    spread = {
        "ID": "graft-spread",  # what is needed again is sent again
        "Status": "Enabled",
        "Filter": {"Prefix": bundles.PREFIX},
        "Expiration": {"Days": JOBS_KEPT_DAYS},
        "NoncurrentVersionExpiration": {"NoncurrentDays": TRIALS_KEPT_DAYS},
    }
    return [uploads] if store.is_loopback else [uploads, trials, spread]


def _agree(wanted: dict[str, Any], found: dict[str, Any]) -> bool:
    return all(found.get(name) == value for name, value in wanted.items())


def _policy(s3: Any, store: Store) -> str:
    """Deny what is not encrypted on its way, unless that is how this store is reached."""
    if not uses_tls(store):
        return "none; this endpoint has no TLS" + (" and needs none" if store.is_loopback else ": anybody may listen")
    text = _or_nothing(s3, lambda: s3.get_bucket_policy(Bucket=store.bucket)["Policy"], "{}")
    there, ours = json.loads(text), policies.without_tls(store.bucket)
    others = [one for one in there.get("Statement", []) if one.get("Sid") != ours["Sid"]]
    if len(others) < len(there.get("Statement", [])):
        return "requests without TLS are denied"
    document = {"Version": "2012-10-17", **there, "Statement": [*others, ours]}
    s3.put_bucket_policy(Bucket=store.bucket, Policy=json.dumps(document))
    return "requests without TLS are denied, now set"


def _or_nothing(s3: Any, ask: Callable[[], Any], nothing: Any) -> Any:
    try:
        return ask()
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] not in NOTHING_SET:
            raise
        return nothing


def main(arguments: Sequence[str]) -> None:
    """Do what the command line says and print it."""
    if set(arguments) - set(POLICIES):
        raise UsageError(f"python -m infra.bucket [{'] ['.join(POLICIES)}], not: {' '.join(arguments)}")
    store = known()
    for argument in arguments:
        print(json.dumps(POLICIES[argument](store.bucket, uses_tls(store)), indent=2))
    if not arguments:
        print("\n".join(set_up(store)))
        conformance.require(store)
        print(f"promises: all {len(conformance.PROMISES)} kept")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except GraftError as error:
        print("\n".join(f"graft: {line}" for line in message(error).split("\n")), file=sys.stderr)
        sys.exit(error.exit_code)
