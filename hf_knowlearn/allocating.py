"""Memory that a step on a CPU frees is kept, so that the next step finds it there.

glibc hands what is freed back to the system and asks for it again: on the tiny base that was a sixth of a run's
computing time, in page faults (`mallopt(3)`: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD). The surprising decision: whoever has
set one of glibc's own variables is left alone.
"""

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 2**31 - 1  # bytes: what a C int holds
LARGEST_IN_ARENAS = 32 * 2**20  # what older glibc takes for the second of them at most


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees. Returns whether it does: not without glibc."""
    if platform.libc_ver()[0] != "glibc" or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    is_kept = bool(mallopt(M_TRIM_THRESHOLD, LARGEST))
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST) or mallopt(M_MMAP_THRESHOLD, LARGEST_IN_ARENAS)) and is_kept
