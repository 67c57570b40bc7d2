"""Freed memory is kept: a process that allocates the same again and again asks the system for it once."""

import os
import platform
import subprocess
import sys

import pytest

from hf_knowlearn.allocating import keep_freed_memory

FAULTS = """
import ctypes, resource, sys
from hf_knowlearn.allocating import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def step():
    held = [libc.malloc(size * 2**20) for size in (48, 1, 40)]
    for memory, size in zip(held, (48, 1, 40)):
        ctypes.memset(memory, 1, size * 2**20)
        libc.free(memory)
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another libc")


def faults(how: str) -> int:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    words = [sys.executable, "-c", FAULTS, how]
    return int(subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout)


@glibc
def test_what_a_step_frees_the_next_one_finds():
    handed_back, kept = faults("as it is"), faults("kept")
    assert handed_back > 1_000  # else this test would show nothing
    assert kept < handed_back / 20


def test_who_set_glibcs_own_variables_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not keep_freed_memory()


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
