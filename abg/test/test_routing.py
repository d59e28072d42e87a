"""Which call a request is, and where it goes; no costly call gets by under another spelling."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abg import routing
from abg.call import Headers
from abg.canonical import canonical, is_odd
from abg.config import Config
from abg.endpoints import family_of, known_post
from abg.routing import Kind, Route, Router, origin

KEY: Headers = [(b"x-api-key", b"sk-ant-fake")]
BEARER: Headers = [(b"Authorization", b"Bearer sk-fake")]
CHATGPT: Headers = [(b"authorization", b"Bearer eyJ"), (b"chatgpt-account-id", b"acc")]
NONE: Headers = []


def route(method: str, target: str | bytes, headers: Headers = NONE, **settings: Any) -> Route:
    raw = target if isinstance(target, bytes) else target.encode()
    return Router(Config(**settings)).route(method.encode(), raw, headers)


# (target, headers, kind, dialect, endpoint, upstream, target for the vendor)
POSTS = [
    ("/v1/messages", KEY, "model", "anthropic", "messages", "anthropic", "/v1/messages"),
    (
        "/v1/messages?beta=true&x=%2F",
        KEY,
        "model",
        "anthropic",
        "messages",
        "anthropic",
        "/v1/messages?beta=true&x=%2F",
    ),
    ("/messages", NONE, "model", "anthropic", "messages", "anthropic", "/v1/messages"),
    ("/v1/messages?", KEY, "model", "anthropic", "messages", "anthropic", "/v1/messages?"),
    (
        "/v1/messages/count_tokens",
        KEY,
        "free",
        "anthropic",
        "count_tokens",
        "anthropic",
        "/v1/messages/count_tokens",
    ),
    (
        "/v1/messages/batches",
        KEY,
        "unmetered",
        "anthropic_other",
        "messages.batches",
        "anthropic",
        "/v1/messages/batches",
    ),
    (
        "/v1/messages/batches/msgbatch_1/cancel",
        KEY,
        "free",
        "anthropic_other",
        "messages.batches",
        "anthropic",
        "/v1/messages/batches/msgbatch_1/cancel",
    ),
    ("/v1/complete", KEY, "unmetered", "anthropic_other", "complete", "anthropic", "/v1/complete"),
    ("/v1/files", KEY, "free", "anthropic_other", "files", "anthropic", "/v1/files"),
    ("/v1/files", BEARER, "free", "openai_other", "files", "openai", "/v1/files"),
    ("/v1/responses", BEARER, "model", "openai_responses", "responses", "openai", "/v1/responses"),
    ("/responses", BEARER, "model", "openai_responses", "responses", "openai", "/v1/responses"),
    (
        "/v1/responses",
        CHATGPT,
        "model",
        "openai_responses",
        "responses",
        "chatgpt",
        "/backend-api/codex/responses",
    ),
    (
        "/responses?a=1",
        CHATGPT,
        "model",
        "openai_responses",
        "responses",
        "chatgpt",
        "/backend-api/codex/responses?a=1",
    ),
    ("/v1", CHATGPT, "unmetered", "openai_other", "other", "chatgpt", "/backend-api/codex/"),
    (
        "/v1/responses/compact",
        BEARER,
        "model",
        "openai_responses",
        "responses.compact",
        "openai",
        "/v1/responses/compact",
    ),
    (
        "/v1/responses/input_tokens",
        BEARER,
        "free",
        "openai_responses",
        "input_tokens",
        "openai",
        "/v1/responses/input_tokens",
    ),
    (
        "/v1/responses/resp_1/cancel",
        BEARER,
        "free",
        "openai_responses",
        "responses",
        "openai",
        "/v1/responses/resp_1/cancel",
    ),
    (
        "/v1/chat/completions",
        BEARER,
        "model",
        "openai_chat",
        "chat.completions",
        "openai",
        "/v1/chat/completions",
    ),
    (
        "/completions",
        NONE,
        "model",
        "openai_completions",
        "completions",
        "openai",
        "/v1/completions",
    ),
    (
        "/v1/embeddings",
        BEARER,
        "model",
        "openai_embeddings",
        "embeddings",
        "openai",
        "/v1/embeddings",
    ),
    (
        "/alpha/search",
        BEARER,
        "unmetered",
        "openai_other",
        "alpha.search",
        "openai",
        "/v1/alpha/search",
    ),
    ("/v1/batches", BEARER, "unmetered", "openai_other", "batches", "openai", "/v1/batches"),
    (
        "/v1/images/generations",
        BEARER,
        "unmetered",
        "openai_other",
        "images.generations",
        "openai",
        "/v1/images/generations",
    ),
    ("/v1/moderations", BEARER, "free", "openai_other", "moderations", "openai", "/v1/moderations"),
    # What only OpenAI has is unknown to Anthropic, and so it is not free there.
    (
        "/v1/moderations",
        KEY,
        "unmetered",
        "anthropic_other",
        "other",
        "anthropic",
        "/v1/moderations",
    ),
    ("/v1/new/thing", BEARER, "unmetered", "openai_other", "other", "openai", "/v1/new/thing"),
    (
        "/new/thing?q=1",
        KEY,
        "unmetered",
        "anthropic_other",
        "other",
        "anthropic",
        "/v1/new/thing?q=1",
    ),
    (
        "/v1/messages/new",
        NONE,
        "unmetered",
        "anthropic_other",
        "other",
        "anthropic",
        "/v1/messages/new",
    ),
    ("/api/feedback", KEY, "unmetered", "anthropic_other", "other", "anthropic", "/api/feedback"),
    ("/v2/things", BEARER, "unmetered", "openai_other", "other", "openai", "/v2/things"),
    ("/", BEARER, "unmetered", "openai_other", "other", "openai", "/"),
    # A prefix forces the vendor; the dialect is that of the path.
    ("/openai/v1/messages", KEY, "model", "anthropic", "messages", "openai", "/v1/messages"),
    (
        "/anthropic/v1/chat/completions",
        KEY,
        "model",
        "openai_chat",
        "chat.completions",
        "anthropic",
        "/v1/chat/completions",
    ),
    ("/anthropic/x", NONE, "unmetered", "anthropic_other", "other", "anthropic", "/v1/x"),
    ("/openai", NONE, "unmetered", "openai_other", "other", "openai", "/"),
]


@pytest.mark.parametrize("target, headers, kind, dialect, endpoint, upstream, sent", POSTS)
def test_posts_by_path(
    target: str, headers: Headers, kind: str, dialect: str, endpoint: str, upstream: str, sent: str
) -> None:
    found = route("POST", target, headers)
    assert found == Route(Kind(kind), dialect, endpoint, upstream, sent.encode())


@pytest.mark.parametrize("path", [row[0] for row in POSTS if row[2] == "model"])
def test_other_methods_on_known_calls_pass(path: str) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "DELETE"):
        assert route(method, path, BEARER).kind is Kind.FREE
    for method in ("PUT", "PATCH"):
        assert route(method, path, BEARER).kind is Kind.PASS


@pytest.mark.parametrize(
    "method, target, headers, dialect, upstream, sent",
    [
        (
            "GET",
            "/v1/models?limit=1000",
            KEY,
            "anthropic_other",
            "anthropic",
            "/v1/models?limit=1000",
        ),
        ("GET", "/v1/models", BEARER, "openai_other", "openai", "/v1/models"),
        (
            "GET",
            "/models?client_version=0.169.0",
            CHATGPT,
            "openai_other",
            "chatgpt",
            "/backend-api/codex/models?client_version=0.169.0",
        ),
        (
            "GET",
            "/v1/responses/resp_1",
            BEARER,
            "openai_responses",
            "openai",
            "/v1/responses/resp_1",
        ),
        (
            "GET",
            "/v1/messages/batches/b_1",
            KEY,
            "anthropic_other",
            "anthropic",
            "/v1/messages/batches/b_1",
        ),
        (
            "GET",
            "/v1/chat/completions/c_1",
            BEARER,
            "openai_chat",
            "openai",
            "/v1/chat/completions/c_1",
        ),
        ("HEAD", "/", NONE, "anthropic_other", "anthropic", "/"),
        ("HEAD", "/api/hello", NONE, "anthropic_other", "anthropic", "/api/hello"),
        ("GET", "/api/hello", NONE, "anthropic_other", "anthropic", "/api/hello"),
        ("HEAD", "/s/my-task/", NONE, "anthropic_other", "anthropic", "/"),
        ("DELETE", "/v1/files/f_1", BEARER, "openai_other", "openai", "/v1/files/f_1"),
        # A trailing slash makes no free call a paid one.
        ("GET", "/v1/models/", BEARER, "openai_other", "openai", "/v1/models/"),
    ],
)
def test_free_calls(
    method: str, target: str, headers: Headers, dialect: str, upstream: str, sent: str
) -> None:
    found = route(method, target, headers)
    assert (found.kind, found.dialect, found.upstream, found.target) == (
        Kind.FREE,
        dialect,
        upstream,
        sent.encode(),
    )


@pytest.mark.parametrize(
    "method, target",
    [
        ("GET", "/"),
        ("POST", "/x"),
        ("GET", "/v1/models"),
        ("POST", "/v1/files"),
        ("POST", "/api/hello"),
        ("OPTIONS", "*"),
        ("GET", "/favicon.ico"),
    ],
)
def test_what_is_nobodys_is_abgs_own_404(method: str, target: str) -> None:
    found = route(method, target)
    assert (found.kind, found.status) == (Kind.NOT_FOUND, 404)


@pytest.mark.parametrize(
    "headers, vendor",
    [
        ([(b"anthropic-version", b"2023-06-01")], "anthropic"),
        ([(b"Anthropic-Beta", b"x"), (b"Authorization", b"Bearer t")], "anthropic"),
        ([(b"X-Api-Key", b"k")], "anthropic"),
        ([(b"Authorization", b"Bearer sk-ant-oat01-x")], "anthropic"),
        ([(b"authorization", b"bearer   sk-ant-x")], "anthropic"),
        ([(b"Authorization", b"Bearer sk-proj-x")], "openai"),
        ([(b"Authorization", b"Basic sk-ant-x")], "openai"),
        ([(b"Cookie", b"x")], ""),
    ],
)
def test_other_paths_go_by_the_requests_own_auth(headers: Headers, vendor: str) -> None:
    assert route("GET", "/v1/models", headers).upstream == vendor


# -- disguises --------------------------------------------------------------------------------

DISGUISES = [
    "//v1/messages",
    "/v1//messages",
    "/v1/messages/",
    "/v1/messages//",
    "/v1/./messages",
    "/./v1/messages",
    "/x/../v1/messages",
    "/v1/messages/.",
    "/v1/messages/x/..",
    "/../v1/messages",
    "/V1/Messages",
    "/v1/MESSAGES",
    "/v1/%6dessages",
    "/v1/%6Dessages",
    "/v1%2fmessages",
    "/v1%2Fmessages",
    "/%2fv1/messages",
    "/v1/%256dessages",
    "/v1/%25256dessages",
    "/v1/messages;x",
    "/v1/messages;",
    "/v1;a=b/messages",
    "/v1/messages%3bx",
    "/v1/messages%3fbeta=true",
    "/v1/messages%23x",
    "/v1/messages#x",
    "/v1/messages%20",
    "/v1/messages%09",
    "/v1/messages%00",
    "/v1/messages%0d%0a",
    "/v1/mess%e2%80%8bages",
    "/v1/%ef%bd%8dessages",
    "/v1/%ef%bc%856dessages",
    "/v1\\messages",
    "/v1%5cmessages",
    "\\v1\\messages".replace("\\", "/\\", 1),
    "/v1/v1/messages",
    "/messages/",
    "/v1/x/%2e%2e/messages",
    "/v1/x/%252e%252e/messages",
    "/v1/x/..;/messages",
    "/v1/\u00admessages",
]


@pytest.mark.parametrize("target", DISGUISES)
@pytest.mark.parametrize("prefix", ["", "/s/me", "/anthropic", "/openai"])
def test_a_known_call_in_disguise_is_refused(target: str, prefix: str) -> None:
    found = route("POST", prefix + target, KEY)
    assert found.kind is Kind.REJECT
    assert found.status == 400
    assert found.dialect == "anthropic"
    assert not found.target
    assert "/v1/messages" in found.message or "/messages" in found.message


@pytest.mark.parametrize(
    "target, dialect",
    [
        ("/v1/Responses", "openai_responses"),
        ("/responses/", "openai_responses"),
        ("/v1/responses/%63ompact", "openai_responses"),
        ("/v1/chat//completions", "openai_chat"),
        ("/v1/chat/completions/", "openai_chat"),
        ("/v1/embeddings;x", "openai_embeddings"),
        ("/V1/completions", "openai_completions"),
        ("/v1/batches/", "openai_other"),
        ("/v1/messages/count_tokens/", "anthropic"),
        ("/v1/Files", "openai_other"),
        ("/v1/responses/x/../resp_1/cancel", "openai_responses"),
        ("/v1/responses/resp_1;x/cancel", "openai_responses"),
    ],
)
def test_the_refusal_has_the_shape_of_the_call(target: str, dialect: str) -> None:
    found = route("POST", target, BEARER)
    assert (found.kind, found.status, found.dialect) == (Kind.REJECT, 400, dialect)


@pytest.mark.parametrize("method", ["PUT", "FETCH", "post"])
def test_disguises_are_refused_for_whatever_could_carry_a_call(method: str) -> None:
    assert route(method, "/v1/Messages", KEY).kind is Kind.REJECT


@pytest.mark.parametrize("method", ["post", "Post", "pOST"])
def test_a_method_spelt_otherwise_is_refused(method: str) -> None:
    found = route(method, "/v1/messages", KEY)
    assert (found.kind, found.status, found.dialect) == (Kind.REJECT, 400, "anthropic")


@pytest.mark.parametrize(
    "name", [b"X-HTTP-Method-Override", b"x-http-method", b"X-Method-Override"]
)
def test_a_method_cannot_be_overridden(name: bytes) -> None:
    for method in ("GET", "PUT"):
        found = route(method, "/v1/messages", [*KEY, (name, b"POST")])
        assert (found.kind, found.status) == (Kind.REJECT, 400)
    assert route("POST", "/v1/messages", [*KEY, (name, b"GET")]).kind is Kind.MODEL


def test_an_unknown_method_is_paid_for() -> None:
    found = route("QUERY", "/v1/messages", KEY)
    assert (found.kind, found.dialect) == (Kind.UNMETERED, "anthropic_other")
    assert route("QUERY", "/v1/images/edits", BEARER).endpoint == "images.edits"


@pytest.mark.parametrize(
    "target",
    [
        "/s/a/s/b/v1/messages",
        "/S/a/v1/messages",
        "//s/a/v1/messages",
        "/%73/a/v1/messages",
        "/Anthropic/v1/messages",
        "/anthropic/openai/v1/messages",
        "/openai/s/a/anthropic/v1/messages",
        "/s/a/x/../s/b/v1/messages",
    ],
)
def test_prefixes_stand_once_and_exactly_as_spelt(target: str) -> None:
    found = route("POST", target, KEY)
    assert (found.kind, found.status) == (Kind.REJECT, 400)


@pytest.mark.parametrize(
    "target", ["/v1/x/../../y", "/v1/x/%2e%2e/y", "/v1/a%00b", "/v1/./y", "/v1/.."]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nobody_climbs_out_of_an_upstreams_base_path(method: str, target: str) -> None:
    found = route(method, target, BEARER)
    assert (found.kind, found.status, found.dialect) == (Kind.REJECT, 400, "openai_other")
    assert route(method, "/v1/x..y/...", BEARER).kind is not Kind.REJECT


@pytest.mark.parametrize(
    "target", ["/abg", "/abg/", "/abg/status", "/abg?x", "/abg/../v1/messages"]
)
def test_own_paths(target: str) -> None:
    for method in ("GET", "POST"):
        assert route(method, target, KEY).kind is Kind.OWN
    upgrade = [(b"Upgrade", b"websocket")]
    assert route("GET", target, upgrade).kind is Kind.OWN


@pytest.mark.parametrize(
    "target", ["/ABG/status", "//abg/status", "/%61bg", "/s/x/abg/status", "/abg;x"]
)
def test_own_paths_are_never_forwarded(target: str) -> None:
    for method in ("GET", "POST"):
        assert route(method, target, KEY).kind is Kind.NOT_FOUND
    assert route("GET", "/abgx", KEY).kind is Kind.FREE


@pytest.mark.parametrize("name", [b"Upgrade", b"UPGRADE"])
@pytest.mark.parametrize("value", [b"websocket", b"WebSocket", b"h2c, websocket"])
@pytest.mark.parametrize(
    "target", ["/responses", "/v1/responses", "/s/a/v1/responses", "/v1/realtime"]
)
def test_every_websocket_is_answered_426(name: bytes, value: bytes, target: str) -> None:
    headers = [*BEARER, (b"Connection", b"Upgrade"), (name, value)]
    assert route("GET", target, headers).kind is Kind.UPGRADE
    assert route("GET", target, [*BEARER, (name, b"h2c")]).kind is Kind.FREE


# -- prefixes and absolute targets ------------------------------------------------------------


@pytest.mark.parametrize(
    "target, session, sent",
    [
        ("/s/bugfix/v1/messages?a=b", "bugfix", b"/v1/messages?a=b"),
        ("/s/my%20task/messages", "my task", b"/v1/messages"),
        ("/s/a%2Fb/v1/messages", "a/b", b"/v1/messages"),
        ("/s/%c3%a9t%c3%a9/v1/messages", "été", b"/v1/messages"),
        ("/anthropic/s/x/v1/messages", "x", b"/v1/messages"),
        ("/s/x/anthropic/v1/messages", "x", b"/v1/messages"),
        ("/s/anthropic/v1/messages", "anthropic", b"/v1/messages"),
        ("/s/../v1/messages", "..", b"/v1/messages"),
    ],
)
def test_the_session_is_taken_off_the_path(target: str, session: str, sent: bytes) -> None:
    found = route("POST", target, KEY)
    assert (found.kind, found.session, found.target) == (Kind.MODEL, session, sent)
    assert found.upstream == "anthropic"


def test_session_names_are_made_safe_and_stay_apart() -> None:
    one = route("POST", "/s/a%0ab/v1/messages", KEY).session
    other = route("POST", "/s/a%0db/v1/messages", KEY).session
    assert one is not None and other is not None
    assert one.isprintable() and one.startswith("ab~")
    assert one != other
    bytes_one, bytes_other = (
        route("POST", f"/s/%{code}/v1/messages", KEY).session for code in ("ff", "fe")
    )
    assert bytes_one != bytes_other


@pytest.mark.parametrize("target", ["/s//v1/messages", "/s/", "/anthropic/s//v1/messages"])
def test_an_empty_session_name_is_refused(target: str) -> None:
    found = route("POST", target, KEY)
    assert (found.kind, found.status) == (Kind.REJECT, 400)
    assert "empty" in found.message


def test_a_session_without_a_path_is_its_root() -> None:
    assert route("HEAD", "/s/x").target == b"/"
    # A path that merely begins so is no prefix.
    assert route("GET", "/sx/y", KEY).target == b"/v1/sx/y"
    assert route("GET", "/anthropicx", KEY).target == b"/v1/anthropicx"


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:8788/v1/messages?a=b",
        "HTTP://LocalHost:8788/v1/messages?a=b",
        "http://[::1]:8788/v1/messages?a=b",
        "http://abg.corp/v1/messages?a=b",
        "https://abg.corp:444/v1/messages?a=b",
    ],
)
def test_an_absolute_target_is_read_as_its_path(target: str) -> None:
    found = route("POST", target, KEY, allowed_hosts=("abg.corp",))
    assert (found.kind, found.target) == (Kind.MODEL, b"/v1/messages?a=b")


def test_an_absolute_target_may_have_no_path() -> None:
    assert route("HEAD", "http://127.0.0.1:8788").target == b"/"
    assert route("HEAD", "http://127.0.0.1:8788?x").target == b"/?x"
    assert route("GET", "http://127.0.0.1:8788/abg/status").kind is Kind.OWN
    assert route("POST", "http://127.0.0.1:8788/V1/messages", KEY).kind is Kind.REJECT


@pytest.mark.parametrize(
    "target",
    [
        "http://api.anthropic.com/v1/messages",
        "http://127.0.0.1:3000/v1/messages",
        "http://127.0.0.1/v1/messages",
        "https://localhost/v1/messages",
        "http://user@127.0.0.1:8788/v1/messages",
        "http://127.0.0.1:8788@evil.example/v1/messages",
        "http://127.0.0.1:8788\\v1/messages",
        "http://127.0.0.1:99999/v1/messages",
        "ftp://127.0.0.1:8788/v1/messages",
        "http:///v1/messages",
        "v1/messages",
        "",
        "127.0.0.1:8788",
        "*/v1/messages",
    ],
)
def test_other_targets_are_refused(target: str) -> None:
    found = route("POST", target, KEY)
    assert (found.kind, found.status) == (Kind.REJECT, 400)


def test_the_bound_port_decides_what_is_abgs_own() -> None:
    router = Router(Config(port=0))
    assert router.route(b"POST", b"http://localhost:4000/v1/messages", KEY).kind is Kind.MODEL
    router = Router(Config(port=0))
    router.bound = ("127.0.0.1", 5000)
    assert router.route(b"POST", b"http://localhost:4000/v1/messages", KEY).kind is Kind.REJECT


# -- upstreams --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url, base",
    [
        ("https://gw.example", b""),
        ("https://gw.example/v1", b""),
        ("https://gw.example/llm", b"/llm"),
        ("https://gw.example/llm/v1", b"/llm"),
        ("https://gw.example/llm/v1/", b"/llm"),
    ],
)
def test_the_base_path_is_kept_and_v1_not_doubled(url: str, base: bytes) -> None:
    for name, target in (("openai", "/responses"), ("anthropic", "/v1/messages")):
        found = route("POST", target, BEARER, **{f"upstream_{name}": url})
        assert found.target == base + b"/v1/" + target.rpartition("/")[2].encode()
        assert origin(Config(**{f"upstream_{name}": url}), name) == "https://gw.example"
    assert route("HEAD", "/api/hello", upstream_anthropic=url).target == base + b"/api/hello"


def test_origins_and_added_headers() -> None:
    router = Router(
        Config(
            upstream_openai="http://127.0.0.1:4000/x",
            upstream_headers={"openai": (("X-Team", "é"),)},
        )
    )
    assert router.origin("openai") == "http://127.0.0.1:4000"
    assert router.origin("chatgpt") == "https://chatgpt.com"
    assert router.extra_headers("openai") == [(b"X-Team", b"\xe9")]
    assert router.extra_headers("anthropic") == []


# -- memory -----------------------------------------------------------------------------------


def test_memory_of_routes_and_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "_REMEMBERED", 4)
    router = Router(Config())
    for number in range(20):
        headers = [(b"x-%d" % number, b""), (b"n" * 100, b"")]
        assert router.route(b"POST", b"/v1/messages?%d" % number, [*KEY, *headers]).upstream
    assert len(router._known) <= 4
    assert len(routing._BITS) <= 4
    assert router.route(b"GET", b"/" + b"x" * 600, KEY).kind is Kind.FREE
    assert not any(len(key[1]) > 512 for key in router._known)
    # The same request is judged once.
    assert router.route(b"POST", b"/v1/messages", KEY) is router.route(
        b"POST", b"/v1/messages", KEY
    )


def test_headers_are_part_of_what_is_remembered() -> None:
    router = Router(Config())
    assert router.route(b"GET", b"/v1/models", KEY).upstream == "anthropic"
    assert router.route(b"GET", b"/v1/models", BEARER).upstream == "openai"
    assert router.route(b"GET", b"/v1/models", NONE).upstream == ""


# -- properties -------------------------------------------------------------------------------

PAID = ("/v1/messages", "/v1/responses", "/v1/chat/completions", "/v1/embeddings", "/v1/batches")


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, str]:
    """A paid path, and another spelling of it."""
    path = draw(st.sampled_from(PAID))
    out = ""
    for char in path:
        form = draw(st.integers(0, 5))
        if form == 0:
            out += f"%{ord(char):02x}"
        elif form == 1:
            out += char.upper()
        elif form == 2 and char == "/":
            out += draw(st.sampled_from(["//", "/./", "/a/../", "\\", "/%2e/"]))
        else:
            out += char
    out += draw(st.sampled_from(["", "/", ";x", "/.", "%20"]))
    return path, out


@settings(max_examples=300)
@given(spellings(), st.sampled_from([KEY, BEARER, CHATGPT, NONE]))
def test_no_spelling_of_a_paid_call_gets_by(pair: tuple[str, str], headers: Headers) -> None:
    path, spelt = pair
    if not spelt.startswith("/"):
        spelt = "/" + spelt
    found = route("POST", spelt, headers)
    if spelt == path:
        assert found.kind in (Kind.MODEL, Kind.UNMETERED, Kind.NOT_FOUND)
    else:
        assert found.kind is Kind.REJECT


@settings(max_examples=300)
@given(st.binary(max_size=60).map(lambda b: b"/" + b))
def test_any_target_gets_a_route(target: bytes) -> None:
    for method in (b"GET", b"POST", b"\xff"):
        found = Router(Config()).route(method, target, BEARER)
        assert found.kind in Kind
        assert found.target == b"" or found.target.startswith(b"/")
        assert found.kind is not Kind.REJECT or found.status == 400


@settings(max_examples=300)
@given(st.text("aAv1/.;%25efmM\\?# \n\u00e9\uff05\uff2d\u2025\u200b", max_size=30))
def test_the_canonical_path_is_its_own_canonical_path(text: str) -> None:
    once = canonical(text.encode())
    assert once.startswith("/")
    assert "//" not in once
    assert canonical(once.encode()) == once


def test_a_path_that_never_comes_to_rest_is_left_alone() -> None:
    deep = b"/v1/%" + b"25" * 40 + b"6dessages"
    assert canonical(deep).endswith("6dessages")
    assert not is_odd(deep)


def test_tables() -> None:
    assert known_post("/v1/nothing") is None
    assert known_post("/responses/a/b/cancel") is None
    assert family_of("/v1") == ("", "")
    assert family_of("/v1/messages/batches/x") == ("anthropic", "anthropic_other")
    assert is_odd(b"/a/%2e%2e") and not is_odd(b"/a/..b")
