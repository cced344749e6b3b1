"""All the processes of one run: started in order, watched together, stopped in the opposite order."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from app.launch.child import Child, Program, Say


class Fleet:
    """Holds the children. `failed` becomes the first CannotStart; `hurry`, once set, ends everybody's grace."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._children: list[Child] = []
        self.hurry = asyncio.Event()
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def start(self, program: Program) -> None:
        """Starts keeping a program."""
        child = Child(program, self._say)
        child.kept.add_done_callback(self._ended)
        self._children.append(child)

    def settle(self) -> None:
        """From now on an end is a death to recover from, never a failed start."""
        for child in self._children:
            child.settled = True

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.failed.done():
            self.failed.set_result(error)

    async def stop(self, within: timedelta) -> None:
        """The last one started ends first, and after `within` nobody is waited for any more; when this returns, all of
        them and their own children are gone."""
        last = asyncio.get_running_loop().call_later(within.total_seconds(), self.hurry.set)
        for child in reversed(self._children):
            await child.stop(self.hurry)
        last.cancel()
