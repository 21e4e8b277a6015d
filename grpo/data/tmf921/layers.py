"""What an intent becomes in each layer: the target JSON of configurations, lifecycle operations and refusals.

The fields follow the official definitions as docs/tmf921.md lists them (TMF921, 3GPP TS 28.541 and 28.312, O-RAN A1, CAMARA,
ETSI ZSM); values that no prompt contains are not generated, but for the telemetry of monitor and report rows, as in the Hub set.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from grpo.data.tmf921.intents import Intent

CREATE = "create"
_PLMN = {"mcc": "001", "mnc": "01"}


def _number(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value


def _tmf921(intent: Intent) -> dict[str, Any]:
    return {
        "@type": "Intent",
        "name": f"{intent.use_case} {intent.region}",
        "version": "1.0",
        "lifecycleStatus": "acknowledged",
        "expression": {
            "@type": "JsonLdExpression",
            "expressionLanguage": "JSON-LD",
            "expressionValue": {
                "sliceType": intent.slice_type,
                "latency": {"value": _number(intent.latency_ms), "unit": "ms"},
                "reliability": {"value": intent.reliability_pct, "unit": "percent"},
                "downlinkThroughput": {"value": _number(intent.dl_throughput_mbps), "unit": "Mbps"},
                "uplinkThroughput": {"value": _number(intent.ul_throughput_mbps), "unit": "Mbps"},
                "maxNumberOfUEs": intent.max_ues,
            },
        },
    }


def _intent_3gpp(intent: Intent) -> dict[str, Any]:
    def target(name: str, condition: str, value: float) -> dict[str, Any]:
        return {"targetName": name, "targetCondition": condition, "targetValueRange": _number(value)}

    return {
        "intentExpectations": [
            {
                "expectationId": "1",
                "expectationVerb": "ENSURE",
                "expectationObject": {"objectType": "RAN_SubNetwork"},
                "expectationTargets": [
                    target("DLLatencyTarget", "IS_EQUAL_TO_OR_LESS_THAN", intent.latency_ms),
                    target("DLThptPerUETarget", "IS_EQUAL_TO_OR_GREATER_THAN", intent.dl_throughput_mbps),
                    target("ULThptPerUETarget", "IS_EQUAL_TO_OR_GREATER_THAN", intent.ul_throughput_mbps),
                    target("MaxNumberofUEsTarget", "IS_EQUAL_TO_OR_LESS_THAN", intent.max_ues),
                ],
            }
        ],
        "intentPriority": 1,
    }


def _camara(intent: Intent) -> dict[str, Any]:
    def rate(mbps: float) -> dict[str, Any]:
        return {"value": _number(mbps), "unit": "Mbps"}

    return {
        "serviceArea": {"areaType": "REGION", "name": intent.region},
        "sliceQosProfile": {
            "maxNumOfDevices": intent.max_ues,
            "downStreamRatePerDevice": rate(intent.dl_throughput_mbps),
            "upStreamRatePerDevice": rate(intent.ul_throughput_mbps),
            "downStreamDelayBudget": {"value": _number(intent.latency_ms), "unit": "Milliseconds"},
            "upStreamDelayBudget": {"value": _number(intent.latency_ms), "unit": "Milliseconds"},
        },
    }


def _a1_policy(intent: Intent) -> dict[str, Any]:
    return {
        "scope": {"sliceId": {"sst": intent.sst, "sd": intent.sd, "plmnId": _PLMN}},
        "sliceSlaObjectives": {
            "maxNumberOfUes": intent.max_ues,
            "guaDlThptPerSlice": _number(intent.dl_throughput_mbps * 1000),
            "guaUlThptPerSlice": _number(intent.ul_throughput_mbps * 1000),
        },
    }


def _o1_nrm(intent: Intent) -> dict[str, Any]:
    return {
        "ServiceProfile": {
            "plmnInfoList": [{"plmnId": _PLMN, "snssai": {"sst": intent.sst, "sd": intent.sd}}],
            "maxNumberofUEs": intent.max_ues,
            "dLLatency": _number(intent.latency_ms),
            "uLLatency": _number(intent.latency_ms),
            "dLReliability": intent.reliability_pct,
            "dLThptPerUE": {"guaThpt": _number(intent.dl_throughput_mbps)},
            "uLThptPerUE": {"guaThpt": _number(intent.ul_throughput_mbps)},
            "networkSliceSharingIndicator": "NON_SHARED",
        }
    }


def _etsi_zsm(intent: Intent) -> dict[str, Any]:
    return {
        "serviceIntent": {
            "domain": "E2E",
            "slice": {"type": intent.slice_type, "sst": intent.sst, "sd": intent.sd},
            "sla": {
                "latencyMs": _number(intent.latency_ms),
                "reliabilityPct": intent.reliability_pct,
                "dlThroughputMbps": _number(intent.dl_throughput_mbps),
                "ulThroughputMbps": _number(intent.ul_throughput_mbps),
                "maxUes": intent.max_ues,
            },
        }
    }


LAYERS: Mapping[str, Callable[[Intent], dict[str, Any]]] = {
    "tmf921": _tmf921,
    "intent_3gpp": _intent_3gpp,
    "camara": _camara,
    "a1_policy": _a1_policy,
    "o1_nrm": _o1_nrm,
    "etsi_zsm": _etsi_zsm,
}
OPERATIONS = ("activate", "deactivate", "modify", "monitor", "report", "scale", "suspend", "terminate")
ADVERSARIAL: Mapping[str, tuple[str, str]] = {
    "adversarial_contradictory": ("CONFLICTING_REQUIREMENTS", "latency above 500 ms and below 1 ms at once"),
    "adversarial_infeasible": ("INFEASIBLE_TARGET", "0.0001 ms of latency to a satellite"),
    "adversarial_malicious": ("POLICY_VIOLATION", "the traffic of a competitor cut off"),
}


def write_operation(intent: Intent, operation: str, rng: random.Random) -> tuple[str, dict[str, Any]]:
    """What is asked and the target of a lifecycle operation; monitor and report measure what the prompt does not say."""
    name = f"{intent.use_case} {intent.region}"
    body: dict[str, Any] = {"operation": operation, "intent": name}
    asked = f"{operation.capitalize()} the intent '{name}' ({intent.slice_type}, {intent.figures})"
    states = {"activate": "active", "deactivate": "inactive", "suspend": "suspended", "terminate": "terminated"}
    if operation in states:
        body["newState"] = states[operation]
    elif operation == "modify":
        body["changes"] = {"latency": {"value": _number(intent.latency_ms), "unit": "ms"}}
        asked += f": set latency to {intent.latency_ms:g} ms"
    elif operation == "scale":
        direction = rng.choice(("up", "down"))
        body["scaling"] = {"direction": direction, "maxNumberOfUEs": intent.max_ues}
        asked += f" {direction} to {intent.max_ues} devices"
    else:
        body["metrics"] = {
            "latencyMs": round(intent.latency_ms * rng.uniform(0.6, 1.1), 2),
            "activeUes": rng.randrange(1, intent.max_ues),
        }
        if operation == "report":
            body["complianceStatus"] = rng.choice(("compliant", "degraded"))
    return asked + ".", body


def write_refusal(intent: Intent, kind: str) -> tuple[str, dict[str, Any]]:
    """A request that must not be configured, and the refusal of it."""
    code, demand = ADVERSARIAL[kind]
    asked = f"For {intent.use_case} in {intent.region} on {intent.slice_type} I want {demand}."
    return asked, {"status": "rejected", "reason": code, "configured": False}
