"""Which project a session works on."""

from __future__ import annotations

from abg import projects
from abg.attribution import Attribution, Said
from abg.call import Session
from abg.projects import Projects


def test_a_project_is_known_until_it_is_named_anew():
    known = Projects()
    assert known.placed(Session("s")) == Session("s")
    known.works_on("s", "shop")
    assert known.placed(Session("s")).project == "shop"
    assert known.placed(Session("s", project="own")).project == "own"
    assert known.placed(Session("t")).project is None
    known.works_on("s", "bank")
    assert known.placed(Session("s")).project == "bank"


def test_the_session_that_was_named_longest_ago_is_forgotten(monkeypatch):
    monkeypatch.setattr(projects, "REMEMBERED", 2)
    known = Projects()
    for name in ("a", "b", "a", "c"):
        known.works_on(name, "p")
    assert [known.placed(Session(n)).project for n in "abc"] == ["p", None, "p"]


def test_a_title_thread_works_on_its_sessions_project():
    attribution = Attribution()
    attribution.projects.works_on("mine", "shop")
    headers = [(b"session-id", b"mine"), (b"user-agent", b"codex_cli_rs/0.169")]
    assert attribution.identify(None, Said(headers), None).project == "shop"
    assert attribution.identify("mine", Said([]), None).project == "shop"
