"""Networks are the cluster's: the same at every manager, with a subnet of their own each."""

import json

from tests.integration.operator import Operator


def test_networks_are_made_seen_and_removed_at_any_manager(operator: Operator) -> None:
    elsewhere = operator.on("manager-2")
    made = [operator("network", "create", "--label", "tier=test", "shop").strip()]
    made.append(elsewhere("network", "create", "--ipv6", "--internal", "back").strip())
    shop, back = json.loads(elsewhere("network", "inspect", "shop", "back"))
    assert [shop["Id"], back["Id"]] == made
    subnets = [one["Subnet"] for view in (shop, back) for one in view["IPAM"]["Config"]]
    assert len(set(subnets)) == 3
    assert shop["VxlanID"] != back["VxlanID"]
    assert {row["Name"] for row in operator.rows("network", "ls")} >= {"shop", "back"}
    again = elsewhere.typed("network", "create", "shop")
    assert (again.returncode, "taken" in again.stderr) == (1, True)
    assert operator("network", "prune", "--force", "--filter", "label=tier=test").split()[-1] == "shop"
    elsewhere("network", "rm", "back")
    assert {row["Name"] for row in elsewhere.rows("network", "ls")}.isdisjoint({"shop", "back"})
