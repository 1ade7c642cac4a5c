import os

import pytest

from siphon_http.host.api import Place
from siphon_http.host.slots import SLOT_BYTES, Slots, attach


def test_what_one_side_writes_the_other_reads():
    slots = Slots()
    slot = slots.take()
    other = attach(os.dup(slot.fd))
    assert len(slot.view) == len(other) == SLOT_BYTES
    other[7] = 42
    assert slot.view[7] == 42 and slot.view[6] == 0
    slots.close()
    assert other[7] == 42


def test_a_slot_is_given_again_with_what_is_in_it_but_never_twice():
    slots = Slots()
    first, second = slots.take(), slots.take()
    first.view[0] = 9
    assert (first.number, second.number) == (0, 1)
    slots.release(first)
    assert slots.take() is first and first.view[0] == 9
    assert slots.take().number == 2
    assert [slot.number for slot in slots.all()] == [0, 1, 2]
    slots.close()


def test_descriptors_are_not_inherited_and_are_given_back():
    slots = Slots()
    fd = slots.take().fd
    assert not os.get_inheritable(fd)
    copy = os.dup(fd)
    attach(copy)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(copy)
    os.fstat(fd)
    slots.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_one_process_alone_has_a_place_too():
    place = Place()
    assert (place.index, place.count, place.is_first, len(place.counters)) == (0, 1, True, SLOT_BYTES)
    assert Place(index=-1, count=4).is_first and not Place(index=0, count=4).is_first
