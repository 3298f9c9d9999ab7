"""The system calls that a sandboxed process may make: a list of what Python needs, and nothing else.

libseccomp (a part of every Debian and Ubuntu, since apt uses it) knows the numbers for each machine and makes the
filter. What is not on the list fails with "operation not permitted": the process can then say so.
"""

from __future__ import annotations

import ctypes
import errno
import os
from ctypes.util import find_library

from evolute.errors import SandboxUnavailable

_FILES = """
    open openat close close_range read write readv writev pread64 pwrite64 preadv pwritev lseek stat fstat lstat
    newfstatat statx statfs fstatfs access faccessat faccessat2 readlink readlinkat getcwd chdir fchdir getdents
    getdents64 mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat truncate
    ftruncate fallocate chmod fchmod fchmodat utimensat umask fcntl flock fsync fdatasync dup dup2 dup3 pipe pipe2
    sendfile copy_file_range
"""
_WAITING = """
    poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2 timerfd_create
    timerfd_settime timerfd_gettime sendto recvfrom sendmsg recvmsg shutdown getsockopt setsockopt
"""
_PROCESS = """
    mmap munmap mremap mprotect madvise brk msync mincore rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending
    rt_sigtimedwait rt_sigsuspend sigaltstack kill tkill tgkill getpid gettid getppid getuid geteuid getgid getegid
    getgroups getresuid getresgid getpgrp getpgid getsid setitimer getitimer alarm pause nanosleep clock_nanosleep
    clock_gettime clock_getres gettimeofday time times getrusage getrlimit setrlimit prlimit64 sched_yield
    sched_getaffinity futex set_robust_list get_robust_list set_tid_address rseq arch_prctl exit exit_group execve
    wait4 waitid restart_syscall uname sysinfo getrandom getcpu membarrier
"""
_CLONE_THREAD = 0x00010000
_TERMINAL_REQUESTS = (0x5401, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS FIONREAD FIONBIO FIONCLEX FIOCLEX

_ALLOW = 0x7FFF0000
_EQUAL, _MASKED_EQUAL = 4, 7


def _refuse(number: int) -> int:
    return 0x00050000 | number


class _Comparison(ctypes.Structure):
    _fields_ = [
        ("argument", ctypes.c_uint), ("operator", ctypes.c_int), ("first", ctypes.c_uint64), ("second", ctypes.c_uint64)
    ]  # fmt: skip


def make_filter() -> bytes:
    """The filter for this machine, as a classic BPF program.

    Raises:
        SandboxUnavailable: libseccomp is not installed.
    """
    library = _load()
    context = library.seccomp_init(_refuse(errno.EPERM))
    if not context:
        raise SandboxUnavailable("libseccomp does not work here, so no untrusted program can be run")
    try:
        for name in (_FILES + _WAITING + _PROCESS).split():
            _add(library, context, _ALLOW, name)
        _add(
            library, context, _ALLOW, "socketpair", _Comparison(0, _EQUAL, 1, 0)
        )  # AF_UNIX: asyncio wakes itself by one
        for request in _TERMINAL_REQUESTS:
            _add(library, context, _ALLOW, "ioctl", _Comparison(1, _EQUAL, request, 0))
        # Threads, but no processes: a fork bomb fails at its first step, for root as well, whom no process limit binds.
        # What is asked of clone3 stands in memory, where no filter can look, so the C library must fall back to clone.
        _add(library, context, _ALLOW, "clone", _Comparison(0, _MASKED_EQUAL, _CLONE_THREAD, _CLONE_THREAD))
        _add(library, context, _refuse(errno.ENOSYS), "clone3")
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(find_library("seccomp") or "libseccomp.so.2", use_errno=True)
    except OSError:
        raise SandboxUnavailable(
            "libseccomp is missing, and no untrusted program is run without it. Install it with: "
            "apt-get install libseccomp2 (Debian, Ubuntu) or dnf install libseccomp (Fedora)"
        ) from None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Comparison)
    ]  # fmt: skip
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return library


def _add(library: ctypes.CDLL, context: int, action: int, name: str, *comparisons: _Comparison) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number < 0:  # this machine, or this libseccomp, does not know the call: it stays refused
        return
    array = (_Comparison * max(1, len(comparisons)))(*comparisons)
    failed = library.seccomp_rule_add_array(context, action, number, len(comparisons), array)
    if failed:
        raise SandboxUnavailable(f"libseccomp does not take a rule for {name!r}: {os.strerror(-failed)}")


def _export(library: ctypes.CDLL, context: int) -> bytes:
    descriptor = os.memfd_create("evolute-seccomp")
    try:
        failed = library.seccomp_export_bpf(context, descriptor)
        if failed:
            raise SandboxUnavailable(f"libseccomp cannot write its filter: {os.strerror(-failed)}")
        os.lseek(descriptor, 0, os.SEEK_SET)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read()
    finally:
        os.close(descriptor)
