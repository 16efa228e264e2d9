# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib
import typing as t

import pytest
import simulator_ground
from clustered import SITE, Cluster
from simulator_ground import Ground

ground = simulator_ground.ground(SITE, kubernetes=True)


@pytest.fixture
def cluster(ground: Ground, tmp_path: pathlib.Path) -> t.Iterator[Cluster]:
    ground.fresh(SITE, market=True)
    ground.forget(SITE)
    yield Cluster(ground, tmp_path / "leases")
    ground.faults(SITE)
