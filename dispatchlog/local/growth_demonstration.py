"""The readers, segments and campaigns that `dispatchlog up` brings along, told and written as services and staff do.

Writes no table itself. Begun anew it repeats nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from dispatchlog.comm_documents import TemplateDocument
from dispatchlog.growth_documents import CampaignDocument, SegmentDocument
from dispatchlog.local.growth_sample import EVERY_READER, WORDING, WORDING_VERSION, campaigns, segments, templates
from dispatchlog.local.outreach_sample import CLINIC_ID
from dispatchlog.systems.outreach import preferences
from dispatchlog.systems.outreach import templates as texts
from dispatchlog.systems.outreach.campaigns import lifecycle
from dispatchlog.systems.outreach.campaigns import store as campaign_store
from dispatchlog.systems.outreach.inputs import Asker, OutreachError, PreferenceChange
from dispatchlog.systems.outreach.segments import store as segment_store
from dispatchlog.systems.outreach.stats import outcomes

_AGREED = {"marketing_opt_in_sms": True, "marketing_opt_in_email": True}


def load(tell: Callable[[str, str, dict[str, Any]], bool], *, asker: Asker, now: datetime) -> None:
    """Report the readers and their yes; write texts and segments; begin the first campaign."""
    for reader in EVERY_READER:
        if tell("patient.updated", reader.person.key, reader.report(now)):
            agreed = PreferenceChange(_AGREED, "service", WORDING, WORDING_VERSION, "en")
            preferences.change(reader.person.patient_id, agreed, asker=asker)
    _set_rates(asker)
    if campaign_store.find(limit=1):
        return
    for document in templates():
        texts.create(TemplateDocument.model_validate(document).to_input(), asker=asker)
    known: dict[str, UUID] = {}
    for document in segments():
        wanted = SegmentDocument.model_validate({**document, "organization_id": str(CLINIC_ID)}).to_input()
        known[document["name"]] = segment_store.create(wanted, asker=asker).id
    drafts = [_draft(document, known, asker) for document in campaigns()]
    begun = lifecycle.start(drafts[0].id, based_on=drafts[0].version, asker=asker)
    print(f"the sample campaign {begun.name!r} has begun", flush=True)


def _draft(document: dict[str, Any], known: dict[str, UUID], asker: Asker) -> campaign_store.Campaign:
    said = {name: value for name, value in document.items() if name != "segment"}
    said |= {"segment_id": str(known[document["segment"]]), "organization_id": str(CLINIC_ID)}
    return campaign_store.create(CampaignDocument.model_validate(said).to_input(), asker=asker)


def _set_rates(asker: Asker) -> None:
    wanted = outcomes.Rates(
        organization_id=None,
        currency="USD",
        visit_value=Decimal("140.00"),
        email_cost=Decimal("0.00080"),
        sms_cost=Decimal("0.01090"),
        whatsapp_cost=Decimal("0.01400"),
        baseline_no_show=None,
        version=0,
    )
    try:
        outcomes.set_rates(wanted, asker=asker)
    except OutreachError as error:
        if error.code != "VERSION_CONFLICT":
            raise
