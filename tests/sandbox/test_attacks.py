"""Programs that try to get out, to reach what is not theirs, or to bring the machine down. Each tests one property.

An attack prints `ESCAPED` where it succeeds. Those that multiply are bounded by their own loops as well.
"""

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from evolute.sandbox import Limits, Outcome

QUICK = Limits(seconds=3, memory=1 << 28)

# name: (program, the outcomes that are right)
ATTACKS = {
    "connects to a public address": ("""
import _socket
s = _socket.socket(); s.connect(("1.1.1.1", 80)); print("ESCAPED")
""", {Outcome.ERROR}),
    "connects to a service on this machine": ("""
import _socket
s = _socket.socket(); s.connect(("127.0.0.1", PORT)); s.send(b"escaped"); print("ESCAPED")
""", {Outcome.ERROR}),
    "sends a datagram": ("""
import _socket
s = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM); s.sendto(b"escaped", ("127.0.0.1", PORT)); print("ESCAPED")
""", {Outcome.ERROR}),
    "resolves a name": ("""
import _socket
print("ESCAPED", _socket.getaddrinfo("example.com", 80))
""", {Outcome.ERROR}),
    "opens a Unix socket of the system": ("""
import _socket
s = _socket.socket(_socket.AF_UNIX); s.connect("/run/dbus/system_bus_socket"); print("ESCAPED")
""", {Outcome.ERROR}),
    "opens a raw netlink socket": ("""
import _socket
s = _socket.socket(16, 3, 0); print("ESCAPED")
""", {Outcome.ERROR}),
    "connects through its own channel's kind of socket": ("""
import _socket
a, b = _socket.socketpair(); a.connect(("127.0.0.1", PORT)); print("ESCAPED")
""", {Outcome.ERROR}),
    "reads a file of the user's": ("""
print(open("SECRET").read()); print("ESCAPED")
""", {Outcome.ERROR}),
    "lists the folders of users": ("""
import os
folders = ("/home", "/root", "/srv", "/mnt", "/var", "/etc/passwd", "/etc/shadow")
found = [name for name in folders if os.path.exists(name)]
if found: print("ESCAPED", found)
""", {Outcome.PASSED}),
    "follows a symlink out": ("""
import os
os.symlink("SECRET", "/tmp/link"); print(open("/tmp/link").read()); print("ESCAPED")
""", {Outcome.ERROR}),
    "makes a hard link to the system": ("""
import os
os.link("/usr/bin/env", "/tmp/env"); print("ESCAPED")
""", {Outcome.ERROR}),
    "climbs out of its folder": ("""
import os
for depth in range(1, 12):
    if os.path.exists("../" * depth + "SECRET"[1:]): print("ESCAPED")
""", {Outcome.PASSED}),
    "writes to the root": ('open("/escaped", "w").write("x"); print("ESCAPED")', {Outcome.ERROR}),
    "writes to the system": ('open("/usr/lib/escaped", "w").write("x"); print("ESCAPED")', {Outcome.ERROR}),
    "writes into the interpreter": ("""
import os
open(os.__file__, "a").write("x"); print("ESCAPED")
""", {Outcome.ERROR}),
    "writes to /dev": ('open("/dev/escaped", "w").write("x"); print("ESCAPED")', {Outcome.ERROR}),
    "opens a disk": ("""
import os
for name in ("/dev/sda", "/dev/vda", "/dev/nvme0n1", "/dev/mem", "/dev/kmsg", "/dev/fuse"):
    if os.path.exists(name): print("ESCAPED", name)
""", {Outcome.PASSED}),
    "makes a device": ("""
import os
os.mknod("/tmp/disk", 0o60666, os.makedev(8, 0)); print("ESCAPED")
""", {Outcome.ERROR}),
    "looks for other processes": ("""
import os
if os.path.exists("/proc") and os.listdir("/proc"): print("ESCAPED")
""", {Outcome.PASSED}),
    "kills every process": ("""
import os, signal
for pid in range(2, 2000):
    if pid != os.getpid():
        try: os.kill(pid, signal.SIGKILL); print("ESCAPED", pid)
        except ProcessLookupError: pass
""", {Outcome.PASSED}),
    "kills the first process of its name space": ("""
import os, signal
os.kill(1, signal.SIGKILL)
os.kill(1, 0); print("alive")
""", {Outcome.PASSED}),
    "reads keys from the environment": ("""
import os
if "SECRET_KEY" in os.environ or "sk-planted" in repr(dict(os.environ)): print("ESCAPED")
""", {Outcome.PASSED}),
    "reads keys from the first process": ('print(open("/proc/1/environ").read()); print("ESCAPED")', {Outcome.ERROR}),
    "forks": ("""
import os
for _ in range(50):
    if os.fork() == 0: os._exit(0)
    print("ESCAPED")
""", {Outcome.ERROR}),
    "forks by vfork and spawn": ("""
import os
os.posix_spawn("/usr/bin/true", ["true"], {}); print("ESCAPED")
""", {Outcome.ERROR}),
    "starts a shell": ("""
import os
if os.system("echo ESCAPED") == 0: print("ESCAPED")
""", {Outcome.PASSED}),
    "starts processes by clone, as libc does not": ("""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 56, "aarch64": 220}[__import__("os").uname().machine]
for flags in (17, 0x4000 | 17, 0x10000000 | 17, 0x20000000 | 17):
    if libc.syscall(number, flags, 0, 0, 0, 0) >= 0: print("ESCAPED", flags)
""", {Outcome.PASSED}),
    "starts processes by clone3": ("""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(435, ctypes.create_string_buffer(88), 88) >= 0: print("ESCAPED")
print(ctypes.get_errno())
""", {Outcome.PASSED}),
    "starts ever more threads": ("""
import threading
stop = threading.Event()
threads = []
for number in range(500):
    try: thread = threading.Thread(target=stop.wait, daemon=True); thread.start()
    except RuntimeError: break
if number > 64: print("ESCAPED", number)
stop.set()
""", {Outcome.PASSED}),
    "takes all memory": ("x = bytearray(1 << 40)\nprint('ESCAPED')", {Outcome.MEMORY}),
    "takes all memory, bit by bit": ("""
parts = []
while len(parts) < 1 << 14: parts.append(bytearray(1 << 20))
print("ESCAPED")
""", {Outcome.MEMORY, Outcome.CRASHED}),
    "takes memory outside its address space": ("""
import os
os.memfd_create("x"); print("ESCAPED")
""", {Outcome.ERROR}),
    "takes shared memory": ("""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.shmget(0, 1 << 30, 0o1600) >= 0: print("ESCAPED")
""", {Outcome.PASSED}),
    "locks memory": ("""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.mlockall(3) == 0: print("ESCAPED")
""", {Outcome.PASSED}),
    "fills the disk with one file": ("""
with open("/tmp/big", "wb") as file:
    for _ in range(64): file.write(bytes(1 << 20)); file.flush()
print("ESCAPED")
""", {Outcome.ERROR, Outcome.CRASHED}),
    "fills the disk with many files": ("""
for number in range(64):
    with open(f"/tmp/{number}", "wb") as file: file.write(bytes(1 << 20))
print("ESCAPED")
""", {Outcome.ERROR, Outcome.CRASHED}),
    "fills another folder in memory": ("""
import os
for folder in ("/dev/shm", "/run", "/var/tmp", "/packages"):
    try: open(folder + "/big", "wb").write(bytes(1 << 20)); print("ESCAPED", folder)
    except OSError: pass
""", {Outcome.PASSED}),
    "opens ever more files": ("""
held = []
for _ in range(1000): held.append(open("/dev/null"))
print("ESCAPED")
""", {Outcome.ERROR}),
    "raises its own limits": ("""
import resource
for name in (resource.RLIMIT_AS, resource.RLIMIT_NOFILE, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE):
    try: resource.setrlimit(name, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)); print("ESCAPED", name)
    except (ValueError, OSError): pass
""", {Outcome.PASSED}),
    "prints without end": ("import os\nwhile True: os.write(1, b'x' * 65536)", {Outcome.OUTPUT}),
    "floods its channel": ("""
import os
while True:
    for fd in range(3, 20):
        try: os.write(fd, b"x" * 65536)
        except OSError: pass
""", {Outcome.CRASHED}),
    "runs without end": ("while True: pass", {Outcome.TIMEOUT}),
    "sleeps without end": ("import time\ntime.sleep(1000)", {Outcome.TIMEOUT}),
    "ignores every signal": ("""
import signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: pass
""", {Outcome.TIMEOUT}),
    "swallows every exception": ("""
while True:
    try:
        while True: pass
    except BaseException: pass
""", {Outcome.TIMEOUT}),
    "computes where no signal is seen": ("x = 10 ** 10 ** 9", {Outcome.TIMEOUT, Outcome.MEMORY}),
    "overflows the stack": ("""
import sys
sys.setrecursionlimit(10 ** 9)
def f(): f()
f()
""", {Outcome.CRASHED, Outcome.MEMORY, Outcome.ERROR, Outcome.TIMEOUT}),
    "becomes root": ("""
import os
for become in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgid(0), lambda: os.setgroups([0])):
    try: become(); print("ESCAPED")
    except OSError: pass
if 0 in (os.getuid(), os.geteuid()): print("ESCAPED")
""", {Outcome.PASSED}),
    "runs a program that is set to root": ("""
import os
for name in ("/usr/bin/su", "/usr/bin/mount", "/usr/bin/passwd", "/usr/bin/sudo"):
    if os.path.exists(name): os.execv(name, [name, "-c", "id"])
""", {Outcome.PASSED, Outcome.CRASHED}),
    "replaces itself with a shell": ("""
import os
os.execv("/bin/sh", ["sh", "-c", "(sleep 100; echo ESCAPED) & cat SECRET && echo ESCAPED"])
""", {Outcome.CRASHED}),
    "makes a file that is set to its owner": ("""
import os
open("/tmp/x", "w").close(); os.chown("/tmp/x", 0, 0); print("ESCAPED")
""", {Outcome.ERROR}),
    "traces a process": ("""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(16, 1, 0, 0) == 0 or libc.ptrace(0, 0, 0, 0) == 0: print("ESCAPED")
""", {Outcome.PASSED}),
    "reads another process's memory": ("""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.process_vm_readv(1, 0, 0, 0, 0, 0) >= 0: print("ESCAPED")
""", {Outcome.PASSED}),
    "enters a new user name space": ("""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for flags in (0x10000000, 0x20000, 0x40000000, 0x20000000, 0x10020000):
    if libc.unshare(flags) == 0: print("ESCAPED", flags)
if libc.setns(0, 0) == 0: print("ESCAPED")
""", {Outcome.PASSED}),
    "mounts": ("""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"none", b"/tmp", b"tmpfs", 0, 0) == 0: print("ESCAPED")
if libc.mount(b"/", b"/", 0, 32 | 4096, 0) == 0: print("ESCAPED")
if libc.umount2(b"/tmp", 2) == 0: print("ESCAPED")
""", {Outcome.PASSED}),
    "changes its root": ("""
import os
os.chroot("/tmp"); print("ESCAPED")
""", {Outcome.ERROR}),
    "asks the kernel for what few programs need": ("""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
# bpf, perf_event_open, userfaultfd, keyctl, io_uring_setup, kexec_load, init_module, open_by_handle_at (x86_64)
for number in (321, 298, 323, 250, 425, 246, 175, 304):
    if os.uname().machine == "x86_64" and libc.syscall(number, 0, 0, 0, 0, 0) >= 0: print("ESCAPED", number)
""", {Outcome.PASSED}),
    "types into the terminal": ("""
import fcntl
for fd in range(3):
    try: fcntl.ioctl(fd, 0x5412, b"x"); print("ESCAPED")
    except OSError: pass
""", {Outcome.PASSED}),
    "changes the clock or the name of the machine": ("""
import time, ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.sethostname(b"x", 1) == 0: print("ESCAPED")
try: time.clock_settime(time.CLOCK_REALTIME, 0); print("ESCAPED")
except OSError: pass
""", {Outcome.PASSED}),
}  # fmt: skip


@pytest.fixture(scope="module")
def listener():
    """A service of this machine that no program may reach; it keeps what it received."""
    received = []
    server = socket.create_server(("127.0.0.1", 0))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", server.getsockname()[1]))
    datagrams.setblocking(False)
    server.settimeout(0.05)
    stop = threading.Event()

    def serve():
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                received.append(server.accept())
            with contextlib.suppress(BlockingIOError):
                received.append(datagrams.recv(100))

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1], received
    stop.set()
    thread.join()
    server.close()
    datagrams.close()


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_gets_out(sandbox, listener, tmp_path, monkeypatch, name):
    port, received = listener
    secret = tmp_path / "secret"
    secret.write_text("sk-planted")
    monkeypatch.setenv("SECRET_KEY", "sk-planted")
    program, right = ATTACKS[name]
    program = program.replace("PORT", str(port)).replace("SECRET_KEY", "secret_key".upper())
    program = program.replace('"SECRET', f'"{secret}').replace("cat SECRET", f"cat {secret}")
    ran = sandbox(lambda box: box.run(program, limits=QUICK))
    assert "ESCAPED" not in ran.output, ran
    assert "sk-planted" not in ran.output
    assert ran.outcome in right, ran
    assert received == []
    assert list(tmp_path.iterdir()) == [secret]
    assert secret.read_text() == "sk-planted"


# name: (candidate, tests); none of these candidates solves its task: f(x) is x + 1.
FORGERIES = {
    "an object that equals everything": """
class Any:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    def __bool__(self): return True
    def __hash__(self): return 0
def f(x): return Any()
""",
    "an int that equals everything": """
class Any(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
def f(x): return Any(7)
""",
    "a list whose items equal everything": """
class Any(list):
    def __eq__(self, other): return True
    def __iter__(self): return iter([2])
def f(x): return Any()
""",
    "os._exit(0) at import": "import os\nos._exit(0)",
    "os._exit(0) in the call": "import os\ndef f(x): os._exit(0)",
    "sys.exit(0) at import": "import sys\nsys.exit(0)",
    "sys.exit(0) in the call": "import sys\ndef f(x): sys.exit(0)",
    "SystemExit from a destructor": """
class Bye:
    def __del__(self): raise SystemExit(0)
def f(x): Bye()
""",
    "sys.exit at exit": "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): raise SystemExit(0)",
    "a monkeypatched assert": """
import builtins
class AssertionError(Exception): pass
builtins.AssertionError = AssertionError
builtins.isinstance = lambda *a: True
def f(x): return 0
""",
    "a monkeypatched comparison": """
import builtins, operator
operator.eq = builtins.all = builtins.any = lambda *a: True
def f(x): return 0
""",
    "an exception that the tests swallow": "def f(x): raise StopIteration",
    "an exception of its own": """
class Passed(BaseException): pass
def f(x): raise Passed
""",
    "reading the tests through its frames": """
import sys
def f(x):
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            if isinstance(value, dict) and "tests" in value: return eval(value["tests"].split("==")[1])
        frame = frame.f_back
    return None
""",
    "reading the tests from memory": """
import gc
def f(x):
    for thing in gc.get_objects():
        if isinstance(thing, dict) and "tests" in thing and "nonce" in thing: return 2
    return None
""",
    "reading the tests from a file": """
import os
def f(x):
    for folder, _, names in os.walk("/tmp"):
        if names: return 2
    return None
""",
    "writing a verdict to every descriptor": """
import os
def frame(text): return len(text).to_bytes(4, "big") + text
said = frame(b'["test","module","passed",""]') + frame(b'["verdict",""]')
for fd in range(3, 64):
    try: os.write(fd, said)
    except OSError: pass
def f(x): return 0
""",
    "writing a verdict in the call": """
import os
def f(x):
    said = b'["verdict","0"]'
    for fd in range(3, 64):
        try: os.write(fd, len(said).to_bytes(4, "big") + said)
        except OSError: pass
    os._exit(0)
""",
    "answering twice": """
import os
def f(x):
    said = b'["value",2,null]'
    for fd in range(3, 64):
        try: os.write(fd, (len(said).to_bytes(4, "big") + said) * 3)
        except OSError: pass
    return 0
""".replace("2,null", "3,null"),
    "changing the arguments so that they agree": "def f(x):\n    return x",
    "a value that breaks the reader": """
import os
def f(x):
    said = b'[' * 100000
    for fd in range(3, 64):
        try: os.write(fd, len(said).to_bytes(4, "big") + said)
        except OSError: pass
    while True: pass
""",
    "a value of another type's shape": """
import os
def f(x):
    said = b'["value",{"type":"__import__"},null]'
    for fd in range(3, 64):
        try: os.write(fd, len(said).to_bytes(4, "big") + said)
        except OSError: pass
    while True: pass
""",
    "an endless iterator": """
def f(x):
    while True: yield 2
""",
    "a value without bottom": """
def f(x):
    value = []
    value.append(value)
    return value
""",
    "a value too large": "def f(x): return 'x' * (1 << 26)",
    "a lingering thread": """
import threading, time
threading.Thread(target=lambda: time.sleep(100)).start()
def f(x): return 0
""",
    "replacing the worker": """
import sys
for name, module in list(sys.modules.items()):
    if name.endswith("worker"):
        module.encode = lambda value: 2
        module._answer = lambda *a: ("value", 3, None)
def f(x): return 0
""",
}


SWALLOWING = {
    "map": "assert all(map(lambda c: f(c[0]) == c[1], [(1, 2), (5, 6)]))",
    "zip": "for got, want in zip(map(f, [1, 5]), [2, 6]):\n    assert got == want",
    "iter": "for got in iter(lambda: f(1), 2):\n    assert False",
    "generator": "def g():\n    yield f(1)\nassert next(g(), 2) == 2",
    "next": "assert next(map(f, [1]), 2) == 2",
}


@pytest.mark.parametrize("tests", SWALLOWING.values(), ids=SWALLOWING)
@pytest.mark.parametrize(
    "name", ["StopIteration", "StopAsyncIteration", "GeneratorExit", "type('Mine', (StopIteration,), {})"]
)
def test_no_exception_ends_the_tests_in_silence(sandbox, name, tests):
    tested = sandbox(lambda box: box.test(f"def f(x): raise {name}", tests, calls=["f"], limits=QUICK))
    assert tested.outcome is Outcome.FAILED, tested


@pytest.mark.parametrize("name", FORGERIES)
def test_none_passes_a_task_that_it_did_not_solve(sandbox, name):
    tests = "assert f(1) == 2\nassert f(5) == 6\ndef test_more():\n    assert [f(x) for x in range(3)] == [1, 2, 3]"
    tested = sandbox(lambda box: box.test(FORGERIES[name], tests, calls=["f"], limits=QUICK))
    assert tested.outcome is not Outcome.PASSED, tested


@pytest.mark.parametrize(
    "name",
    [
        "os._exit(0) at import",
        "os._exit(0) in the call",
        "sys.exit(0) at import",
        "writing a verdict to every descriptor",
        "writing a verdict in the call",
    ],
)
def test_not_even_in_one_process_by_ending_early(sandbox, name):
    tested = sandbox(
        lambda box: box.test(FORGERIES[name], "assert f(1) == 2", calls=["f"], limits=QUICK, together=True)
    )
    assert tested.outcome is not Outcome.PASSED, tested


def test_a_right_candidate_passes_the_same_tests(sandbox):
    tests = "assert f(1) == 2\nassert f(5) == 6\ndef test_more():\n    assert [f(x) for x in range(3)] == [1, 2, 3]"
    tested = sandbox(lambda box: box.test("def f(x): return x + 1", tests, calls=["f"]))
    assert tested.outcome is Outcome.PASSED
    assert [name for name, *_ in tested.tests] == ["module", "test_more"]


def test_nothing_stays_behind(evolute_command):
    """In a process of its own: after the worst programs no process of the sandbox is left."""
    script = """
import asyncio, os
from evolute.sandbox import Limits, Sandbox
async def main():
    async with Sandbox(workers=2) as box:
        endless = "while True: pass"
        threads = "import threading, time\\nfor _ in range(9): threading.Thread(target=time.sleep, args=(99,)).start()"
        deaf = "import signal\\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\\nwhile True: pass"
        programs = [endless, threads, deaf]
        await asyncio.gather(*(box.run(program, limits=Limits(seconds=0.5)) for program in programs))
asyncio.run(main())
children = open(f"/proc/self/task/{os.getpid()}/children").read().split()
print("left:", children)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == "left: []\n", ran
    assert ran.stderr == ""


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
def test_its_end_is_the_sandboxes_end():
    """When the process that holds the sandbox is killed, so is all that runs in it."""
    script = """
import asyncio, sys
from evolute.sandbox import Limits, Sandbox
async def main():
    async with Sandbox(workers=1) as box:
        running = asyncio.ensure_future(box.run("while True: pass", limits=Limits(seconds=60)))
        while not running.done():
            print("running", flush=True)
            await asyncio.sleep(60)
asyncio.run(main())
"""
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "running\n"
    inside = _descendants(holder.pid)
    assert inside
    holder.kill()
    holder.wait()
    holder.stdout.close()
    for pid in inside:
        _wait_gone(pid)


def _descendants(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children] + [one for child in children for one in _descendants(int(child))]


def _wait_gone(pid):
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    assert select.select([descriptor], [], [], 10)[0], f"process {pid} is still there"
    os.close(descriptor)
