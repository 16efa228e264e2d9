# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The options that say where a site is and how to reach it (SITE in ``_common/argspec.py``)."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  site:
    description: Name of the site, for messages and for its lease. The name of the host in the inventory, if not given.
    type: str
  profile:
    description:
      - The platform of the site. Name of a shipped profile, of one in O(profile_path), or path of a YAML file.
      - A relative path begins in the folder in which C(ansible-playbook) was started.
    type: str
    required: true
  profile_path:
    description: Folders in which O(profile) is looked up, before those that are shipped.
    type: list
    elements: path
    default: []
  profile_text:
    description: The text of the profile, instead of a file. O(profile) is then only its name in messages.
    type: str
  urls:
    description: Base URL of every service that the profile names, such as V(https://host:8443). It must not hold
      credentials.
    type: dict
    required: true
  secrets:
    description: The secrets that the profile names, such as tokens and passwords. They are never shown.
    type: dict
    default: {}
  validate_certs:
    description: Whether the certificate of the site is verified.
    type: bool
    default: true
  ca_path:
    description: File with the certificates of the authorities to trust, if it is not the system's.
    type: path
  ca_paths:
    description: The same by service, for services whose authority is another, such as V(kubernetes).
    type: dict
    default: {}
  client_cert:
    description: File with a client certificate, if the site asks for one. It may hold the key, too.
    type: path
  client_key:
    description: File with the key of O(client_cert).
    type: path
  request_timeout:
    description: Seconds for one request, from the connection to the end of the answer.
    type: float
    default: 5.0
  wait_timeout:
    description:
      - Seconds for everything, from the first request to the last reading.
      - When they are used up and the wanted state was not seen, the task fails.
    type: float
    default: 30.0
  namespace:
    description: Namespace of the site, where something of it runs in a Kubernetes cluster. The service V(kubernetes) of
      O(urls) is the API server; the secret V(kubernetes_token) of O(secrets) is a bearer token of it.
    type: str
  workloads:
    description:
      - What runs at the site, in the order in which it starts. Each entry has a V(name) and may have a V(stage) (those
        of one stage start together), V(stops) (its place in stopping, if that is not the reverse), V(replicas) (the
        usual number) and a V(budget) in seconds.
      - Where trading is told by numbers of pods, these numbers go before those of the profile.
    type: list
    elements: dict
    default: []
requirements:
  - python >= 3.11
  - jmespath
  - PyYAML (comes with ansible-core)
notes:
  - The options that describe the site can be variables of the host, with C(tradeops_) before the name, such as
    C(tradeops_urls) and C(tradeops_wait_timeout). What the task and C(module_defaults) give goes before the variables.
    O(site) and O(profile_text) have no such variable.
  - On a host with C(ansible_connection=local) the calls are made by the process of Ansible itself. On another host the
    module is transferred, and that host makes the calls. It then needs the requirements.
"""
