-- Who may do what. Nobody may write a table; the functions write as es_owner.
REVOKE ALL ON SCHEMA es FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA es FROM PUBLIC;
GRANT USAGE ON SCHEMA es TO es_writer, es_reader, es_sequencer;

GRANT EXECUTE ON FUNCTION
    es.append_one(text, bigint, uuid, text, integer, uuid, uuid, text, bytea, bytea),
    es.append(text, bigint, uuid[], text[], integer[], uuid, uuid, text, bytea[], bytea[]),
    es.append_many(
        text[], bigint[], integer[], uuid[], text[], integer[],
        uuid[], uuid[], text[], bytea[], bytea[]
    )
TO es_writer;

GRANT SELECT ON ALL TABLES IN SCHEMA es TO es_reader;
GRANT INSERT, UPDATE ON es.subscriptions TO es_reader; -- its own place, not events

GRANT EXECUTE ON FUNCTION es.tick() TO es_sequencer;
-- LOCK TABLE asks for a right to change the table; this one the triggers refuse.
GRANT TRUNCATE ON es.sequencer TO es_sequencer;
