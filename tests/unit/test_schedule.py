import os

import cv2
import pytest

from pipeline.schedule import Schedule, available_cores, opencv_threads, plan


def threads(plan: Schedule) -> tuple[int, int, int, int]:
    return plan.workers, plan.model, plan.encode, plan.opencv


@pytest.mark.parametrize("cores", [1, 2, 8, 12, 16])
def test_throughput_on_the_cpu_gives_each_core_a_single_threaded_worker(cores: int) -> None:
    assert threads(plan(latency=False, gpu=False, cores=cores)) == (cores, 1, 1, 1)


@pytest.mark.parametrize("cores", [17, 24, 64])
def test_cores_for_which_there_would_be_too_many_workers_help_all_of_them(cores: int) -> None:
    workers, model, *_ = threads(plan(latency=False, gpu=False, cores=cores))
    assert workers < cores == workers + model - 1  # one thread of the network is the worker itself


@pytest.mark.parametrize(("workers", "model"), [(1, 8), (2, 7), (3, 6), (8, 1), (9, 1), (64, 1)])
def test_as_many_workers_as_were_asked_for_share_the_cores(workers: int, model: int) -> None:
    assert threads(plan(latency=False, gpu=False, workers=workers, cores=8)) == (workers, model, 1, model)


@pytest.mark.parametrize(
    ("cores", "asked", "workers", "model", "alone"),
    [
        (1, None, 1, 1, False),
        (1, 2, 2, 1, False),
        (2, None, 2, 1, False),
        (2, 1, 1, 2, True),
        (2, 3, 3, 1, False),
        (3, None, 2, 3, True),
        (3, 3, 3, 1, False),
        (16, None, 2, 16, True),
    ],
)
def test_for_latency_all_cores_work_on_the_newest_picture_unless_there_are_as_many_workers(
    cores: int, asked: int | None, workers: int, model: int, alone: bool
) -> None:
    """In either case it waits neither for its turn, nor, as there are two workers, for an inference that is late."""
    soon = plan(latency=True, gpu=False, cores=cores, workers=asked)
    assert threads(soon) == (workers, model, 1, model)
    assert soon.alone == alone
    assert (soon.batch, soon.waiting, soon.ahead) == (1, 1, workers)


@pytest.mark.parametrize(("latency", "model", "alone"), [(True, 2, True), (True, 1, False), (False, 2, False)])
def test_the_threads_of_a_network_that_is_open_decide_whether_inferences_share_cores(
    latency: bool, model: int, alone: bool
) -> None:
    opened = plan(latency=latency, gpu=False, cores=2, threads=model)
    assert (opened.workers, opened.model, opened.opencv, opened.alone) == (2, model, 1, alone)


def test_only_for_latency_an_inference_has_the_gpu_to_itself() -> None:
    assert [plan(latency=latency, gpu=True, workers=2).alone for latency in (True, False)] == [True, False]


def test_for_throughput_frames_may_wait() -> None:
    many = plan(latency=False, gpu=False, cores=2)
    assert many.waiting > 1
    assert many.ahead > many.workers


def test_frames_without_an_inference_leave_no_worker_idle() -> None:
    """With n workers and a look at one frame in k, n inferences and the frames between them are under way."""
    usual = plan(latency=False, gpu=False, cores=4)
    for stride in (2, 4):
        some = plan(latency=False, gpu=False, cores=4, stride=stride)
        assert min(some.ahead - usual.ahead, some.waiting - usual.waiting) >= (stride - 1) * 4
    assert plan(latency=False, gpu=False, cores=64, stride=1000).ahead < 64
    batches = [plan(latency=False, gpu=True, cores=16, stride=stride).ahead for stride in (1, 3)]
    assert batches[1] - batches[0] <= 2  # of eight frames each
    assert plan(latency=True, gpu=False, cores=4, stride=9) == plan(latency=True, gpu=False, cores=4)


@pytest.mark.parametrize(("cores", "workers"), [(2, 2), (6, 3), (16, 8), (64, 8)])
def test_a_gpu_has_batches_in_flight_and_leaves_the_cores_to_the_encoder(cores: int, workers: int) -> None:
    assert threads(plan(latency=False, gpu=True, cores=cores)) == (workers, 1, min(cores, 4), cores)
    assert threads(plan(latency=True, gpu=True, cores=cores)) == (1, 1, min(cores, 4), cores)


def test_a_gpu_is_given_batches_where_frames_may_wait_for_each_other() -> None:
    assert plan(latency=False, gpu=True).batch > 1
    assert plan(latency=True, gpu=True).batch == plan(latency=False, gpu=False).batch == 1


def test_a_file_fills_the_batches_of_a_gpu_and_no_frame_of_a_camera_waits_for_that() -> None:
    file, cameras = plan(latency=False, gpu=True), plan(latency=False, gpu=True, cameras=2)
    assert file.waiting >= 2 * file.batch  # one is filled while another is taken
    assert 0 < cameras.wait < 1 / 60 < file.wait
    assert plan(latency=False, gpu=False, batch=8).wait == 0


def test_for_latency_a_gpu_is_given_the_frames_of_several_cameras_together() -> None:
    several, crowd = plan(latency=True, gpu=True, cameras=3), plan(latency=True, gpu=True, cameras=100)
    assert (several.batch, crowd.batch) == (3, plan(latency=False, gpu=True).batch)
    assert 0 < several.wait < 1 / 60
    single = plan(latency=True, gpu=False, cameras=3)
    assert (single.batch, single.wait) == (1, 0)


def test_a_wait_that_was_asked_for_is_kept() -> None:
    assert plan(latency=True, gpu=True, wait=0.0).wait == 0
    assert plan(latency=True, gpu=False, batch=4, wait=0.02).wait == 0.02


def test_for_latency_no_frame_of_a_file_waits_for_a_batch_that_nobody_asked_for() -> None:
    assert plan(latency=True, gpu=True, cameras=3).waiting == 1


@pytest.mark.parametrize("latency", [False, True])
@pytest.mark.parametrize("gpu", [False, True])
def test_a_batch_that_was_asked_for_can_fill(latency: bool, gpu: bool) -> None:
    asked = plan(latency=latency, gpu=gpu, batch=32)
    assert asked.batch == 32 <= asked.waiting


def test_the_cores_are_those_that_this_process_may_use() -> None:
    assert plan(latency=True, gpu=False, workers=1).model == available_cores() <= (os.cpu_count() or 1)


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
