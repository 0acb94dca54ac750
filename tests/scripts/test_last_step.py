"""Steps beyond what a run took: re-created and said so, or an error; and what a run without a validation split ends with."""

import dataclasses
import shlex

import pytest

from pipelines.runs import run_data, run_folder
from tests.commands import begun
from tests.pipelines.sources.formats.test_contest import picture
from tests.tiny import CONFIG


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A run of four steps, 0 to 3, of which none was taken."""
    made = begun(tmp_path_factory.mktemp("runs") / "one", data="drawn:16:5")
    (made / "examples.bin").touch()
    return made


@pytest.mark.slow
def test_a_step_that_was_not_taken_is_re_created_and_said_not_to_be_trained(root, command):
    code, said = command("replay", "--run", root, "--step", 3)
    assert code == 0 and "not trained" in said.out and (root / "replay/00000003.png").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("--step", 4), ("--step", 99)])
def test_a_step_beyond_the_last_of_a_run_is_an_error_that_names_the_last(root, rejected, flags):
    told = rejected("replay", "--run", root, *flags)
    assert f"--step {flags[1]}: " in told and "is 3," in told and not (root / f"replay/{flags[1]:08d}.png").exists()


@pytest.mark.parametrize("step", ["3", "0:3", "99"])
def test_a_step_that_was_not_taken_is_never_verified(root, rejected, step):
    assert "--step" in rejected("replay", "--run", root, "--step", step, "--verify")


@pytest.mark.parametrize(("fraction", "part"), [(0.0, None), (0.5, "val")])
def test_the_command_that_comes_next_suits_what_is_held_out(tmp_path, fraction, part):
    table = tmp_path / "t.csv"
    table.write_text("file_name,x_0,y_0\n" + "".join(f"{i}.png,1,2\n" for i in range(4)))
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(picture(40 * i))
    config = dataclasses.replace(CONFIG, data=str(table), cache=False, val_fraction=fraction)
    source = run_data.of_config(config)
    run = run_folder.create(tmp_path / "run", config, source)
    said, line = run_folder.finish(run, 4, "")
    flags = shlex.split(line)
    assert (flags[flags.index("--part") + 1] if "--part" in flags else None) == part
    assert (str(table) in line) == (part is not None) and ("held out" in said) == (part is None)
