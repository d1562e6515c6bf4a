"""Data sets in the format of Pascal VOC: its pixels, its lists, and what is refused, attacks among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.annotations import Object, Scene, draw, write_voc

from pipeline.errors import OnsightError
from training.annotated import AnnotatedImage, read_annotated
from training.box_layouts import need_boxes

LABELS = ("cat", "dog")
CAT = "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>20.5</ymax></bndbox>{}</object>"


def write(root: Path, inside: str = CAT, before: str = "", pictures: str = "JPEGImages") -> Path:
    """One picture of 64 x 48 whose annotation holds `inside`, on line 2."""
    draw(root / pictures / "a.png", Scene("a"))
    (root / "Annotations").mkdir(exist_ok=True)
    (root / "Annotations" / "a.xml").write_text(f"{before}<annotation>\n{inside}</annotation>\n", encoding="utf-8")
    return root


def only(root: Path) -> AnnotatedImage:
    (image,) = read_annotated(root, LABELS).images
    return image


def refusal(root: Path) -> str:
    with pytest.raises(OnsightError) as caught:
        read_annotated(root, LABELS)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pixels_count_from_1_and_the_last_belongs_to_the_object(tmp_path: Path) -> None:
    image = only(write(tmp_path))
    np.testing.assert_array_equal(image.boxes_N4, np.float32([[0, 0, 10, 20.5]]))
    np.testing.assert_array_equal(image.area_N, [205])
    assert (image.width, image.height) == (64, 48)  # of the file, where the XML does not say


def test_a_box_of_one_pixel_has_an_area(tmp_path: Path) -> None:
    point = CAT.replace(">10<", ">1<").replace(">20.5<", ">1<")
    np.testing.assert_array_equal(only(write(tmp_path, point)).boxes_N4, [[0, 0, 1, 1]])


@pytest.mark.parametrize(("text", "crowd"), [("1", True), ("0", False), ("Unspecified", False), ("", False)])
def test_what_is_difficult_need_not_be_found(tmp_path: Path, text: str, crowd: bool) -> None:
    assert only(write(tmp_path, CAT.format(f"<difficult>{text}</difficult>"))).crowd_N.tolist() == [crowd]


def test_parts_of_an_object_are_no_objects(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></part>"
    assert len(only(write(tmp_path, CAT.format(part)))) == 1


@pytest.mark.parametrize("pictures", ["JPEGImages", "images"])
def test_without_lists_all_are_read(tmp_path: Path, pictures: str) -> None:
    root = write(tmp_path, pictures=pictures)
    draw(root / pictures / "b.png", Scene("b"))
    listing = need_boxes(root).read()
    assert [entry.path.name for entry in listing.entries] == ["a.png"]
    (finding,) = listing.findings
    assert (finding.kind, finding.severity, finding.files) == ("ignored", "warning", ((f"{pictures}/b.png",),))
    assert len(only(root)) == 1


def test_trainval_is_what_is_trained_on_where_there_is_no_train(tmp_path: Path) -> None:
    cat = [Object("cat", (1, 1, 9, 9))]
    lists = {"trainval": [Scene("a", cat), Scene("b", cat)], "test": [Scene("c", cat)], "cat_train": [Scene("d", cat)]}
    root = write_voc(tmp_path, lists)
    (root / "ImageSets" / "Main" / "val.txt").write_text("b\n")
    listing = need_boxes(root).read()
    assert [(entry.path.stem, entry.split) for entry in listing.entries] == [
        ("a", "train"),
        ("b", "train"),
        ("c", "test"),
    ]


@pytest.mark.parametrize(
    ("inside", "told"),
    [
        (CAT.replace("cat", " "), "line 2 has an object without a name"),
        (CAT.replace("<xmax>10</xmax>", ""), "line 2 has an object without a usable bndbox"),
        (
            CAT.replace(">10<", ">nan<"),
            "line 2 has an object without a usable bndbox: xmin, ymin, xmax, ymax have to be",
        ),
        (
            CAT.replace(">10<", ">1e300<"),
            "line 2 has an object without a usable bndbox: xmin, ymin, xmax, ymax have to be numbers of pixels",
        ),
        (CAT.replace(">1<", ">12<", 1), "line 2 has a bndbox that ends before it begins: exchange its corners"),
        ("<object>", "line 2 is no valid XML: mismatched tag"),
        ("&voc;", "line 2 is no valid XML: undefined entity"),
    ],
)
def test_broken_annotations_are_told_with_file_and_line(tmp_path: Path, inside: str, told: str) -> None:
    assert f"{tmp_path / 'Annotations' / 'a.xml'} {told}" in refusal(write(tmp_path, inside))


def test_another_xml_and_an_empty_one(tmp_path: Path) -> None:
    root = write(tmp_path)
    file = root / "Annotations" / "a.xml"
    file.write_text("<annotations/>")
    assert "a.xml line 1 begins with <annotations>: expected VOC's <annotation>" in refusal(root)
    file.write_text("")
    assert "a.xml line 1 is no valid XML: no element found" in refusal(root)
    file.write_text('<?xml version="1.0" encoding="klingon"?><annotation/>')
    assert "a.xml" in refusal(root)


@pytest.mark.parametrize(
    "declared",
    [
        '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;">]>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1/voc.dtd">',
    ],
)
def test_a_doctype_is_refused_whatever_it_declares(tmp_path: Path, declared: str) -> None:
    told = refusal(write(tmp_path, CAT.replace("cat", "&x;"), before=f"{declared}\n"))
    assert "a.xml line 1 has a DOCTYPE, which can be an attack: remove it" in told


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "voc", {"train": [Scene("a", [Object("cat", (1, 1, 9, 9))]), Scene("b")]})
    (root / "JPEGImages" / "b.png").unlink()
    assert refusal(root) == "1 annotation has no picture (Annotations/b.xml): add or remove"
    (root / "Annotations" / "b.xml").unlink()
    told = "1 file is named, and not there (Annotations/b.xml by ImageSets/Main/train.txt): add or correct"
    assert refusal(root) == told
    (root / "ImageSets" / "Main" / "train.txt").write_text("\n")
    assert "train.txt names no pictures" in refusal(root)
    bare = write(tmp_path / "bare", pictures="photos")
    assert "has Annotations/, and neither JPEGImages/ nor images/: put the pictures there" in refusal(bare)
