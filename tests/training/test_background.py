"""Work in a thread: one piece at a time, and no error is lost."""

import threading

import pytest

from ganshift.training.background import Background


def fail():
    raise OSError(28, "No space left on device")


def test_one_piece_at_a_time_in_order():
    background, done, may_end = Background(in_thread=True), [], threading.Event()
    background.start(lambda: may_end.wait(60) and done.append("first"))
    assert done == []
    may_end.set()
    background.start(lambda: done.append("second"))
    background.wait()
    assert done == ["first", "second"]


def test_without_a_thread_it_is_done_at_once():
    done = []
    Background(in_thread=False).start(lambda: done.append(threading.current_thread()))
    assert done == [threading.main_thread()]


def test_an_error_is_raised_by_the_next_call():
    background, done = Background(in_thread=True), []
    background.start(fail)
    with pytest.raises(OSError, match="No space"):
        background.start(lambda: done.append("never begun"))
    background.wait()
    assert done == []


def test_the_end_waits_and_raises():
    background, done, may_end = Background(in_thread=True), [], threading.Event()
    with background.until_done():
        background.start(lambda: may_end.wait(60) and done.append("done"))
        may_end.set()
    assert done == ["done"]
    with pytest.raises(OSError, match="No space"), background.until_done():
        background.start(fail)


def test_the_error_of_the_block_counts(caplog):
    background = Background(in_thread=True)
    background.start(fail)
    with pytest.raises(KeyError), background.until_done():
        raise KeyError
    assert "the last checkpoint was not written: No space left on device" in caplog.text
