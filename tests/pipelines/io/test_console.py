"""What a person reads: times, progress, errors of one line, and stopping in good order."""

import logging
import os
import signal
import sys
import threading

import pytest

from pipelines.io import console


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0:00"),
        (-3, "0:00"),
        (59.4, "0:59"),
        (59.6, "1:00"),
        (3599, "59:59"),
        (3600, "1:00:00"),
        (360061, "100:01:01"),
    ],
)
def test_clock(seconds, shown):
    assert console.clock(seconds) == shown


@pytest.fixture
def time(monkeypatch) -> list[float]:
    """A clock that the test moves: time[0] is now."""
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_away_from_a_terminal_progress_is_a_line_in_five_seconds_and_the_last(time, capsys):
    progress = console.Progress(10, "step")
    for done in range(1, 11):
        time[0] += 2
        progress.show(done, f"loss {done}")
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["1/10", "4/10", "7/10", "10/10"]
    assert lines[1] == "step 4/10  loss 4  left 0:12"


@pytest.mark.parametrize("each", [0.4, 0.6])
def test_of_what_takes_less_than_five_seconds_there_is_no_plain_line(time, capsys, each):
    progress = console.Progress(10, "record", brief=True)
    for done in range(1, 11):
        time[0] += each
        progress.show(done)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == (["9/10", "10/10"] if each > 0.5 else [])


def test_on_a_terminal_one_line_is_rewritten(time, capsys, monkeypatch):
    monkeypatch.setattr(console.sys.stderr, "isatty", lambda: True, raising=False)
    progress = console.Progress(3, "step")
    for done in (1, 2, 3):
        time[0] += 1
        progress.show(done)
    progress.close()
    shown = capsys.readouterr().err
    assert shown.count("\r") == 3 and shown.count("\n") == 1 and shown.endswith("\n")


def test_the_time_left_counts_from_the_first_news_of_this_session(time, capsys):
    progress = console.Progress(100, "step")
    time[0] += 60  # compilation
    progress.show(90)
    assert capsys.readouterr().err.endswith("left ?\n")
    time[0] += 10
    progress.show(95)
    assert capsys.readouterr().err.endswith("left 0:10\n")


def test_batches_pass_through_and_are_counted(time, capsys):
    batches = [("a", 4), ("b", 4), ("c", 1)]
    assert list(console.Progress(9, "image").over(batches)) == batches
    assert capsys.readouterr().err.splitlines()[-1].startswith("image 9/9")


def code_of(main) -> int:
    with pytest.raises(SystemExit) as caught:
        console.run(main)
    return caught.value.code


@pytest.mark.parametrize("error", [ValueError("a\nb   c"), FileNotFoundError("a b c"), PermissionError("a b c")])
def test_what_is_rejected_is_one_line_and_code_2(error, capsys):
    def main():
        raise error

    assert code_of(main) == 2
    assert capsys.readouterr() == ("", "error: a b c\n")


@pytest.mark.parametrize("flag", [(), ("--traceback",)])
def test_a_fault_of_the_program_is_one_line_that_names_its_traceback(tmp_path, monkeypatch, capsys, flag):
    monkeypatch.setenv("JAXMARKS_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["x.py", *flag])

    def main():
        assert not vars(console.Parser("").parse_args())  # the flag is no setting of a command
        {}["x"]

    assert code_of(main) == 70
    shown = capsys.readouterr().err
    assert ("Traceback" in shown) == bool(flag) and shown.splitlines()[-1].startswith("error: KeyError: 'x'")
    (kept,) = tmp_path.glob("*.txt")
    assert str(kept) in shown and "KeyError: 'x'" in kept.read_text() and "test_console.py" in kept.read_text()


@pytest.fixture(autouse=True)
def hooks():
    """Puts back what is called where an error has nobody to go to."""
    before = sys.unraisablehook, threading.excepthook
    yield
    sys.unraisablehook, threading.excepthook = before


def test_what_libraries_say_of_failures_is_one_line_each(monkeypatch, capsys):
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(sys.stderr)])

    def main():
        try:
            raise OSError("deep\ninside")
        except OSError:
            logging.getLogger("library").exception("it\nfailed")
        thread = threading.Thread(target=lambda: {}["in a thread"])
        thread.start()
        thread.join()

    assert code_of(main) == 0
    assert capsys.readouterr().err == "warning: it failed\n"


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1), (130, 130)])
def test_the_exit_code_is_what_the_command_returns(returned, code):
    assert code_of(lambda: returned) == code


@pytest.fixture
def handlers():
    """Puts the signals' handlers back."""
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_a_second_ctrl_c_ends(handlers, number, capsys):
    stop = console.Stop()
    assert not stop()
    os.kill(os.getpid(), number)
    assert stop() and "stopping after this step" in capsys.readouterr().err
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()


def test_a_warning_is_a_line_without_the_names_of_loggers(monkeypatch, capsys):
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(sys.stderr)])  # as absl leaves it
    assert code_of(lambda: logging.getLogger("jaxmarks").warning("one thing %s", "odd")) == 0
    assert capsys.readouterr().err == "warning: one thing odd\n"


def test_images_that_could_not_be_used_are_counted_and_the_first_ten_named(capsys):
    console.faults([])
    assert capsys.readouterr().out == ""
    console.faults([f"{i}.jpg: cut" for i in range(12)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "12 images could not be used:" and lines[1] == "  0.jpg: cut" and lines[-1] == "  ... and 2 more"
    assert len(lines) == 12
