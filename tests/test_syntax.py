import gc
import threading
import time

import pytest

from mlops import syntax

WIDE = "def f():\n    return " + " + ".join(f"a[{k}]" for k in range(80)) + "\n"


class Garbage:
    """Collected in the middle of another thread's tree, it lets that thread's neighbours go on."""

    def __init__(self):
        self.itself = self

    def __del__(self):
        time.sleep(0)


@pytest.fixture
def collected_often():
    before = gc.get_threshold()
    gc.set_threshold(50)
    yield
    gc.set_threshold(*before)


def test_many_threads_read_source_at_once(collected_often):
    """Under CPython 3.11, `ast.parse` in these threads ends in a SystemError now and then."""
    trees, failed = [], []

    def read():
        for _ in range(100):
            _ = [Garbage() for _ in range(5)]
            try:
                trees.append(syntax.parse(WIDE))
            except SystemError as error:
                failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(trees) == 400


def test_what_is_no_python_is_told_with_its_file_and_line():
    with pytest.raises(SyntaxError) as told:
        syntax.parse("x = 1\ndef", "features/shop.py")
    assert (told.value.filename, told.value.lineno) == ("features/shop.py", 2)


def test_an_expression_is_one_expression():
    assert type(syntax.parse_expression("a <= b")).__name__ == "Compare"
    with pytest.raises(SyntaxError):
        syntax.parse_expression("a = b")
