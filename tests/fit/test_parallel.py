import pytest

from glotmix.fit.parallel import each


@pytest.mark.parametrize("workers", [1, 2])
def test_results_keep_their_order_and_a_listener_hears_of_each(workers):
    heard = []
    squares = each(pow, [(n, 2) for n in range(5)], workers, what="Squaring", tell=lambda *told: heard.append(told))
    assert squares == [0, 1, 4, 9, 16]
    assert heard == [("Squaring", done, 5) for done in range(6)]


def test_an_error_in_a_task_is_the_callers_error():
    with pytest.raises(ZeroDivisionError):
        each(divmod, [(1, 1), (1, 0)], 2)
