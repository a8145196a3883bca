-- The service's three tables, as views over Passgate's: for the sqlite3 lines of the README, and to read only. They are
-- made anew at each start, in one transaction, since a new version of Passgate may have changed what is below.

BEGIN IMMEDIATE;

DROP VIEW IF EXISTS users;
CREATE VIEW users AS
SELECT
    p.id,
    json_extract(p.profile, '$.first_name') AS first_name,
    json_extract(p.profile, '$.last_name') AS last_name,
    p.email,
    strftime('%Y-%m-%d %H:%M:%f', json_extract(p.profile, '$.date_of_birth')) || '000' AS date_of_birth,
    json_extract(p.profile, '$.job_title') AS job_title,
    CASE
        WHEN EXISTS (SELECT 1 FROM role_grant g WHERE g.person_id = p.id AND g.role IN ('admin', 'owner')) THEN 'admin'
        ELSE 'user'
    END AS role,
    datetime(p.created_at / 1000000, 'unixepoch') || printf('.%06d', p.created_at % 1000000) AS created_at
FROM person p;

-- The public key is sealed at rest, so it is null here.
DROP VIEW IF EXISTS webauthn_credentials;
CREATE VIEW webauthn_credentials AS
SELECT
    c.id,
    c.person_id AS user_id,
    c.lookup AS credential_id,
    NULL AS public_key,
    c.counter AS sign_count,
    datetime(c.created_at / 1000000, 'unixepoch') || printf('.%06d', c.created_at % 1000000) AS created_at
FROM credential c
WHERE c.kind = 'passkey' AND c.revoked_at IS NULL;

-- `who` is whose address a row is under: whoever asked for somebody's data, else whoever the row is about.
DROP VIEW IF EXISTS audit_logs;
CREATE VIEW audit_logs AS
WITH event AS (
    SELECT
        e.*,
        CASE
            WHEN e.event IN ('signup:completed', 'webauthn:registration_refused') THEN 'registration_complete'
            WHEN e.event = 'signin:completed' THEN 'login_complete'
            WHEN e.event = 'signin:passkey:refused' AND json_extract(e.facts, '$.purpose') = 'signup'
                THEN 'registration_complete'
            WHEN e.event = 'signin:passkey:refused' THEN 'login_complete'
            WHEN e.event LIKE 'webauthn:%' THEN substr(e.event, length('webauthn:') + 1)
        END AS event_type,
        CASE
            WHEN e.event = 'signin:passkey:refused' THEN 0
            ELSE coalesce(json_extract(e.facts, '$.ok'), 1)
        END AS success,
        CASE WHEN e.event = 'webauthn:user_access' THEN e.actor_id ELSE e.subject_id END AS who
    FROM audit_event e
)
SELECT
    e.id,
    e.event_type,
    w.email AS user_email,
    e.who AS user_id,
    json_extract(e.personal, '$.ip') AS ip_address,
    json_extract(e.personal, '$.browser') || ' on ' || json_extract(e.personal, '$.os') AS user_agent,
    e.success,
    CASE e.event_type
        WHEN 'registration_begin' THEN 'Registration started'
        WHEN 'login_begin' THEN 'Login started'
        WHEN 'registration_complete' THEN
            CASE WHEN e.success THEN 'User registered' ELSE 'Registration failed: ' || coalesce(json_extract(e.facts, '$.why'), 'refused') END
        WHEN 'login_complete' THEN
            CASE WHEN e.success THEN 'User logged in' ELSE 'Authentication failed: ' || coalesce(json_extract(e.facts, '$.why'), 'refused') END
        WHEN 'user_access' THEN
            CASE
                WHEN e.who IS NULL THEN 'Bearer token refused: ' || json_extract(e.facts, '$.why')
                WHEN e.success THEN
                    'User ' || coalesce(json_extract(s.profile, '$.first_name') || ' ' || json_extract(s.profile, '$.last_name'), e.subject_id)
                    || ' accessed by '
                    || coalesce(json_extract(w.profile, '$.first_name') || ' ' || json_extract(w.profile, '$.last_name'), e.who)
                    || ' (role: ' || json_extract(e.facts, '$.role') || ')'
                WHEN json_extract(e.facts, '$.why') = 'not_found' THEN 'User not found'
                ELSE
                    'Authorization failed: User ' || coalesce(w.email, e.who) || ' (role: ' || json_extract(e.facts, '$.role')
                    || ') attempted to access user ' || coalesce(json_extract(e.facts, '$.target'), 'unknown') || '''s data'
            END
    END
    || coalesce(' (email hash: ' || json_extract(e.personal, '$.address_hash') || ')', '') AS details,
    datetime(e.at / 1000000, 'unixepoch') || printf('.%06d', e.at % 1000000) AS created_at
FROM event e
LEFT JOIN person w ON w.id = e.who
LEFT JOIN person s ON s.id = e.subject_id
WHERE e.event_type IS NOT NULL;

COMMIT;
