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
            WHEN e.event IN ('signin:completed', 'webauthn:login_refused') THEN 'login_complete'
            WHEN e.event = 'signin:passkey:refused' THEN
                CASE json_extract(e.facts, '$.purpose')
                    WHEN 'signup' THEN 'registration_complete'
                    WHEN 'signin' THEN 'login_complete'
                END
            WHEN e.event LIKE 'webauthn:%' THEN substr(e.event, length('webauthn:') + 1)
        END AS event_type,
        CASE
            WHEN e.event = 'signin:passkey:refused' THEN 0
            ELSE coalesce(json_extract(e.facts, '$.ok'), 1)
        END AS success,
        CASE WHEN e.event LIKE 'webauthn:user!_%' ESCAPE '!' THEN e.actor_id ELSE e.subject_id END AS who
    FROM audit_event e
), named AS (
    SELECT
        e.*,
        w.email AS user_email,
        coalesce(json_extract(w.profile, '$.first_name') || ' ' || json_extract(w.profile, '$.last_name'), e.who) AS who_name,
        coalesce(json_extract(s.profile, '$.first_name') || ' ' || json_extract(s.profile, '$.last_name'), e.subject_id)
            AS other_name,
        ' (role: ' || json_extract(e.facts, '$.role') || ')' AS as_role,
        coalesce(json_extract(e.facts, '$.why'), 'refused') AS why,
        coalesce(json_extract(e.facts, '$.target'), 'unknown') AS target
    FROM event e
    LEFT JOIN person w ON w.id = e.who
    LEFT JOIN person s ON s.id = e.subject_id
    WHERE e.event_type IS NOT NULL
)
SELECT
    id,
    event_type,
    user_email,
    who AS user_id,
    json_extract(personal, '$.ip') AS ip_address,
    json_extract(personal, '$.browser') || ' on ' || json_extract(personal, '$.os') AS user_agent,
    success,
    CASE
        WHEN event_type = 'registration_begin' THEN 'Registration started'
        WHEN event_type = 'login_begin' THEN 'Login started'
        WHEN event_type = 'registration_complete' THEN iif(success, 'User registered', 'Registration failed: ' || why)
        WHEN event_type = 'login_complete' THEN iif(success, 'User logged in', 'Authentication failed: ' || why)
        WHEN who IS NULL THEN 'Bearer token refused: ' || why
        WHEN event_type = 'user_promote' AND success THEN 'User ' || other_name || ' promoted to admin by ' || who_name || as_role
        WHEN success THEN 'User ' || other_name || ' accessed by ' || who_name || as_role
        WHEN why = 'not_found' THEN 'User not found: ' || target
        ELSE
            'Authorization failed: User ' || user_email || as_role || ' attempted to '
            || iif(event_type = 'user_promote', 'promote user ' || target, 'access user ' || target || '''s data')
    END
    || coalesce(' (email hash: ' || json_extract(personal, '$.address_hash') || ')', '') AS details,
    datetime(at / 1000000, 'unixepoch') || printf('.%06d', at % 1000000) AS created_at
FROM named;

COMMIT;
