"""What all tests share: skips that may not happen, and a network that is only loopback.

On Linux they run in the reactor of ``abg proxy``; ``trial abg`` runs them in Twisted's own.

With ``ABG_TEST_REQUIRE_ALL=1`` a skipped test is a failed one: where every program was installed,
nothing has a reason to be left out.

With ``ABG_TEST_NO_CHANCE=1`` Hypothesis draws nothing: properties run their explicit examples only.
So are branches counted, since one that only a lucky draw reaches is covered today and not tomorrow.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from abg.test.clients import loopback, programs

__all__ = [
    "claude",
    "codex",
    "loopback_network",
    "pytest_make_collect_report",
    "pytest_runtest_makereport",
]

if sys.platform == "linux":
    from abg.wire.epoll import install

    install()

if os.environ.get("ABG_TEST_NO_CHANCE") == "1":
    # As the default before any test module is read: a test's own settings keep the phases.
    hypothesis.settings.register_profile("no chance", phases=[hypothesis.Phase.explicit])
    hypothesis.settings.load_profile("no chance")

REQUIRE_ALL = os.environ.get("ABG_TEST_REQUIRE_ALL") == "1"


@pytest.fixture
def loopback_network() -> Iterator[None]:
    """The test and all that it starts see nothing but loopback."""
    reason = loopback.why_not()
    if reason:
        pytest.skip(reason)
    with loopback.loopback_only():
        yield


@pytest.fixture(params=list(programs.CLAUDES))
def claude(request: pytest.FixtureRequest) -> Path:
    """The real Claude Code, an older one and the newest."""
    binary = programs.claude(request.param)
    if binary is None:
        pytest.skip(
            f"Claude Code ({request.param}) is not in {programs.folder()}: "
            "python -m abg.test.clients.programs installs it"
        )
    return binary


@pytest.fixture
def codex() -> Path:
    """The real Codex."""
    binary = programs.codex()
    if binary is None:
        pytest.skip(f"Codex is not in {programs.folder()}, or node is missing")
    return binary


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, Any, None]:
    outcome = yield
    _no_skip(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: Any) -> Generator[None, Any, None]:
    outcome = yield
    _no_skip(outcome.get_result())


def _no_skip(report: Any) -> None:
    if not REQUIRE_ALL or report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid}: {reason} (ABG_TEST_REQUIRE_ALL=1: a skip is a failure)"
