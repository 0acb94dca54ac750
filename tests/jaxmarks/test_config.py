"""The configuration's fields, groups and flags."""

import argparse
import dataclasses

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
