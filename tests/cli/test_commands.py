"""The index of commands: a module is loaded alone where it has the command's name, so it must have the command."""

import importlib

import pytest
import typer
from typer.testing import CliRunner

from deploy.cli.main import MODULES, app, register


def commands(app: typer.Typer) -> set[str]:
    return {c.name or c.callback.__name__.replace("_", "-") for c in app.registered_commands} | {
        g.name for g in app.registered_groups
    }


@pytest.fixture(scope="module", autouse=True)
def whole():
    register()
    return commands(app)


@pytest.mark.parametrize("name", MODULES)
def test_what_is_named_like_a_module_is_that_module_s(name, whole):
    alone = typer.Typer()
    importlib.import_module(f"deploy.cli.{name}").register(alone)
    assert name not in whole or name in commands(alone)


def test_each_command_says_what_it_is_for(whole):
    for name in sorted(whole):
        shown = CliRunner().invoke(app, [name, "--help"])
        assert shown.exit_code == 0, name
        assert f"Usage: root {name}" in shown.output
