"""The configuration's fields, groups and flags."""

import argparse
import dataclasses
import os

from jaxmarks import config
from jaxmarks.config import Config


def test_every_field_is_in_one_group_and_has_its_flag():
    fields = [f.name for f in dataclasses.fields(Config)]
    assert sorted(" ".join(config.GROUPS.values()).split()) == sorted(fields)
    parser = argparse.ArgumentParser()
    config.add_arguments(parser)
    assert {config.flag(name) for name in fields} <= {s for a in parser._actions for s in a.option_strings}


def test_flags_read_back_as_the_fields_given():
    parser = argparse.ArgumentParser()
    config.add_arguments(parser, hidden=["lr"])
    found = vars(parser.parse_args(["--lr", "0.5", "--no-cache", "--trim-top", "0.1", "--split-by", "a+"]))
    assert found == {"lr": 0.5, "cache": False, "trim_top": 0.1, "split_by": "a+"}
    assert "--lr LR" not in parser.format_help() and "--trim-top" in parser.format_help()


def test_as_many_threads_decode_as_there_are_cores_for_the_process_or_as_asked():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert config.cores() == Config().check().threads == 1
    finally:
        os.sched_setaffinity(0, before)
    assert Config().threads == min(len(before), config.MAX_WORKERS) and Config(workers=7).check().threads == 7
