"""The cores that the threads may use."""

import os
from threading import Event, get_native_id, Thread

from planted_kernel import Planted
import pytest
from vla_nav_node.system.load.core_masks import explain, MaskReader


def test_each_thread_is_asked_for_and_fewer_cores_are_told(tmp_path):
    linux = Planted(tmp_path)
    linux.plant({'proc/self/task/11/stat': '', 'proc/self/task/12/stat': ''})
    masks = {11: {0, 1, 2}, 12: {3}}
    reader = MaskReader(linux.roots, lambda task: masks[task])
    before = reader.read()
    assert before == {11: 3, 12: 1}  # `realtime` binds the driving thread to one core itself
    assert explain([before], [before]) == explain([], [before]) == ''
    masks[11] = {0}
    assert explain([before], [reader.read()]).startswith(
        '1 threads of this process may use 1 core only, 3 before')


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason='has one core')
def test_the_mask_of_another_thread_of_this_process():
    ended, known, tasks = Event(), Event(), []

    def wait():
        tasks.append(get_native_id())
        known.set()
        ended.wait()
    thread = Thread(target=wait)
    thread.start()
    known.wait()
    try:
        reader = MaskReader()
        before = reader.read()
        os.sched_setaffinity(tasks[0], {min(os.sched_getaffinity(0))})
        assert explain([before], [reader.read()]).startswith('1 threads of this process may use 1')
    finally:
        ended.set()
        thread.join()


def test_without_a_list_of_threads(tmp_path):
    assert MaskReader(Planted(tmp_path).roots).read() == {}
