-- The warnings and errors of the last 7 days, each with the attempt that it is about, if it is about one.
SELECT
    l.Timestamp AS At,
    l.SeverityText AS Severity,
    a.Task AS Task,
    a.Attempt AS Attempt,
    l.Body AS Message
FROM otel.otel_logs AS l
LEFT JOIN otel.drover_attempts AS a ON a.TraceId = l.TraceId AND a.SpanId = l.SpanId
WHERE l.SeverityNumber >= 13 AND l.Timestamp >= now() - INTERVAL 7 DAY
ORDER BY At DESC
LIMIT 200
