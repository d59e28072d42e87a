"""No web page and nobody who was led here by a name may speak to abg."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abg.access import check_access, is_own_host, split_authority
from abg.call import Headers
from abg.config import Config

PLAIN = Config()


def ask(host: str | None, origin: str | None = None, config: Config = PLAIN, **more: object) -> str:
    """The reason for a refusal, empty if there is none."""
    headers: Headers = [(b"Accept", b"*/*"), (b"Pragma", b"x"), (b"Date", b"y")]
    if host is not None:
        headers.append((b"Host", host.encode("latin-1")))
    if origin is not None:
        headers.append((b"Origin", origin.encode("latin-1")))
    bound = str(more.pop("bound", "127.0.0.1"))
    return check_access(headers, config, bound, 8788, **more) or ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8788",
        "127.0.0.1",
        "127.9.9.9:1",
        "localhost:8788",
        "LOCALHOST",
        "localhost.",
        "abg.localhost:8788",
        "[::1]:8788",
        "[::1]",
        "[::ffff:127.0.0.1]:8788",
        # Through a forwarded port.
        "localhost:9999",
    ],
)
def test_loopback_names_are_abgs_own(host: str) -> None:
    assert ask(host) == ""


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8788",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "notlocalhost",
        "evil.example@127.0.0.1",
        "127.0.0.1@evil.example",
        "127.0.0.1:8788:8788",
        "127.0.0.1:port",
        "127.0.0.1:99999",
        "0.0.0.0:8788",
        "192.168.1.5:8788",
        "[::1",
        "::1]",
        "[fe80::1]",
        "",
        ":8788",
        "127.0.0.1/x",
        "2130706433",
        "0x7f.1",
        "loc\xe4lhost",
        "a" * 400,
    ],
)
def test_other_names_are_refused(host: str) -> None:
    assert "Host" in ask(host)


def test_there_has_to_be_a_host() -> None:
    assert "no Host" in ask(None)
    assert "Host" in str(check_access([(b"HOST", b"evil.example")], PLAIN, "127.0.0.1", 8788))


def test_every_host_counts() -> None:
    for order in ((b"localhost", b"evil.example"), (b"evil.example", b"localhost")):
        headers: Headers = [(b"host", value) for value in order]
        assert check_access(headers, PLAIN, "127.0.0.1", 8788) is not None


def test_the_bound_address_is_abgs_own() -> None:
    assert ask("192.168.1.5:8788", bound="192.168.1.5") == ""
    assert ask("192.168.1.6:8788", bound="192.168.1.5") != ""
    assert ask("[2001:db8::1]:8788", bound="2001:db8::1") == ""
    # Bound everywhere: an address cannot be rebound, a name can.
    for everywhere in ("0.0.0.0", "::"):
        assert ask("192.168.1.5:8788", bound=everywhere) == ""
        assert ask("[2001:db8::1]:8788", bound=everywhere) == ""
        assert ask("evil.example", bound=everywhere) != ""


def test_allowed_hosts() -> None:
    config = Config(allowed_hosts=("abg.corp", "Other.corp:9000"))
    assert ask("abg.corp", config=config) == ""
    assert ask("ABG.corp.:1234", config=config) == ""
    assert ask("other.corp:9000", config=config) == ""
    assert ask("other.corp", config=config) != ""
    assert ask("other.corp:9001", config=config) != ""
    assert ask("x.abg.corp", config=config) != ""


def test_a_mounting_site_may_answer_for_the_host() -> None:
    assert ask("whatever.example", check_host=False) == ""
    assert ask(None, check_host=False) == ""


@pytest.mark.parametrize(
    "origin, host",
    [
        ("http://127.0.0.1:8788", "127.0.0.1:8788"),
        ("http://localhost:8788", "localhost:8788"),
        ("HTTP://LocalHost:8788", "localhost:8788"),
        # Either of abg's names is its own.
        ("http://localhost:8788", "127.0.0.1:8788"),
        ("http://[::1]:8788", "[::1]:8788"),
        # The page was served under the very name that is spoken to.
        ("http://localhost:9999", "localhost:9999"),
        ("http://localhost", "localhost"),
    ],
)
def test_abgs_own_origin(origin: str, host: str) -> None:
    assert ask(host, origin) == ""


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.example",
        "http://localhost",
        "http://localhost:3000",
        "https://127.0.0.1:8788",
        "http://127.0.0.1:8788.evil.example",
        "http://evil.example:8788",
        "file://",
        "chrome-extension://abcdef",
        "127.0.0.1:8788",
        "http://127.0.0.1:8788/x",
        "http://a@127.0.0.1:8788",
        "http://\xff",
        "://",
    ],
)
def test_any_other_origin_is_foreign(origin: str) -> None:
    reason = ask("127.0.0.1:8788", origin)
    assert "Origin" in reason


def test_behind_somebodys_tls_abg_has_a_name_there() -> None:
    config = Config(allowed_hosts=("abg.corp",))
    assert ask("abg.corp", "https://abg.corp", config) == ""
    assert ask("abg.corp", "https://abg.corp:444", config) != ""
    assert ask("localhost:443", "https://localhost") != ""


def test_all_origins_have_to_be_the_same() -> None:
    own, other = (b"Origin", b"http://127.0.0.1:8788"), (b"origin", b"http://evil.example")
    host = (b"Host", b"127.0.0.1:8788")
    for headers in ([host, own, other], [host, other, own]):
        assert check_access(headers, PLAIN, "127.0.0.1", 8788) is not None
    assert check_access([host, own, own], PLAIN, "127.0.0.1", 8788) is None


def test_allowed_origins() -> None:
    config = Config(allowed_origins=("https://App.example/", "null"))
    for origin in ("https://app.example", "HTTPS://APP.EXAMPLE", "null"):
        assert ask("localhost", origin, config) == ""
    assert ask("localhost", "http://app.example", config) != ""


def test_a_mounting_sites_own_pages_are_no_strangers() -> None:
    assert ask("llm.corp", "https://llm.corp", check_host=False) == ""
    assert ask("llm.corp", "https://evil.example", check_host=False) != ""
    assert ask("llm.corp", "http://127.0.0.1:8788", check_host=False) != ""
    assert ask(None, "https://llm.corp", check_host=False) != ""
    assert ask("[bad", "https://llm.corp", check_host=False) != ""


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a.example:80", ("a.example", 80)),
        ("A.example.", ("a.example", None)),
        ("[::1]:1", ("::1", 1)),
        ("[::1]", ("::1", None)),
        ("::1", ("::1", None)),
        ("a:", ("a", None)),
        ("a:b", (None, None)),
        ("a:٣", (None, None)),
        ("", (None, None)),
        ("[]", (None, None)),
        ("[[::1]]", (None, None)),
        ("[localhost]", (None, None)),
        ("a" * 301, (None, None)),
        ("a b", (None, None)),
        ("a/b", (None, None)),
    ],
)
def test_authorities(text: str, expected: tuple[str | None, int | None]) -> None:
    assert split_authority(text) == expected


def test_a_zone_of_an_address_says_nothing() -> None:
    assert is_own_host("::1%lo", "127.0.0.1", ())
    assert is_own_host("::1%25eth0", "127.0.0.1", ())
    assert not is_own_host("", "", ())


@pytest.mark.parametrize(
    "name",
    [
        "127.0.0.1%.evil.example",
        "127.0.0.1%2f",
        "::1%.evil.example",
        "::1%",
        "localhost..",
        ".localhost",
        "evil..localhost",
    ],
)
def test_what_only_begins_or_ends_like_loopback_is_another_name(name: str) -> None:
    assert not is_own_host(name, "127.0.0.1", ())
    host = f"[{name}]" if ":" in name else name
    assert ask(host)
    assert ask("127.0.0.1:8788", origin=f"http://{host}:8788")


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_any_bytes_get_a_verdict(host: bytes, origin: bytes) -> None:
    headers: Headers = [(b"host", host), (b"origin", origin)]
    reason = check_access(headers, PLAIN, "127.0.0.1", 8788)
    assert reason is None or "\n" not in reason
