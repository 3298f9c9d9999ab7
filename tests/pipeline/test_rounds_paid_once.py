"""Each round with Evol Stop is a pass over all lineages: what an earlier pass has paid for is recalled."""

import asyncio
import itertools
import sys

from evolute import api
from evolute.models.loopback import LoopbackServer
from evolute.pipeline.checking import replay, verify


def test_a_model_that_never_says_the_same_twice_is_paid_once_over_three_rounds(tmp_path, seeds_file):
    run, number = tmp_path / "run", itertools.count()

    async def main():
        def rule(body):
            return f"How would you plan the garden number {next(number)} with a pond, in four weeks, without any help?"

        async with LoopbackServer(rule) as server:
            settings = {
                "models.default.base_url": server.base_url, "models.default.model": "m", "evolve.rounds": 3,
                "evolve.judge": False, "evolve.stop.command": f"{sys.executable} {tmp_path}/one.py {{dataset}}",
            }  # fmt: skip
            await asyncio.to_thread(lambda: api.evolve(str(seeds_file(3)), out=run, settings=settings))
            return server.requests

    (tmp_path / "one.py").write_text("print(1)")
    assert asyncio.run(main()) == api.status(run).calls > 6
    checks = replay(run), verify(run)
    assert all(check.ok for check in checks)
    assert checks[0].stored == checks[0].rebuilt
