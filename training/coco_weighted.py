"""COCO's mean average precision where each picture counts any number of times, as in a resample of the pictures.

What was found in a picture is the same in every resample. So only the last step of the evaluator is done here, for R
resamples at once: the precision along the boxes, at the recalls that COCO reads it at. It is the evaluator's own value,
but for boxes with exactly the same score: those of a picture that counts twice follow each other twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from training.coco import IOUS, RECALLS, Matches

AVERAGES = ("map", "map50", "map75")


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One class at one threshold of the IoU, with P right boxes, best first. Precision rises at these alone, so what
    lies between them need only be counted.

    Args:
        pictures_P: int64 [P], the place of the picture that each right box is of.
        boxes_PN: sparse float64 [P, N], the boxes that count of each picture, from behind the last right one on.
    """

    pictures_P: NDArray[np.int64]
    boxes_PN: csr_array

    def average(self, weights_NR: NDArray[np.float64], objects_R: NDArray[np.float64]) -> NDArray[np.float64]:
        """The average precision [R]; 0 without objects."""
        right_PR = weights_NR[self.pictures_P].cumsum(0)
        precision_PR = right_PR / np.maximum((self.boxes_PN @ weights_NR).cumsum(0), 1)
        best_PR = np.maximum.accumulate(precision_PR[::-1])[::-1]
        recalls_PR = np.searchsorted(RECALLS, right_PR / np.maximum(objects_R, 1), side="right")
        return (best_PR * np.diff(recalls_PR, axis=0, prepend=0)).sum(0) / len(RECALLS)


@dataclass(frozen=True, slots=True, eq=False)
class ClassCurves:
    """One class: its curves at the thresholds `IOUS`, and how many objects each picture has, int64 [N]."""

    curves: tuple[Curve, ...]
    objects_N: NDArray[np.int64]


def class_curves(matches: Matches) -> ClassCurves:
    """What has to be known of a class."""
    pictures_D, n = matches.pictures_D, len(matches.objects_N)
    curves = []
    for right_D, counted_D in zip(matches.right_TD, matches.counted_TD, strict=True):
        right = int(right_D.sum())
        before_D = right_D.cumsum() - right_D
        counted_D = counted_D & (before_D < right)
        places = before_D[counted_D], pictures_D[counted_D]
        curves.append(Curve(pictures_D[right_D], csr_array((np.ones(len(places[0])), places), shape=(right, n))))
    return ClassCurves(tuple(curves), matches.objects_N)


def average_weighted(classes: Sequence[ClassCurves], weights_NR: NDArray[np.float64]) -> NDArray[np.float64]:
    """`AVERAGES` [R, 3] of R resamples; not a number where a resample has no objects.

    Args:
        weights_NR: whole numbers float64 [N, R], how often each picture counts in each resample.
    """
    averages_TR, there_R = np.zeros((len(IOUS), weights_NR.shape[1])), np.zeros(weights_NR.shape[1])
    for each in classes:
        objects_R = each.objects_N @ weights_NR
        averages_TR += [curve.average(weights_NR, objects_R) for curve in each.curves]
        there_R += objects_R > 0
    averages_TR[:, there_R == 0] = np.nan
    averages_TR /= np.maximum(there_R, 1)
    at50_R, at75_R = (averages_TR[np.isclose(IOUS, iou)][0] for iou in (0.5, 0.75))
    return np.stack([averages_TR.mean(0), at50_R, at75_R], 1)
