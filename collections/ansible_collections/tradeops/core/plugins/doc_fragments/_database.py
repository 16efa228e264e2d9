# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The options that say where the database of a site is (DATABASE in ``_database/run.py``)."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  site:
    description: Name of the site, for messages and for its lease. The name of the host in the inventory, if not given.
    type: str
  postgresql:
    description: Where the database is. The variable C(tradeops_postgresql) can give it.
    type: dict
    required: true
    suboptions:
      host:
        description: Name or address of the server.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        default: 5432
      database:
        description: Name of the database.
        type: str
        required: true
      user:
        description: The role that owns the tables.
        type: str
        required: true
      sslmode:
        description: How the connection is protected, as libpq names it. V(verify-full) is what production wants.
        type: str
        default: prefer
      ca_path:
        description: File with the certificates of the authorities to trust.
        type: path
  secrets:
    description: The password is C(postgresql_password) in it. The variable C(tradeops_secrets) can give it. They are
      never shown.
    type: dict
    default: {}
  lock_timeout:
    description: Seconds that a statement may wait for a lock, before it is refused.
    type: float
    default: 5.0
  wait_timeout:
    description: Seconds for everything, from the first reading to the last.
    type: float
    default: 600.0
requirements:
  - python >= 3.11
  - psycopg >= 3.1
notes:
  - On a host with C(ansible_connection=local) the database is reached from the process of Ansible itself. On another
    host the module is transferred, and that host reaches the database.
"""
