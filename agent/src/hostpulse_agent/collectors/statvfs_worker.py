"""Program of the helper process: answers statvfs requests on its standard streams, in order.

Run by path with ``-I -S`` and importing only the built-in ``posix``, it costs two to three
mebibytes of memory of its own. Request: a path ended by NUL. Answer: one line, either
``e <errno>`` or ``s <is directory> <total> <free> <available> <inodes> <inodes free>`` (bytes,
counts). The first line, ``r``, says that it is ready. It ends when its input ends.
"""

from __future__ import annotations

import posix

_TYPE, _DIRECTORY = 0o170000, 0o040000  # of st_mode; importing `stat` would cost memory


def answer(path: bytes) -> bytes:
    """Return the answer line to one request (bytes in, bytes out)."""
    try:
        stat = posix.statvfs(path)
        directory = (posix.stat(path).st_mode & _TYPE) == _DIRECTORY
    except OSError as error:
        return b"e %d\n" % (error.errno or 5)
    unit = stat.f_frsize or stat.f_bsize
    return b"s %d %d %d %d %d %d\n" % (
        directory,
        stat.f_blocks * unit,
        stat.f_bfree * unit,
        stat.f_bavail * unit,
        stat.f_files,
        stat.f_ffree,
    )


def serve() -> None:
    """Answer until the input ends."""
    posix.write(1, b"r\n")
    waiting = b""
    while True:
        data = posix.read(0, 8192)
        if not data:
            return
        *paths, waiting = (waiting + data).split(b"\0")
        for path in paths:
            posix.write(1, answer(path))


if __name__ == "__main__":
    serve()
