"""The proxy that ``abg run`` starts lives on leases, and comes back on the same port."""

from __future__ import annotations

import threading

import pytest

from abg.cli import launch
from abg.cli.http import Address
from abg.cli.launch import Lease
from abg.errors import AbgError
from abg.test.standin import StandIn, own_places


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    own_places(monkeypatch, tmp_path)
    monkeypatch.setattr(launch, "RENEW_EVERY", 0.02)
    monkeypatch.setattr(launch, "FIRST_LOOK", 0.02)
    return tmp_path


def lease(proxy, ours=True):
    address = Address("127.0.0.1", proxy.port, "test")
    return Lease(address, None, {}, ours=ours, about={"session": "s", "project": "p"})


def wait_for(what, seconds=10):
    done = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if what():
            return
        done.wait(0.01)
    raise AssertionError("it did not happen")


def test_a_lease_is_renewed_while_it_lasts_and_given_back():
    with StandIn() as proxy:
        held = lease(proxy)
        held.start()
        wait_for(lambda: len(proxy.posts) > 3)
        held.end()
        assert {body["ttl_seconds"] for _, body, _ in proxy.posts[:-1]} == {launch.TERM}
        assert proxy.posts[-1][1]["ttl_seconds"] == 0
        assert {"session": "s", "project": "p"}.items() <= proxy.posts[0][1].items()
        count = len(proxy.posts)
        threading.Event().wait(0.1)
        assert len(proxy.posts) == count


def test_a_proxy_of_ours_that_died_is_started_again_on_the_same_port(monkeypatch):
    started = []
    monkeypatch.setattr(launch, "launch", lambda config, environ, port: started.append(port))
    with StandIn() as proxy:
        held = lease(proxy)
        held.start()
        proxy.stop()
        wait_for(lambda: started)
        held.end()
    assert started[0] == proxy.port


def test_a_proxy_that_does_not_come_back_does_no_harm(monkeypatch):
    tried = []

    def broken(config, environ, port):
        tried.append(port)
        raise AbgError("no")

    monkeypatch.setattr(launch, "launch", broken)
    with StandIn() as proxy:
        held = lease(proxy)
        held.start()
        proxy.stop()
        wait_for(lambda: len(tried) > 1)
        held.end()


def test_a_proxy_that_somebody_else_runs_is_left_to_him(monkeypatch):
    monkeypatch.setattr(launch, "launch", lambda *_, **__: pytest.fail("started"))
    with StandIn() as proxy:
        held = lease(proxy, ours=False)
        held.start()
        proxy.stop()
        threading.Event().wait(0.2)
        held.end()


def test_a_refused_renewal_is_tried_again():
    with StandIn() as proxy:
        held = lease(proxy)
        held.start()
        proxy.replies["/abg/lease"] = (500, {"error": {"message": "later"}})
        count = len(proxy.posts)
        wait_for(lambda: len(proxy.posts) > count + 2)
        held.end()


def test_a_proxy_that_gives_no_lease_is_an_error():
    with StandIn(replies={"/abg/lease": (404, {})}) as proxy, pytest.raises(AbgError, match="404"):
        lease(proxy).start()
