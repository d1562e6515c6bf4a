"""Who may do what. Everything is refused that is not allowed here."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from pipeline.serve.web.accounts import Accounts, Identity
from pipeline.serve.web.sessions import Sessions
from pipeline.serve.web.settings import Role, WebSettings

PUBLIC = frozenset(
    {
        ("GET", "/healthz"),
        ("GET", "/login"),
        ("POST", "/login"),
        ("POST", "/logout"),
        ("GET", "/static/icon.svg"),
        ("GET", "/static/login.js"),
        ("GET", "/static/style.css"),
    }
)
ADMIN = frozenset({("GET", "/api/audit")})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN = Identity("local", "admin")
NOBODY = Identity("nobody", "viewer")


def needed(method: str, path: str) -> Role | None:
    """The role that a request needs at least; None: anyone may. A WebSocket counts as GET."""
    if (method, path) in PUBLIC:
        return None
    settings = path.startswith("/api/cameras/") and path.endswith("/settings")
    return "admin" if method not in SAFE or (method, path) in ADMIN or settings else "viewer"


def _is_forwarded(name: str) -> bool:
    return name in ("forwarded", "x-real-ip") or name.startswith("x-forwarded-")


class Guard:
    """Admits requests or refuses them before anything of them but the head is read."""

    def __init__(self, settings: WebSettings, accounts: Accounts, sessions: Sessions) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._open = settings.open
        names = {name.lower() for name in settings.hosts} | LOOPBACK
        self._hosts = names if settings.hosts or settings.open else None

    def admit(self, connection: HTTPConnection) -> Identity:
        """Who asks.

        Raises:
            HTTPException: 400 under a foreign name, 401 who is not known, 403 who may not, or where another site asks,
                404 a path that routes and roles would read differently: a route matches before a last line feed, too.
        """
        method = str(connection.scope.get("method", "GET"))
        if not connection.scope["path"].isprintable():
            raise HTTPException(404, "there is nothing there")
        self._check_host(connection.headers)
        self._check_proxy(connection.headers)
        _check_site(connection, method)
        identity = self.identify(connection)
        role = needed(method, connection.scope["path"])
        if role is None:
            return identity or NOBODY
        if identity is None:
            raise HTTPException(401, "sign in first", {"WWW-Authenticate": "Bearer"})
        if role == "admin" and identity.role != "admin":
            raise HTTPException(403, "only an admin may do this")
        return identity

    def identify(self, connection: HTTPConnection) -> Identity | None:
        """Who asks, by token or by cookie; None: nobody that is known (any more)."""
        if self._open:
            return OPEN
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme:
            return self._accounts.by_token(token.strip()) if scheme.lower() == "bearer" else None
        return self._sessions.get(connection.cookies.get(cookie_name(connection), ""))

    def _check_host(self, headers: Mapping[str, str]) -> None:
        """Keeps out a foreign name that has been pointed at this machine (DNS rebinding)."""
        if self._hosts is not None and _host_of(f"//{headers.get('host', '')}") not in self._hosts:
            raise HTTPException(400, "unknown host; list it in 'hosts' of the page's settings")

    def _check_proxy(self, headers: Mapping[str, str]) -> None:
        """Keeps the open page from being shown to others by a proxy on this machine."""
        if self._open and any(_is_forwarded(name) for name in headers):
            raise HTTPException(403, "a proxy shows this page to others: give it 'users' or 'tokens' first")


def cookie_name(connection: HTTPConnection) -> str:
    """Under TLS browsers let nobody but this very host set it."""
    return "__Host-onsight" if is_secure(connection) else "onsight"


def is_secure(connection: HTTPConnection) -> bool:
    """It came over TLS, to this server or to a proxy that it believes."""
    return connection.scope.get("scheme") in ("https", "wss")


def _check_site(connection: HTTPConnection, method: str) -> None:
    """Keeps other sites from using a browser that is signed in here."""
    headers = connection.headers
    changes = method not in SAFE or connection.scope["type"] == "websocket"
    site = headers.get("sec-fetch-site", "none")
    visits = not changes and headers.get("sec-fetch-mode") == "navigate"
    if site not in ("none", "same-origin") and not visits:
        raise HTTPException(403, "another site asks")
    if not changes:
        return
    origin = headers.get("origin")
    if origin is None and "cookie" in headers and site != "same-origin":
        raise HTTPException(403, "a request with a cookie needs its Origin")
    if origin is not None and _netloc_of(origin) != headers.get("host", "").lower():
        raise HTTPException(403, "another site asks")


def _netloc_of(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
