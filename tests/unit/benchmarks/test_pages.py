import pytest
from pages import spread, write_between


def test_a_median_with_the_lowest_and_the_highest():
    assert spread([3, 1, 2, 9], ".1f", " fps") == "2.5 fps (1.0 – 9.0)"


def test_what_lies_between_the_markers_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- /a -->\nafter\n", encoding="utf-8")
    write_between(page, "a", r"new \1")
    assert page.read_text(encoding="utf-8") == "before\n<!-- a -->\n\nnew \\1\n<!-- /a -->\nafter\n"


@pytest.mark.parametrize("text", ["", "<!-- a -->\n", "<!-- a --><!-- /a -->\n" * 2])
def test_a_page_without_the_markers_or_with_two_of_them_stays_as_it_is(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit):
        write_between(page, "a", "new")
    assert page.read_text(encoding="utf-8") == text
