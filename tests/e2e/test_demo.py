"""`make demo`'s script, as a newcomer runs it."""

import signal
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

from benchmarks.server import REPOSITORY


def test_the_demonstration_names_the_sample_hands_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "samples/demo.py", "--folder", str(tmp_path / "demo")]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        said = list(takewhile(lambda line: line.strip() != "Ctrl-C stops it.", demo.stdout))
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
    answers = dict(line.split(maxsplit=1) for line in said if line.startswith("  samples/"))
    known = {path: who.strip() for path, who in answers.items() if "/known/" in path}
    assert len(known) == 8
    assert all(Path(path).stem == who for path, who in known.items())
    assert answers["samples/hands/strangers/n001/04.jpg"] == "Ada Example\n"
    assert answers["samples/hands/strangers/n004/04.jpg"] == "nobody we know\n"
    assert demo.returncode == 0
    assert f"rm -r {tmp_path / 'demo'}" in rest
