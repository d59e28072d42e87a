"""The gate: nothing is lost, nothing overtakes, and a cut does not wait."""

from __future__ import annotations

from abg import gate as gates
from abg.gate import Gate
from abg.test.playbook import Client


def test_what_waits_goes_out_in_order():
    client = Client(b"POST", b"/", [], 0)
    gate = Gate(client)
    gate.respond(200, b"OK", [])
    gate.write(b"a")
    gate.close()
    gate.close()
    gate.write(b"b")
    gate.flush()
    gate.finish()
    assert gate.shut
    assert (client.received, client.finished) == (b"a", False)
    gate.open()
    assert (client.received, client.finished) == (b"ab", True)
    assert not gate.shut
    gate.open()


def test_an_endless_answer_fills_no_memory(monkeypatch):
    # All of it was held back, at whatever length.
    monkeypatch.setattr(gates, "LONGEST", 10)
    client = Client(b"POST", b"/", [], 0)
    gate = Gate(client)
    gate.respond(200, b"OK", [])
    gate.close()
    gate.write(b"1234")
    gate.flush()
    gate.write(b"567890")
    assert client.received == b""
    gate.write(b"abc")
    gate.finish()
    assert (client.received, client.finished) == (b"1234", False)
    gate.open()
    assert (client.received, client.finished) == (b"1234567890abc", True)


def test_a_cut_goes_through_at_once():
    client = Client(b"POST", b"/", [], 0)
    gate = Gate(client)
    gate.respond(200, b"OK", [])
    gate.close()
    gate.write(b"b")
    gate.abort()
    gate.open()
    assert client.aborted
    assert client.received == b""


def test_the_body_is_braked_through_it():
    client = Client(b"POST", b"/", [], 0)
    gate = Gate(client)
    gate.pause_body()
    assert not client.reading
    gate.resume_body()
    assert client.reading
