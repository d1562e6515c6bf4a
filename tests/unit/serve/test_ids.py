from datetime import timedelta

from support.watching import NOW

from pipeline.serve.ids import new_id


def test_ids_are_uuids_of_version_7_in_the_order_of_time() -> None:
    ids = [new_id(NOW + timedelta(microseconds=step)) for step in range(0, 5000, 5)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    for each in ids:
        assert len(each) == 32
        assert each[12] == "7"
        assert each[16] in "89ab"
    assert int(ids[0][:12], 16) == NOW.timestamp() * 1000
