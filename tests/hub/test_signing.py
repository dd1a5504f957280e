"""Signed releases: who has the public key takes nothing that the private one did not sign."""

import os
import stat
from pathlib import Path

import pytest

from graft.core.errors import BadInput
from graft.hub import cache, releases, signing, stages
from graft.hub.bucket import Bucket
from graft.hub.names import reference
from tests.hub import child
from tests.hub.little_release import draft, published

V1 = reference("plants@v1")


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A key pair; what is published from now on is signed."""
    private, public = signing.new_keys(tmp_path / "keys")
    monkeypatch.setenv(signing.PRIVATE, str(private))
    return private, public


def signature_of(bucket: Bucket, version: str = "v1") -> str:
    (key,) = (key for key in bucket.keys(f"models/plants/{version}/") if key.endswith(".sig"))
    return key


def check_refused(bucket: Bucket, told: str) -> None:
    """Neither pulled nor promoted, with the object's name in the one line."""
    for command in (lambda: cache.pull(V1), lambda: stages.promote(bucket, V1, "staging")):
        with pytest.raises(BadInput, match=told) as caught:
            command()
        assert "models/plants/v1/receipt" in str(caught.value) and "\n" not in str(caught.value)
    assert not list(cache.root().glob("releases/*/models/*/v*"))


def test_a_signed_release_is_pulled_and_promoted_by_who_has_the_public_key(
    bucket: Bucket, keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(bucket, tmp_path, 1)
    monkeypatch.delenv(signing.PRIVATE)
    monkeypatch.setenv(signing.PUBLIC, str(keys[1]))
    pulled = cache.pull(V1)
    assert sorted(path.name for path in pulled.folder.iterdir())[-2:] == ["receipt.json", "receipt.sig"]
    assert stages.promote(bucket, V1, "staging").done
    folder = cache.copy(pulled, tmp_path / "copy")
    assert cache.open_folder(folder).receipt == pulled.receipt
    (folder / "receipt.sig").unlink()
    with pytest.raises(BadInput, match="receipt.sig is missing: the release is not signed"):
        cache.open_folder(folder)
    monkeypatch.delenv(signing.PUBLIC)
    assert cache.open_folder(folder).receipt == pulled.receipt


def test_without_a_key_nothing_is_signed_and_whoever_asks_for_signatures_refuses_it(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(bucket, tmp_path, 1)
    assert not [key for key in bucket.keys("") if key.endswith(".sig")]
    cache.pull(V1)
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "other"))
    monkeypatch.setenv(signing.PUBLIC, str(signing.new_keys(tmp_path / "keys")[1]))
    check_refused(bucket, "is not signed, and GRAFT_PUBLIC_KEY asks for a signature")


def test_what_was_pulled_before_signatures_were_asked_for_is_not_taken(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(bucket, tmp_path, 1)
    cache.pull(V1)
    monkeypatch.setenv(signing.PUBLIC, str(signing.new_keys(tmp_path / "keys")[1]))
    for offline in ("", "1"):
        monkeypatch.setenv("GRAFT_OFFLINE", offline)
        with pytest.raises(BadInput, match="is not signed" if not offline else "not on this machine"):
            cache.pull(V1)


def test_another_keys_signature_is_refused(
    bucket: Bucket, keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(bucket, tmp_path, 1)
    monkeypatch.setenv(signing.PUBLIC, str(signing.new_keys(tmp_path / "others")[1]))
    check_refused(bucket, "does not fit GRAFT_PUBLIC_KEY")


def test_an_altered_receipt_or_signature_is_refused_even_when_its_seal_was_made_anew(
    bucket: Bucket, keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = published(bucket, tmp_path, 1)
    monkeypatch.setenv(signing.PUBLIC, str(keys[1]))
    forged = releases.receipt.write(held.receipt.model_copy(update={"replaces": None, "published": _by("eve", held)}))
    true, key = bucket.read(signature_of(bucket), 10**5).data, f"{held.folder}receipt.json"
    put = bucket._client.put_object
    put(Bucket=bucket.store.bucket, Key=key, Body=forged)
    check_refused(bucket, "is missing: the release is not signed")
    put(Bucket=bucket.store.bucket, Key=releases._signature_key(releases.Held(held.receipt, forged)), Body=true)
    check_refused(bucket, "does not fit GRAFT_PUBLIC_KEY")
    put(Bucket=bucket.store.bucket, Key=key, Body=held.data)
    for altered in (true.replace(b"sig", b"gis", 1), true[:-1], b"{}", b"[]", b"null", b"", b" " + true, b"[" * 10**5):
        put(Bucket=bucket.store.bucket, Key=releases._signature_key(held), Body=altered)
        check_refused(bucket, "is altered|does not fit")
    put(Bucket=bucket.store.bucket, Key=releases._signature_key(held), Body=true)
    assert cache.pull(V1).receipt == held.receipt


def _by(who: str, held: releases.Held) -> object:
    return held.receipt.published.model_copy(update={"by": who})


def test_several_public_keys_let_keys_be_changed(
    bucket: Bucket, keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = signing.new_keys(tmp_path / "new")
    published(bucket, tmp_path, 1)
    monkeypatch.setenv(signing.PRIVATE, str(private))
    published(bucket, tmp_path, 2)
    monkeypatch.setenv(signing.PUBLIC, os.pathsep.join(map(str, (keys[1], public))))
    for version in ("v1", "v2"):
        cache.pull(reference(f"plants@{version}"))
    monkeypatch.setenv(signing.PUBLIC, str(public))
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "other"))
    check_refused(bucket, "does not fit GRAFT_PUBLIC_KEY")
    cache.pull(reference("plants@v2"))


def test_a_locked_key_signs_with_its_password_alone(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(signing.PASSWORD, "correct horse")
    private, public = signing.new_keys(tmp_path / "keys")
    assert b"ENCRYPTED" in private.read_bytes()
    monkeypatch.setenv(signing.PRIVATE, str(private))
    for password in ("battery staple", None):
        monkeypatch.delenv(signing.PASSWORD) if password is None else monkeypatch.setenv(signing.PASSWORD, password)
        with pytest.raises(BadInput, match="GRAFT_PRIVATE_KEY: .* cannot sign") as caught:
            releases.publish(bucket, *draft(tmp_path, 1))
        assert "battery" not in str(caught.value) and "\n" not in str(caught.value)
    assert releases.versions(bucket, "plants") == []
    monkeypatch.setenv(signing.PASSWORD, "correct horse")
    assert releases.publish(bucket, *draft(tmp_path, 1)).receipt.version == "v1"  # the same attempt, finished
    monkeypatch.setenv(signing.PUBLIC, str(public))
    cache.pull(V1)


@pytest.mark.parametrize(
    ("content", "told"), [(None, "which is no file; graft keys new makes a pair"), (b"no key", "cannot sign")]
)
def test_a_private_key_that_cannot_be_used_is_named(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, told: str
) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(content) if content else None
    monkeypatch.setenv(signing.PRIVATE, str(key))
    with pytest.raises(BadInput, match=f"GRAFT_PRIVATE_KEY.*{told}"):
        releases.publish(bucket, *draft(tmp_path, 1))
    assert releases.versions(bucket, "plants") == []


@pytest.mark.parametrize("content", [None, b"no key"])
def test_a_public_key_that_cannot_be_used_is_named_and_nothing_passes(
    bucket: Bucket, keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    published(bucket, tmp_path, 1)
    key = tmp_path / "key.pem"
    key.write_bytes(content) if content else None
    monkeypatch.setenv(signing.PUBLIC, str(key))
    with pytest.raises(BadInput, match="GRAFT_PUBLIC_KEY"):
        cache.pull(V1)


def test_new_keys_are_never_overwritten_and_the_private_one_is_its_owners(tmp_path: Path) -> None:
    os.umask(os.umask(0o777))  # whatever it is
    private, public = signing.new_keys(tmp_path / "keys")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes(), public.read_bytes()
    with pytest.raises(BadInput, match="keys are never overwritten"):
        signing.new_keys(tmp_path / "keys")
    public.unlink()
    with pytest.raises(BadInput, match="keys are never overwritten"):
        signing.new_keys(tmp_path / "keys")
    assert (private.read_bytes(), public.exists()) == (before[0], False)


def test_the_commands_make_keys_sign_and_refuse(bucket: Bucket, tmp_path: Path) -> None:
    assert "keep it out of git" in child.run(tmp_path, "graft", "keys", "new", "keys").done()
    private, public = (str(tmp_path / "keys" / name) for name in signing.NAMES)
    child.run(tmp_path, "publish", ".", "plants", "1", GRAFT_PRIVATE_KEY=private).done()
    child.run(tmp_path, "publish", ".", "plants", "2").done()
    child.run(tmp_path, "graft", "pull", "plants@v1", GRAFT_PUBLIC_KEY=public).done()
    for command in (("pull", "plants@v2"), ("show", "plants@v2"), ("promote", "plants@v2", "staging")):
        line = child.run(tmp_path, "graft", *command, GRAFT_PUBLIC_KEY=public).line(1)
        assert "models/plants/v2/receipt-" in line and "is not signed" in line
    assert "keys are never overwritten" in child.run(tmp_path, "graft", "keys", "new", "keys").line(1)
    refused = child.run(tmp_path, "graft", "pull", "plants@v1", GRAFT_PUBLIC_KEY="nowhere.pem")
    assert "GRAFT_PUBLIC_KEY is nowhere.pem, which is no file" in refused.line(1)
