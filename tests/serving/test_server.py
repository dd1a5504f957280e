"""What the server answers, and to whom; what it refuses, in one line each; what it does when many ask."""

import http.client
import io
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import graft
from graft.core.errors import EnvironmentProblem
from graft.modalities import image
from graft.serving.answers import Answers, Asked, Busy, thresholds
from graft.serving.checks import is_ours
from graft.serving.server import Server
from tests.released import serving

ENOUGH_S = 60


@pytest.fixture(scope="module")
def server(released: Path) -> Iterator[Server]:
    with serving(released) as running:
        yield running


@pytest.fixture(scope="module")
def model(released: Path) -> graft.Model:
    return graft.load(released)


def encoded(pixels: Any, kind: str = "PNG") -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, kind)
    return held.getvalue()


def picture(seed: int = 0, kind: str = "PNG", shape: tuple[int, ...] = (50, 40, 3)) -> bytes:
    return encoded(np.random.default_rng(seed).integers(0, 256, shape, np.uint8), kind)


def ask(
    server: Server, body: bytes | None, path: str = "/predict", method: str = "POST", **headers: str
) -> tuple[int, Any, http.client.HTTPResponse]:
    """Status, what the JSON says, and the response."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=ENOUGH_S)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null"), response
    finally:
        connection.close()


def spoken(server: Server, text: bytes) -> socket.socket:
    """A connection on which `text` was said."""
    opened = socket.create_connection(("127.0.0.1", int(server.server_address[1])), timeout=ENOUGH_S)
    opened.sendall(text)
    return opened


def heard(opened: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    pieces = []
    while piece := opened.recv(65_536):
        pieces.append(piece)
    opened.close()
    return b"".join(pieces)


def right(model: graft.Model, data: bytes, path: Path) -> list[tuple[str, float]]:
    path.write_bytes(data)
    return model.predict(path).top(5)[0]


def told(answered: Any) -> list[tuple[str, float]]:
    return [(one["label"], one["probability"]) for one in answered["answers"]]


@pytest.mark.parametrize(
    ("kind", "shape"), [("PNG", (50, 40, 3)), ("JPEG", (600, 900, 3)), ("PNG", (64, 64, 4)), ("PNG", (30, 31))]
)
def test_the_answer_is_that_of_load_and_predict(
    server: Server, model: graft.Model, tmp_path: Path, kind: str, shape: tuple[int, ...]
) -> None:
    data = picture(1, kind, shape)
    status, answered, _ = ask(server, data)
    assert (status, answered["model"], answered["sure"]) == (200, "shapes@v1", True)
    assert told(answered) == right(model, data, tmp_path / "a")


def test_two_hundred_at_once_each_get_their_own_answer(server: Server, model: graft.Model, tmp_path: Path) -> None:
    pictures = [picture(seed) for seed in range(200)]
    with ThreadPoolExecutor(200) as senders:
        answers = list(senders.map(lambda data: ask(server, data), pictures))
    assert {status for status, *_ in answers} == {200}
    wanted = [right(model, data, tmp_path / "a") for data in pictures]
    assert [told(answered) for _, answered, _ in answers] == wanted
    assert len({str(one) for one in wanted}) == 200


def test_more_or_fewer_labels_a_threshold_and_maps_are_had_for_the_asking(server: Server, model: graft.Model) -> None:
    status, answered, _ = ask(server, picture(), "/predict?top=2&at_least=1&map=1")
    assert status == 200 and not answered["sure"] and len(answered["answers"]) == 2
    for one in answered["answers"]:
        found = np.array(one["map"])
        assert found.ndim == 2 and found.shape[0] == found.shape[1] >= 7
        assert found.min() >= 0 and found.max() in (0, 1)
    every = ask(server, picture(), "/predict?top=1000")[1]["answers"]
    assert sorted(one["label"] for one in every) == sorted(model.classes) and "map" not in every[0]


def test_the_page_and_what_it_knows_of_the_release(server: Server, model: graft.Model) -> None:
    status, said, response = ask(server, None, "/model", "GET")
    assert status == 200 and tuple(said["classes"]) == model.classes and said["model"] == "shapes@v1"
    assert said["max_bytes"] == image.MAX_BYTES and said["warning"] == ""
    connection = http.client.HTTPConnection("127.0.0.1", int(server.server_address[1]))
    connection.request("GET", "/")
    page = connection.getresponse()
    assert page.status == 200 and page.getheader("Content-Type") == "text/html; charset=utf-8"
    assert page.read().startswith(b"<!DOCTYPE html>")
    connection.close()
    for one in (response, page):
        policy = one.getheader("Content-Security-Policy") or ""
        assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "http" not in policy
        assert (
            one.getheader("X-Content-Type-Options") == "nosniff"
            and one.getheader("Access-Control-Allow-Origin") is None
        )
    assert ask(server, None, "/", "HEAD")[:2] == (200, None)


TEXT = b"only a text, whatever its name says\n" * 100
FIFTY_MEGAPIXELS = encoded(np.zeros((6250, 8000), np.uint8))


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (TEXT, 415, "content is no picture; JPEG and PNG are taken; save it as JPEG or PNG"),
        (picture(kind="GIF"), 415, "content is GIF; JPEG and PNG are taken; save it as JPEG or PNG"),
        (b"", 400, "the file is empty; send another copy of the file"),
        (picture(kind="JPEG")[:900], 400, "picture does not decode: OSError: image file is truncated"),
        (FIFTY_MEGAPIXELS, 413, "picture has 8000x6250 pixels; at most 25000000 are taken; make it smaller"),
        (b"\xff\xd8\xff" + bytes(image.MAX_BYTES), 413, "picture has 32000003 bytes; at most 32000000 are taken"),
    ],
)
def test_a_bad_picture_is_answered_in_a_line_and_the_next_one_as_ever(
    server: Server, body: bytes, status: int, said: str
) -> None:
    found, answered, response = ask(server, body)
    assert found == status and answered["error"].startswith(said) and list(answered) == ["error"]
    assert "\n" not in answered["error"] and response.getheader("Content-Type") == "application/json"
    assert ask(server, picture())[0] == 200


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ({"path": "/predict?top=0"}, 400, "the address says 'top=0'; it takes top (1 to 1000)"),
        ({"path": "/predict?at_least=nan"}, 400, "the address says 'at_least=nan'; it takes top"),
        ({"path": "/predict?map=yes"}, 400, "the address says 'map=yes'; it takes top"),
        ({"path": "/predict?tops=3"}, 400, "the address says 'tops=3'; it takes top"),
        ({"path": "/predictions"}, 404, "POST /predictions is nothing here; there are GET /"),
        ({"path": "/../../etc/passwd", "method": "GET"}, 404, "GET /../../etc/passwd is nothing here"),
        ({"path": "/predict", "method": "GET"}, 404, "GET /predict is nothing here"),
        ({"method": "PUT"}, 501, "Unsupported method ('PUT'); there are GET /"),
        ({"Content_Type": "multipart/form-data; boundary=x"}, 415, "the body is a form; send the file itself"),
        ({"Content_Length": "-1"}, 400, "Content-Length is '-1'; it has to be a number"),
        ({"Content_Length": "9" * 30}, 413, "picture has 999999999999999999 bytes; at most 32000000"),
        ({"Transfer_Encoding": "chunked"}, 411, "the request does not say its Content-Length"),
        ({"Host": "plants.example"}, 421, "called as 'plants.example'; call it by the address"),
        ({"Host": "plants.example:80", "path": "/model", "method": "GET"}, 421, "called as 'plants.example:80'"),
        ({"Origin": "http://plants.example"}, 403, "another site's page asks"),
        ({"Origin": "null"}, 403, "another site's page asks"),
        ({"Sec_Fetch_Site": "cross-site"}, 403, "another site's page asks"),
        ({"Sec_Fetch_Site": "same-site", "path": "/model", "method": "GET"}, 403, "another site's page asks"),
    ],
)
def test_a_request_that_should_not_be_is_told_why(
    server: Server, given: dict[str, str], status: int, said: str
) -> None:
    found, answered, _ = ask(server, picture(), **given)
    assert (found, answered["error"][: len(said)]) == (status, said)


def test_its_own_page_may_ask(server: Server) -> None:
    origin = server.url.rstrip("/")
    assert ask(server, picture(), Origin=origin, Sec_Fetch_Site="same-origin")[0] == 200


def test_a_size_is_refused_before_a_byte_of_the_body_and_a_welcome_one_asked_for(server: Server) -> None:
    head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: "
    refused = heard(spoken(server, f"{head}{image.MAX_BYTES + 1}\r\n\r\n".encode()))
    assert refused.startswith(b"HTTP/1.1 413 ")
    opened = spoken(server, f"{head}{len(picture())}\r\n\r\n".encode())
    assert opened.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    opened.sendall(picture())
    assert heard(opened).startswith(b"HTTP/1.1 200 ")


def test_what_is_no_http_and_a_body_that_ends_early_are_answered(server: Server) -> None:
    assert b'"error": "Bad HTTP' in heard(spoken(server, b"\x16\x03\x01 nonsense\r\n\r\n"))
    opened = spoken(server, b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nshort")
    opened.shutdown(socket.SHUT_WR)
    assert b'"error": "5 of 100 bytes arrived; send it again"' in heard(opened)


def test_who_is_too_slow_is_told_so_and_who_says_nothing_is_left(released: Path) -> None:
    with serving(released, patience_s=0.3) as server:
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
        slow, silent = spoken(server, head + b"drip"), spoken(server, b"GET /mod")
        answered = heard(slow)
        assert answered.startswith(b"HTTP/1.1 408 ") and b"the picture did not arrive within 0 s" in answered
        assert heard(silent) == b""


def test_one_too_many_is_told_to_come_again(released: Path) -> None:
    with serving(released, connections=2) as server:
        waiting = [spoken(server, b"GET /model HTTP/1.1\r\n") for _ in range(2)]
        status, answered, _ = ask(server, None, "/model", "GET")
        assert (status, answered) == (503, {"error": "2 are connected; come again"})
        for opened in waiting:
            opened.sendall(b"Host: localhost\r\n\r\n")
            assert heard(opened).startswith(b"HTTP/1.1 200 ")


def test_pictures_wait_for_room_and_not_for_ever(released: Path) -> None:
    with serving(released, patience_s=0.3) as server:
        while server.uploads.acquire(blocking=False):
            pass
        status, answered, _ = ask(server, picture())
        assert (status, answered) == (503, {"error": "others are being answered; ask again in a moment"})


def test_a_map_that_takes_too_long_is_given_up(released: Path) -> None:
    from graft.hub import cache

    answers = Answers(cache.open_folder(released))
    past = time.monotonic() - 1
    assert answers.answer(picture(), Asked(), past)["sure"]
    with pytest.raises(Busy, match="the map took too long"):
        answers.answer(picture(), Asked(with_maps=True), past)
    assert answers.answer(picture(), Asked(), past)["sure"], "it was given back"


def test_a_port_that_is_taken_and_a_host_that_is_not_ours_are_named(server: Server) -> None:
    port = int(server.server_address[1])
    with pytest.raises(EnvironmentProblem, match=f"port {port} of 127.0.0.1 is in use; name another with --port"):
        Server(server.answers, "127.0.0.1", port)
    with pytest.raises(EnvironmentProblem, match="--host 192.0.2.1: Cannot assign requested address; name an address"):
        Server(server.answers, "192.0.2.1", 0)


@pytest.mark.parametrize("host", ["127.0.0.1:80", "localhost", "LOCALHOST:8642", "[::1]:80", "10.0.0.7", "box.lan"])
def test_addresses_and_names_that_were_given_are_ours(host: str) -> None:
    assert is_ours(host, {"localhost", "box.lan"})


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[", "@", "1:2:3"]
)
def test_other_names_are_not(host: str) -> None:
    assert not is_ours(host, {"localhost", "box.lan"})


def test_thresholds_are_those_that_can_be_reached() -> None:
    one = {"wanted": 0.9, "confidence": 0.7, "coverage": 0.4, "accuracy": 0.91}
    found = {"seen": {"abstention": {"thresholds": [one, one | {"wanted": 0.99, "confidence": 1.2}]}}}
    assert thresholds({"evaluation": {"transfer": found}}) == [{"set": "seen", **one}]
    assert thresholds({"evaluation": {}}) == thresholds({}) == []
