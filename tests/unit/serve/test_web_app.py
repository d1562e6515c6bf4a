"""The app in this process: who is let in, and what the routes answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.testclient import WebSocketDenialResponse
from support.serving import START, FakeCameras, FakeEvents, picture, shown

from pipeline.serve.live import Live
from pipeline.serve.web.accounts import hash_token, new_token
from pipeline.serve.web.app import create_app
from pipeline.serve.web.guard import PUBLIC, needed
from pipeline.serve.web.settings import WebSettings

HOME = "http://127.0.0.1:8080"
SOCKET = "ws://127.0.0.1:8080/api/live"
PASSWORD = "correct horse"
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)  # a quick one
TOKENS = {"viewer": new_token(), "admin": new_token()}
SETTINGS: dict[str, Any] = {
    "users": {"anna": {"role": "admin", "password": HASH}, "ben": {"password": HASH}},
    "tokens": {role: {"role": role, "token": hash_token(token)} for role, token in TOKENS.items()},
    "notice": "Events are kept for 14 days.",
}


class World:
    """An app and everything around it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.live = Live(rate=1e9)
        self.cameras = FakeCameras("gate", "yard")
        self.events = FakeEvents(folder)
        self.app: FastAPI = create_app(WebSettings(**settings), self.live, self.cameras, self.events)
        self.client = TestClient(self.app, base_url=HOME)

    def as_role(self, role: str) -> TestClient:
        return TestClient(self.app, base_url=HOME, headers={"Authorization": f"Bearer {TOKENS[role]}"})

    def sign_in(self, name: str = "anna", password: str = PASSWORD, **headers: str) -> Any:
        credentials = {"name": name, "password": password}
        return self.client.post("/login", json=credentials, headers={"Origin": HOME, **headers})


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Users and tokens are needed."""
    return World(tmp_path, **SETTINGS)


@pytest.fixture
def home(tmp_path: Path) -> World:
    """Nobody has to sign in."""
    return World(tmp_path)


# Every route


def routes_of(routes: list[BaseRoute]) -> Iterator[Route | WebSocketRoute]:
    for route in routes:
        if isinstance(route, Route | WebSocketRoute):
            yield route
        else:
            inner = getattr(route, "original_router", None)
            assert inner is not None, f"{route} is of a kind that this test cannot look into"
            yield from routes_of(inner.routes)


def table(folder: Path) -> list[tuple[str, str]]:
    found = []
    for route in routes_of(World(folder, **SETTINGS).app.routes):
        methods = route.methods or () if isinstance(route, Route) else ("WEBSOCKET",)
        found += [(method, route.path) for method in methods]
    return sorted(found)


ROUTES = table(Path())


def answer(client: TestClient, method: str, path: str, **headers: str) -> int:
    path = path.format(name="gate", id="000001")
    if method != "WEBSOCKET":
        return client.request(method, path, headers=headers, follow_redirects=False).status_code
    try:
        with client.websocket_connect(SOCKET.replace("/api/live", path), headers=headers):
            return 101
    except WebSocketDenialResponse as refusal:
        return refusal.status_code


def test_the_walk_sees_every_route(world: World) -> None:
    documented = {(method.upper(), path) for path, each in world.app.openapi()["paths"].items() for method in each}
    assert documented < set(ROUTES)
    hidden = {("GET", "/"), ("GET", "/login"), ("GET", "/static/{name}"), ("GET", "/openapi.json")}
    assert set(ROUTES) - documented == hidden | {("HEAD", "/openapi.json"), ("WEBSOCKET", "/api/live")}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_strangers_are_refused(world: World, method: str, path: str) -> None:
    if (method, path) in PUBLIC:
        return
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "onsight=wrong", "Origin": HOME}):
        code = answer(world.client, method, path, **headers)
        assert code == (303 if path == "/" else 401)
    assert answer(world.client, method, path, Authorization="Basic YW5uYTpjb3JyZWN0IGhvcnNl") in (303, 401)
    assert world.events.log == []


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_viewers_change_nothing(world: World, method: str, path: str) -> None:
    if (method, path) in PUBLIC or needed("GET" if method == "WEBSOCKET" else method, path) == "viewer":
        return
    assert answer(world.as_role("viewer"), method, path) == 403
    assert world.events.log == []


@pytest.mark.parametrize("end", ["%0A", "%0D", "%0B", "%00", "%C2%85"])
def test_a_line_feed_behind_a_path_does_not_make_another_role_of_it(world: World, end: str) -> None:
    assert world.as_role("viewer").get(f"/api/audit{end}").status_code == 404
    assert world.as_role("viewer").delete(f"/api/events/000001{end}").status_code == 404
    assert world.events.log == []


def test_what_viewers_and_strangers_may_is_what_it_should_be() -> None:
    for_admins = {each for each in ROUTES if each not in PUBLIC and needed(*each) == "admin" and each[0] != "WEBSOCKET"}
    assert for_admins == {
        ("GET", "/api/audit"),
        ("GET", "/api/cameras/{name}/settings"),
        ("POST", "/api/cameras"),
        ("PUT", "/api/cameras/{name}"),
        ("DELETE", "/api/cameras/{name}"),
        ("DELETE", "/api/events/{id}"),
    }
    assert {path for _, path in PUBLIC} == {
        "/healthz",
        "/login",
        "/logout",
        "/static/icon.svg",
        "/static/login.js",
        "/static/style.css",
    }


def test_what_is_public_gives_nothing_away(world: World) -> None:
    for method, path in PUBLIC - {("POST", "/login")}:
        reply = world.client.request(method, path)
        assert reply.status_code in (200, 204)
        assert "gate" not in reply.text


def test_strangers_are_told_what_is_recorded(tmp_path: Path, world: World) -> None:
    assert '<p id="notice">Events are kept for 14 days.</p>' in world.client.get("/login").text
    spiked = World(tmp_path, **{**SETTINGS, "notice": "<script>alert(1)</script> & more"})
    assert '<p id="notice">&lt;script&gt;alert(1)&lt;/script&gt; &amp; more</p>' in spiked.client.get("/login").text


@pytest.mark.parametrize("path", ["/nowhere", "/api/events/", "/static/app.js", "/docs", "/redoc", "/static/../api/me"])
def test_strangers_do_not_learn_what_is_there(world: World, path: str) -> None:
    assert world.client.get(path).status_code == 401


# Signing in


def test_signing_in_and_out(world: World) -> None:
    assert world.client.get("/", follow_redirects=False).headers["location"] == "/login"
    reply = world.sign_in()
    assert reply.status_code == 204
    cookie = reply.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= {part.strip() for part in cookie.split(";")}
    assert world.client.get("/").status_code == 200
    assert world.client.get("/api/me").json() == {
        "name": "anna",
        "role": "admin",
        "can_sign_out": True,
        "notice": "Events are kept for 14 days.",
    }
    stolen = world.client.cookies["onsight"]
    assert world.client.post("/logout", headers={"Origin": HOME}).status_code == 204
    world.client.cookies.set("onsight", stolen)
    assert world.client.get("/api/me").status_code == 401
    assert [action for _, action, _ in world.events.told] == ["sign in", "sign out"]


def test_under_tls_the_cookie_never_travels_in_plain_text(world: World) -> None:
    client = TestClient(world.app, base_url="https://127.0.0.1:8080")
    reply = client.post("/login", json={"name": "ben", "password": PASSWORD})
    assert reply.headers["set-cookie"].startswith("__Host-onsight=")
    assert "Secure" in reply.headers["set-cookie"]


def test_a_wrong_password_is_refused_and_logged(world: World) -> None:
    reply = world.sign_in(password="guess")
    assert (reply.status_code, reply.json()) == (401, {"detail": "wrong name or password"})
    assert "set-cookie" not in reply.headers
    assert world.sign_in("nobody").status_code == 401
    assert [(user, action) for user, action, _ in world.events.told] == [
        ("anna", "sign-in refused"),
        ("nobody", "sign-in refused"),
    ]


def test_guessing_is_slowed_down(world: World) -> None:
    world.app.state.parts.limiter._clock = lambda: 0.0
    codes = [world.sign_in(password=f"guess {number}").status_code for number in range(6)]
    assert codes == [401] * 5 + [429]
    reply = world.sign_in()  # the right one has to wait, too
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")


def test_a_large_body_is_refused_unread(world: World) -> None:
    assert world.client.post("/login", json={"name": "a", "password": "x" * 100_000}).status_code == 413


def test_a_refused_password_is_not_repeated(world: World) -> None:
    reply = world.client.post("/login", json={"name": "a", "password": "secret" * 200})
    assert reply.status_code == 422
    assert "secret" not in reply.text


# Other sites


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:8081", "http://[", ""])
def test_another_site_cannot_use_the_session(world: World, origin: str) -> None:
    world.sign_in()
    assert answer(world.client, "DELETE", "/api/cameras/gate", Origin=origin) == 403
    assert answer(world.client, "WEBSOCKET", "/api/live", Origin=origin) == 403
    assert "gate" in world.cameras.cameras


def test_a_session_that_changes_something_tells_where_it_comes_from(world: World) -> None:
    world.sign_in()
    assert answer(world.client, "DELETE", "/api/cameras/gate") == 403
    assert answer(world.client, "WEBSOCKET", "/api/live") == 403
    assert answer(world.client, "DELETE", "/api/cameras/gate", Origin=HOME) == 204
    assert answer(world.client, "WEBSOCKET", "/api/live", Origin=HOME) == 101


def test_another_site_cannot_embed_pictures(home: World) -> None:
    other = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert home.client.get("/api/cameras", headers=other).status_code == 403
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert home.client.get("/", headers=visit).status_code == 200
    assert home.client.post("/api/cameras", json={}, headers=visit).status_code == 403


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "forwarded", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP"]
)
def test_a_proxy_does_not_reach_the_open_page(home: World, world: World, header: str) -> None:
    headers = {header: "192.0.2.7"}
    reply = home.client.get("/api/cameras", headers=headers)
    assert reply.status_code == 403
    assert reply.json() == {"detail": "a proxy shows this page to others: give it 'users' or 'tokens' first"}
    assert answer(home.client, "WEBSOCKET", "/api/live", **headers) == 403
    assert world.as_role("viewer").get("/api/cameras", headers=headers).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "[", "192.168.1.4"])
def test_a_foreign_name_does_not_reach_the_open_page(home: World, host: str) -> None:
    assert home.client.get("/api/cameras", headers={"Host": host}).status_code == 400
    assert answer(home.client, "WEBSOCKET", "/api/live", Host=host, Origin=f"http://{host}") in (400, 403)


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080"])
def test_this_machine_reaches_the_open_page(home: World, host: str) -> None:
    assert home.client.get("/api/me", headers={"Host": host}).json()["role"] == "admin"


def test_only_the_names_given_reach_the_page(tmp_path: Path) -> None:
    world = World(tmp_path, **SETTINGS, hosts=("cameras.example.org",))
    assert world.client.get("/healthz", headers={"Host": "cameras.example.org"}).status_code == 200
    assert world.client.get("/healthz", headers={"Host": "evil.example"}).status_code == 400


def test_every_answer_carries_the_headers(world: World) -> None:
    for reply in (world.client.get("/login"), world.client.get("/api/me"), world.as_role("admin").get("/api/nowhere")):
        assert "script-src 'self'" in reply.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["cache-control"] == "no-store"


def test_the_page_needs_nothing_from_elsewhere_and_nothing_inline() -> None:
    from pipeline.serve.web.signin import static_files

    for name, content in static_files().items():
        text = content.decode()
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("https:", "", 1), name
        if name.endswith(".html"):
            assert "<style" not in text
            assert " style=" not in text
            assert "<script>" not in text
            assert " on" not in text.replace(" one", "")


# What the routes answer


def test_cameras(world: World) -> None:
    admin = world.as_role("admin")
    (gate, _) = admin.get("/api/cameras").json()
    assert (gate["name"], gate["state"], gate["fps"], gate["reason"]) == ("gate", "live", 24.9, None)
    spec = {"source": "rtsp://192.0.2.1/"}
    assert admin.post("/api/cameras", json={"name": "dock", "spec": spec}).status_code == 204
    assert admin.post("/api/cameras", json={"name": "dock", "spec": spec}).json() == {
        "detail": "there is a camera 'dock' already"
    }
    assert admin.put("/api/cameras/dock", json={"source": 3}).status_code == 422
    assert admin.put("/api/cameras/dock", json={"source": "0"}).status_code == 204
    assert world.cameras.specs["dock"] == {"source": "0"}
    assert admin.put("/api/cameras/dock", json={"source": "rtsp://me:hush@192.0.2.1/", "every": 2}).status_code == 204
    settings = admin.get("/api/cameras/dock/settings")
    assert settings.json() == {"source": "rtsp://192.0.2.1/", "masks": None, "zones": None, "every": 2}
    assert admin.get("/api/cameras/none/settings").status_code == 404
    assert admin.delete("/api/cameras/dock").status_code == 204
    assert admin.delete("/api/cameras/dock").status_code == 404
    assert admin.put("/api/cameras/dock", json=spec).status_code == 404
    assert world.events.told == [
        ("token admin", f"{verb} camera", "dock") for verb in ("add", *["change"] * 2, "remove")
    ]


def test_events_come_in_pages(world: World) -> None:
    for number in range(5):
        world.events.put(number, thumbnail=f"{number}.jpg" if number else None)
    viewer = world.as_role("viewer")
    page = viewer.get("/api/events", params={"limit": 3}).json()
    assert [event["id"] for event in page["events"]] == ["000004", "000003", "000002"]
    assert page["events"][0]["thumbnail"] == "/api/events/000004/thumbnail"
    assert page["events"][0]["clip"] is None
    rest = viewer.get("/api/events", params={"limit": 3, "before": page["next"]}).json()
    assert [event["id"] for event in rest["events"]] == ["000001", "000000"]
    assert rest["next"] is None


def test_events_are_searched(world: World) -> None:
    world.events.put(1, camera="gate", label="person")
    world.events.put(2, camera="yard", label="car")
    world.events.put(3, camera="yard", label="dog")
    viewer = world.as_role("viewer")

    def found(**asked: Any) -> list[str]:
        return [event["label"] for event in viewer.get("/api/events", params=asked).json()["events"]]

    assert found(camera="yard") == ["dog", "car"]
    assert found(label=["dog", "person"]) == ["dog", "person"]
    assert found(since="2026-03-01T13:02:00+01:00", until="2026-03-01T12:02:00Z") == ["car"]
    assert ("token viewer", "search events", "camera=yard") in world.events.told


def test_gaps_come_in_pages_and_are_searched(world: World) -> None:
    for number, camera in enumerate(("gate", "yard", "yard")):
        world.events.miss(number, START + timedelta(minutes=10 * number), None if number == 2 else 90, camera)
    viewer = world.as_role("viewer")
    page = viewer.get("/api/gaps", params={"limit": 2}).json()
    assert page["gaps"][0] == {
        "id": "000002",
        "camera": "yard",
        "start": "2026-03-01T12:20:00Z",
        "end": None,
        "reason": "Connection refused",
    }
    rest = viewer.get("/api/gaps", params={"limit": 2, "before": page["next"]}).json()
    assert ([gap["id"] for gap in rest["gaps"]], rest["next"]) == (["000000"], None)
    asked = {"camera": "yard", "until": "2026-03-01T12:15:00Z"}
    assert [gap["id"] for gap in viewer.get("/api/gaps", params=asked).json()["gaps"]] == ["000001"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"since": "2026-03-01T12:00:00"}, "since: Input should have timezone info"),
        ({"since": "0001-01-01T00:00:00+05:00"}, "since: the time is out of range"),
        ({"limit": "0"}, "limit: Input should be greater than or equal to 1"),
        ({"label": "a\0b"}, "label.0: it has characters that cannot be printed"),
    ],
)
def test_a_bad_question_is_told_in_one_line(world: World, asked: dict[str, str], message: str) -> None:
    reply = world.as_role("viewer").get("/api/events", params=asked)
    assert (reply.status_code, reply.json()) == (422, {"detail": message})


def test_files_of_an_event(world: World, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"a picture")
    (tmp_path / "1.mp4").write_bytes(b"0123456789")
    world.events.put(1, thumbnail="1.jpg", clip="1.mp4", camera='a "gate"/..')
    world.events.put(2, clip="gone.mp4")
    viewer = world.as_role("viewer")
    assert viewer.get("/api/events/000001/thumbnail").content == b"a picture"
    part = viewer.get("/api/events/000001/clip", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["content-type"]) == (206, b"234", "video/mp4")
    saved = viewer.get("/api/events/000001/clip", params={"download": "true"})
    assert saved.headers["content-disposition"] == 'attachment; filename="a-gate-..-person-2026-03-01T12-01-00Z.mp4"'
    assert viewer.get("/api/events/000002/clip").status_code == 404
    assert viewer.get("/api/events/000002/thumbnail").status_code == 404
    assert viewer.get("/api/events/000003/clip").status_code == 404
    assert [action for _, action, _ in world.events.told] == ["view thumbnail", "view clip", "export clip"]


@pytest.mark.parametrize("id", ["..%2f..%2fetc%2fpasswd", "%2e%2e", "..%5c..", "1.jpg", "%00"])
def test_ids_are_no_paths(world: World, tmp_path: Path, id: str) -> None:
    (tmp_path / "1.jpg").write_bytes(b"a picture")
    assert world.as_role("admin").get(f"/api/events/{id}/thumbnail").status_code in (404, 422)
    assert world.as_role("admin").get(f"/static/{id}").status_code == 404


def test_an_event_is_deleted(world: World) -> None:
    world.events.put(1)
    admin = world.as_role("admin")
    assert admin.delete("/api/events/000001").status_code == 204
    assert admin.get("/api/events/000001").status_code == 404
    assert world.events.told == [("token admin", "delete event", "000001: person, gate")]


def test_the_audit_log(world: World) -> None:
    admin = world.as_role("admin")
    for _ in range(3):
        admin.get("/api/events")
    told = [(entry["user"], entry["action"], entry["what"]) for entry in admin.get("/api/audit").json()]
    assert told == [("token admin", "view audit log", ""), ("token admin", "search events", "all")]


def test_health_readiness_and_figures(world: World) -> None:
    world.cameras.put("yard", "waiting", latency=None, gaps=2, dropped=7)
    viewer = world.as_role("viewer")
    assert world.client.get("/healthz").text == "ok"
    assert viewer.get("/readyz").json() == {"ready": True, "cameras": 2, "live": 1}
    lines = viewer.get("/metrics").text.splitlines()
    assert 'onsight_camera_state{camera="gate",state="live"} 1.0' in lines
    assert 'onsight_camera_state{camera="yard",state="live"} 0.0' in lines
    assert 'onsight_camera_dropped_total{camera="yard"} 7.0' in lines
    assert 'onsight_camera_latency_p99_seconds{camera="gate"} 0.041' in lines


def test_a_memory_that_does_not_answer_is_not_ready(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.errors import SinkError

    def fail(**_: Any) -> None:
        raise SinkError("the disk is full")

    monkeypatch.setattr(world.events, "search", fail)
    for path in ("/readyz", "/api/events"):
        reply = world.as_role("viewer").get(path)
        assert (reply.status_code, reply.json()["detail"]) == (503, "the disk is full")


def test_telemetry_of_the_framework_is_off(world: World) -> None:
    assert not world.app._native_telemetry.enabled()
    assert not world.app._telemetry["auto_configure"]


# Live


def test_the_socket_tells_the_state_and_shows_what_is_asked_for(home: World) -> None:
    home.events.put(1)
    with home.client.websocket_connect(SOCKET, headers={"Origin": HOME}) as socket:
        first = socket.receive_json()
        assert [camera["name"] for camera in first["cameras"]] == ["gate", "yard"]
        socket.send_json({"cameras": ["gate", "unknown"]})
        socket.send_text("nonsense")
        while home.live.watching != {"gate": 1}:
            socket.receive()
        home.live.publish("gate", shown(picture()))
        message = socket.receive()
        while "text" in message:
            message = socket.receive()
        assert message["bytes"][-2:] == b"\xff\xd9"
    assert ("local", "watch", "gate") in home.events.told


def test_the_mark_changes_with_the_events(home: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.serve.web.board.INTERVAL", 0.0)
    monkeypatch.setattr("pipeline.serve.web.watching.INTERVAL", 0.0)
    with home.client.websocket_connect(SOCKET) as socket:
        mark = socket.receive_json()["events"]
        assert socket.receive_json()["events"] == mark
        home.events.put(1)
        while (seen := socket.receive_json()["events"]) == mark:
            pass
        home.events.miss(1, START)
        while socket.receive_json()["events"] == seen:
            pass


def test_who_signs_out_watches_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.serve.web.watching.INTERVAL", 0.01)
    world.sign_in()
    with world.client.websocket_connect(SOCKET, headers={"Origin": HOME}) as socket:
        socket.receive_json()
        world.client.post("/logout", headers={"Origin": HOME})
        while (message := socket.receive())["type"] == "websocket.send":
            pass
        assert message["code"] == 4401


def test_a_snapshot_of_a_camera_that_gives_none(home: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.serve.web.watching._PATIENCE", 0.01)
    assert home.client.get("/api/cameras/gate/snapshot").status_code == 503
    assert home.client.get("/api/cameras/nowhere/snapshot").status_code == 404
    assert home.client.get("/api/cameras/nowhere/mjpeg").status_code == 404
    home.live.end()
    assert home.client.get("/api/cameras/gate/mjpeg").status_code == 503
