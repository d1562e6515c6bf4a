"""ONNX Runtime's default options, kept to the cores that the process may use, or to fewer threads.

By itself it takes all cores of the machine, even in a process that was bound to two of them with `taskset`.
"""

import os

import onnxruntime as ort


def session_options(threads=None):
    options, cores = ort.SessionOptions(), len(os.sched_getaffinity(0))
    if threads or cores < os.cpu_count():
        options.intra_op_num_threads = threads or cores
    return options
