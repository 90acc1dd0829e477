"""The API's routes about segments: writing them, trying rules, and what rules may ask. Owns their URLs and answers."""

from __future__ import annotations

from dashboard.api.comm_calls import asker_of, on_one_connection
from dashboard.api.errors import PREFIX, ApiError
from dashboard.api.growth_parts import CatalogueAnswer, CountAnswer, SegmentAnswer, SegmentListAnswer, SegmentPart
from dashboard.api.routes import Call, Route, path_uuid
from dispatchlog.growth_documents import RulesDocument, SegmentDocument
from dispatchlog.systems.outreach.segments import fields, membership, store

SCOPE = "comm:campaigns"


@on_one_connection
def find_segments(call: Call) -> SegmentListAnswer:
    """Those that are used, or those that are archived."""
    found = store.every_segment(archived=call.parameters.get("archived") == "true")
    return SegmentListAnswer(segments=[SegmentPart.model_validate(each) for each in found])


def get_fields(_: Call) -> CatalogueAnswer:
    """What rules may ask."""
    return CatalogueAnswer.model_validate(fields.catalogue())


@on_one_connection
def create_segment(call: Call) -> SegmentAnswer:
    """A new segment."""
    document: SegmentDocument = call.document
    return SegmentAnswer.of(store.create(document.to_input(), asker=asker_of(call)))


@on_one_connection
def get_segment(_: Call, segment_id: str) -> SegmentAnswer:
    """One segment."""
    return SegmentAnswer.of(store.segment(path_uuid(segment_id, "segmentId")))


@on_one_connection
def change_segment(call: Call, segment_id: str) -> SegmentAnswer:
    """Other rules or another name."""
    wanted, document = path_uuid(segment_id, "segmentId"), call.document
    based_on = required_version(document.based_on)
    return SegmentAnswer.of(store.change(wanted, document.to_input(), based_on=based_on, asker=asker_of(call)))


@on_one_connection
def archive_segment(call: Call, segment_id: str) -> SegmentAnswer:
    """Nobody uses it any more."""
    return SegmentAnswer.of(store.archive(path_uuid(segment_id, "segmentId"), asker=asker_of(call)))


@on_one_connection
def evaluate_segment(_: Call, segment_id: str) -> SegmentAnswer:
    """Count it now."""
    return SegmentAnswer.of(store.evaluate(path_uuid(segment_id, "segmentId")))


@on_one_connection
def count_rules(call: Call) -> CountAnswer:
    """How many patients rules mean."""
    document: RulesDocument = call.document
    found = membership.count(document.rules, organization_id=document.organization_id)
    return CountAnswer(patient_count=found.number, milliseconds=found.milliseconds)


def required_version(based_on: int | None) -> int:
    """The version that a change is based on.

    Raises:
        ApiError: MISSING_FIELD.
    """
    if based_on is None:
        raise ApiError("MISSING_FIELD", "is required", field="based_on")
    return based_on


_SEGMENT = f"{PREFIX}/comm/segments/<segment_id>"
RULES = (
    "INVALID_RULES",
    "UNKNOWN_FIELD",
    "UNKNOWN_OPERATOR",
    "UNKNOWN_VALUE",
    "WRONG_TYPE",
    "SEGMENT_NOT_FOUND",
    "SEGMENT_CYCLE",
    "SEGMENT_TOO_SLOW",
    "ORGANIZATION_NOT_FOUND",
    "INVALID_UUID",
)

ROUTES = (
    Route(
        "GET",
        f"{PREFIX}/comm/segments",
        "findSegments",
        "All segments with how many patients they last meant.",
        SCOPE,
        find_segments,
        SegmentListAnswer,
        parameters={"archived": "true: those that are archived"},
    ),
    Route(
        "POST",
        f"{PREFIX}/comm/segments",
        "createSegment",
        "A new segment; its rules are a document of react-querybuilder.",
        SCOPE,
        create_segment,
        SegmentAnswer,
        document=SegmentDocument,
        creates=lambda _: True,
        codes=(*RULES, "INVALID_NAME", "SEGMENT_EXISTS"),
    ),
    Route(
        "GET",
        f"{PREFIX}/comm/segments/fields",
        "getSegmentFields",
        "What rules may ask: each field with its kind, operators and values, for a builder.",
        SCOPE,
        get_fields,
        CatalogueAnswer,
    ),
    Route(
        "POST",
        f"{PREFIX}/comm/segments/count",
        "countSegmentRules",
        "How many patients rules mean now; nothing is stored.",
        SCOPE,
        count_rules,
        CountAnswer,
        document=RulesDocument,
        codes=RULES,
    ),
    Route(
        "GET",
        _SEGMENT,
        "getSegment",
        "One segment.",
        SCOPE,
        get_segment,
        SegmentAnswer,
        codes=("SEGMENT_NOT_FOUND", "INVALID_UUID"),
    ),
    Route(
        "PUT",
        _SEGMENT,
        "changeSegment",
        "Write a segment anew; `based_on` is the version that it changes.",
        SCOPE,
        change_segment,
        SegmentAnswer,
        document=SegmentDocument,
        codes=(*RULES, "INVALID_NAME", "SEGMENT_EXISTS", "SEGMENT_ARCHIVED", "VERSION_CONFLICT"),
    ),
    Route(
        "POST",
        f"{_SEGMENT}/evaluate",
        "evaluateSegment",
        "Count a segment's patients now.",
        SCOPE,
        evaluate_segment,
        SegmentAnswer,
        codes=("SEGMENT_NOT_FOUND", "SEGMENT_TOO_SLOW", "INVALID_UUID"),
    ),
    Route(
        "POST",
        f"{_SEGMENT}/archive",
        "archiveSegment",
        "Take a segment out of use.",
        SCOPE,
        archive_segment,
        SegmentAnswer,
        codes=("SEGMENT_NOT_FOUND", "SEGMENT_IN_USE", "INVALID_UUID"),
    ),
)
