"""Which proxy is meant: ``HTTPS_PROXY`` and ``NO_PROXY`` as other programs read them."""

from __future__ import annotations

import pytest

from abg.wire.connect import Origin
from abg.wire.tunnel import NO_PROXIES, Proxies, Proxy


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://proxy:3128", Proxy("proxy", 3128)),
        ("http://proxy", Proxy("proxy", 80)),
        ("proxy:8080", Proxy("proxy", 8080)),
        ("http://[::1]:3128/", Proxy("::1", 3128)),
        ("http://user:p%40ss@proxy:3128", Proxy("proxy", 3128, b"Basic dXNlcjpwQHNz")),
        ("http://user@proxy:3128", Proxy("proxy", 3128, b"Basic dXNlcjo=")),
    ],
)
def test_how_a_proxy_is_named(url: str, proxy: Proxy) -> None:
    assert Proxy.parse(url) == proxy


@pytest.mark.parametrize("url", ["https://proxy", "socks5://proxy", "http://", "http://proxy:port"])
def test_proxies_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Proxy.parse(url)


def test_which_variable_counts() -> None:
    assert Proxies.from_environment({}) == NO_PROXIES
    both = {"HTTPS_PROXY": "upper:1", "https_proxy": "lower:2", "ALL_PROXY": "all:3"}
    assert Proxies.from_environment(both).proxy == Proxy("lower", 2)
    assert Proxies.from_environment({"HTTP_PROXY": "no:1"}).proxy is None
    assert Proxies.from_environment({"https_proxy": "", "ALL_PROXY": "all:3"}).proxy == Proxy(
        "all", 3
    )


def test_a_password_is_not_shown() -> None:
    assert "cGFzc3dvcmQ" not in repr(Proxy.parse("http://user:password@proxy"))


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        ("", "api.openai.com", 443, False),
        ("*", "api.openai.com", 443, True),
        ("openai.com", "api.openai.com", 443, True),
        (".openai.com", "api.openai.com", 443, True),
        ("*.openai.com", "api.openai.com", 443, True),
        ("OpenAI.com", "API.openai.com.", 443, True),
        ("api.openai.com", "api.openai.com", 443, True),
        ("pi.openai.com", "api.openai.com", 443, False),
        ("openai.com:443", "api.openai.com", 443, True),
        ("openai.com:8443", "api.openai.com", 443, False),
        ("a.test, b.test c.test", "c.test", 443, True),
        ("10.0.0.0/8", "10.1.2.3", 443, True),
        ("10.0.0.0/8", "11.1.2.3", 443, False),
        ("10.1.2.3", "10.1.2.3", 443, True),
        ("fd00::/8", "fd12::1", 443, True),
        ("[fd12::1]:443", "fd12::1", 443, True),
        ("[fd12::1]:444", "fd12::1", 443, False),
        ("10.0.0.0/8", "api.openai.com", 443, False),
        (".", "api.openai.com", 443, False),
        ("", "127.0.0.1", 443, True),
        ("", "localhost", 443, True),
        ("", "::1", 443, True),
    ],
)
def test_who_is_reached_directly(no_proxy: str, host: str, port: int, direct: bool) -> None:
    proxies = Proxies.from_environment({"HTTPS_PROXY": "proxy:1", "NO_PROXY": no_proxy})
    assert (proxies.proxy_for(host, port) is None) == direct


def test_origins() -> None:
    origin = Origin.parse("https://api.anthropic.com")
    assert (origin.tls, origin.host, origin.port, origin.host_line) == (
        True,
        "api.anthropic.com",
        443,
        b"Host: api.anthropic.com",
    )
    assert Origin.parse("http://[fd12::1]:8080").host_line == b"Host: [fd12::1]:8080"
    for wrong in ("api.anthropic.com", "ftp://x", "https://:443", "https://x:y"):
        with pytest.raises(ValueError, match=r"."):
            Origin.parse(wrong)
