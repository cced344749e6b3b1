"""What all peers share: the row and the file; the usual way of each, none of it durable."""

from __future__ import annotations

import os
import shutil
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa
from fastapi import UploadFile
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlmodel import Field, Session, SQLModel, create_engine, update

REDIS = os.environ["PEER_REDIS"]
DATABASE = os.environ["PEER_DATABASE"]
STORE = Path(os.environ["PEER_STORE"])
SAMPLE = Path(os.environ["PEER_SAMPLE"])


class Job(SQLModel, table=True):
    """One upload."""

    id: str = Field(primary_key=True)
    filename: str
    media_type: str
    size: int
    status: str = Field(default="queued", index=True)
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC), index=True)


def new_id() -> str:
    return str(uuid.uuid4())


def _row(job_id: str, file: UploadFile) -> Job:
    return Job(
        id=job_id,
        filename=file.filename or "",
        media_type=file.content_type or "",
        size=(STORE / job_id).stat().st_size,
    )


def _settle(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def open_engine() -> sa.Engine:
    """For code in threads."""
    if DATABASE.startswith("postgresql"):
        engine = create_engine(DATABASE.replace("postgresql://", "postgresql+psycopg://"), pool_size=40)
    else:
        engine = create_engine(f"sqlite:///{DATABASE}", pool_size=40, connect_args={"timeout": 30})
        sa.event.listen(engine, "connect", _settle)
    SQLModel.metadata.create_all(engine)
    return engine


def open_async_engine() -> AsyncEngine:
    """For code on the loop."""
    open_engine().dispose()
    engine = create_async_engine(f"sqlite+aiosqlite:///{DATABASE}", connect_args={"timeout": 30})
    sa.event.listen(engine.sync_engine, "connect", _settle)
    return engine


def save(job_id: str, file: BinaryIO) -> None:
    with (STORE / job_id).open("wb") as stored:
        shutil.copyfileobj(file, stored)


async def save_async(job_id: str, file: UploadFile) -> None:
    with (STORE / job_id).open("wb") as stored:
        while piece := await file.read(1 << 20):
            stored.write(piece)


def insert(engine: sa.Engine, job_id: str, file: UploadFile) -> None:
    with Session(engine) as session:
        job = _row(job_id, file)
        session.add(job)
        session.commit()
        session.refresh(job)


async def insert_async(engine: AsyncEngine, job_id: str, file: UploadFile) -> None:
    async with AsyncSession(engine) as session:
        job = _row(job_id, file)
        session.add(job)
        await session.commit()
        await session.refresh(job)


def finish(engine: sa.Engine, job_id: str) -> None:
    with Session(engine) as session:
        session.exec(update(Job).where(Job.id == job_id).values(status="success"))
        session.commit()


def stock() -> str:
    """A job that lies there without having been uploaded: the sample under an id of its own."""
    job_id = new_id()
    os.link(SAMPLE, STORE / job_id)
    return job_id
