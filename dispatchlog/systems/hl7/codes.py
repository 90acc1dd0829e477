"""The code values that a visit may name, and the words beside them: tables of HL7 v2.5.1, LOINC, UCUM, ISO 3166-1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

SEX = ("F", "M", "O", "U")  # table 0001, without those that nobody reports of a student
PATIENT_CLASS = ("E", "I", "O", "P", "R", "B", "C", "N", "U")  # table 0004
DIAGNOSIS_TYPE = ("A", "W", "F")  # table 0052
NEW_BOOKING = ("Booked", "Pending", "Waitlist", "Overbook")  # table 0278; the others are other events than S12
RELATIONSHIP: Mapping[str, str] = {  # table 0063
    "MTH": "Mother",
    "FTH": "Father",
    "PAR": "Parent",
    "GRD": "Guardian",
    "BRO": "Brother",
    "SIS": "Sister",
    "SIB": "Sibling",
    "GRP": "Grandparent",
    "EXF": "Extended family",
    "CGV": "Care giver",
    "FCH": "Foster child",
    "SPO": "Spouse",
    "EMC": "Emergency contact",
    "OTH": "Other",
    "UNK": "Unknown",
}
ALLERGY_TYPE: Mapping[str, str] = {  # table 0127
    "DA": "Drug allergy",
    "FA": "Food allergy",
    "MA": "Miscellaneous allergy",
    "MC": "Miscellaneous contraindication",
    "EA": "Environmental Allergy",
    "AA": "Animal Allergy",
    "PA": "Plant Allergy",
    "LA": "Pollen Allergy",
}
SEVERITY: Mapping[str, str] = {"SV": "Severe", "MO": "Moderate", "MI": "Mild", "U": "Unknown"}  # table 0128
ROUTE: Mapping[str, str] = {  # table 0162, those a vaccine is given by
    "IM": "Intramuscular",
    "SC": "Subcutaneous",
    "ID": "Intradermal",
    "IN": "Intranasal",
    "NS": "Nasal",
    "PO": "Oral",
    "TD": "Transdermal",
    "OTH": "Other/Miscellaneous",
}
SITE: Mapping[str, str] = {  # table 0163, those a vaccine is given at
    "LA": "Left Arm",
    "LD": "Left Deltoid",
    "LG": "Left Gluteus Medius",
    "LLFA": "Left Lower Forearm",
    "LT": "Left Thigh",
    "LUA": "Left Upper Arm",
    "LVL": "Left Vastus Lateralis",
    "LVG": "Left Ventragluteal",
    "RA": "Right Arm",
    "RD": "Right Deltoid",
    "RG": "Right Gluteus Medius",
    "RLFA": "Right Lower Forearm",
    "RT": "Right Thigh",
    "RUA": "Right Upper Arm",
    "RVL": "Right Vastus Lateralis",
    "RVG": "Right Ventragluteal",
    "BU": "Buttock",
}
ICD_10 = re.compile(r"[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?")
CVX = re.compile(r"[0-9]{2,3}")
MVX = re.compile(r"[A-Z]{2,3}")


@dataclass(frozen=True, slots=True)
class VitalSign:
    """One measurement: its place in Vitals and in a report, LOINC, UCUM, and what no living student can have."""

    attribute: str
    field: str
    loinc: str
    name: str
    unit: str
    unit_name: str
    least: Decimal
    most: Decimal


def _vital(place: str, loinc: tuple[str, str], unit: tuple[str, str], limits: tuple[int, int]) -> VitalSign:
    attribute, field = place.split("/")
    return VitalSign(attribute, field, *loinc, *unit, Decimal(limits[0]), Decimal(limits[1]))


PER_MINUTE = ("/min", "per minute")
MMHG = ("mm[Hg]", "millimeter of mercury")
# LOINC long common names and UCUM units, loinc.org and ucum.org.
VITALS = (
    _vital("temperature_c/temperatureC", ("8310-5", "Body temperature"), ("Cel", "degree Celsius"), (25, 45)),
    _vital("systolic_mmhg/systolicMmhg", ("8480-6", "Systolic blood pressure"), MMHG, (30, 300)),
    _vital("diastolic_mmhg/diastolicMmhg", ("8462-4", "Diastolic blood pressure"), MMHG, (10, 200)),
    _vital("heart_rate/heartRate", ("8867-4", "Heart rate"), PER_MINUTE, (20, 300)),
    _vital("respiratory_rate/respiratoryRate", ("9279-1", "Respiratory rate"), PER_MINUTE, (3, 120)),
    _vital(
        "spo2_percent/spo2Percent",
        ("59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry"),
        ("%", "percent"),
        (30, 100),
    ),
    _vital("height_cm/heightCm", ("8302-2", "Body height"), ("cm", "centimeter"), (30, 250)),
    _vital("weight_kg/weightKg", ("29463-7", "Body weight"), ("kg", "kilogram"), (1, 400)),
    _vital("bmi/bmi", ("39156-5", "Body mass index (BMI) [Ratio]"), ("kg/m2", "kilogram per square meter"), (5, 100)),
)
COUNTRY_CODES = """
    ABW AFG AGO AIA ALA ALB AND ARE ARG ARM ASM ATA ATF ATG AUS AUT AZE BDI BEL BEN BES BFA BGD BGR BHR BHS BIH BLM
    BLR BLZ BMU BOL BRA BRB BRN BTN BVT BWA CAF CAN CCK CHE CHL CHN CIV CMR COD COG COK COL COM CPV CRI CUB CUW CXR
    CYM CYP CZE DEU DJI DMA DNK DOM DZA ECU EGY ERI ESH ESP EST ETH FIN FJI FLK FRA FRO FSM GAB GBR GEO GGY GHA GIB
    GIN GLP GMB GNB GNQ GRC GRD GRL GTM GUF GUM GUY HKG HMD HND HRV HTI HUN IDN IMN IND IOT IRL IRN IRQ ISL ISR ITA
    JAM JEY JOR JPN KAZ KEN KGZ KHM KIR KNA KOR KWT LAO LBN LBR LBY LCA LIE LKA LSO LTU LUX LVA MAC MAF MAR MCO MDA
    MDG MDV MEX MHL MKD MLI MLT MMR MNE MNG MNP MOZ MRT MSR MTQ MUS MWI MYS MYT NAM NCL NER NFK NGA NIC NIU NLD NOR
    NPL NRU NZL OMN PAK PAN PCN PER PHL PLW PNG POL PRI PRK PRT PRY PSE PYF QAT REU ROU RUS RWA SAU SDN SEN SGP SGS
    SHN SJM SLB SLE SLV SMR SOM SPM SRB SSD STP SUR SVK SVN SWE SWZ SXM SYC SYR TCA TCD TGO THA TJK TKL TKM TLS TON
    TTO TUN TUR TUV TWN TZA UGA UKR UMI URY USA UZB VAT VCT VEN VGB VIR VNM VUT WLF WSM YEM ZAF ZMB ZWE
"""
COUNTRIES = frozenset(COUNTRY_CODES.split())  # ISO 3166-1 alpha-3
