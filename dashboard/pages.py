"""Which pages there are. Owns the list of blueprints; shows nothing itself."""

from __future__ import annotations

from flask import Flask

from dashboard import (
    account,
    alerts,
    audit,
    bulk,
    campaign_editor,
    campaign_preview,
    campaigns,
    code_page,
    comm_analytics,
    comm_failed,
    comm_inbox,
    comm_patient_preferences,
    comm_patients,
    comm_preferences,
    comm_rates,
    comm_requests,
    comm_template_editor,
    comm_templates,
    courier_actions,
    courier_analytics,
    courier_order,
    courier_orders,
    data_life,
    dispatch_actions,
    dispatch_list,
    dispatch_page,
    doubts,
    export,
    form_page,
    guide,
    hl7_endpoints,
    hl7_message,
    hl7_messages,
    hl7_rewrite,
    incidents,
    kit_orders,
    live,
    mailbox,
    metrics,
    optimiser,
    overview,
    pausing,
    people,
    pharmacies,
    preferences,
    prescription_form,
    probes,
    roles,
    second_factor,
    segments,
    subjects,
    ticket,
    ticket_new,
    ticket_overview,
    tickets,
    upcoming,
)


def register_pages(app: Flask) -> None:
    """Add every page; the mailbox only in development, the form page only while no form service is set."""
    settings = app.config["DISPATCHLOG_SETTINGS"]
    modules = [overview, dispatch_list, dispatch_page, dispatch_actions, kit_orders, account, probes]
    modules += [doubts, incidents, upcoming, subjects]
    modules += [bulk, export]
    modules += [pausing, live, metrics, alerts, data_life]
    modules += [code_page, second_factor, people, roles, audit]
    modules += [guide, preferences]
    modules += [hl7_messages, hl7_message, hl7_rewrite]
    modules += [hl7_endpoints]
    modules += [courier_orders, courier_order, courier_actions, courier_analytics, pharmacies]
    modules += [tickets, ticket_new, prescription_form]
    modules += [ticket, ticket_overview]
    modules += [comm_patients, comm_patient_preferences, comm_failed, comm_preferences]
    modules += [comm_templates, comm_template_editor]
    modules += [comm_inbox, comm_requests]
    modules += [optimiser]
    modules += [campaigns, campaign_editor, campaign_preview]
    modules += [segments]
    modules += [comm_analytics, comm_rates]
    if settings.environment == "development":
        modules.append(mailbox)
    if not settings.form_url:
        modules.append(form_page)
    for module in modules:
        app.register_blueprint(module.pages)
