"""ONNX Runtime's default options, kept to the cores that the process may use.

By itself it takes all cores of the machine, even in a process that was bound to two of them with `taskset`.
"""

import os

import onnxruntime as ort


def session_options():
    options, cores = ort.SessionOptions(), len(os.sched_getaffinity(0))
    if cores < os.cpu_count():
        options.intra_op_num_threads = cores
    return options
