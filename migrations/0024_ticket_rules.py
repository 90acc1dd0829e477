"""Who sees and does what with tickets: moves, timeline, numbering and threads by trigger; row-level security for everybody.

Who asks is named by two settings of the transaction, `dispatchlog.person` (somebody who acts for a party) and
`dispatchlog.staff` (an account of the dashboard). Whoever names nobody sees nothing.
"""

import re

MOVES = (
    ("created", "sent", "primary"),
    ("sent", "received", "secondary"),
    ("received", "ready", "secondary"),
    ("ready", "completed", "secondary"),
    ("created", "cancelled", "primary"),
    ("sent", "cancelled", "both"),
    ("received", "cancelled", "both"),
    ("ready", "cancelled", "both"),
)

FUNCTIONS = r"""
CREATE TABLE ticket_moves (
    from_status varchar(16) NOT NULL,
    to_status varchar(16) NOT NULL,
    mover varchar(16) NOT NULL CHECK (mover IN ('primary', 'secondary', 'both')),
    PRIMARY KEY (from_status, to_status)
);

CREATE FUNCTION care_person() RETURNS uuid LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT nullif(current_setting('dispatchlog.person', true), '')::uuid
$$;
CREATE FUNCTION care_staff() RETURNS integer LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT nullif(current_setting('dispatchlog.staff', true), '')::integer
$$;
-- One way from a person or an account to who they are; everything asks it, so identities cannot disagree.
CREATE FUNCTION care_identity(person uuid, account integer) RETURNS TABLE (
    person_id uuid, person_name varchar, party_id uuid, kind varchar, party_name varchar, user_id integer,
    email varchar, active boolean
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT p.id, p.name, c.id, c.kind, c.name, p.user_id, u.email, p.active AND c.active AND coalesce(u.active, true)
    FROM care_people p JOIN care_parties c ON c.id = p.party_id LEFT JOIN staff_users u ON u.id = p.user_id
    WHERE p.id = person OR (account IS NOT NULL AND p.user_id = account)
$$;
CREATE FUNCTION care_party() RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT i.party_id FROM care_identity(care_person(), NULL) i WHERE i.active
$$;
CREATE FUNCTION care_kind() RETURNS varchar LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT i.kind FROM care_identity(care_person(), NULL) i WHERE i.active
$$;
-- Whether the account that asks has the permission. Whoever acts for a party is never staff at the same time.
CREATE FUNCTION care_may(permission text) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT care_staff() IS NOT NULL AND care_person() IS NULL AND EXISTS (
        SELECT FROM staff_users u JOIN staff_user_roles ur ON ur.user_id = u.id JOIN staff_roles r ON r.id = ur.role_id
        WHERE u.id = care_staff() AND u.active AND permission = ANY (r.permissions))
$$;
CREATE FUNCTION care_emergency(ticket uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT care_may('emergency') AND EXISTS (
        SELECT FROM emergency_accesses e
        WHERE e.ticket_id = ticket AND e.user_id = care_staff() AND e.expires_at > clock_timestamp())
$$;
-- Members of old threads are parties or people; both are who they are.
CREATE FUNCTION care_is_member(thread uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT EXISTS (SELECT FROM chat_thread_members m
        WHERE m.thread_id = thread AND care_party() IS NOT NULL AND m.party_id IN (care_party(), care_person()))
$$;

CREATE FUNCTION tickets_tell(ticket healthcare_tickets, what text, more jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
    INSERT INTO ticket_changes (ticket_id, version, what, payload, audience, trace_id)
    VALUES (ticket.id, ticket.version, what,
        jsonb_build_object('ticketId', ticket.id, 'ticketNumber', ticket.ticket_number, 'what', what,
            'version', ticket.version, 'status', ticket.status, 'traceId', ticket.trace_id,
            'updatedAt', to_char(ticket.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) || more,
        array_remove(ARRAY[ticket.patient_id, ticket.primary_provider_id,
            CASE WHEN ticket.sent_at IS NOT NULL THEN ticket.secondary_provider_id END], NULL),
        ticket.trace_id)
$$;

-- It runs as whoever changes the row, so that only the tables' owner may do so without being a party.
CREATE FUNCTION tickets_before_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    who uuid := {schema}.care_party();
    allowed text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF {schema}.care_person() IS NOT NULL AND NEW.status <> 'created' THEN
            RAISE EXCEPTION 'a ticket begins created, not %', NEW.status USING ERRCODE = 'DL001';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.ticket_number, NEW.ticket_type, NEW.appointment_id, NEW.patient_id, NEW.primary_provider_id)
        IS DISTINCT FROM
        (OLD.id, OLD.ticket_number, OLD.ticket_type, OLD.appointment_id, OLD.patient_id, OLD.primary_provider_id) THEN
        RAISE EXCEPTION 'ticket %: who and what it is about never changes', OLD.ticket_number USING ERRCODE = 'DL001';
    END IF;
    IF NEW.secondary_provider_id <> OLD.secondary_provider_id
        AND (OLD.status <> 'created' OR NEW.status <> 'created' OR who <> OLD.primary_provider_id) THEN
        RAISE EXCEPTION 'ticket %: it was sent; its receiver stays', OLD.ticket_number USING ERRCODE = 'DL002';
    END IF;
    IF NEW.prescription_id IS DISTINCT FROM OLD.prescription_id
        AND (OLD.prescription_id IS NOT NULL OR who <> OLD.primary_provider_id OR NOT EXISTS (
            SELECT FROM {schema}.prescriptions p WHERE p.id = NEW.prescription_id AND p.ticket_id = NEW.id)) THEN
        RAISE EXCEPTION 'ticket %: its prescription stays', OLD.ticket_number USING ERRCODE = 'DL001';
    END IF;
    IF NEW.status <> OLD.status THEN
        SELECT m.mover INTO allowed FROM {schema}.ticket_moves m
            WHERE m.from_status = OLD.status AND m.to_status = NEW.status;
        IF allowed IS NULL OR (allowed = 'primary' AND who <> OLD.primary_provider_id)
            OR (allowed = 'secondary' AND who <> OLD.secondary_provider_id) THEN
            RAISE EXCEPTION 'ticket %: no move from % to % for whoever asks', OLD.ticket_number, OLD.status, NEW.status
                USING ERRCODE = 'DL001';
        END IF;
        NEW.sent_at := CASE WHEN NEW.status = 'sent' THEN clock_timestamp() ELSE OLD.sent_at END;
        NEW.received_at := CASE WHEN NEW.status = 'received' THEN clock_timestamp() ELSE OLD.received_at END;
        NEW.ready_at := CASE WHEN NEW.status = 'ready' THEN clock_timestamp() ELSE OLD.ready_at END;
        NEW.ended_at := CASE WHEN NEW.status IN ('completed', 'cancelled') THEN clock_timestamp() ELSE OLD.ended_at END;
    ELSE
        NEW.sent_at := OLD.sent_at;
        NEW.received_at := OLD.received_at;
        NEW.ready_at := OLD.ready_at;
        NEW.ended_at := OLD.ended_at;
    END IF;
    NEW.version := OLD.version + 1;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END $$;

CREATE FUNCTION tickets_after_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    signature record;
    entries jsonb := '[]';
    entry jsonb;
    thread uuid;
BEGIN
    SELECT * INTO signature FROM dispatchlog_signature();
    IF care_person() IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.secondary_provider_id <> OLD.secondary_provider_id)
        AND NOT EXISTS (SELECT FROM care_parties patient, care_parties receiver
            WHERE patient.id = NEW.patient_id AND patient.kind = 'patient' AND receiver.id = NEW.secondary_provider_id
            AND receiver.kind = CASE NEW.ticket_type WHEN 'prescription' THEN 'pharmacy'
                WHEN 'lab_request' THEN 'laboratory' ELSE 'doctor' END) THEN
        RAISE EXCEPTION 'ticket %: its patient or receiver is of another kind', NEW.ticket_number USING ERRCODE = 'DL005';
    END IF;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO chat_threads (id, ticket_id, order_id, order_type)
            SELECT gen_random_uuid(), NEW.id, NEW.appointment_id, NEW.ticket_type
            WHERE care_person() IS NOT NULL OR current_setting('dispatchlog.backfill', true) IS DISTINCT FROM 'on'
            RETURNING id INTO thread;
        IF thread IS NOT NULL THEN
            INSERT INTO chat_thread_members (thread_id, party_id)
                SELECT thread, p FROM unnest(ARRAY[NEW.primary_provider_id, NEW.secondary_provider_id, NEW.patient_id]) p;
        END IF;
        entries := entries || jsonb_build_object('kind', CASE WHEN thread IS NULL THEN 'backfilled' ELSE 'created' END,
            'to', NEW.status, 'detail',
            jsonb_strip_nulls(jsonb_build_object('thread_id', thread, 'secondary_provider_id', NEW.secondary_provider_id)));
    ELSE
        IF NEW.secondary_provider_id <> OLD.secondary_provider_id THEN
            UPDATE chat_thread_members m SET party_id = NEW.secondary_provider_id, read_number = 0, read_at = NULL,
                read_by = NULL, has_unread = t.last_number > 0,
                unread_since = CASE WHEN t.last_number > 0 THEN clock_timestamp() END, joined_at = clock_timestamp()
                FROM chat_threads t
                WHERE t.ticket_id = NEW.id AND m.thread_id = t.id AND m.party_id = OLD.secondary_provider_id;
            entries := entries || jsonb_build_object('kind', 'receiver_changed', 'detail', jsonb_build_object(
                'from', OLD.secondary_provider_id, 'to', NEW.secondary_provider_id));
        END IF;
        IF NEW.prescription_id IS DISTINCT FROM OLD.prescription_id THEN
            entries := entries || jsonb_build_object('kind', 'prescription_saved', 'detail',
                jsonb_build_object('prescription_id', NEW.prescription_id));
        END IF;
        IF NEW.status <> OLD.status THEN
            entries := entries || jsonb_build_object('kind', 'status', 'from', OLD.status, 'to', NEW.status);
        END IF;
        IF entries = '[]' THEN
            entries := entries || jsonb_build_object('kind', 'changed');
        END IF;
    END IF;
    FOR entry IN SELECT * FROM jsonb_array_elements(entries) LOOP
        INSERT INTO ticket_timeline (ticket_id, kind, from_status, to_status, detail, reason, person_id, party_id, actor)
        VALUES (NEW.id, entry ->> 'kind', entry ->> 'from', entry ->> 'to', coalesce(entry -> 'detail', '{{}}'),
            CASE WHEN entry ->> 'kind' = 'status' THEN signature.reason END, care_person(), care_party(), signature.actor);
    END LOOP;
    PERFORM tickets_tell(NEW, 'ticket', '{{}}');
    RETURN NULL;
END $$;

CREATE FUNCTION tickets_number_message() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    thread chat_threads;
    ticket healthcare_tickets;
BEGIN
    UPDATE chat_threads t SET last_number = t.last_number + 1, last_message_at = clock_timestamp()
        WHERE t.id = NEW.thread_id RETURNING * INTO thread;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such thread' USING ERRCODE = 'foreign_key_violation';
    END IF;
    NEW.number := thread.last_number;
    NEW.created_at := clock_timestamp();
    NEW.sender_party_id := (SELECT p.party_id FROM care_people p WHERE p.id = NEW.sender_id);
    SELECT * INTO ticket FROM healthcare_tickets k WHERE k.id = thread.ticket_id FOR SHARE;
    IF ticket.status = 'cancelled' THEN
        RAISE EXCEPTION 'the ticket was cancelled; its thread is closed' USING ERRCODE = 'DL003';
    END IF;
    IF NEW.timeline_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM ticket_timeline l WHERE l.id = NEW.timeline_id AND l.ticket_id = thread.ticket_id) THEN
        RAISE EXCEPTION 'the entry is of no timeline of this thread' USING ERRCODE = 'DL004';
    END IF;
    RETURN NEW;
END $$;

-- A message never changes; but whose party the sender of an old one is may be learned later, once.
CREATE FUNCTION tickets_keep_message() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.sender_party_id IS NOT NULL OR to_jsonb(NEW) - 'sender_party_id' <> to_jsonb(OLD) - 'sender_party_id' THEN
        RAISE EXCEPTION 'UPDATE on chat_messages is refused: what was said stays' USING ERRCODE = 'DL004';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION tickets_after_message() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    ticket healthcare_tickets;
BEGIN
    -- Also where it is set already: a reader who is just clearing it must be waited for.
    UPDATE chat_thread_members m SET has_unread = true, unread_since = coalesce(m.unread_since, NEW.created_at)
        WHERE m.thread_id = NEW.thread_id AND m.party_id <> NEW.sender_id
            AND m.party_id IS DISTINCT FROM NEW.sender_party_id;
    SELECT k.* INTO ticket FROM chat_threads t JOIN healthcare_tickets k ON k.id = t.ticket_id WHERE t.id = NEW.thread_id;
    IF FOUND THEN
        PERFORM tickets_tell(ticket, 'message', jsonb_build_object('threadId', NEW.thread_id, 'number', NEW.number,
            'senderPartyId', NEW.sender_party_id));
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION tickets_after_read() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    ticket healthcare_tickets;
BEGIN
    SELECT k.* INTO ticket FROM chat_threads t JOIN healthcare_tickets k ON k.id = t.ticket_id WHERE t.id = NEW.thread_id;
    IF FOUND THEN
        PERFORM tickets_tell(ticket, 'read', jsonb_build_object('threadId', NEW.thread_id, 'partyId', NEW.party_id,
            'readNumber', NEW.read_number));
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION tickets_after_emergency() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    INSERT INTO ticket_timeline (ticket_id, kind, detail, reason, actor)
        SELECT NEW.ticket_id, 'emergency_access', jsonb_build_object('expires_at', NEW.expires_at), NEW.reason, s.actor
        FROM dispatchlog_signature() s;
    PERFORM tickets_tell(k, 'ticket', '{{}}') FROM healthcare_tickets k WHERE k.id = NEW.ticket_id;
    RETURN NULL;
END $$;

-- A pharmacy that orders are collected from is one that prescriptions can be sent to.
CREATE FUNCTION care_follow_pharmacy() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    INSERT INTO care_parties (id, kind, name, email) VALUES (NEW.id, 'pharmacy', NEW.name, NEW.email)
        ON CONFLICT (id) DO UPDATE SET name = excluded.name, email = excluded.email, updated_at = clock_timestamp()
            WHERE care_parties.kind = 'pharmacy';
    RETURN NULL;
END $$;

-- Services and administrators say who there is; nobody does who acts for a party.
CREATE FUNCTION care_put_party(party uuid, party_kind text, party_name text, party_email text, is_active boolean)
RETURNS care_parties LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    stored care_parties;
BEGIN
    IF care_person() IS NOT NULL THEN
        RAISE EXCEPTION 'whoever acts for a party cannot change parties' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO care_parties AS c (id, kind, name, email, active)
        VALUES (party, party_kind, party_name, party_email, is_active)
        ON CONFLICT (id) DO UPDATE SET name = excluded.name, email = excluded.email, active = excluded.active,
            updated_at = CASE WHEN (c.name, c.email, c.active) IS DISTINCT FROM
                (excluded.name, excluded.email, excluded.active) THEN clock_timestamp() ELSE c.updated_at END
            WHERE c.kind = excluded.kind
        RETURNING * INTO stored;
    IF stored.id IS NULL THEN
        RAISE EXCEPTION 'the party is of another kind' USING ERRCODE = 'DL005';
    END IF;
    RETURN stored;
END $$;
CREATE FUNCTION care_put_person(person uuid, of_party uuid, person_name text, account integer, is_active boolean)
RETURNS care_people LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    stored care_people;
BEGIN
    IF care_person() IS NOT NULL THEN
        RAISE EXCEPTION 'whoever acts for a party cannot change people' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO care_people AS p (id, party_id, name, user_id, active)
        VALUES (person, of_party, person_name, account, is_active)
        ON CONFLICT (id) DO UPDATE SET name = excluded.name, active = excluded.active,
            user_id = coalesce(excluded.user_id, p.user_id),
            updated_at = CASE WHEN (p.name, p.active, p.user_id) IS DISTINCT FROM
                (excluded.name, excluded.active, coalesce(excluded.user_id, p.user_id))
                THEN clock_timestamp() ELSE p.updated_at END
            WHERE p.party_id = excluded.party_id
        RETURNING * INTO stored;
    IF stored.id IS NULL THEN
        RAISE EXCEPTION 'the person acts for another party' USING ERRCODE = 'DL005';
    END IF;
    RETURN stored;
END $$;
-- Their account may then act for somebody else; what they wrote stays theirs.
CREATE FUNCTION care_unlink_person(person uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    IF care_person() IS NOT NULL THEN
        RAISE EXCEPTION 'whoever acts for a party cannot change people' USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE care_people p SET active = false, user_id = NULL, updated_at = clock_timestamp()
        WHERE p.id = person AND (p.active OR p.user_id IS NOT NULL);
    RETURN FOUND;
END $$;
-- A doctor finds a patient by what the patient gave them, never by looking around.
CREATE FUNCTION care_find_patient(patient uuid, address text) RETURNS TABLE (id uuid, name varchar)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT c.id, c.name FROM care_parties c
    WHERE care_kind() = 'doctor' AND c.kind = 'patient' AND c.active
        AND (c.id = patient OR (address <> '' AND lower(c.email) = lower(address))) LIMIT 2
$$;
-- The three ask past the policies what a list would have to ask of every row, and give what the policies would.
CREATE FUNCTION care_patients_named(words text, most integer) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT c.id FROM care_parties c, care_party() me
    WHERE c.kind = 'patient' AND to_tsvector('simple', c.name) @@ to_tsquery('simple', words)
        AND EXISTS (SELECT FROM healthcare_tickets k WHERE k.patient_id = c.id AND (k.patient_id = me
            OR k.primary_provider_id = me OR (k.secondary_provider_id = me AND k.sent_at IS NOT NULL))) LIMIT most
$$;
CREATE FUNCTION care_unread_tickets(most integer) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT k.id FROM care_party() me JOIN chat_thread_members m ON m.party_id = me AND m.has_unread
        JOIN chat_threads t ON t.id = m.thread_id JOIN healthcare_tickets k ON k.id = t.ticket_id
    WHERE k.secondary_provider_id <> me OR k.sent_at IS NOT NULL LIMIT most
$$;
CREATE FUNCTION care_unread(thread uuid, most integer) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT count(*) FROM (SELECT FROM care_party() me JOIN chat_thread_members own ON own.party_id = me
            JOIN chat_threads t ON t.id = own.thread_id LEFT JOIN healthcare_tickets k ON k.id = t.ticket_id
            JOIN chat_messages m ON m.thread_id = t.id AND m.number > own.read_number
        WHERE own.thread_id = thread AND own.has_unread AND m.sender_party_id IS DISTINCT FROM me
            AND (k.id IS NULL OR k.secondary_provider_id <> me OR k.sent_at IS NOT NULL) LIMIT most) counted
$$;
-- Whose messages have waited so long that a mail is due; no more than is needed to write one.
CREATE FUNCTION tickets_unread(waited interval, most integer) RETURNS TABLE (
    ticket_id uuid, ticket_number varchar, ticket_type varchar, party_id uuid, email varchar, trace_id varchar,
    unread_since timestamptz
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT k.id, k.ticket_number, k.ticket_type, c.id, c.email, k.trace_id, m.unread_since
    FROM chat_thread_members m JOIN chat_threads t ON t.id = m.thread_id JOIN healthcare_tickets k ON k.id = t.ticket_id
        JOIN care_parties c ON c.id = m.party_id
    WHERE care_person() IS NULL AND m.has_unread AND m.unread_since < clock_timestamp() - waited AND c.active
        AND c.email IS NOT NULL
        AND (c.id <> k.secondary_provider_id OR k.sent_at < clock_timestamp() - waited) AND k.status <> 'cancelled'
        AND NOT EXISTS (SELECT FROM ticket_notifications n WHERE n.ticket_id = k.id AND n.kind = 'UNREAD'
            AND n.party_id = c.id AND n.created_at > m.unread_since)
    ORDER BY m.unread_since LIMIT most
$$;
"""

TRIGGERS = """
CREATE TRIGGER check_change BEFORE INSERT OR UPDATE ON healthcare_tickets
    FOR EACH ROW EXECUTE FUNCTION tickets_before_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE ON healthcare_tickets
    FOR EACH ROW EXECUTE FUNCTION tickets_after_change();
CREATE TRIGGER number_message BEFORE INSERT ON chat_messages
    FOR EACH ROW EXECUTE FUNCTION tickets_number_message();
CREATE TRIGGER note_message AFTER INSERT ON chat_messages
    FOR EACH ROW EXECUTE FUNCTION tickets_after_message();
CREATE TRIGGER keep_message BEFORE UPDATE ON chat_messages
    FOR EACH ROW EXECUTE FUNCTION tickets_keep_message();
CREATE TRIGGER keep_rows BEFORE DELETE OR TRUNCATE ON chat_messages
    FOR EACH STATEMENT EXECUTE FUNCTION dispatchlog_refuse();
CREATE TRIGGER note_read AFTER UPDATE OF read_number ON chat_thread_members
    FOR EACH ROW WHEN (NEW.read_number > OLD.read_number) EXECUTE FUNCTION tickets_after_read();
CREATE TRIGGER note_emergency AFTER INSERT ON emergency_accesses
    FOR EACH ROW EXECUTE FUNCTION tickets_after_emergency();
CREATE TRIGGER care_party AFTER INSERT OR UPDATE OF name, email ON pharmacies
    FOR EACH ROW EXECUTE FUNCTION care_follow_pharmacy();
CREATE TRIGGER keep_rows BEFORE DELETE OR TRUNCATE ON healthcare_tickets
    FOR EACH STATEMENT EXECUTE FUNCTION dispatchlog_refuse();
CREATE TRIGGER keep_rows BEFORE DELETE OR TRUNCATE ON chat_threads
    FOR EACH STATEMENT EXECUTE FUNCTION dispatchlog_refuse();
CREATE TRIGGER keep_rows BEFORE DELETE OR TRUNCATE ON prescriptions
    FOR EACH STATEMENT EXECUTE FUNCTION dispatchlog_refuse();
ALTER TABLE healthcare_tickets ENABLE ALWAYS TRIGGER check_change, ENABLE ALWAYS TRIGGER note_change,
    ENABLE ALWAYS TRIGGER keep_rows;
ALTER TABLE chat_messages ENABLE ALWAYS TRIGGER number_message, ENABLE ALWAYS TRIGGER note_message,
    ENABLE ALWAYS TRIGGER keep_message, ENABLE ALWAYS TRIGGER keep_rows;
ALTER TABLE chat_threads ENABLE ALWAYS TRIGGER keep_rows;
ALTER TABLE prescriptions ENABLE ALWAYS TRIGGER keep_rows;
ALTER TABLE emergency_accesses ENABLE ALWAYS TRIGGER note_emergency;
INSERT INTO care_parties (id, kind, name, email) SELECT id, 'pharmacy', name, email FROM pharmacies ON CONFLICT DO NOTHING;
"""

POLICIES = """
ALTER TABLE care_parties ENABLE ROW LEVEL SECURITY;
ALTER TABLE care_people ENABLE ROW LEVEL SECURITY;
ALTER TABLE healthcare_tickets ENABLE ROW LEVEL SECURITY;
ALTER TABLE prescriptions ENABLE ROW LEVEL SECURITY;
ALTER TABLE prescription_items ENABLE ROW LEVEL SECURITY;
ALTER TABLE prescription_drafts ENABLE ROW LEVEL SECURITY;
ALTER TABLE chat_threads ENABLE ROW LEVEL SECURITY;
ALTER TABLE chat_thread_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE chat_messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE ticket_timeline ENABLE ROW LEVEL SECURITY;
ALTER TABLE emergency_accesses ENABLE ROW LEVEL SECURITY;
ALTER TABLE ticket_changes ENABLE ROW LEVEL SECURITY;

CREATE POLICY parties ON healthcare_tickets FOR SELECT TO {role} USING (
    patient_id = (SELECT care_party()) OR primary_provider_id = (SELECT care_party())
    OR (secondary_provider_id = (SELECT care_party()) AND sent_at IS NOT NULL)
    OR ((SELECT care_may('emergency')) AND care_emergency(id)));
CREATE POLICY doctor_creates ON healthcare_tickets FOR INSERT TO {role} WITH CHECK (
    primary_provider_id = (SELECT care_party()) AND (SELECT care_kind()) = 'doctor' AND status = 'created'
    AND prescription_id IS NULL AND sent_at IS NULL);
CREATE POLICY providers_change ON healthcare_tickets FOR UPDATE TO {role}
    USING (primary_provider_id = (SELECT care_party())
        OR (secondary_provider_id = (SELECT care_party()) AND sent_at IS NOT NULL))
    WITH CHECK (primary_provider_id = (SELECT care_party()) OR secondary_provider_id = (SELECT care_party()));

-- Without OFFSET 0 the planner may rather gather everything that the asker may see than look for the few rows at hand.
CREATE POLICY directory ON care_parties FOR SELECT TO {role} USING (
    id = (SELECT care_party()) OR (kind <> 'patient' AND (SELECT care_party()) IS NOT NULL)
    OR (kind = 'patient' AND EXISTS (SELECT FROM healthcare_tickets k WHERE k.patient_id = care_parties.id OFFSET 0)));
CREATE POLICY directory ON care_people FOR SELECT TO {role} USING (
    EXISTS (SELECT FROM care_parties c WHERE c.id = care_people.party_id OFFSET 0));

CREATE POLICY parties ON prescriptions FOR SELECT TO {role} USING (
    EXISTS (SELECT FROM healthcare_tickets k WHERE k.id = prescriptions.ticket_id OFFSET 0)
    OR (is_legacy AND (SELECT care_party()) IN (doctor_id, patient_id, pharmacy_id)));
CREATE POLICY doctor_writes ON prescriptions FOR INSERT TO {role} WITH CHECK (
    NOT is_legacy AND doctor_id = (SELECT care_party()) AND created_by = (SELECT care_person())
    AND EXISTS (SELECT FROM healthcare_tickets k WHERE k.id = prescriptions.ticket_id
        AND k.primary_provider_id = prescriptions.doctor_id AND k.patient_id = prescriptions.patient_id
        AND k.secondary_provider_id = prescriptions.pharmacy_id AND k.appointment_id = prescriptions.appointment_id
        AND k.status = 'created'));
CREATE POLICY parties ON prescription_items FOR SELECT TO {role} USING (
    EXISTS (SELECT FROM prescriptions p WHERE p.id = prescription_items.prescription_id OFFSET 0));
CREATE POLICY doctor_writes ON prescription_items FOR INSERT TO {role} WITH CHECK (
    EXISTS (SELECT FROM prescriptions p JOIN healthcare_tickets k ON k.id = p.ticket_id
        WHERE p.id = prescription_items.prescription_id AND p.doctor_id = (SELECT care_party()) AND k.status = 'created'));
CREATE POLICY doctor ON prescription_drafts FOR ALL TO {role} USING (
    EXISTS (SELECT FROM healthcare_tickets k
        WHERE k.id = prescription_drafts.ticket_id AND k.primary_provider_id = (SELECT care_party())))
    WITH CHECK (updated_by = (SELECT care_person()) AND EXISTS (SELECT FROM healthcare_tickets k
        WHERE k.id = prescription_drafts.ticket_id AND k.primary_provider_id = (SELECT care_party())
        AND k.status = 'created'));

CREATE POLICY parties ON chat_threads FOR SELECT TO {role} USING (
    EXISTS (SELECT FROM healthcare_tickets k WHERE k.id = chat_threads.ticket_id OFFSET 0)
    OR (is_legacy AND care_is_member(id)));
CREATE POLICY parties ON chat_thread_members FOR SELECT TO {role} USING (
    EXISTS (SELECT FROM chat_threads t WHERE t.id = chat_thread_members.thread_id OFFSET 0));
CREATE POLICY own_reading ON chat_thread_members FOR UPDATE TO {role} USING (
    party_id IN ((SELECT care_party()), (SELECT care_person()))
    AND EXISTS (SELECT FROM chat_threads t WHERE t.id = chat_thread_members.thread_id OFFSET 0));
CREATE POLICY parties ON chat_messages FOR SELECT TO {role} USING (
    EXISTS (SELECT FROM chat_threads t WHERE t.id = chat_messages.thread_id OFFSET 0));
CREATE POLICY parties_write ON chat_messages FOR INSERT TO {role} WITH CHECK (
    sender_id = (SELECT care_person()) AND (SELECT care_party()) IS NOT NULL
    AND EXISTS (SELECT FROM chat_threads t WHERE t.id = chat_messages.thread_id));
CREATE POLICY parties ON ticket_timeline FOR SELECT TO {role} USING (
    EXISTS (SELECT FROM healthcare_tickets k WHERE k.id = ticket_timeline.ticket_id OFFSET 0));

-- The process that tells open pages reads all of them and names nobody; whoever is named reads their own.
CREATE POLICY audience ON ticket_changes FOR SELECT TO {role} USING (
    (SELECT care_person()) IS NULL OR (SELECT care_party()) = ANY (audience));

CREATE POLICY own ON emergency_accesses FOR SELECT TO {role} USING (
    user_id = (SELECT care_staff()) OR (SELECT care_may('audit')));
CREATE POLICY staff_opens ON emergency_accesses FOR INSERT TO {role} WITH CHECK (
    user_id = (SELECT care_staff()) AND (SELECT care_may('emergency')));

-- What staff see of tickets: who, when and how far, never what was written. Views work with their owner's rights.
-- The first one has no barrier, with which no list could walk an index.
CREATE VIEW ticket_overview AS
    SELECT k.id, k.ticket_number, k.ticket_type, k.status, k.appointment_id, k.patient_id, k.primary_provider_id,
        k.secondary_provider_id, k.sent_at, k.received_at, k.ready_at, k.ended_at, k.version, k.trace_id, k.created_at,
        k.updated_at, patient.name AS patient_name, doctor.name AS doctor_name, receiver.name AS receiver_name,
        receiver.email AS receiver_email, t.id AS thread_id, t.last_number AS messages, t.last_message_at
    FROM healthcare_tickets k JOIN care_parties patient ON patient.id = k.patient_id
        JOIN care_parties doctor ON doctor.id = k.primary_provider_id
        JOIN care_parties receiver ON receiver.id = k.secondary_provider_id
        LEFT JOIN chat_threads t ON t.ticket_id = k.id
    WHERE (SELECT care_may('oversee'));
CREATE VIEW ticket_overview_timeline WITH (security_barrier) AS
    SELECT l.id, l.ticket_id, l.kind, l.from_status, l.to_status, l.actor, l.at, c.kind AS party_kind, c.name AS party_name,
        CASE WHEN l.kind = 'emergency_access' THEN l.reason END AS reason
    FROM ticket_timeline l LEFT JOIN care_parties c ON c.id = l.party_id AND c.kind <> 'patient'
    WHERE (SELECT care_may('oversee'));
CREATE VIEW ticket_overview_messages WITH (security_barrier) AS
    SELECT m.thread_id, m.number, m.created_at, c.kind AS sender_kind, length(m.body) AS characters,
        jsonb_array_length(m.attachments) AS attachments
    FROM chat_messages m LEFT JOIN care_parties c ON c.id = m.sender_party_id WHERE (SELECT care_may('oversee'));
CREATE VIEW ticket_overview_reading WITH (security_barrier) AS
    SELECT m.thread_id, c.kind, m.read_number, m.read_at, m.has_unread, m.unread_since
    FROM chat_thread_members m JOIN care_parties c ON c.id = m.party_id WHERE (SELECT care_may('oversee'));
CREATE VIEW care_overview WITH (security_barrier) AS
    SELECT c.id AS party_id, c.kind, c.name AS party_name, c.email, c.active AS party_active, p.id AS person_id,
        p.name AS person_name, p.user_id, p.active AS person_active
    FROM care_parties c LEFT JOIN care_people p ON p.party_id = c.id WHERE (SELECT care_may('manage'));
"""

GRANTS = """
GRANT SELECT ON care_parties, care_people, ticket_moves, chat_threads, ticket_timeline, ticket_changes,
    ticket_overview, ticket_overview_timeline, ticket_overview_messages, ticket_overview_reading, care_overview TO {role};
GRANT SELECT, INSERT (id, ticket_number, ticket_type, appointment_id, patient_id, primary_provider_id,
    secondary_provider_id, trace_id), UPDATE (status, secondary_provider_id, prescription_id) ON healthcare_tickets
    TO {role};
GRANT SELECT, INSERT (id, ticket_id, appointment_id, patient_id, doctor_id, pharmacy_id, notes, created_by)
    ON prescriptions TO {role};
GRANT SELECT, INSERT ON prescription_items TO {role};
GRANT SELECT, INSERT (id, ticket_id, user_id, reason, expires_at) ON emergency_accesses TO {role};
GRANT SELECT, INSERT (ticket_id, document, updated_by), UPDATE (document, updated_by, updated_at), DELETE
    ON prescription_drafts TO {role};
GRANT SELECT, UPDATE (read_number, read_at, read_by, has_unread, unread_since) ON chat_thread_members TO {role};
GRANT SELECT, INSERT (id, thread_id, sender_id, client_message_id, body, attachments, timeline_id)
    ON chat_messages TO {role};
"""

APPEND_ONLY = ("prescription_items", "ticket_timeline", "ticket_changes", "emergency_accesses")
TABLES = (
    "healthcare_tickets",
    "prescriptions",
    "prescription_items",
    "prescription_drafts",
    "chat_threads",
    "chat_thread_members",
    "chat_messages",
    "ticket_timeline",
    "emergency_accesses",
    "care_parties",
    "care_people",
    "ticket_changes",
)
FUNCTION_NAMES = (
    "tickets_unread, care_unread, care_unread_tickets, care_patients_named, care_find_patient, care_unlink_person, "
    "care_put_person, care_put_party, care_follow_pharmacy, tickets_after_emergency, tickets_after_read, "
    "tickets_keep_message, tickets_after_message, tickets_number_message, tickets_after_change, "
    "tickets_before_change, tickets_tell, care_is_member, care_emergency, care_may, care_kind, care_party, "
    "care_identity, care_staff, care_person"
)


# What the application calls, itself or through a policy or view; the others are triggers'.
ASKED = {name for name in FUNCTION_NAMES.split(", ") if name.startswith("care_") and name != "care_follow_pharmacy"}
ASKED |= {"tickets_unread"}


def functions(db):
    """Those made here, with their arguments, and by name."""
    return db.execute_sql(
        "SELECT oid::regprocedure::text, proname FROM pg_proc"
        " WHERE proname = ANY (%s) AND pronamespace = current_schema()::regnamespace",
        (FUNCTION_NAMES.split(", "),),
    ).fetchall()


def literal(sql):
    """The driver reads % as a placeholder even where there is nothing to fill in."""
    return sql.replace("%", "%%")


def up(migrator, db):
    from dispatchlog.migrate import migration_role, migration_schema

    names = {"role": migration_role(), "schema": migration_schema(db)}
    db.execute_sql(literal(FUNCTIONS.format(**names)))
    for source, target, mover in MOVES:
        db.execute_sql("INSERT INTO ticket_moves VALUES (%s, %s, %s)", (source, target, mover))
    db.execute_sql(TRIGGERS)
    for table in APPEND_ONLY:
        db.execute_sql("SELECT dispatchlog_append_only(%s)", (table,))
    db.execute_sql(POLICIES.format(**names))
    for signature, name in functions(db):
        # Else every role of the cluster may call them, those of an upstream service too.
        db.execute_sql(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        if name in ASKED:
            db.execute_sql(f"GRANT EXECUTE ON FUNCTION {signature} TO {names['role']}")
    db.execute_sql(GRANTS.format(**names))


def had_row_security(db):
    """Tables of an upstream service, which keep what they had."""
    if not db.execute_sql("SELECT to_regclass('adopted_tables') IS NOT NULL").fetchone()[0]:
        return set()
    return {name for (name,) in db.execute_sql("SELECT name FROM adopted_tables WHERE row_security").fetchall()}


def down(migrator, db):
    db.execute_sql(
        "DROP VIEW ticket_overview, ticket_overview_timeline, ticket_overview_messages, ticket_overview_reading,"
        " care_overview"
    )
    for policy, table in re.findall(r"CREATE POLICY (\w+) ON (\w+)", POLICIES):
        db.execute_sql(f"DROP POLICY {policy} ON {table}")
    for table in set(TABLES) - had_row_security(db):
        db.execute_sql(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    db.execute_sql(f"DROP FUNCTION {FUNCTION_NAMES} CASCADE")
    for table in (*APPEND_ONLY, "healthcare_tickets", "chat_threads", "chat_messages", "prescriptions"):
        db.execute_sql(f"DROP TRIGGER keep_rows ON {table}")
    db.execute_sql("DROP TABLE ticket_moves")
    grants = ", ".join(TABLES)
    from dispatchlog.migrate import migration_role

    db.execute_sql(f"REVOKE ALL ON {grants} FROM {migration_role()}")
