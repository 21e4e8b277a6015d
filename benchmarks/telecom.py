"""Payloads in the shapes that public projects write: each must earn 1 against itself, and every change of a value less.

python benchmarks/telecom.py                 a table of the layers
python benchmarks/telecom.py --show          and every change that was paid in full
python benchmarks/telecom.py --json

The shapes are those of A1 policies (O-RAN's slice SLA, QoS, QoE and steering types, and xApps of one's own), 3GPP's network resource
model as trees of managed elements, as RESTCONF and NETCONF tools write it in JSON, and as E2SM-CCC reports changes of it, intents of
TS 28.312 old and new, CAMARA's sessions, bookings and profiles, and TM Forum's intents. The values are our own.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rewards.plugins import load_rewards
from rewards.types import Completion, Example

PLMN = {"mcc": "724", "mnc": "11"}
SLICE = {"sst": 1, "sd": "0A1B2C", "plmnId": PLMN}
CELL = {"plmnId": PLMN, "cId": {"ncI": 262145}}

PAYLOADS: list[tuple[str, str, Any]] = [
    ("a1_policy", "slice SLA", {
        "scope": {"sliceId": SLICE},
        "sliceSlaObjectives": {"maxNumberOfUes": 400, "guaDlThptPerSlice": 120000, "maxDlThptPerUe": 8000, "maxUlThptPerSlice": 60000},
        "sliceSlaResources": {"cellIdList": [CELL, {"plmnId": PLMN, "cId": {"ncI": 262146}}], "taIList": [{"plmnId": PLMN, "tac": "0003"}]},
    }),
    ("a1_policy", "slice SLA, later objectives", {
        "scope": {"sliceId": SLICE},
        "sliceSlaObjectives": {"maxDlPacketDelayPerUe": 20, "maxUlRlcSduPacketLossRatePerUe": 3, "dlSlicePriority": 2, "ulSlicePriority": 4},
    }),
    ("a1_policy", "QoS and steering", {
        "scope": {"ueId": "ue-0071", "qosId": {"5qI": 7}, "cellId": CELL},
        "qosObjectives": {"gfbr": 4000, "mfbr": 9000, "priorityLevel": 12, "pdb": 80},
        "tspResources": [{"cellIdList": [CELL], "preference": "PREFER", "primary": True}, {"cellIdList": [CELL], "preference": "AVOID"}],
    }),
    ("a1_policy", "QoE target", {
        "scope": {"sliceId": SLICE, "qosId": {"qcI": 9}},
        "qoeObjectives": {"qoeScore": 4.1, "initialBuffering": 1.5, "reBuffFreq": 0.2, "stallRatio": 0.03},
    }),
    ("a1_policy", "xApp of one's own", {"threshold": 5, "class": 12, "enforce": True, "window_length": 10, "trigger_threshold": 40}),
    ("a1_policy", "instance around the policy", {
        "ric_id": "ric-sul-01", "policytype_id": "ORAN_TrafficSteeringPreference_2.0.0", "transient": False, "service_id": "rapp-1",
        "policy_data": {"scope": {"ueId": "ue-9"}, "tspResources": [{"cellIdList": [CELL], "preference": "FORBID"}]},
    }),
    ("o1_nrm", "RRMPolicyRatio in its cell", {"data": {"ManagedElement": {"id": "me-1", "GNBDUFunction": {"id": "du-1", "NRCellDU": {
        "id": "cell-1", "RRMPolicyRatio": {"id": "rrm-1", "attributes": {
            "resourceType": "PRB_DL", "rRMPolicyMemberList": {"mcc": "001", "mnc": "12", "sst": 3, "sd": "000017"},
            "rRMPolicyMinRatio": 15, "rRMPolicyMaxRatio": 70, "rRMPolicyDedicatedRatio": 5}}}}}}}),
    ("o1_nrm", "change of a structure (E2SM-CCC)", {"ranConfigurationStructureName": "O-RRMPolicyRatio", "newValuesOfAttributes": {
        "ranConfigurationStructure": {"resourceType": "PRB_UL", "rRMPolicyMemberList": [{"plmnId": PLMN, "snssai": {"sst": 1, "sd": "000017"}}],
                                      "rRMPolicyMaxRatio": 75, "rRMPolicyMinRatio": 10, "rRMPolicyDedicatedRatio": 4}}}),
    ("o1_nrm", "service profile", {"ServiceProfile": {
        "serviceProfileId": "sp-7", "plmnInfoList": [{"plmnId": PLMN, "snssai": {"sst": 1, "sd": "0A0B0C"}}], "maxNumberofUEs": 1200,
        "dLLatency": 12, "uLLatency": 15, "uEMobilityLevel": "NOMADIC", "networkSliceSharingIndicator": "NON_SHARED", "availability": 99.95,
        "dLThptPerSlice": {"servAttrCom": {"category": "CHARACTER", "exposure": "API"}, "guaThpt": 250000, "maxThpt": 500000},
        "dLThptPerUE": {"guaThpt": 9000, "maxThpt": 40000}, "dLReliability": 99.9, "jitter": 3, "survivalTime": 10}}),
    ("o1_nrm", "slice profile of the radio part", {"sliceProfileId": "s-1", "sNSSAIList": [{"sst": 2, "sd": "010203"}], "pLMNIdList": [PLMN],
        "coverageAreaTAList": [9001, 9002], "resourceSharingLevel": "SHARED", "rANSliceSubnetProfile": {
            "dLLatency": 8, "uLLatency": 9, "maxNumberofUEs": 300, "dLThptPerSliceSubnet": {"guaThpt": 80000, "maxThpt": 90000}}}),
    ("o1_nrm", "cell of a distributed unit", {"SubNetwork": [{"id": "sn-1", "ManagedElement": [{"id": "me-1", "attributes": {
        "userLabel": "gNB centro", "vendorName": "ACME", "swVersion": "22.4.1"}, "GNBDUFunction": [{"id": "du-1", "attributes": {
            "gNBId": 4097, "gNBIdLength": 24, "gNBDUId": 3}, "NRCellDU": [{"id": "1", "attributes": {
                "administrativeState": "UNLOCKED", "operationalState": "ENABLED", "cellLocalId": 1, "pLMNInfoList": [{**PLMN, "sst": 1, "sd": "000001"}],
                "nRPCI": 101, "nRTAC": 77, "arfcnDL": 632628, "arfcnUL": 632628, "bSChannelBwDL": 40, "ssbFrequency": 632544, "ssbPeriodicity": 20}}]}]}]}]}),
    ("o1_nrm", "policies of a distributed unit in kebab case", {"distributed-unit-functions": {"id": "du-7", "radio-resource-management-policy-ratio": [
        {"id": "pol-1", "administrative-state": "locked", "user-label": "pol-1", "radio-resource-management-policy-max-ratio": 90,
         "radio-resource-management-policy-min-ratio": 5, "radio-resource-management-policy-dedicated-ratio": 2, "resource-type": "prb",
         "radio-resource-management-policy-members": [{"mobile-country-code": "724", "mobile-network-code": "11", "slice-differentiator": 1, "slice-service-type": 2}]},
        {"id": "pol-2", "administrative-state": "unlocked", "user-label": "pol-2", "radio-resource-management-policy-max-ratio": 40,
         "radio-resource-management-policy-min-ratio": 12, "radio-resource-management-policy-dedicated-ratio": 9, "resource-type": "prb",
         "radio-resource-management-policy-members": [{"mobile-country-code": "724", "mobile-network-code": "11", "slice-differentiator": 3, "slice-service-type": 1}]}]}}),
    ("o1_nrm", "managed element in YANG's JSON", {"_3gpp-common-managed-element:ManagedElement": [{"id": "me-1", "attributes": {"priorityLabel": 1}, "_3gpp-nr-nrm-gnbdufunction:GNBDUFunction": [
        {"id": "du-1", "attributes": {"gNBDUId": "3", "gNBId": "4097", "gNBIdLength": 24}, "_3gpp-nr-nrm-nrcelldu:NRCellDU": [
            {"id": "1", "attributes": {"administrativeState": "UNLOCKED", "cellLocalId": 1, "nRPCI": 101, "nRTAC": 77, "arfcnDL": 632628}},
            {"id": "2", "attributes": {"administrativeState": "LOCKED", "cellLocalId": 2, "nRPCI": 102, "nRTAC": 77, "arfcnDL": 640000}}]}]}]}),
    ("intent_3gpp", "radio service", {"intent": {"id": "i-1", "userLabel": "estádio", "intentExpectations": [{
        "expectationId": "1", "expectationVerb": "ENSURE", "expectationObject": {"objectType": "RAN_SubNetwork", "objectContexts": [
            {"contextAttribute": "coverageAreaPolygon", "contextCondition": "IS_ALL_OF", "contextValueRange": ["-30.0,-51.2", "-30.1,-51.3"]}]},
        "expectationTargets": [{"targetName": "averageDLRANUEthpt", "targetCondition": "IS_GREATER_THAN", "targetValueRange": 300},
                               {"targetName": "DLLatencyTarget", "targetCondition": "IS_LESS_THAN", "targetValueRange": 12}]}],
        "intentPriority": 3, "observationPeriod": 60, "intentAdminState": "ACTIVATED"}}),
    ("intent_3gpp", "network of layer 2", {"intentExpectations": [{"expectationId": "1", "expectationVerb": "DELIVER", "expectationObject": {
        "objectType": "L2SM_NETWORK", "objectInstance": "net-7", "objectContexts": [
            {"contextAttribute": "domain", "contextCondition": "IS_EQUAL_TO", "contextValueRange": "edge-a"}]},
        "expectationTargets": [{"targetName": "secure", "targetCondition": "IS_EQUAL_TO", "targetValueRange": "true"}]}], "intentPriority": 1}),
    ("intent_3gpp", "conditions as objects (release 17 drafts)", {"intentName": "cll", "intentExpectations": [{
        "expectationName": "entrega", "expectationType": "DELIVERY", "expectationObject": {"objectType": "CCVPN", "objectInstance": "cll-1"},
        "expectationTargets": [{"targetName": "bandwidth", "targetConditions": [
            {"conditionName": "banda do serviço", "operator": "EQUALTO", "conditionValue": "1000"}]}]}]}),
    ("camara", "session", {"device": {"phoneNumber": "+5551999990000", "ipv4Address": {"publicAddress": "203.0.113.7", "publicPort": 59765}},
        "applicationServer": {"ipv4Address": "198.51.100.0/24"}, "devicePorts": {"ranges": [{"from": 5010, "to": 5020}], "ports": [5060, 5070]},
        "qosProfile": "QOS_E", "duration": 3600, "sink": "https://app.example.com/sink"}),
    ("camara", "first version of a session", {"ueId": {"msisdn": "+5551999990000"}, "asId": {"ipv4addr": "198.51.100.9"}, "qosProfile": "QOS_M",
        "duration": 900, "notificationUri": "https://app.example.com/n"}),
    ("camara", "booking of a device", {"qosProfile": "QOS_L", "duration": 7200, "startTime": "2026-12-01T12:00:00Z", "device": {"ipv6Address": "2001:db8::7"},
        "serviceArea": {"areaType": "CIRCLE", "center": {"latitude": -30.03, "longitude": -51.22}, "radius": 400}}),
    ("camara", "booking of a slice", {"serviceTime": {"startDate": "2026-12-01T12:00:00Z", "endDate": "2026-12-02T12:00:00Z"},
        "serviceArea": {"areaType": "CIRCLE", "center": {"latitude": -30.03, "longitude": -51.22}, "radius": 900},
        "sliceQosProfile": {"maxNumOfDevices": 80, "downStreamRatePerDevice": {"value": 25, "unit": "Mbps"},
                            "upStreamRatePerDevice": {"value": 5, "unit": "Mbps"}, "maxDownStreamRate": {"value": 2, "unit": "Gbps"},
                            "downStreamDelayBudget": {"value": 20, "unit": "Milliseconds"}}}),
    ("camara", "profile", {"name": "QOS_E", "status": "ACTIVE", "targetMinUpstreamRate": {"value": 10, "unit": "bps"}, "maxDownstreamRate": {"value": 12, "unit": "kbps"},
        "packetDelayBudget": {"value": 12, "unit": "Minutes"}, "jitter": {"value": 5, "unit": "Milliseconds"}, "packetErrorLossRate": 3, "priority": 20}),
    ("tmf921", "intent in Turtle", {"@type": "Intent", "name": "Fatia de vídeo", "version": "1.0", "lifecycleStatus": "Created", "expression": {
        "@type": "TurtleExpression", "expressionLanguage": "Turtle", "expressionValue":
            "@prefix icm: <http://tio.models.tmforum.org/tio/v1.0.0/IntentCommonModel#> .\n@prefix met: <http://example.org/met#> .\n"
            "@prefix ex: <http://example.org/ex#> .\nex:P a icm:PropertyParam ;\n  met:latency [ icm:atMost \"'12 ms'\" ] ;\n  met:rate [ icm:atLeast \"'40 Mbps'\" ] ;\n.\n"}}),
    ("tmf921", "intent in JSON-LD", {"@type": "Intent", "name": "Entrega", "priority": "1", "expression": {
        "@type": "JsonLdExpression", "iri": "http://example.org/i", "expressionValue": {
            "@context": {"icm": "http://tio.models.tmforum.org/tio/v1.0.0/IntentCommonModel#", "ex": "http://example.org/ex#"},
            "@id": "ex:I1", "@type": "icm:Intent", "icm:hasExpectation": [{"@id": "ex:E1", "@type": "icm:PropertyExpectation",
                "icm:target": {"@id": "ex:T1"}, "ex:latency": {"icm:atMost": {"@value": "12", "@type": "xsd:decimal"}, "ex:unit": "ms"}}]}}}),
    ("etsi_zsm", "service order", {"serviceOrder": {"externalId": "zsm-9", "priority": 2, "serviceProfile": {"latencyMs": 15, "reliabilityPct": 99.9, "maxUEs": 50},
        "closedLoop": {"enabled": True, "goal": "latency", "threshold": 12, "actions": ["scale-out", "reroute"]}}}),
]  # fmt: skip
"""Layer, what it is, and the payload."""

FREE = frozenset({"id", "expectationId", "serviceProfileId", "sliceProfileId", "startTime", "startDate", "endDate", "iri", "objectInstance", "externalId"})  # fmt: skip
"""Keys whose values no prompt tells, which the rewards leave out on purpose."""


def find_leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from find_leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from find_leaves(item, (*path, index))
    else:
        yield path, value


def change(value: Any) -> Iterator[tuple[str, Any]]:
    """Wrong values in place of one, by the name of the change."""
    if isinstance(value, bool):
        yield "flipped", not value
    elif isinstance(value, int | float):
        yield "times ten", value * 10
        yield "one more", value + 1
        yield "negative", -value
    elif value.startswith("@prefix"):
        yield "a figure of the expression", value.replace("12 ms", "120 ms")
        yield "a comparison of the expression", value.replace("atMost", "atLeast", 1)
        yield "another text", "x"
    else:
        yield "another text", "another"
        if any(character.isdigit() for character in value):
            yield "a digit", "".join(str((int(c) + 1) % 10) if c.isdecimal() else c for c in value)


def put(payload: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(payload)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def drop(payload: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.deepcopy(payload)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return changed


def measure() -> list[dict[str, Any]]:
    """One row a payload: its value against itself, how many changes it had, how many were paid in full, and the dearest."""
    registry = load_rewards()
    rows = []
    for layer, what, payload in PAYLOADS:
        function = registry.get(layer).function()
        reference = json.dumps(payload, ensure_ascii=False)
        example = Example("1", "telecom", [{"role": "user", "content": "p"}], reference, {"target_layer": layer})
        problems = function.problems(example)
        itself = function(example, Completion(reference)).value if not problems else None
        changes, paid, most = 0, [], 0.0
        for path, leaf in find_leaves(payload) if not problems else ():
            if FREE.intersection(map(str, path)) or path[-1] == "@id":
                continue
            texts = [(name, put(payload, path, wrong)) for name, wrong in change(leaf)]
            texts.append(("left out", drop(payload, path)))
            for name, changed in texts:
                value = function(example, Completion(json.dumps(changed, ensure_ascii=False))).value or 0.0
                changes += 1
                most = max(most, value)
                if value >= 1.0:
                    paid.append(f"{'/'.join(map(str, path))}: {name}")
        rows.append(
            {"layer": layer, "payload": what, "itself": itself, "changes": changes, "paid_in_full": paid, "most": most, "problems": problems}
        )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="list every change that was paid in full")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rows = measure()
    if options.json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    print(f"{'layer':12} {'payload':44} itself  changes  paid in full  dearest change")
    for row in rows:
        itself = "-" if row["itself"] is None else f"{row['itself']:.3f}"
        print(
            f"{row['layer']:12} {row['payload']:44} {itself:>6} {row['changes']:8} {len(row['paid_in_full']):13} {row['most']:15.3f}"
        )
        for line in [*row["problems"], *(row["paid_in_full"] if options.show else [])]:
            print(f"    {line}")


if __name__ == "__main__":
    main()
