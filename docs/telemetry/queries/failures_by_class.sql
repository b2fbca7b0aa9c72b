-- What kept attempts from ending well in the last 30 days, and what the last one of each class said. Those that
-- did not fail are tried again without counting: a signal or a rate limit, say.
SELECT
    ErrorType,
    count() AS Attempts,
    countIf(Failed) AS Failures,
    uniqExact(Project, Task) AS Tasks,
    argMax(Task, Ended) AS LastTask,
    argMax(ErrorMessage, Ended) AS LastMessage,
    max(Ended) AS LastAt
FROM otel.drover_attempts
WHERE ErrorType != '' AND Started >= now() - INTERVAL 30 DAY
GROUP BY ErrorType
ORDER BY Attempts DESC, ErrorType
