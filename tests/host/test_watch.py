import asyncio
import os
import threading

import pytest

from siphon_http.host.watch import LOOK_SECONDS, Watch
from tests.stage import until


class Seen:
    """A watch of some files, and how often it has told of a change."""

    def __init__(self, folder, notified=False):
        self.folder = folder
        self.count = 0
        self.came = asyncio.Event()
        self.watch = Watch(self._changed, notified=notified)

    def _changed(self):
        self.count += 1
        self.came.set()

    def look_at(self, *names, since=0):
        self.watch.look_at([str(self.folder / name) for name in names], since)

    async def next(self, within=10.0):
        await asyncio.wait_for(self.came.wait(), within)
        self.came.clear()

    async def nothing(self):
        await asyncio.sleep(2.5 * LOOK_SECONDS)
        assert not self.came.is_set()


def play(folder, scenario, notified=False):
    async def main():
        seen = Seen(folder, notified)
        try:
            await scenario(seen)
        finally:
            seen.watch.stop()

    asyncio.run(main())


@pytest.mark.parametrize("notified", [False, True])
def test_a_change_is_told_within_half_a_second(tmp_path, notified):
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "b.py").write_text("1")

    async def scenario(seen):
        seen.look_at("a.py", "b.py")
        await asyncio.sleep(0.1)  # the system's own watch has begun, where it is asked for
        loop = asyncio.get_running_loop()
        began = loop.time()
        (tmp_path / "b.py").write_text("2")
        await seen.next()
        assert loop.time() - began < 0.5
        assert seen.count == 1

    play(tmp_path, scenario, notified)


def test_what_comes_within_a_moment_is_one_change(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("1")

    async def scenario(seen):
        seen.look_at("a.py")
        for n in range(8):
            path.write_text(str(n) * n)
            await asyncio.sleep(0.01)  # below the moment that is waited for more
        await seen.next()
        await seen.nothing()
        assert seen.count == 1

    play(tmp_path, scenario)


def test_a_rename_over_the_file_is_a_change_and_a_touch_is_none(tmp_path):
    (tmp_path / "a.py").write_text("1")

    async def scenario(seen):
        seen.look_at("a.py")
        os.utime(tmp_path / "a.py", (1, 1))
        (tmp_path / "other.txt").write_text("x")
        await seen.nothing()
        (tmp_path / "new").write_text("2")
        (tmp_path / "new").replace(tmp_path / "a.py")
        await seen.next()

    play(tmp_path, scenario)


def test_a_file_that_goes_and_comes_back_as_it_was_is_two_changes(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("1")

    async def scenario(seen):
        seen.look_at("a.py")
        path.unlink()
        await seen.next()
        await seen.nothing()
        path.write_text("1")
        await seen.next()

    play(tmp_path, scenario)


def test_what_was_changed_while_it_was_loaded_is_told(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("1")

    async def scenario(seen):
        began = os.stat(path).st_mtime_ns - 1
        seen.look_at("a.py", since=began)
        await seen.next()
        await seen.nothing()
        seen.look_at("a.py", since=began)  # known by now
        await seen.nothing()

    play(tmp_path, scenario)


def test_a_module_that_appears_in_a_folder_is_a_change_of_it(tmp_path):
    async def scenario(seen):
        seen.look_at(".")
        (tmp_path / "all.log").write_text("x")
        await seen.nothing()
        (tmp_path / "helper.py").write_text("")
        await seen.next()

    play(tmp_path, scenario)


def test_other_files_may_be_watched_and_none(tmp_path):
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("1")

    async def scenario(seen):
        seen.look_at("a.py")
        seen.look_at("b.py")
        (tmp_path / "a.py").write_text("2")
        await seen.nothing()
        seen.look_at()
        (tmp_path / "b.py").write_text("2")
        await seen.nothing()
        seen.look_at("b.py")
        (tmp_path / "b.py").write_text("3")
        await seen.next()

    play(tmp_path, scenario)


def test_the_thread_of_watchfiles_begins_after_a_while_and_ends_with_the_watch(tmp_path, monkeypatch):
    monkeypatch.setattr("siphon_http.host.watch.NOTIFIED_AFTER_SECONDS", 0.02)
    (tmp_path / "a.py").write_text("1")

    async def scenario(seen):
        seen.look_at("a.py")
        assert "siphon-watch" not in {thread.name for thread in threading.enumerate()}
        await until(lambda: "siphon-watch" in {thread.name for thread in threading.enumerate()})

    play(tmp_path, scenario, notified=True)
    for thread in threading.enumerate():
        if thread.name == "siphon-watch":
            thread.join(3)
            assert not thread.is_alive()
