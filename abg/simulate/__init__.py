"""A deterministic simulator: agents at their caps, without sockets, on a clock of its own.

It drives the real book, estimates and replay through whole working days of agents: ``mix`` says
what they are like, ``swarm`` lets one swarm work until it is stopped, ``report`` counts what came
of many. ``benchmarks/simulate.py`` runs it, short or long.
"""

from __future__ import annotations

from abg.simulate.mix import MIX, Mix, Plan, plan
from abg.simulate.report import Report
from abg.simulate.swarm import Broken, Outcome, simulate

__all__ = ["MIX", "Broken", "Mix", "Outcome", "Plan", "Report", "plan", "simulate"]
