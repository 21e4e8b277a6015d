"""Files that appear whole or not at all."""

import pytest

from rewards.writing.files import read_object, replacing, write_json, write_whole


def test_file_when_writing_fails_then_the_old_one_stays_and_nothing_else(tmp_path):
    """A fault inside the block costs the draft only."""
    path = tmp_path / "a.jsonl"
    write_whole(path, b"old\n")
    with pytest.raises(RuntimeError), replacing(path, settle=True) as file:
        file.write(b"half of the ne")
        raise RuntimeError
    assert path.read_bytes() == b"old\n" and list(tmp_path.iterdir()) == [path]
    write_whole(path, b"new\n")
    assert path.read_bytes() == b"new\n" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [None, b"", b"[1]", b'{"a": 1', b"\xff", b"null"])
def test_object_when_there_is_none_then_it_is_empty(tmp_path, content):
    """No file, no JSON and no object are the same to who looks for one."""
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    assert read_object(path) == {}
    write_json(path, {"b": 1, "a": None})
    assert read_object(path) == {"b": 1, "a": None} and path.read_bytes().endswith(b"}\n")
