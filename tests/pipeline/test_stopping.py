import asyncio
import threading

import pytest

from evolute.pipeline.stopping import in_thread


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancelled_task_waits_for_its_thread(fails):
    begun, let, ended = threading.Event(), threading.Event(), threading.Event()

    def work():
        begun.set()
        assert let.wait(10)
        ended.set()
        if fails:
            raise OSError("too late to tell")

    task = asyncio.create_task(in_thread(work))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    let.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_what_a_thread_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)
