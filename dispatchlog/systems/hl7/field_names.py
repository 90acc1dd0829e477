"""What every segment and field that we send or receive is called: HL7 v2.5.1, chapters 2, 3, 4, 6, 7, 10 and 12."""

from __future__ import annotations

from collections.abc import Mapping

TITLES: Mapping[str, str] = {
    "MSH": "Message header",
    "EVN": "Event",
    "PID": "Patient",
    "PD1": "More about the patient",
    "NK1": "Next of kin",
    "PV1": "Visit",
    "OBR": "Report",
    "OBX": "Observation",
    "DG1": "Diagnosis",
    "AL1": "Allergy",
    "ORC": "Order",
    "RXA": "Dose given",
    "RXR": "Route",
    "SCH": "Appointment",
    "RGS": "Resources of the appointment",
    "AIS": "Service of the appointment",
    "AIP": "Person of the appointment",
    "AIL": "Place of the appointment",
    "PRB": "Problem",
    "NTE": "Notes",
    "MSA": "Acknowledgement",
    "ERR": "Error",
}
# Element names of the standard, field 1 first.
LISTS: Mapping[str, str] = {
    "MSH": """
        Field separator; Encoding characters; Sending application; Sending facility; Receiving application; Receiving
        facility; Date/time of message; Security; Message type; Message control ID; Processing ID; Version ID; Sequence
        number; Continuation pointer; Accept acknowledgment type; Application acknowledgment type; Country code;
        Character set; Principal language of message; Alternate character set handling scheme; Message profile
        identifier
    """,
    "EVN": """
        Event type code; Recorded date/time; Date/time planned event; Event reason code; Operator ID; Event occurred;
        Event facility
    """,
    "PID": """
        Set ID; Patient ID; Patient identifier list; Alternate patient ID; Patient name; Mother's maiden name; Date/time
        of birth; Administrative sex; Patient alias; Race; Patient address; County code; Phone number - home; Phone
        number - business; Primary language; Marital status; Religion; Patient account number; SSN number - patient;
        Driver's license number - patient; Mother's identifier; Ethnic group; Birth place; Multiple birth indicator;
        Birth order; Citizenship; Veterans military status; Nationality; Patient death date and time; Patient death
        indicator; Identity unknown indicator; Identity reliability code; Last update date/time; Last update facility;
        Species code; Breed code; Strain; Production class code; Tribal citizenship
    """,
    "PD1": """
        Living dependency; Living arrangement; Patient primary facility; Patient primary care provider name and ID;
        Student indicator; Handicap; Living will code; Organ donor code; Separate bill; Duplicate patient; Publicity
        code; Protection indicator; Protection indicator effective date; Place of worship; Advance directive code;
        Immunization registry status; Immunization registry status effective date; Publicity code effective date;
        Military branch; Military rank/grade; Military status
    """,
    "NK1": """
        Set ID; Name; Relationship; Address; Phone number; Business phone number; Contact role; Start date; End date;
        Next of kin / associated parties job title; Next of kin / associated parties job code/class; Next of kin /
        associated parties employee number; Organization name; Marital status; Administrative sex; Date/time of birth;
        Living dependency; Ambulatory status; Citizenship; Primary language; Living arrangement; Publicity code;
        Protection indicator; Student indicator; Religion; Mother's maiden name; Nationality; Ethnic group; Contact
        reason; Contact person's name; Contact person's telephone number; Contact person's address; Next of kin /
        associated party's identifiers; Job status; Race; Handicap; Contact person social security number; Next of kin
        birth place; VIP indicator
    """,
    "PV1": """
        Set ID; Patient class; Assigned patient location; Admission type; Preadmit number; Prior patient location;
        Attending doctor; Referring doctor; Consulting doctor; Hospital service; Temporary location; Preadmit test
        indicator; Re-admission indicator; Admit source; Ambulatory status; VIP indicator; Admitting doctor; Patient
        type; Visit number; Financial class; Charge/price indicator; Courtesy code; Credit rating; Contract code;
        Contract effective date; Contract amount; Contract period; Interest code; Transfer to bad debt code; Transfer to
        bad debt date; Bad debt agency code; Bad debt transfer amount; Bad debt recovery amount; Delete account
        indicator; Delete account date; Discharge disposition; Discharged to location; Diet type; Servicing facility;
        Bed status; Account status; Pending location; Prior temporary location; Admit date/time; Discharge date/time;
        Current patient balance; Total charges; Total adjustments; Total payments; Alternate visit ID; Visit indicator;
        Other healthcare provider
    """,
    "OBR": """
        Set ID; Placer order number; Filler order number; Universal service identifier; Priority; Requested date/time;
        Observation date/time; Observation end date/time; Collection volume; Collector identifier; Specimen action code;
        Danger code; Relevant clinical information; Specimen received date/time; Specimen source; Ordering provider;
        Order callback phone number; Placer field 1; Placer field 2; Filler field 1; Filler field 2; Results
        report/status change date/time; Charge to practice; Diagnostic service section ID; Result status; Parent result;
        Quantity/timing; Result copies to; Parent; Transportation mode; Reason for study; Principal result interpreter;
        Assistant result interpreter; Technician; Transcriptionist; Scheduled date/time; Number of sample containers;
        Transport logistics of collected sample; Collector's comment; Transport arrangement responsibility; Transport
        arranged; Escort required; Planned patient transport comment; Procedure code; Procedure code modifier; Placer
        supplemental service information; Filler supplemental service information; Medically necessary duplicate
        procedure reason; Result handling; Parent universal service identifier
    """,
    "OBX": """
        Set ID; Value type; Observation identifier; Observation sub ID; Observation value; Units; References range;
        Abnormal flags; Probability; Nature of abnormal test; Observation result status; Effective date of reference
        range values; User defined access checks; Date/time of the observation; Producer's reference; Responsible
        observer; Observation method; Equipment instance identifier; Date/time of the analysis; Reserved; Reserved;
        Reserved; Performing organization name; Performing organization address; Performing organization medical
        director
    """,
    "DG1": """
        Set ID; Diagnosis coding method; Diagnosis code; Diagnosis description; Diagnosis date/time; Diagnosis type;
        Major diagnostic category; Diagnostic related group; DRG approval indicator; DRG grouper review code; Outlier
        type; Outlier days; Outlier cost; Grouper version and type; Diagnosis priority; Diagnosing clinician; Diagnosis
        classification; Confidential indicator; Attestation date/time; Diagnosis identifier; Diagnosis action code
    """,
    "AL1": """
        Set ID; Allergen type code; Allergen code/mnemonic/description; Allergy severity code; Allergy reaction code;
        Identification date
    """,
    "ORC": """
        Order control; Placer order number; Filler order number; Placer group number; Order status; Response flag;
        Quantity/timing; Parent; Date/time of transaction; Entered by; Verified by; Ordering provider; Enterer's
        location; Call back phone number; Order effective date/time; Order control code reason; Entering organization;
        Entering device; Action by; Advanced beneficiary notice code; Ordering facility name; Ordering facility address;
        Ordering facility phone number; Ordering provider address; Order status modifier; Advanced beneficiary notice
        override reason; Filler's expected availability date/time; Confidentiality code; Order type; Enterer
        authorization mode; Parent universal service identifier
    """,
    "RXA": """
        Give sub ID counter; Administration sub ID counter; Date/time start of administration; Date/time end of
        administration; Administered code; Administered amount; Administered units; Administered dosage form;
        Administration notes; Administering provider; Administered at location; Administered per time unit; Administered
        strength; Administered strength units; Substance lot number; Substance expiration date; Substance manufacturer
        name; Substance treatment refusal reason; Indication; Completion status; Action code; System entry date/time;
        Administered drug strength/volume; Administered drug strength/volume units; Administered barcode identifier;
        Pharmacy order type
    """,
    "RXR": """
        Route; Administration site; Administration device; Administration method; Routing instruction; Administration
        site modifier
    """,
    "SCH": """
        Placer appointment ID; Filler appointment ID; Occurrence number; Placer group number; Schedule ID; Event reason;
        Appointment reason; Appointment type; Appointment duration; Appointment duration units; Appointment timing
        quantity; Placer contact person; Placer contact phone number; Placer contact address; Placer contact location;
        Filler contact person; Filler contact phone number; Filler contact address; Filler contact location; Entered by
        person; Entered by phone number; Entered by location; Parent placer appointment ID; Parent filler appointment
        ID; Filler status code; Placer order number; Filler order number
    """,
    "RGS": """
        Set ID; Segment action code; Resource group ID
    """,
    "AIS": """
        Set ID; Segment action code; Universal service identifier; Start date/time; Start date/time offset; Start
        date/time offset units; Duration; Duration units; Allow substitution code; Filler status code; Placer
        supplemental service information; Filler supplemental service information
    """,
    "AIP": """
        Set ID; Segment action code; Personnel resource ID; Resource type; Resource group; Start date/time; Start
        date/time offset; Start date/time offset units; Duration; Duration units; Allow substitution code; Filler status
        code
    """,
    "AIL": """
        Set ID; Segment action code; Location resource ID; Location type; Location group; Start date/time; Start
        date/time offset; Start date/time offset units; Duration; Duration units; Allow substitution code; Filler status
        code
    """,
    "PRB": """
        Action code; Action date/time; Problem ID; Problem instance ID; Episode of care ID; Problem list priority;
        Problem established date/time; Anticipated problem resolution date/time; Actual problem resolution date/time;
        Problem classification; Problem management discipline; Problem persistence; Problem confirmation status; Problem
        life cycle status; Problem life cycle status date/time; Problem date of onset; Problem onset text; Problem
        ranking; Certainty of problem; Probability of problem (0-1); Individual awareness of problem; Problem prognosis;
        Individual awareness of prognosis; Family/significant other awareness of problem prognosis; Security sensitivity
    """,
    "NTE": """
        Set ID; Source of comment; Comment; Comment type
    """,
    "MSA": """
        Acknowledgment code; Message control ID; Text message; Expected sequence number; Delayed acknowledgment type;
        Error condition
    """,
    "ERR": """
        Error code and location; Error location; HL7 error code; Severity; Application error code; Application error
        parameter; Diagnostic information; User message; Inform person indicator; Override type; Override reason code;
        Help desk contact point
    """,
}
FIELD_NAMES: Mapping[str, tuple[str, ...]] = {
    code: tuple(name.strip() for name in " ".join(names.split()).split(";")) for code, names in LISTS.items()
}
