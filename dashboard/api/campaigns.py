"""The API's routes about campaigns: writing, looking ahead, beginning, pausing, stopping, and what became of them. Owns
their URLs and answers.
"""

from __future__ import annotations

from uuid import UUID

from dashboard.api.comm_calls import asker_of, on_one_connection
from dashboard.api.cursors import read_cursor, write_cursor
from dashboard.api.errors import PREFIX, ApiError
from dashboard.api.growth_parts import (
    CampaignAnswer,
    CampaignListAnswer,
    CampaignPart,
    CampaignPreviewAnswer,
    PausedAnswer,
    ReportAnswer,
)
from dashboard.api.routes import Call, Route, path_uuid, read_limit
from dashboard.api.segments import SCOPE, required_version
from dispatchlog.growth_documents import CampaignDocument, CopyDocument, StartDocument, WinnerDocument
from dispatchlog.pharmacy_documents import ReasonDocument
from dispatchlog.systems.outreach.campaigns import lifecycle, preview, report, store
from dispatchlog.systems.outreach.campaigns.plans import CampaignInput

STATUSES = ("draft", "active", "paused", "completed")


@on_one_connection
def find_campaigns(call: Call) -> CampaignListAnswer:
    """A page of campaigns."""
    limit, cursor, status = read_limit(call), call.parameters.get("cursor", ""), call.parameters.get("status")
    if status not in (None, *STATUSES):
        raise ApiError("UNKNOWN_STATUS", f"status is one of {', '.join(STATUSES)}", field="status")
    found = store.find(status=status, limit=limit + 1, before=read_cursor(cursor) if cursor else None)
    shown = found[:limit]
    return CampaignListAnswer(
        campaigns=[CampaignPart.model_validate(each) for each in shown],
        next_cursor=write_cursor(shown[-1].created_at, shown[-1].id) if len(found) > limit else None,
    )


@on_one_connection
def create_campaign(call: Call) -> CampaignAnswer:
    """A new draft."""
    document: CampaignDocument = call.document
    return CampaignAnswer.of(store.create(document.to_input(), asker=asker_of(call)))


@on_one_connection
def get_campaign(_: Call, campaign_id: str) -> CampaignAnswer:
    """One campaign."""
    return CampaignAnswer.of(store.campaign(_id(campaign_id)))


@on_one_connection
def change_campaign(call: Call, campaign_id: str) -> CampaignAnswer:
    """Write a draft anew."""
    wanted, document = _id(campaign_id), call.document
    based_on = required_version(document.based_on)
    return CampaignAnswer.of(store.change(wanted, document.to_input(), based_on=based_on, asker=asker_of(call)))


@on_one_connection
def copy_campaign(call: Call, campaign_id: str) -> CampaignAnswer:
    """A draft with the same plan."""
    return CampaignAnswer.of(store.copy(_id(campaign_id), name=call.document.name, asker=asker_of(call)))


@on_one_connection
def preview_campaign(_: Call, campaign_id: str) -> CampaignPreviewAnswer:
    """What it would do."""
    found = store.campaign(_id(campaign_id))
    wanted = CampaignInput(**{name: getattr(found, name) for name in CampaignInput.__dataclass_fields__})
    return CampaignPreviewAnswer.of(preview.preview(wanted, campaign_id=found.id))


@on_one_connection
def start_campaign(call: Call, campaign_id: str) -> CampaignAnswer:
    """Begin it."""
    return CampaignAnswer.of(lifecycle.start(_id(campaign_id), based_on=call.document.based_on, asker=asker_of(call)))


@on_one_connection
def pause_campaign(call: Call, campaign_id: str) -> CampaignAnswer:
    """Hold it back."""
    return CampaignAnswer.of(lifecycle.pause(_id(campaign_id), asker=asker_of(call), reason=call.document.reason))


@on_one_connection
def resume_campaign(call: Call, campaign_id: str) -> CampaignAnswer:
    """Go on."""
    return CampaignAnswer.of(lifecycle.resume(_id(campaign_id), asker=asker_of(call), reason=call.document.reason))


@on_one_connection
def stop_campaign(call: Call, campaign_id: str) -> CampaignAnswer:
    """End it."""
    return CampaignAnswer.of(lifecycle.stop(_id(campaign_id), asker=asker_of(call), reason=call.document.reason))


@on_one_connection
def pause_every_campaign(call: Call) -> PausedAnswer:
    """The emergency stop."""
    paused = lifecycle.stop_everything(asker=asker_of(call), reason=call.document.reason)
    return PausedAnswer(campaigns=[each.id for each in paused])


@on_one_connection
def choose_winner(call: Call, campaign_id: str) -> CampaignAnswer:
    """The rest of the patients get this variant."""
    return CampaignAnswer.of(lifecycle.choose_winner(_id(campaign_id), call.document.variant, asker=asker_of(call)))


@on_one_connection
def get_report(_: Call, campaign_id: str) -> ReportAnswer:
    """What became of it."""
    return ReportAnswer.of(report.report(_id(campaign_id)))


def _id(text: str) -> UUID:
    return path_uuid(text, "campaignId")


_CAMPAIGN = f"{PREFIX}/comm/campaigns/<campaign_id>"
_KNOWN = ("CAMPAIGN_NOT_FOUND", "INVALID_UUID")
_PLAN = (
    "INVALID_STEPS",
    "STEP_CYCLE",
    "UNKNOWN_STEP",
    "UNKNOWN_FIELD",
    "UNKNOWN_VALUE",
    "WRONG_TYPE",
    "INVALID_VARIANTS",
    "END_BEFORE_START",
    "INVALID_NAME",
    "INVALID_TIMEZONE",
    "SEGMENT_NOT_FOUND",
    "SEGMENT_ARCHIVED",
    "SEGMENT_MISMATCH",
    "ORGANIZATION_NOT_FOUND",
    "UNKNOWN_TEMPLATE",
    "INVALID_UUID",
    "INVALID_DATE",
)

ROUTES = (
    Route(
        "GET",
        f"{PREFIX}/comm/campaigns",
        "findCampaigns",
        "Campaigns, latest first.",
        SCOPE,
        find_campaigns,
        CampaignListAnswer,
        parameters={
            "status": ", ".join(STATUSES),
            "limit": "how many, 1 to 200; 50 unless told",
            "cursor": "next_cursor of the page before",
        },
        codes=("UNKNOWN_STATUS", "INVALID_LIMIT", "INVALID_CURSOR"),
    ),
    Route(
        "POST",
        f"{PREFIX}/comm/campaigns",
        "createCampaign",
        "A new campaign, as a draft: nothing is sent.",
        SCOPE,
        create_campaign,
        CampaignAnswer,
        document=CampaignDocument,
        creates=lambda _: True,
        codes=_PLAN,
    ),
    Route("GET", _CAMPAIGN, "getCampaign", "One campaign.", SCOPE, get_campaign, CampaignAnswer, codes=_KNOWN),
    Route(
        "PUT",
        _CAMPAIGN,
        "changeCampaign",
        "Write a draft anew; `based_on` is the version that it changes.",
        SCOPE,
        change_campaign,
        CampaignAnswer,
        document=CampaignDocument,
        codes=("CAMPAIGN_NOT_FOUND", "CAMPAIGN_BEGUN", "VERSION_CONFLICT", *_PLAN),
    ),
    Route(
        "POST",
        f"{_CAMPAIGN}/copy",
        "copyCampaign",
        "A draft with the same plan.",
        SCOPE,
        copy_campaign,
        CampaignAnswer,
        document=CopyDocument,
        creates=lambda _: True,
        codes=(*_KNOWN, "INVALID_NAME"),
    ),
    Route(
        "GET",
        f"{_CAMPAIGN}/preview",
        "previewCampaign",
        "What a campaign would do: to how many, by what, when, at which cost, and what speaks against beginning it.",
        SCOPE,
        preview_campaign,
        CampaignPreviewAnswer,
        codes=(*_KNOWN, "SEGMENT_TOO_SLOW"),
    ),
    Route(
        "POST",
        f"{_CAMPAIGN}/start",
        "startCampaign",
        "Begin a campaign as it was looked at.",
        SCOPE,
        start_campaign,
        CampaignAnswer,
        document=StartDocument,
        codes=(
            *_KNOWN,
            "CAMPAIGN_BEGUN",
            "VERSION_CONFLICT",
            "EMPTY_AUDIENCE",
            "CAMPAIGN_OVERLAP",
            "END_DATE_PASSED",
            "MISSING_LANGUAGE",
            "MISSING_VARIANT",
            "MISSING_VARIABLE",
            "UNKNOWN_VARIABLE",
            "INVALID_VARIABLE",
            "UNKNOWN_TEMPLATE",
            "SEGMENT_ARCHIVED",
            "SEGMENT_MISMATCH",
            "SEGMENT_TOO_SLOW",
        ),
    ),
    Route(
        "POST",
        f"{_CAMPAIGN}/pause",
        "pauseCampaign",
        "Hold a campaign back: nothing of it leaves until it is resumed.",
        SCOPE,
        pause_campaign,
        CampaignAnswer,
        document=ReasonDocument,
        body_optional=True,
        codes=(*_KNOWN, "CAMPAIGN_NOT_ACTIVE"),
    ),
    Route(
        "POST",
        f"{_CAMPAIGN}/resume",
        "resumeCampaign",
        "Go on with a campaign that is paused.",
        SCOPE,
        resume_campaign,
        CampaignAnswer,
        document=ReasonDocument,
        body_optional=True,
        codes=(*_KNOWN, "CAMPAIGN_NOT_PAUSED", "END_DATE_PASSED"),
    ),
    Route(
        "POST",
        f"{_CAMPAIGN}/stop",
        "stopCampaign",
        "End a campaign for good: what waits is cancelled.",
        SCOPE,
        stop_campaign,
        CampaignAnswer,
        document=ReasonDocument,
        body_optional=True,
        codes=(*_KNOWN, "CAMPAIGN_NOT_ACTIVE"),
    ),
    Route(
        "POST",
        f"{PREFIX}/comm/campaigns/emergency-stop",
        "pauseEveryCampaign",
        "The emergency stop: pause every campaign at once.",
        SCOPE,
        pause_every_campaign,
        PausedAnswer,
        document=ReasonDocument,
        body_optional=True,
    ),
    Route(
        "POST",
        f"{_CAMPAIGN}/winner",
        "chooseWinner",
        "Give every patient who was not written to yet the variant that has won.",
        SCOPE,
        choose_winner,
        CampaignAnswer,
        document=WinnerDocument,
        codes=(*_KNOWN, "UNKNOWN_VARIANT", "NOT_JUSTIFIED", "CAMPAIGN_NOT_ACTIVE"),
    ),
    Route(
        "GET",
        f"{_CAMPAIGN}/report",
        "getCampaignReport",
        "What became of a campaign, step by step, with the test of its variants and its control group.",
        SCOPE,
        get_report,
        ReportAnswer,
        codes=_KNOWN,
    ),
)
