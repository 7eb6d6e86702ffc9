"""When interruptions of training fall due."""

from ganshift.training.cadence import Cadence, crossed


def test_every_so_many_images():
    assert [seen for seen in range(4, 44, 4) if crossed(10, seen - 4, seen)] == [12, 20, 32, 40]
    cadence = Cadence(every=10)
    cadence.seconds = 1e9
    assert [seen for seen in range(4, 44, 4) if cadence.is_due(seen - 4, seen, trained=0.0)] == [12, 20, 32, 40]
    assert not any(Cadence(every=0).is_due(seen - 4, seen, trained=1e9) for seen in range(4, 44, 4))


def test_a_part_of_the_time():
    """Each takes 3 seconds and an iteration 1: a fifth of the time is left to them after 15 seconds each."""
    cadence, done = Cadence(every=1, share=0.2), []
    for seen in range(1, 61):
        if cadence.is_due(seen - 1, seen, trained=float(seen)):
            done.append(seen)
            cadence.seconds += 3
    assert done == [1, 15, 30, 45, 60]


def test_the_time_is_counted():
    cadence = Cadence(every=1, share=0.5)
    with cadence.timed():
        pass
    assert 0 < cadence.seconds < 60
