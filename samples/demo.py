"""A demonstration: a service with a gallery of its own, filled from the sample hands.

`make demo` runs it. It uses HTTP as any client does, and nothing but Python's standard library.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
import webbrowser
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

SAMPLES = Path(__file__).resolve().parent
REPOSITORY = SAMPLES.parent
KNOWN = SAMPLES / "hands" / "known"
STRANGERS = SAMPLES / "hands" / "strangers"
PEOPLE = {"n001": "Ada Example", "n003": "Grace Example"}
"""Names for strangers, who are enrolled by their first three images; the others stay strangers."""
START_TIMEOUT_S = 180.0
POLL_S = 0.1
DIRECT = build_opener(ProxyHandler({}))  # a proxy of the environment knows no 127.0.0.1


class DemoFailed(Exception):
    """The demonstration cannot go on; the message says why."""


def main() -> int:
    """Starts the service, fills its gallery, says what to try, and waits for Ctrl-C.

    Returns:
        The exit status: 0 after Ctrl-C; 2 if it cannot start; 1 if the service stopped by itself.
    """
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="TCP port; by default a free one")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "data" / "demo")
    chosen = parser.parse_args()
    # Also where a shell that starts it in the background lets it ignore Ctrl-C.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    folder, url = chosen.folder.resolve(), f"http://127.0.0.1:{chosen.port or free_port()}"
    service = start(folder, url)
    try:
        wait_until_ready(url, service, folder)
        enroll_people(url)
        show(url, folder, answers=identify_samples(url))
        return 1 if service.wait() else 0
    except KeyboardInterrupt:
        print(f"\nStopped. To remove everything: rm -r {folder}")
        return 0
    except (DemoFailed, OSError) as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 2
    finally:
        service.terminate()
        service.wait()


def free_port() -> int:
    """Returns port 8000 if it is free, or else any free port of 127.0.0.1."""
    for port in (8000, 0):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)) as listener:
            return listener.getsockname()[1]
    raise DemoFailed("no port of 127.0.0.1 is free")


def start(folder: Path, url: str) -> subprocess.Popen[bytes]:
    """Starts a service that keeps all it writes in `folder`, whatever the operator's settings."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    inherited = {name: value for name, value in os.environ.items() if name[:5] != "PALM_"}
    settings = {
        "PALM_PORT": url.rpartition(":")[2],
        "PALM_MODELS_DIR": str(REPOSITORY / "models_store"),
        "PALM_EXPLAIN": "true",
        "PYTHONPATH": str(REPOSITORY),
    }
    with (folder / "service.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "app"],
            cwd=folder,  # where there is no .env
            env=inherited | settings,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for this script, which then stops the service
        )


def wait_until_ready(url: str, service: subprocess.Popen[bytes], folder: Path) -> None:
    """Waits until the service answers; raises DemoFailed if it ends or takes too long."""
    end = time.monotonic() + START_TIMEOUT_S
    while service.poll() is None and time.monotonic() < end:
        with suppress(URLError, ConnectionError, TimeoutError):
            DIRECT.open(f"{url}/health/ready", timeout=5).close()
            return
        time.sleep(POLL_S)
    log = (folder / "service.log").read_text(errors="replace")[-2000:]
    raise DemoFailed(f"the service did not start; {folder / 'service.log'} ends with:\n{log}")


def enroll_people(url: str) -> None:
    """Enrolls PEOPLE, unless an earlier demonstration did."""
    for stranger, name in PEOPLE.items():
        images = sorted((STRANGERS / stranger).glob("*.jpg"))[:3]
        fields = {"subject_id": stranger, "name": name}
        try:
            post(f"{url}/v1/enroll", images, fields)
        except HTTPError as error:
            if error.code != 409:
                raise DemoFailed(f"{name} was not enrolled: {error.read().decode()}") from error


def identify_samples(url: str) -> list[tuple[str, str]]:
    """Identifies every known hand and the last image of every stranger.

    Returns:
        For each image, its path and the service's answer.
    """
    probes = sorted(KNOWN.glob("*.jpg")) + sorted(STRANGERS.glob("*/04.jpg"))
    answers: list[tuple[str, str]] = []
    for probe in probes:
        found = post(f"{url}/v1/identify", [probe], {})
        who = found["identity"] and (
            found["identity"].get("name") or found["identity"]["subject_id"]
        )
        answers.append((str(probe.relative_to(REPOSITORY)), who or "nobody we know"))
    return answers


def post(url: str, images: list[Path], fields: dict[str, str]) -> dict[str, object]:
    """Sends a form with images and text fields; returns the answer."""
    boundary = uuid.uuid4().hex
    start_of = f'--{boundary}\r\nContent-Disposition: form-data; name="'
    parts = [f'{start_of}{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    for image in images:
        parts.append(f'{start_of}images"; filename="{image.name}"\r\n\r\n'.encode())
        parts.append(image.read_bytes() + b"\r\n")
    body = b"".join([*parts, f"--{boundary}--\r\n".encode()])
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    with DIRECT.open(Request(url, body, kind), timeout=60) as answer:
        return json.load(answer)


def show(url: str, folder: Path, answers: list[tuple[str, str]]) -> None:
    """Prints what was answered and what to try, and opens the console in a browser."""
    for image, who in answers:
        print(f"  {image:<38}{who}")
    stranger = next(image for image, who in answers if "strangers" in image and "nobody" in who)
    images = [f"0{shot}.jpg" for shot in (1, 2, 3)]
    print(
        f"""
The console: {url}/
  Identify  drop samples/hands/known/p100.jpg on the page: this is p100;
            drop {stranger}: nobody we know
  Enroll    drop {", ".join(images)} of
            {Path(stranger).parent}, enter an id and choose Enroll;
            then drop {Path(stranger).name} on Identify: it is known
  People    {" and ".join(PEOPLE.values())} are enrolled: open one, and erase it
  Operate   what the service has answered so far
The images are in {SAMPLES / "hands"}; they are drawn and show nobody.
For programs: {url}/docs
All that the service writes is in {folder}.
Ctrl-C stops it.""",
        flush=True,
    )
    display = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if (display or sys.platform == "darwin") and not webbrowser.open(url):
        print("No browser could be opened: open the address above.")


if __name__ == "__main__":
    sys.exit(main())
