"""A machine whose clock is off: what a process, Git and SQLite among them, is told of the time is shifted.

The times of files are the kernel's and stay right, as they do where they lie on another machine's disk.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(which, now);
    const char *by = getenv("CLOCK_IS_OFF_BY");
    if (!failed && by && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += atol(by);
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec told;
    clock_gettime(CLOCK_REALTIME, &told);
    now->tv_sec = told.tv_sec;
    now->tv_usec = told.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec told;
    clock_gettime(CLOCK_REALTIME, &told);
    if (now) *now = told.tv_sec;
    return told.tv_sec;
}
"""


def off_by(seconds: int, folder: Path) -> dict[str, str]:
    """The variables under which a command and all that it starts are told another time.

    Where nothing compiles C, the test is skipped.
    """
    library = folder / "clock.so"
    if not library.exists():
        compiler = shutil.which("cc")
        if compiler is None or not Path("/proc/self").exists():
            pytest.skip("no C compiler, or no Linux: nobody can be told another time")
        words = [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", str(library), "-ldl"]
        subprocess.run(words, input=SHIM, text=True, check=True)
    return {"LD_PRELOAD": str(library), "CLOCK_IS_OFF_BY": str(seconds)}
