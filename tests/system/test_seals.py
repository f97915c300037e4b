"""A mark is believed only as it was written."""

from auvmae.system.files import read_sealed, save_sealed


def test_a_sealed_file_is_believed_as_it_was_written_only(tmp_path):
    path = tmp_path / "mark.json"
    content = {"counts": [3, 2], "ä": 0.1, "none": None, "nested": {"b": [1.5], "a": float("nan")}}
    save_sealed(content, path)
    assert repr(read_sealed(path)) == repr(content)
    text = path.read_text()
    for damaged in (text.replace("3", "4", 1), text.replace('"seal"', '"steal"'), text[:-9], "", "[]"):
        path.write_text(damaged)
        assert read_sealed(path) == {}
    path.unlink()
    assert read_sealed(path) == {}
