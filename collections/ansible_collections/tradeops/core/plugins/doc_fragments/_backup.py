# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The options that say where sets are kept and what engines reach a site with (``_backup/run.py``)."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  site:
    description: Name of the site, for messages and for the folder of its sets. The name of the host, if not given.
    type: str
  stores:
    description:
      - Where sets are kept. The variable C(tradeops_backup_stores) can give it.
      - A folder has V(kind=local), a V(name) and a V(path).
      - A bucket has V(kind=s3), a V(name), V(bucket), V(endpoint), and may have V(prefix), V(region), V(ca_path),
        V(addressing) (V(path) or V(virtual)), V(timeout) in seconds for one answer, V(attempts), and V(object_lock)
        with a V(mode) and V(days).
      - V(access_key_secret) and V(secret_key_secret) name the credentials in O(secrets). Without them those of the
        machine are used.
    type: list
    elements: dict
    required: true
  secrets:
    description:
      - The secrets of the site, by name. The variable C(tradeops_secrets) can give them. They are never shown.
      - V(backup_manifest_key) signs manifests. When it is given, a manifest that is not signed with it is refused.
      - V(backup_identity) is a private key of age. It is needed to read what is in a set, and never to make one.
    type: dict
    default: {}
requirements:
  - python >= 3.11
  - boto3, for buckets
  - pyrage
  - zstandard
notes:
  - On a host with C(ansible_connection=local) the process of Ansible itself does it, and tells how far it is. On
    another host the module is transferred, and that host reaches the stores.
"""

    ENGINES = r"""
options:
  components:
    description:
      - What is captured. Each has a V(name), an V(engine), and the options of that engine. The variable
        C(tradeops_backup_components) can give it.
      - The engines and their options are described in the guide C(docs/backup.md).
    type: list
    elements: dict
    required: true
  recipients:
    description: Public keys of age or SSH that everything is encrypted for. The variable
      C(tradeops_backup_recipients) can give it.
    type: list
    elements: str
    default: []
  postgresql:
    description: Where the database is, with V(host), V(port), V(database) and V(user), and perhaps V(sslmode) and
      V(ca_path). The password is C(postgresql_password) in O(secrets). The variable C(tradeops_postgresql) can give it.
    type: dict
  postgresql_bin:
    description: Folder of the programs of PostgreSQL, if they are not on the path. The variable
      C(tradeops_postgresql_bin) can give it.
    type: path
  postgresql_server:
    description: The server of the site, where it has one of its own, for the engines that copy a whole server. The
      variable C(tradeops_postgresql_server) can give it.
    type: dict
  redis:
    description: Where Redis is, with V(host), V(port) and V(db). The password is C(redis_password) in O(secrets). The
      variable C(tradeops_redis) can give it.
    type: dict
  redis_bin:
    description: Folder of the programs of Redis, if they are not on the path. The variable C(tradeops_redis_bin) can
      give it.
    type: path
  urls:
    description: Base URLs of services of the site, for the engines that ask them, such as V(kubernetes) and
      V(prometheus).
    type: dict
  namespace:
    description: Namespace of the site in its Kubernetes cluster.
    type: str
  validate_certs:
    description: Whether the certificates of O(urls) are verified.
    type: bool
    default: true
  ca_path:
    description: File with the certificates of the authorities to trust, if it is not the system's.
    type: path
  ca_paths:
    description: The same by service.
    type: dict
    default: {}
  client_cert:
    description: File with a client certificate, if a service asks for one.
    type: path
  client_key:
    description: File with the key of O(client_cert).
    type: path
  request_timeout:
    description: Seconds for one request to O(urls).
    type: float
    default: 5.0
"""

    # Of a module with O(what), which asks something of the latest set (``_backup/asked.py``).
    LATEST = r"""
options:
  parts:
    description:
      - The types of backups with their components, as in C(tradeops_backup_types). They say which components
        O(what) needs. In full that is what an V(emergency) backup has, or where there is no such type what V(database)
        and V(config) have together.
      - Without them the latest set is the newest of all.
    type: dict
    default: {}
"""
