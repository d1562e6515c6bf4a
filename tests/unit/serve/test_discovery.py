from hypothesis import given
from hypothesis import strategies as st

from pipeline.serve.notify.discovery import Topics, device, slug


@given(st.text(), st.text())
def test_every_name_has_a_topic_level_of_its_own(one, other):
    assert slug(one) == slug(one)
    assert not set(slug(one)) & set("/+# ")
    assert (slug(one) == slug(other)) == (one == other)


def test_unique_ids_differ_between_cameras_and_installations():
    ids = [
        component["unique_id"]
        for node in ("house", "shop")
        for camera in ("yard", "back yard")
        for component in device(camera, ["people", "cars"], Topics("onsight"), node)["components"].values()
    ]
    assert len(set(ids)) == len(ids) == 2 * 2 * 6
