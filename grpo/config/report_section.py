"""The `report` section of a config: in which language, and what an hour costs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ReportSection(BaseModel):
    """How the report of a run is written."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    language: Literal["en", "pt-BR"] = Field("en", description="Language of report.html and report.md: en or pt-BR.")
    price_per_hour: float | None = Field(
        None, ge=0, description="What an hour of the machine costs; with it the report says what the run did."
    )
    currency: str = Field("USD", min_length=1, max_length=8, description="Of that price, as it is written: USD, R$.")
