"""What is asked of a request before it is answered, and why it is not: a status and one line."""

import ipaddress
from collections.abc import Set
from email.message import Message
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from graft.modalities import image
from graft.serving.answers import Asked

STATUS = {
    "format": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "animated": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "mode": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}
"""Of a picture that breaks a rule; 400 for the others: it is empty or damaged."""
CURE = {
    "format": "save it as JPEG or PNG",
    "animated": "send one picture of it",
    "mode": "save it as RGB",
    "too_large": "make it smaller",
}


class Problem(Exception):
    """Why there is no answer: a status, and a line that says what was found and what would do."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


def sender(headers: Message, path: str, names: Set[str]) -> None:
    """Refuse what another site's page sends, and a call by a name that another site may have pointed here.

    A page of another site may send a picture here, but neither hide where it is from nor read the answer. If its own
    name leads here (DNS rebinding) it may do both, and calls this server by that name.

    Args:
        names: hosts that are this server's, beside addresses.

    Raises:
        Problem: it is one of these.
    """
    host, origin = headers.get("Host", "").lower(), headers.get("Origin", "").lower()
    if not is_ours(host, names):
        told = "call it by the address that graft serve printed, or name that host with --host"
        raise Problem(HTTPStatus.MISDIRECTED_REQUEST, f"called as {host!r}; {told}")
    foreign = headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and path != "/"
    if foreign or origin not in ("", f"http://{host}", f"https://{host}"):
        raise Problem(HTTPStatus.FORBIDDEN, "another site's page asks; open the page of graft serve itself")


def is_ours(host: str, names: Set[str]) -> bool:
    """Whether a Host header is an address, or one of `names`: no other site's name can be one of these."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name in names or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def asked(query: str) -> Asked:
    """`top=3&at_least=0.76&map=1` as what is asked.

    Raises:
        Problem: it says something else.
    """
    given = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    try:
        top, at_least = int(given.pop("top", "5")), float(given.pop("at_least", "0"))
        with_maps = {"0": False, "1": True}[given.pop("map", "0")]
    except (ValueError, KeyError):
        top = 0
    if given or not 1 <= top <= 1000 or not 0 <= at_least <= 1:
        told = "it takes top (1 to 1000), at_least (0 to 1) and map (0 or 1)"
        raise Problem(HTTPStatus.BAD_REQUEST, f"the address says {query!r}; {told}")
    return Asked(top, at_least, with_maps)


def length(headers: Message) -> int:
    """How many bytes a picture has, before one of them is read.

    Raises:
        Problem: that is not said, too many are, or it is a form around a picture.
    """
    text = headers.get("Content-Length")
    if text is None:
        raise Problem(HTTPStatus.LENGTH_REQUIRED, "the request does not say its Content-Length; send a whole file")
    if not (text.isascii() and text.isdigit()):
        raise Problem(HTTPStatus.BAD_REQUEST, f"Content-Length is {text!r}; it has to be a number of bytes")
    if len(text) > 18 or int(text) > image.MAX_BYTES:
        told = f"picture has {text[:18]} bytes; at most {image.MAX_BYTES} are taken; {CURE['too_large']}"
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, told)
    if headers.get_content_type() == "multipart/form-data":
        told = "the body is a form; send the file itself: curl --data-binary @picture.jpg"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, told)
    return int(text)


def refused(error: image.Refused) -> Problem:
    """What a picture that breaks a rule is answered."""
    cure = CURE.get(error.rule, "send another copy of the file")
    return Problem(STATUS.get(error.rule, HTTPStatus.BAD_REQUEST), f"{error}; {cure}")
