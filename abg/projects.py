"""Which project a session works on, where its calls cannot say it themselves.

Codex sends no headers of the user's choice, so that ``abg run`` tells the proxy beforehand, with
the lease by which it keeps the proxy alive.
"""

from __future__ import annotations

from attrs import evolve

from abg.call import Session

__all__ = ["Projects"]

REMEMBERED = 4096
"""Sessions; the one that was named longest ago is forgotten first."""


class Projects:
    """Projects by session, both names as abg writes them."""

    def __init__(self) -> None:
        self._projects: dict[str, str] = {}

    def works_on(self, session: str, project: str) -> None:
        """Calls of a session that name no project belong to this one from now on."""
        projects = self._projects
        projects.pop(session, None)
        projects[session] = project
        if len(projects) > REMEMBERED:
            del projects[next(iter(projects))]

    def placed(self, session: Session) -> Session:
        """The session with its project; one that it names itself stays."""
        if session.project is None and self._projects:
            project = self._projects.get(session.id)
            if project is not None:
                return evolve(session, project=project)
        return session
