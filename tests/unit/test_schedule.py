import os

import cv2
import pytest

from pipeline.schedule import Schedule, available_cores, opencv_threads, plan


@pytest.mark.parametrize("cores", [1, 2, 16])
def test_a_file_on_the_cpu_gets_a_single_threaded_worker_for_each_core(cores: int) -> None:
    assert plan(live=False, gpu=False, cores=cores) == Schedule(workers=min(cores, 8), model=1, encode=1, opencv=1)


def test_more_workers_than_one_decoder_feeds_only_cost_memory() -> None:
    assert plan(live=False, gpu=False, cores=8) == plan(live=False, gpu=False, cores=128)


@pytest.mark.parametrize("cores", [1, 2, 16])
def test_all_cores_work_on_the_newest_live_picture(cores: int) -> None:
    assert plan(live=True, gpu=False, cores=cores) == Schedule(workers=1, model=cores, encode=1, opencv=cores)


@pytest.mark.parametrize("live", [False, True])
def test_a_gpu_has_one_worker_and_leaves_the_cores_to_the_encoder(live: bool) -> None:
    assert plan(live=live, gpu=True, cores=16) == Schedule(workers=1, model=1, encode=4, opencv=16)
    assert plan(live=live, gpu=True, cores=2) == Schedule(workers=1, model=1, encode=2, opencv=2)


def test_the_cores_are_those_that_this_process_may_use() -> None:
    assert plan(live=True, gpu=False).model == available_cores() <= (os.cpu_count() or 1)


def test_opencv_has_its_threads_back_afterwards_whatever_happens() -> None:
    before = cv2.getNumThreads()
    with pytest.raises(ZeroDivisionError), opencv_threads(before + 1):  # noqa: PT012
        assert cv2.getNumThreads() == before + 1
        raise ZeroDivisionError
    assert cv2.getNumThreads() == before


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_a_bound_process_counts_its_own_cores_only() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
