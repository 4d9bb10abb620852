"""Netfilter rules: run a script of nft commands as one transaction.

In process through libnftables where it can be loaded (a fraction of a millisecond), else by the nft
program. Both act in the network namespace of the calling thread.
"""

import ctypes
import functools
import shutil
import subprocess


class NftError(OSError):
    """The rules were refused; nothing of the script is in effect."""


def run(script: str) -> str:
    """Run the commands all together or not at all; return what they print."""
    library = _library()
    return _run_in_process(library, script) if library is not None else _run_program(script)


def available() -> bool:
    """Return whether this machine can run nft commands at all."""
    return _library() is not None or shutil.which("nft") is not None


@functools.cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError:
        return None
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_ctx_free.argtypes = [ctypes.c_void_p]
    library.nft_ctx_free.restype = None
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
        getattr(library, name).restype = ctypes.c_char_p
    return library


def _run_in_process(library: ctypes.CDLL, script: str) -> str:
    # The context's socket belongs to the namespace it was opened in, so each run has its own context.
    context = library.nft_ctx_new(0)
    if not context:
        raise NftError("cannot open a context of libnftables")
    try:
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        if library.nft_run_cmd_from_buffer(context, script.encode()) != 0:
            raise NftError(_first_line(library.nft_ctx_get_error_buffer(context)))
        return bytes(library.nft_ctx_get_output_buffer(context) or b"").decode()
    finally:
        library.nft_ctx_free(context)


def _run_program(script: str) -> str:
    done = subprocess.run(["nft", "-f", "-"], input=script.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        raise NftError(_first_line(done.stderr))
    return done.stdout.decode()


def _first_line(message: bytes) -> str:
    return message.decode(errors="replace").strip().split("\n", 1)[0] or "nft refused the rules"
