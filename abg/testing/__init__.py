"""For people who embed abg, and for its own tests: a fake vendor that answers by script.

``FakeVendor`` serves from a thread, ``VendorProcess`` from a process, ``ScriptedVendor`` without
any socket. ``abg.testing.script`` says what a script can ask for.
"""

from __future__ import annotations

from abg.testing.process import VendorProcess
from abg.testing.script import Script, ScriptError, parse_script
from abg.testing.scripted import ScriptedVendor
from abg.testing.thread import FakeVendor

__all__ = [
    "FakeVendor",
    "Script",
    "ScriptError",
    "ScriptedVendor",
    "VendorProcess",
    "parse_script",
]
