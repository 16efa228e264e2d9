# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib
import shutil
import typing as t

import pytest
import simulator_ground
from restoring import SITE, Site
from simulator_ground import Ground

SITES = (SITE, "flashmm-primary")


ground = simulator_ground.ground(*SITES)


@pytest.fixture
def site(ground: Ground, tmp_path: pathlib.Path) -> t.Iterator[Site]:
    found = Site(ground, tmp_path)
    ground.fresh(SITE)
    found.halt()
    yield found
    for place in found.places:
        shutil.rmtree(place)
    for name in found.databases():
        if name != found.database:
            with found.session("postgres") as session:
                session.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
