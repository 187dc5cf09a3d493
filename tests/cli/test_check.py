"""`tsstore check`."""

from __future__ import annotations

import tsstore


def test_a_sound_store_is_no_damage(data, run) -> None:
    result = run("check", data)
    assert result.exit_code == 0
    assert "2 buckets" in result.output
    assert "no damage" in result.output


def test_the_directory_may_be_left_out(data, run) -> None:
    assert run("check").exit_code == 0


def test_a_store_in_use_is_checked(data, run) -> None:
    with tsstore.open(data):
        assert run("check", data).exit_code == 0


def test_damage_is_reported_with_file_and_exit_code_4(data, run) -> None:
    with tsstore.open(data) as store:
        store.flush()
    [segment] = sorted(data.rglob("*.seg"))[:1]
    damaged = bytearray(segment.read_bytes())
    damaged[len(damaged) // 3] ^= 1
    segment.write_bytes(damaged)
    result = run("check", data)
    assert result.exit_code == 4
    assert segment.name in result.stderr
    assert result.stderr.startswith("damaged: ")
