"""Intents in words: the slice that is wanted, its figures, and the phrasings that ask for it."""

from __future__ import annotations

import random
from dataclasses import dataclass

# Slice type, its SST (3GPP TS 23.501, 5.15.2), and the ranges its figures are drawn from.
SLICES: dict[
    str, tuple[int, tuple[float, ...], tuple[float, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]
] = {
    "eMBB": (1, (20, 30, 50), (99.0, 99.5, 99.9), (100, 200, 500), (20, 50, 100), (200, 500, 1000)),
    "URLLC": (2, (1, 2, 5), (99.999, 99.9999), (5, 10, 20), (5, 10, 20), (10, 20, 50)),
    "mMTC": (3, (100, 200, 500), (99.0, 99.5), (1, 2, 5), (1, 2, 5), (5000, 10000, 20000)),
    "V2X": (4, (3, 5, 10), (99.99, 99.999), (10, 25, 50), (10, 25, 50), (50, 100, 400)),
    "HMTC": (5, (5, 10, 15), (99.9, 99.99), (20, 40, 60), (20, 40, 60), (100, 300, 600)),
}
SECTORS: dict[str, tuple[str, ...]] = {
    "health": ("remote surgery", "patient monitoring", "ambulance video"),
    "mining": ("haul truck control", "gas sensing", "drill telemetry"),
    "energy": ("grid protection", "smart metering", "turbine inspection"),
    "transport": ("platooning", "rail signalling", "port cranes"),
    "media": ("live broadcast", "stadium streaming", "cloud gaming"),
    "farming": ("crop sensing", "drone spraying", "herd tracking"),
    "factory": ("robot arms", "quality cameras", "guided vehicles"),
    "city": ("traffic lights", "street cameras", "air quality"),
}
REGIONS = ("Lisbon", "Porto", "Athens", "Patras", "Oslo", "Lyon", "Turin", "Ghent")
PHRASINGS = (
    "Create a {slice_type} slice for {use_case} in {region}: {figures}.",
    "We need {use_case} in {region} on {slice_type}, with {figures}.",
    "For the {sector} sector in {region}, set up {slice_type} for {use_case}; {figures}.",
    "Please provision {slice_type} for {use_case}, region {region}, {figures}.",
    "{use_case} in {region} needs {slice_type} with {figures}.",
    "Configure {slice_type} ({use_case}, {sector}) for {region}. Targets: {figures}.",
    "Deploy a {slice_type} network for {use_case} at {region} that keeps {figures}.",
    "Our {sector} team in {region} asks for {slice_type}: {use_case}, {figures}.",
)
OOD_PHRASINGS = (
    "Targets {figures}; the service is {use_case}, the place {region}, the type {slice_type}.",
    "{region} wants {use_case}. Make it {slice_type}, keeping to {figures}.",
)
HELD_SECTORS, HELD_USE_CASES = ("farming", "city"), ("gas sensing", "port cranes", "cloud gaming", "ambulance video")


@dataclass(frozen=True, slots=True)
class Intent:
    """What is asked for; the figures are columns of the row, so that a value is judged without any layer's reference."""

    slice_type: str
    sst: int
    sd: str
    use_case: str
    sector: str
    region: str
    latency_ms: float
    reliability_pct: float
    dl_throughput_mbps: float
    ul_throughput_mbps: float
    max_ues: int

    @property
    def figures(self) -> str:
        """The figures in words."""
        return (
            f"latency {self.latency_ms:g} ms, reliability {self.reliability_pct:g} %, downlink "
            f"{self.dl_throughput_mbps:g} Mbps, uplink {self.ul_throughput_mbps:g} Mbps, {self.max_ues} devices, SD {self.sd}"
        )

    def ask(self, phrasing: str) -> str:
        return phrasing.format(
            slice_type=self.slice_type,
            use_case=self.use_case,
            sector=self.sector,
            region=self.region,
            figures=self.figures,
        )


def draw_intent(rng: random.Random, *, split: str) -> Intent:
    """An intent of a split: those out of distribution have use cases, or sectors, that no other split has."""
    sectors = [name for name in SECTORS if (name in HELD_SECTORS) == (split == "test_sector_ood")]
    pairs = [(sector, case) for sector in sectors for case in SECTORS[sector]]
    if split != "test_sector_ood":
        pairs = [pair for pair in pairs if (pair[1] in HELD_USE_CASES) == (split == "test_use_case_ood")]
    sector, use_case = rng.choice(pairs)
    slice_type = rng.choice(tuple(SLICES))
    sst, latency, reliability, down, up, devices = SLICES[slice_type]
    return Intent(
        slice_type, sst, f"{rng.randrange(10**6):06d}", use_case, sector, rng.choice(REGIONS),
        float(rng.choice(latency)), rng.choice(reliability), float(rng.choice(down)), float(rng.choice(up)),
        rng.choice(devices),
    )  # fmt: skip
