"""The audit log: every altered, forged, dropped or reordered line is found."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from app.__main__ import main
from app.audit.check import Checked, check_audit
from app.audit.log import AuditLog, AuditUnusable, Mark, head_of, seal
from app.audit.pseudonyms import Pseudonyms
from app.settings import read_settings
from app.wiring import open_gallery

KEY = bytes(range(32))
OTHER_KEY = bytes(32)

Captured = pytest.CaptureFixture[str]
Lines = list[bytes]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "audit.jsonl"


def append(file: Path, count: int = 1, key: bytes = KEY) -> None:
    log = AuditLog(file, key)
    for step in range(count):
        log.append({"action": f"step {step}", "caller": None}, durable=step == 0)


def lines(file: Path) -> Lines:
    return file.read_bytes().splitlines(keepends=True)


def check(file: Path, *older: Path, first: int = 1, seen: Mark | None = None) -> Checked:
    return check_audit(file, KEY, older=older, first=first, seen=seen)


def reasons(checked: Checked) -> str:
    return "\n".join(map(str, checked.findings))


def test_lines_are_numbered_chained_and_kept_for_their_owner(file: Path) -> None:
    append(file, 3)
    written = [json.loads(line) for line in lines(file)]
    assert [line["number"] for line in written] == [1, 2, 3]
    assert set(written[0]) == {"number", "time", "action", "previous", "mac"}
    assert len({line["previous"] for line in written}) == 3
    assert (check(file).lines, check(file).findings) == (3, [])
    for one, mode in ((file, 0o600), (head_of(file), 0o600), (file.parent, 0o700)):
        assert stat.S_IMODE(one.stat().st_mode) == mode


def alter(now: Lines) -> Lines:
    return [*now[:2], now[2].replace(b"step 2", b"step 9"), *now[3:]]


def forge(now: Lines) -> Lines:
    last = json.loads(now[-1])
    entry = {"number": last["number"] + 1, "time": last["time"], "previous": last["previous"]}
    return [*now, seal(entry, OTHER_KEY) + b"\n"]


ATTACKS: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "alter": (alter, r":3: is altered, forged"),
    "alter the mac": (lambda now: [*now[:4], now[4][:-9] + b'0000000"}\n'], r":5: is altered"),
    "alter the first": (lambda now: [b"{}\n", *now[1:]], r":1: is altered"),
    "drop one": (lambda now: now[:2] + now[3:], r":3: line 3 is missing before it"),
    "drop several": (lambda now: now[:1] + now[3:], r":2: lines 2 to 3 are missing before it"),
    "drop the first": (lambda now: now[1:], r":1: line 1 is missing before it"),
    "drop the last": (lambda now: now[:-1], r"line 5 is missing at the end"),
    "drop all": (lambda _now: [], r"lines 1 to 5 are missing at the end"),
    "reorder": (lambda now: [now[0], now[2], now[1], *now[3:]], r"repeated or out of order"),
    "repeat": (lambda now: [*now, now[-1]], r":6: line 5 is repeated"),
    "forge a last one": (forge, r":6: is altered, forged"),
    "forge one between": (lambda now: [*now[:2], b"{}\n", *now[2:]], r":3: is altered, forged"),
    "tear the last": (lambda now: [*now[:-1], now[-1][:50]], r":5: is altered"),
    "an empty line": (lambda now: [*now[:2], b"\n", *now[2:]], r":3: is altered, forged"),
    "the head in the log": (lambda now: now, r":6: is altered, forged"),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("goes_on", [False, True], ids=["at rest", "and written to afterwards"])
def test_an_attack_on_the_lines_is_found(file: Path, attack: str, goes_on: bool) -> None:
    append(file, 5)
    change, reason = ATTACKS[attack]
    changed = change(lines(file))
    if attack == "the head in the log":
        changed.append(head_of(file).read_bytes())
    file.write_bytes(b"".join(changed))
    if goes_on:
        append(file, 2)
        reason = reason.replace("at the end", "before it")
        if attack == "tear the last":
            reason = "line 5 is missing before it"
    found = check(file)
    assert re.search(reason, reasons(found))
    assert len(found.findings) <= 4


def test_one_altered_line_is_one_finding(file: Path) -> None:
    append(file, 5)
    for attack in ("alter", "forge one between", "an empty line"):
        intact = lines(file)
        file.write_bytes(b"".join(ATTACKS[attack][0](intact)))
        assert len(check(file).findings) == 1
        file.write_bytes(b"".join(intact))


@pytest.mark.parametrize("content", [None, b"", b"{}\n", b"\xff" * 200])
def test_a_lost_head_is_found_also_after_the_log_was_cut(file: Path, content: bytes | None) -> None:
    append(file, 5)
    file.write_bytes(b"".join(lines(file)[:3]))
    head_of(file).unlink()
    if content is not None:
        head_of(file).write_bytes(content)
    assert "head is missing or damaged" in reasons(check(file))
    append(file)
    assert "the head was missing or damaged" in reasons(check(file))


def test_a_head_cannot_be_made_of_a_line(file: Path) -> None:
    append(file, 5)
    file.write_bytes(b"".join(lines(file)[:3]))
    head_of(file).write_bytes(lines(file)[2])
    assert "head is missing or damaged" in reasons(check(file))


def test_a_log_put_back_with_its_head_is_found_by_a_line_seen_later(file: Path) -> None:
    append(file, 2)
    copies = file.read_bytes(), head_of(file).read_bytes()
    append(file, 2)
    seen = check(file).last
    file.write_bytes(copies[0])
    head_of(file).write_bytes(copies[1])
    assert check(file).findings == []  # docs/security.md does not promise it
    assert "lines 3 to 4 are missing at the end" in reasons(check(file, seen=seen))
    append(file, 3)
    assert "is another line of this number" in reasons(check(file, seen=seen))


def test_lines_of_two_logs_do_not_make_one(file: Path) -> None:
    append(file, 2)
    copies = file.read_bytes(), head_of(file).read_bytes()
    append(file, 2)
    former = lines(file)
    file.write_bytes(copies[0])
    head_of(file).write_bytes(copies[1])
    # Another line than the former third, also within the same millisecond.
    AuditLog(file, KEY).append({"action": "other"}, durable=False)
    append(file)
    file.write_bytes(b"".join([*former[:3], lines(file)[3]]))
    assert ":4: line 4 was written after another line than 3" in reasons(check(file))


def test_another_master_key_finds_every_line_forged(file: Path) -> None:
    append(file, 3)
    assert len(check_audit(file, OTHER_KEY).findings) >= 3


def test_the_chain_goes_on_when_the_log_is_moved_away(file: Path) -> None:
    rotated = []
    for number in (1, 2):
        append(file, 3)
        rotated.append(file.rename(file.with_name(f"audit.jsonl.{number}")))
    assert check(file, *rotated).findings == []  # nothing was written since
    append(file, 2)
    assert (check(file, *rotated).lines, check(file, *rotated).findings) == (8, [])
    assert check(file, first=7).findings == []
    assert "lines 1 to 6 are missing before it" in reasons(check(file))
    assert "lines 4 to 6 are missing before it" in reasons(check(file, rotated[0]))
    assert "out of order" in reasons(check(file, *reversed(rotated)))


def test_a_line_torn_by_a_full_disk_or_a_power_failure_is_no_attack(file: Path) -> None:
    append(file, 2)
    with file.open("ab") as log:
        log.write(lines(file)[0][:70])
    assert ":3: is altered" in reasons(check(file))  # until a line tells of it
    append(file, 2)
    assert json.loads(lines(file)[3])["torn"] is True
    assert (check(file).lines, check(file).findings) == (4, [])


def test_a_process_killed_before_it_wrote_the_head_is_no_attack(file: Path) -> None:
    append(file, 2)
    before = head_of(file).read_bytes()
    append(file)
    head_of(file).write_bytes(before)
    assert check(file).findings == []
    append(file)
    assert (check(file).lines, check(file).findings) == (4, [])


def test_threads_and_processes_append_whole_lines_in_order(file: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.app.test_audit import append\n"
        "append(Path(sys.argv[1]), 100)\n"
    )
    command = [sys.executable, "-c", script, str(file)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(append, file, 50) for _ in range(4)]:
            done.result()
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert (check(file).lines, check(file).findings) == (500, [])


def test_a_log_that_cannot_be_written_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "folder").touch()
    file = tmp_path / "folder" / "audit.jsonl"
    with pytest.raises(AuditUnusable, match=re.escape(f"{file} cannot be written: ")):
        append(file)


def test_a_full_disk_is_named_and_leaves_the_chain_intact(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(file, 2)
    write = os.write

    def write_half(descriptor: int, content: bytes) -> int:
        if len(content) < 100:
            raise OSError(28, "No space left on device")
        return write(descriptor, content[: len(content) // 2])

    with monkeypatch.context() as full:
        full.setattr(os, "write", write_half)
        with pytest.raises(AuditUnusable, match="No space left on device; make room"):
            append(file)
    append(file)
    assert (check(file).lines, check(file).findings) == (3, [])


def test_without_a_file_nothing_is_written(tmp_path: Path) -> None:
    AuditLog(None, KEY).append({"action": "x"}, durable=True)
    assert list(tmp_path.iterdir()) == []


def test_a_change_that_fails_is_told_twice(file: Path) -> None:
    log = AuditLog(file, KEY)
    with pytest.raises(KeyError), log.change({"action": "x"}):
        raise KeyError
    with log.change({"action": "y"}) as outcome:
        outcome["key"] = "3f9a1c04"
    told = [json.loads(line) for line in lines(file)]
    assert [one["phase"] for one in told] == ["begun", "failed", "begun", "done"]
    assert told[1]["error"] == "KeyError"
    assert told[3]["key"] == "3f9a1c04"


def test_pseudonyms_depend_on_the_secret() -> None:
    own = Pseudonyms(KEY)
    assert re.fullmatch("[0-9a-f]{16}", own.of("ada"))
    assert own.of("ada") == Pseudonyms(KEY).of("ada") != Pseudonyms(OTHER_KEY).of("ada")
    assert own.of("ada") != own.of("Ada")
    assert own.in_path("/palm/v1/subjects/ada/templates/4") == (
        f"/palm/v1/subjects/{own.of('ada')}/templates/4"
    )
    assert own.in_path("/v1/identify") == "/v1/identify"


class TestCommands:
    """`python -m app audit`, and what other commands write to the log."""

    @pytest.fixture(autouse=True)
    def log(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Changes to a working directory without a .env; returns its log."""
        monkeypatch.chdir(tmp_path)
        return tmp_path / "data" / "audit.jsonl"

    def run(self, capsys: Captured, arguments: Sequence[str], status: int = 0) -> str:
        assert main(list(arguments)) == status
        printed = capsys.readouterr()
        return printed.err if status == 2 else printed.out

    def test_key_commands_are_audited_without_names(self, capsys: Captured, log: Path) -> None:
        token = self.run(capsys, ["keys", "create", "Ada Byron", "--scope", "read"])
        key_id = token.split("_")[1]
        self.run(capsys, ["keys", "revoke", key_id])
        self.run(capsys, ["keys", "revoke", "nobody"], status=2)
        self.run(capsys, ["keys", "list"])
        self.run(capsys, ["keys", "reset"])
        told = [json.loads(line) for line in lines(log)]
        assert {(one["caller"], one["user"]) for one in told} == {("command line", os.getuid())}
        assert [(one["action"], one["phase"], one.get("key", one.get("keys"))) for one in told] == [
            ("keys create", "begun", None),
            ("keys create", "done", key_id),
            ("keys revoke", "begun", key_id),
            ("keys revoke", "done", key_id),
            ("keys revoke", "begun", None),
            ("keys revoke", "failed", None),
            ("keys reset", "begun", None),
            ("keys reset", "done", 1),
        ]
        for secret in (b"Ada", b"nobody", token.split("_", 2)[2].strip().encode()):
            assert secret not in log.read_bytes()

    def test_verify_prints_the_last_line_and_fails_if_one_is_altered(
        self, capsys: Captured, log: Path
    ) -> None:
        self.run(capsys, ["keys", "create", "ops", "--scope", "read"])
        printed = self.run(capsys, ["audit", "verify"])
        assert re.fullmatch("intact: 2 lines, the last one 2:[0-9a-f]{64}\n", printed)
        seen = printed.split()[-1]
        self.run(capsys, ["audit", "verify", "--seen", seen])
        log.write_bytes(log.read_bytes().replace(b"keys create", b"keys list"))
        assert f"{log.relative_to(Path.cwd())}:1: is altered" in self.run(
            capsys, ["audit", "verify"], status=1
        )

    def test_nothing_is_changed_that_cannot_be_audited(self, capsys: Captured, log: Path) -> None:
        log.mkdir(parents=True)
        refused = self.run(capsys, ["keys", "create", "ops", "--scope", "read"], status=2)
        assert "audit log data/audit.jsonl cannot be written" in refused
        assert self.run(capsys, ["keys", "list"]) == ""

    def test_pseudonym_prints_the_one_that_stands_in_the_logs(self, capsys: Captured) -> None:
        printed = self.run(capsys, ["audit", "pseudonym", "ada"]).strip()
        with closing(open_gallery(read_settings())) as gallery:
            assert printed == Pseudonyms(gallery.secrets.pseudonyms).of("ada")
        Path("data/master.key").unlink()
        assert "master.key is missing" in self.run(capsys, ["audit", "pseudonym", "ada"], status=2)

    def test_a_log_that_is_not_there_is_named(
        self, capsys: Captured, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PALM_MASTER_KEY", "0f" * 32)
        assert "no audit log data/audit.jsonl" in self.run(capsys, ["audit", "verify"], status=2)
        monkeypatch.setenv("PALM_AUDIT_FILE", "")
        assert "PALM_AUDIT_FILE is empty" in self.run(capsys, ["audit", "verify"], status=2)
