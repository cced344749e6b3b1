"""What a disk still has after a power cut, rebuilt from a trace of system calls: only what fsync forced, or more by luck.

The strictest reading of POSIX: bytes are safe when an fsync of their file, begun after they were written, has returned;
a name is safe when the same happened to its folder. Everything else may be there or not.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

CALLS = "openat,write,pwrite64,writev,sendto,sendmsg,fsync,fdatasync,ftruncate,rename,unlink,mkdir,link,close,lseek"
_LINE = re.compile(
    r"^(\d+) +(?:(\w+)\((.*?)(?:\)\s+= (-?\d+).*| <unfinished \.\.\.>)|<\.\.\. (\w+) resumed>(.*?)\)?\s+= (-?\d+).*)$"
)
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(slots=True)
class Step:
    """One system call's beginning or end. `text` holds its arguments, `result` is None at the beginning."""

    thread: str
    call: str
    text: str
    result: int | None


def steps(trace: Path) -> Iterator[Step]:
    """Beginnings and ends in the order in which the kernel saw them."""
    open_calls: dict[str, str] = {}
    with trace.open(errors="replace") as lines:
        for line in lines:
            found = _LINE.match(line)
            if found is None:
                continue
            thread, call, text, result, resumed, rest, late = found.groups()
            if resumed:
                yield Step(thread, resumed, open_calls.pop(thread, "") + rest, int(late))
            else:
                yield Step(thread, call, text, None)
                if result is None:
                    open_calls[thread] = text
                else:
                    yield Step(thread, call, text, int(result))


def content(text: str) -> bytes:
    """The bytes of all strings in a call's arguments, one after the other."""
    return b"".join(bytes.fromhex(part.replace("\\x", "")) for part in _TEXT.findall(text))


def paths(text: str) -> list[str]:
    """The strings in a call's arguments, as paths."""
    return [bytes.fromhex(part.replace("\\x", "")).decode() for part in _TEXT.findall(text)]


@dataclass(slots=True)
class Inode:
    """A file: what programs see, what is safe, and the changes in between."""

    seen: bytearray = field(default_factory=bytearray)
    safe: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)  # offset and bytes; no bytes: cut off there
    forced: int = 0  # changes that are safe

    def change(self, offset: int, data: bytes | None) -> None:
        """A write or a cut."""
        _apply(self.seen, offset, data)
        self.pending.append((offset, data))

    @property
    def changes(self) -> int:
        """All that there were until now."""
        return self.forced + len(self.pending)

    def force(self, changes: int) -> None:
        """The first so many changes are safe now; another thread may have forced some of them in the meantime."""
        count = max(0, changes - self.forced)
        for offset, data in self.pending[:count]:
            _apply(self.safe, offset, data)
        del self.pending[:count]
        self.forced += count


def _apply(target: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del target[offset:]
        return
    if len(target) < offset:
        target.extend(bytes(offset - len(target)))
    target[offset : offset + len(data)] = data


class Disk:
    """Follows a process's calls on the files below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.names: dict[str, Inode] = {}
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                data = path.read_bytes()
                self.names[str(path)] = Inode(bytearray(data), bytearray(data))
        self.safe_names = dict(self.names)
        self.new_folders: set[str] = set()  # made while we watch, their own names not forced yet
        self._open: dict[int, tuple[Inode | None, str, int]] = {}
        self._forcing: dict[str, tuple[Inode | None, str, int, Mapping[str, Inode], set[str]]] = {}
        self._folder_calls = 0
        self._forced_as_of: dict[str, int] = {}  # folders: which call has forced their names

    def take(self, step: Step) -> None:
        """One step. Writes count from their beginning on, forcing when it has returned."""
        if step.call in ("fsync", "fdatasync"):
            self._force(step)
        elif step.result is None:
            if step.call in ("write", "pwrite64"):
                self._write(step)
            elif step.call == "close":  # at its beginning: another thread may get the number before this one goes on
                self._open.pop(int(step.text or -1), None)
        elif step.result >= 0:
            self._done(step)

    def _write(self, step: Step) -> None:
        number = int(step.text.split(",", 1)[0])
        inode, path, offset = self._open.get(number, (None, "", 0))
        if inode is None:
            return
        data = content(step.text)
        if step.call == "pwrite64":
            inode.change(int(step.text.rsplit(",", 1)[1]), data)
        else:
            inode.change(offset, data)
            self._open[number] = (inode, path, offset + len(data))

    def _done(self, step: Step) -> None:
        match step.call:
            case "openat":
                self._opened(step)
            case "ftruncate" | "lseek":
                self._moved(step)
            case "mkdir":
                self.new_folders.add(paths(step.text)[0])
            case "rename":
                old, new = paths(step.text)
                if old in self.names:
                    self.names[new] = self.names.pop(old)
            case "link":
                old, new = paths(step.text)
                if old in self.names:
                    self.names[new] = self.names[old]
            case "unlink":
                self.names.pop(paths(step.text)[0], None)

    def _moved(self, step: Step) -> None:
        number, _, length = step.text.partition(",")
        inode, path, _ = self._open.get(int(number), (None, "", 0))
        if inode and step.call == "ftruncate":
            inode.change(int(length), None)
        elif inode and step.result is not None:
            self._open[int(number)] = (inode, path, step.result)

    def _opened(self, step: Step) -> None:
        path = paths(step.text)[0]
        if not path.startswith(self.root) or step.result is None:
            return
        if "O_DIRECTORY" in step.text or Path(path).is_dir():
            self._open[step.result] = (None, path, 0)
            return
        if "O_CREAT" in step.text:
            self.names.setdefault(path, Inode())
        inode = self.names.get(path)
        if inode is not None and "O_TRUNC" in step.text:
            inode.change(0, None)
        self._open[step.result] = (inode, path, 0)

    def _force(self, step: Step) -> None:
        """What was there when it began is safe when it returns."""
        if step.result is None:
            inode, path, _ = self._open.get(int(step.text.strip() or -1), (None, "", 0))
            self._folder_calls += 1
            self._forcing[step.thread] = (
                inode,
                path,
                inode.changes if inode else self._folder_calls,
                dict(self.names),
                set(self.new_folders),
            )
            return
        inode, path, count, names, folders = self._forcing.pop(step.thread, (None, "", 0, {}, set()))
        if step.result != 0:
            return
        if inode is not None:
            inode.force(count)
        elif path and count > self._forced_as_of.get(path, 0):  # one that began later may have returned before
            self._forced_as_of[path] = count
            self.new_folders -= {name for name in folders if str(PurePath(name).parent) == path}
            inside = {name for name in (*names, *self.safe_names) if str(PurePath(name).parent) == path}
            for name in inside:
                if name in names:
                    self.safe_names[name] = names[name]
                else:
                    self.safe_names.pop(name, None)

    def survivors(self, luck: random.Random | None = None) -> dict[str, bytes]:
        """The files after a cut now. Without luck nothing but what was forced; with it, some of the rest as well."""
        found = {
            name: inode
            for name, inode in self.safe_names.items()
            if self.new_folders.isdisjoint(map(str, PurePath(name).parents))
        }
        if luck:
            for name in self.names.keys() ^ self.safe_names.keys():
                if luck.random() < 0.5:
                    if name in self.names:
                        found[name] = self.names[name]
                    else:
                        found.pop(name)
        return {name: _survived(inode, luck) for name, inode in found.items()}


def _survived(inode: Inode, luck: random.Random | None) -> bytes:
    image = bytearray(inode.safe)
    for offset, data in inode.pending if luck else ():
        if luck and luck.random() < 0.5:
            _apply(image, offset, data)
    return bytes(image)
