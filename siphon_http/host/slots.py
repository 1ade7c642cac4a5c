"""Memory that a supervisor shares with its workers: one slot of 2 MiB for each process that serves.

A worker writes its own slot, the supervisor reads them all. What a process has counted stays in its slot when it ends;
the next process that gets the slot goes on from there, so that sums never become smaller. At no time have two living
processes one slot: while a worker is replaced, old and new have two.
"""

from __future__ import annotations

import mmap
import os
import tempfile

__all__ = ["SLOT_BYTES", "Slot", "Slots", "attach"]

SLOT_BYTES = 2_097_152  # the system gives memory for what is touched only


class Slot:
    """One slot. number: from 0; view: its memory; fd: what another process attaches to; taken: a process has it."""

    __slots__ = ("_map", "fd", "number", "taken", "view")

    def __init__(self, number: int) -> None:
        self.number = number
        self.fd = _new_file(f"siphon-http slot {number}")
        os.ftruncate(self.fd, SLOT_BYTES)
        self._map = mmap.mmap(self.fd, SLOT_BYTES)
        self.view = memoryview(self._map)
        self.taken = False

    def close(self) -> None:
        """Give the memory back; processes that are attached keep theirs."""
        self.view.release()
        self._map.close()
        os.close(self.fd)


class Slots:
    """All slots of a supervisor, those of processes that have ended too."""

    def __init__(self) -> None:
        self._slots: list[Slot] = []

    def take(self) -> Slot:
        """Return a slot that no process has, the lowest one first, and call it taken."""
        slot = next((one for one in self._slots if not one.taken), None)
        if slot is None:
            slot = Slot(len(self._slots))
            self._slots.append(slot)
        slot.taken = True
        return slot

    def release(self, slot: Slot) -> None:
        """The process that had `slot` has ended."""
        slot.taken = False

    def all(self) -> tuple[Slot, ...]:
        """Return every slot that ever was in use, in the order of their numbers."""
        return tuple(self._slots)

    def close(self) -> None:
        """Give the memory back."""
        for slot in self._slots:
            slot.close()
        self._slots.clear()


def attach(fd: int) -> memoryview:
    """Return the memory of the slot that `fd` stands for, and close `fd`. Called once, in the worker."""
    try:
        return memoryview(mmap.mmap(fd, SLOT_BYTES))
    finally:
        os.close(fd)


def _new_file(name: str) -> int:
    """Return a file without a name in any folder; descriptors are not inherited."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
