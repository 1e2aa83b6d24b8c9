"""The bank's files: read only where they are plain and of a bounded size, and written so that a crash harms none.

All that is changed is changed under the one lock, so that a `.partial` found there is of a process that died.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EFBIG, EINVAL
from pathlib import Path

PARTIAL = ".partial"


@contextmanager
def lock(folder: Path, seconds: float) -> Iterator[None]:
    """Hold the folder's lock. Raises OSError, a TimeoutError where it is not free within the seconds."""
    from filelock import FileLock, Timeout

    held = FileLock(folder / ".lock", timeout=seconds, poll_interval=0.01)
    try:
        held.acquire()
    except Timeout:
        raise TimeoutError(0, f"another process holds its lock for more than {seconds:g} s") from None
    try:
        yield
    finally:
        held.release()


def open_plain(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file. Raises OSError for what is none, and never waits as a pipe makes one do."""
    with suppress(FileNotFoundError):
        _refuse_other(os.lstat(path), path)
    number = os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        _refuse_other(os.fstat(number), path)
    except OSError:
        os.close(number)
        raise
    return number


def _refuse_other(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(EINVAL, "it is no regular file", str(path))


def read_plain(path: Path, limit: int, start: int = 0) -> tuple[bytes, os.stat_result]:
    """A regular file's bytes from `start`, and its status. Raises OSError, also for more than `limit` bytes."""
    with open(open_plain(path), "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_size > limit:
            raise OSError(EFBIG, f"it has {status.st_size / 1e6:.0f} MB, {limit / 1e6:.0f} are the most", str(path))
        file.seek(start)
        return file.read(max(0, status.st_size - start)), status


def is_folder(path: Path) -> bool:
    """Whether it is a folder itself, and no link to one."""
    with suppress(OSError):
        return stat.S_ISDIR(os.lstat(path).st_mode)
    return False


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that after a crash it is the old one or the new one, never half of either."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        number = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            _write(number, content, 0)
            os.fsync(number)
        finally:
            os.close(number)
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise
    sync_folder(path.parent)


def append(path: Path, content: bytes, at: int, *, durable: bool = True) -> None:
    """Write at the end `at` of what is whole; what a process that died left behind it is cut off.

    Raises OSError, and the file ends at `at` then.
    """
    number = open_plain(path, os.O_RDWR | os.O_CREAT)
    try:
        try:
            if os.fstat(number).st_size != at:
                os.ftruncate(number, at)
            _write(number, content, at)
            if durable:
                os.fsync(number)
        except BaseException:
            with suppress(OSError):
                os.ftruncate(number, at)
            raise
    finally:
        os.close(number)
    if durable and not at:
        sync_folder(path.parent)


def _write(number: int, content: bytes, at: int) -> None:
    rest = memoryview(content)
    while rest:
        count = os.pwrite(number, rest, at)
        rest, at = rest[count:], at + count


def sync_folder(folder: Path) -> None:
    """What was renamed in a folder is so after a loss of power too."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno != EINVAL:  # a file system that cannot
            raise
    finally:
        os.close(number)


def remove(path: Path) -> None:
    """Remove a file, or a link as such. What will not go stays, and is in nobody's way."""
    with suppress(OSError):
        os.unlink(path)
