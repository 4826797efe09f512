"""``cropzoom keys``: makes the keys with which other machines may listen."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from realtime_cropzoom.cli.values import a_path
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.runtime.signals import signals_held_back

KEYS_EXPLAINED = """\
cropzoom keys FOLDER --client NAME makes keys, so that another machine may listen to the runs of this machine.

  cropzoom keys lab_keys --client bench             once: the keys of this machine, and of the client bench
  cropzoom keys lab_keys --client rig2              later: one more client
  cropzoom run camera:0 --key-folder lab_keys --publish tcp://0.0.0.0:5660 --publish-latest tcp://0.0.0.0:5661

Existing keys are never replaced. Two machines, step by step: docs/how-to/security.md
"""


def register(commands: Any) -> None:
    """Add the command to the parser."""
    raw = argparse.RawDescriptionHelpFormatter
    keys = commands.add_parser(
        "keys", help="make keys, so that other machines may listen", description=KEYS_EXPLAINED, formatter_class=raw
    )
    keys.add_argument(
        "folder", type=a_path, metavar="FOLDER", help="folder of the keys of this machine; created if it does not exist"
    )
    keys.add_argument(
        "--client",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help="name of a machine that may listen; several names are allowed",
    )
    keys.set_defaults(command=_keys)


def _keys(arguments: argparse.Namespace) -> int:
    with signals_held_back():
        from realtime_cropzoom.messaging.keys import check_client, has_server_keys, make_client_keys, make_server_keys

    folder, clients = arguments.folder, list(dict.fromkeys(arguments.client))
    if has_server_keys(folder) and not clients:
        raise ConfigError(f"{folder} has its keys already; add a client with 'cropzoom keys {folder} --client NAME'")
    for name in clients:  # check all before the first is written
        check_client(folder, name)
    if not has_server_keys(folder):
        make_server_keys(folder)
        print(f"made {folder}/server.key_secret: keep it on this machine, and secret")
    for name in clients:
        print(_instructions(folder, name, make_client_keys(folder, name)))
    if not clients:
        print(f"no machine can listen yet. For each one that may: cropzoom keys {folder} --client NAME")
    return 0


def _instructions(folder: Path, name: str, carried: Path) -> str:
    return f"""\
made {carried}, the one file that the client {name} needs:
  1. copy it to that machine, by scp or a memory stick; there: chmod 600 {carried.name}
     (on Windows modes protect nothing: copy it into a folder that only your user can open)
  2. delete it here; this machine knows the client by {folder}/clients/{name}.key
  3. listen there: cropzoom listen tcp://THIS_MACHINE:5660 --keys {carried.name}
     in a script:  Subscriber("tcp://THIS_MACHINE:5660", keys="{carried.name}")"""
