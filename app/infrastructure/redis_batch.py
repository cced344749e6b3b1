"""Many commands to Redis in one message, with nothing done for each of them but packing and reading.

redis-py looks up a callback, prepares and annotates for every command of a pipeline; that was half of what keeping RQ's books
for one job costs. Its pipeline still collects the commands, so whatever writes into one (RQ does) can be sent so.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import hiredis
from redis.client import Pipeline
from redis.exceptions import ResponseError

Sent: TypeAlias = tuple[Any, ...]


def transacted(pipe: Pipeline) -> list[Any]:
    """Sends what stands in the pipeline as one transaction. The answers are Redis's own, errors among them.

    Raises what Redis says when it takes none of it, and RedisError when it cannot be reached.
    """
    *queued, done = _exchanged(pipe, [("MULTI",), *_taken(pipe), ("EXEC",)])
    if isinstance(done, ResponseError):
        raise next((answer for answer in queued if isinstance(answer, ResponseError)), done)
    return list(done)


def sent(pipe: Pipeline) -> list[Any]:
    """The same, without a transaction: each command is taken or refused by itself."""
    return _exchanged(pipe, _taken(pipe))


def fields(answer: list[bytes]) -> dict[bytes, bytes]:
    """What HGETALL answers: names and values in turns."""
    each = iter(answer)
    return dict(zip(each, each, strict=True))


def _taken(pipe: Pipeline) -> list[Sent]:
    commands: list[Sent] = [command for command, _ in pipe.command_stack]
    pipe.reset()
    return commands


def _exchanged(pipe: Pipeline, commands: list[Sent]) -> list[Any]:
    pool = pipe.connection_pool
    connection: Any = pool.get_connection()
    try:
        connection.send_packed_command([b"".join(map(hiredis.pack_command, commands))])
        return [_answer(connection) for _ in commands]
    except BaseException:
        connection.disconnect()  # what was not read would be taken for an answer to the next
        raise
    finally:
        pool.release(connection)


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error
