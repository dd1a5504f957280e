"""Signatures over receipts, by OpenSSF model-signing 1.1 with a local key pair; loaded only where a key is configured.

A receipt holds the hash of every file, so its signature covers the whole release.
"""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from graft.core.errors import BadInput, EnvironmentProblem, one_line

PRIVATE, PUBLIC, PASSWORD = "GRAFT_PRIVATE_KEY", "GRAFT_PUBLIC_KEY", "GRAFT_KEY_PASSWORD"
NAMES = ("graft-private.pem", "graft-public.pem")


def new_keys(folder: Path) -> tuple[Path, Path]:
    """Make a key pair (ECDSA on the curve P-256) in `folder`: the private half, which its owner alone may read, and the
    public one. `GRAFT_KEY_PASSWORD`, if set, locks the private half.

    Raises:
        BadInput: a file of that name is there already.
    """
    _library()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private, public = (folder / name for name in NAMES)
    if there := [path for path in (private, public) if path.exists()]:
        raise BadInput(f"{there[0]} exists; keys are never overwritten: name another folder")
    password = _password()
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pair = ec.generate_private_key(ec.SECP256R1())
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    folder.mkdir(parents=True, exist_ok=True)
    _write_new(private, pair.private_bytes(pem, form, lock), 0o600)
    known = pair.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_new(public, known, 0o644)
    return private, public


def sign(receipt: bytes) -> bytes | None:
    """A signature over the receipt by the key that `GRAFT_PRIVATE_KEY` names; None if it names none.

    Raises:
        BadInput: the key cannot be used.
    """
    key = os.environ.get(PRIVATE)
    if not key:
        return None
    _library()
    from model_signing import signing

    with tempfile.TemporaryDirectory() as scratch:
        folder, signature = _lay_out(Path(scratch), receipt)
        try:
            signer: Any = signing.Config  # its constructor is not typed
            config = signer().use_elliptic_key_signer(private_key=_key_file(PRIVATE, key), password=_password())
            config.sign(folder, signature)
        except (ValueError, TypeError) as error:  # TypeError: a password is missing, or is not asked for
            raise BadInput(f"{PRIVATE}: {key} cannot sign: {one_line(str(error), 120)}") from None
        return _spelt(signature.read_bytes())


def check(receipt: bytes, fetch: Callable[[], bytes | None], where: str) -> None:
    """Nothing, unless `GRAFT_PUBLIC_KEY` names one or more keys: then one of them must have signed the receipt.

    Args:
        fetch: the signature as it is stored; None if there is none.
        where: its name, for the error's text.

    Raises:
        BadInput: there is no signature, or no key fits it.
    """
    keys = [key for key in os.environ.get(PUBLIC, "").split(os.pathsep) if key]
    if not keys:
        return
    signature = fetch()
    if signature is not None and signature != _spelt(signature):
        raise BadInput(f"{where} is altered: it is not as it was written; do not use this release")
    if signature is None:
        raise BadInput(
            f"{where} is missing: the release is not signed, and {PUBLIC} asks for a signature; "
            f"publish it with {PRIVATE} set"
        )
    _library()
    reasons = [_mismatch(receipt, signature, _key_file(PUBLIC, key)) for key in keys]
    if all(reasons):
        raise BadInput(f"{where} does not fit {PUBLIC}: {reasons[0]}; do not use this release")


def _mismatch(receipt: bytes, signature: bytes, key: Path) -> str:
    """Why the signature is not that of `key`; "" if it is."""
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    with tempfile.TemporaryDirectory() as scratch:
        folder, path = _lay_out(Path(scratch), receipt)
        path.write_bytes(signature)
        try:
            verifier: Any = verifying.Config  # its constructor is not typed
            verifier().use_elliptic_key_verifier(public_key=key).verify(folder, path)
        except InvalidSignature:
            return "another key signed it"
        except Exception as error:  # whatever a forged file makes of its parser means no
            return one_line(str(error), 120) or type(error).__name__
    return ""


def _spelt(signature: bytes) -> bytes:
    """The signature in its one spelling, so that no byte of it can change unseen; b"" if it is none."""
    try:
        return json.dumps(json.loads(signature), separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return b""


def _lay_out(scratch: Path, receipt: bytes) -> tuple[Path, Path]:
    """The receipt as the only file of a folder, which is what model-signing signs, and where its signature goes."""
    folder = scratch / "release"
    folder.mkdir()
    (folder / "receipt.json").write_bytes(receipt)
    return folder, scratch / "receipt.sig"


def _key_file(setting: str, key: str) -> Path:
    path = Path(key).expanduser()
    if not path.is_file():
        raise BadInput(f"{setting} is {one_line(key, 200)}, which is no file; graft keys new makes a pair")
    return path


def _password() -> bytes | None:
    """As bytes: model-signing 1.1 asks for text and hands it on to a library that takes bytes alone."""
    return os.environ.get(PASSWORD, "").encode() or None


def _library() -> Any:
    try:
        import model_signing
    except ImportError:
        raise EnvironmentProblem(
            "signatures need model-signing; install graft with the extra: graft[signing]"
        ) from None
    return model_signing


def _write_new(path: Path, data: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
